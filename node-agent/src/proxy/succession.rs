//! From one generation of the proxy to the next: who serves the pages, who counts, and when the
//! old one has nothing left to do.
//!
//! In the order in which a generation lives through it: [`Succession::meet_ancestor`] and
//! [`Succession::serve_pages`] at its beginning, [`Succession::meet_heir`] and
//! [`Succession::drain`] at its end. The numbers themselves pass in [`super::generations`].

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::pages::{self, Routes};
use ambit_wire::node;
use anyhow::Context as _;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::datapath::DataPath;
use super::{descriptors, generations};

/// How often the end of a drain is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long connections that were cut may take to be written down.
const LAST_LINES: Duration = Duration::from_secs(2);
/// How long the first pages wait for an ancestor's numbers.
const ANCESTOR_PATIENCE: Duration = Duration::from_secs(2);

/// Makes the pages of a port.
pub(crate) type PageRoutes = Box<dyn Fn(u16) -> Option<Routes> + Send + Sync>;

/// What this generation has from the one before it and leaves to the one after it.
pub(crate) struct Succession {
    path: Arc<DataPath>,
    routes: PageRoutes,
    /// Of everything that hangs on the link.
    tasks: TaskTracker,
    ancestor: Option<oneshot::Receiver<()>>,
    page_tasks: TaskTracker,
    /// The tasks that accept connections.
    listening: TaskTracker,
    /// Ends serving pages.
    pages_end: CancellationToken,
    /// Ends accepting, and asks peers to open tunnels to the next generation.
    draining: CancellationToken,
    /// The last connection has ended.
    ended: CancellationToken,
}

impl Succession {
    /// Of a generation that has neither ancestor nor heir yet.
    pub(crate) fn new(path: Arc<DataPath>, routes: PageRoutes, tasks: TaskTracker) -> Self {
        Self {
            path,
            routes,
            tasks,
            ancestor: None,
            page_tasks: TaskTracker::new(),
            listening: TaskTracker::new(),
            pages_end: CancellationToken::new(),
            draining: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Cancelled when a newer generation serves.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Where tasks belong that accept connections until [`Self::draining`].
    pub(crate) fn listening(&self) -> &TaskTracker {
        &self.listening
    }

    /// Cancelled when this generation has nothing left to carry.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Adds what the generation before this one counts to what this one does.
    pub(crate) fn meet_ancestor(&mut self, ancestor: Vec<OwnedFd>) -> anyhow::Result<()> {
        let ancestor = descriptors::stream(ancestor)?;
        let (first, arrived) = oneshot::channel();
        self.ancestor = Some(arrived);
        let ledger = self.path.ledger.clone();
        self.tasks.spawn(async move {
            if let Err(error) = generations::inherit(ancestor, ledger, first).await {
                tracing::warn!(%error, "the previous generation's numbers are incomplete");
            }
        });
        Ok(())
    }

    /// Serves pages, once the first numbers of an ancestor are in them.
    pub(crate) fn serve_pages(
        &mut self,
        sockets: &node::PageSockets,
        listeners: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        let complete = watch::Sender::new(self.ancestor.is_none());
        if let Some(first) = self.ancestor.take() {
            let complete = complete.clone();
            self.tasks.spawn(async move {
                // Late or never: the pages then begin without.
                tokio::time::timeout(ANCESTOR_PATIENCE, first).await.ok();
                complete.send_replace(true);
            });
        }
        for (&port, listener) in sockets.ports.iter().zip(listeners) {
            let routes = u16::try_from(port)
                .ok()
                .and_then(|port| (self.routes)(port));
            let routes = routes.with_context(|| format!("no pages for port {port}"))?;
            let (listener, end) = (descriptors::listener(listener)?, self.pages_end.clone());
            let mut complete = complete.subscribe();
            self.page_tasks.spawn(async move {
                if complete.wait_for(|complete| *complete).await.is_ok() {
                    pages::serve(listener, routes, end).await;
                }
            });
        }
        Ok(())
    }

    /// Leaves the pages to the generation after this one, and tells it what this one counts.
    pub(crate) fn meet_heir(&self, heir: Vec<OwnedFd>) -> anyhow::Result<()> {
        let heir = descriptors::stream(heir)?;
        self.pages_end.cancel();
        self.page_tasks.close();
        let path = Arc::clone(&self.path);
        let (ended, page_tasks) = (self.ended.clone(), self.page_tasks.clone());
        self.tasks.spawn(async move {
            // The heir is told the first numbers after the last page: they must not fall.
            page_tasks.wait().await;
            let ledger = path.ledger.clone();
            if let Err(error) = generations::tell(heir, ledger, || path.book(), ended).await {
                tracing::warn!(%error, "the next generation cannot be told this one's numbers");
            }
        });
        Ok(())
    }

    /// Accepts no more and waits, not beyond `limit`, for the last connection.
    pub(crate) fn drain(&self, limit: Duration) {
        self.draining.cancel();
        self.listening.close();
        let (path, ended) = (Arc::clone(&self.path), self.ended.clone());
        let listening = self.listening.clone();
        self.tasks.spawn(async move {
            let all_ended = async {
                // Nothing is accepted after this, so that what is carried can only become less.
                listening.wait().await;
                while !path.accepted.is_empty() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            tokio::pin!(all_ended);
            if tokio::time::timeout(limit, &mut all_ended).await.is_err() {
                let lost = path.connections.cut_all();
                tracing::warn!(
                    lost,
                    "connections were still open at the end of the drain: cut"
                );
                // Tunnels without connections, and peers that do not answer, are not waited for.
                tokio::time::timeout(LAST_LINES, all_ended).await.ok();
            }
            ended.cancel();
        });
    }
}
