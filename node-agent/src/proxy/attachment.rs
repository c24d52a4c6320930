//! The proxy's side of the link to the host role: pods come and go, sockets arrive, another
//! generation appears.
//!
//! One task ([`Attachment::run`]) reads the link and starts everything else: a task per listener
//! and per feed, and what [`Succession`] does. It ends when this generation has drained, or when
//! the host role is gone, which ends the process.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::SpiffeId;
use ambit_wire::node::{self, HostToProxy, ListenerKind, host_to_proxy};
use anyhow::Context as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::accept::accept_loop;
use super::descriptors;
use super::feed::{Follower, follow};
use super::names::serve::datagrams;
use super::pods::{Caps, LocalPod, Place};
use super::stock::{Request, Stock};
use super::succession::{PageRoutes, Succession};
use crate::link::{PodUid, ProxyEnd, ToHost};

/// Sockets may be asked for by this many pods at once before a request is made again later.
const REQUESTS: usize = 256;
/// How often the end of a release is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the last numbers may take to the heir.
const LAST_NUMBERS: Duration = Duration::from_secs(2);
/// How long a generation waits for the certificates of its pods before it serves all the same.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that hangs on the link.
pub(crate) struct Attachment {
    link: Arc<ProxyEnd>,
    follower: Follower,
    place: Place,
    caps: Caps,
    feeds: mpsc::Sender<UnixStream>,
    requests: (mpsc::Sender<Request>, mpsc::Receiver<Request>),
    questions: mpsc::Receiver<ToHost>,
    succession: Succession,
    tasks: TaskTracker,
}

/// What [`Attachment::new`] is given.
pub(crate) struct Parts {
    /// The link.
    pub(crate) link: ProxyEnd,
    /// What a feed works on.
    pub(crate) follower: Follower,
    /// Where this is.
    pub(crate) place: Place,
    /// Limits of one pod.
    pub(crate) caps: Caps,
    /// The pages.
    pub(crate) routes: PageRoutes,
    /// Identities that connections wait for.
    pub(crate) wanted: mpsc::Receiver<SpiffeId>,
    /// What is asked about flows from the node.
    pub(crate) questions: mpsc::Receiver<ToHost>,
}

impl Attachment {
    /// Starts the task of the feeds.
    pub(crate) fn new(parts: Parts) -> Self {
        let (feeds, new_feeds) = mpsc::channel(1);
        let tasks = TaskTracker::new();
        tasks.spawn(follow_feeds(
            parts.follower.clone(),
            new_feeds,
            parts.wanted,
        ));
        let path = Arc::clone(&parts.follower.path);
        Self {
            link: Arc::new(parts.link),
            follower: parts.follower,
            place: parts.place,
            caps: parts.caps,
            feeds,
            requests: mpsc::channel(REQUESTS),
            questions: parts.questions,
            succession: Succession::new(path, parts.routes, tasks.clone()),
            tasks,
        }
    }

    /// Works until this generation has drained or the host role is gone.
    pub(crate) async fn run(mut self, feed: OwnedFd, asked_to_leave: impl Future<Output = ()>) {
        if let Err(error) = self.new_feed(vec![feed]).await {
            tracing::error!(error = format!("{error:#}"), "nothing to serve by yet");
        }
        self.tasks.spawn(announce_ready(
            Arc::clone(&self.link),
            self.follower.clone(),
        ));
        tokio::pin!(asked_to_leave);
        let mut leaving = false;
        loop {
            tokio::select! {
                received = self.link.recv() => match received {
                    Ok(Some((message, descriptors))) => self.take(message, descriptors).await,
                    Ok(None) => return tracing::info!("the host role is gone"),
                    Err(error) if error.is_gone() => return tracing::info!(%error, "the host role is gone"),
                    Err(error) => tracing::error!(%error, "a message of the host role was unusable"),
                },
                Some(question) = self.questions.recv() => self.say(&question).await,
                Some(request) = self.requests.1.recv() => self.ask_for_sockets(&request).await,
                () = &mut asked_to_leave, if !leaving => {
                    leaving = true;
                    self.say(&ToHost::Leaving).await;
                }
                () = self.succession.ended().cancelled() => return self.finish().await,
            }
        }
    }

    async fn take(&mut self, message: HostToProxy, descriptors: Vec<OwnedFd>) {
        let Some(kind) = message.kind else { return };
        let done = match kind {
            host_to_proxy::Kind::Pod(attached) => self.attach(&attached, descriptors).await,
            host_to_proxy::Kind::Sockets(sockets) => self.stock(&sockets, descriptors),
            host_to_proxy::Kind::Probe(answer) => {
                self.follower.path.probes.answered(&answer);
                Ok(())
            }
            host_to_proxy::Kind::Release(uid) => self.release(&uid),
            host_to_proxy::Kind::Forget(uid) => self.forget(&uid),
            host_to_proxy::Kind::Pages(pages) => self.succession.serve_pages(&pages, descriptors),
            host_to_proxy::Kind::Heir(_) => self.succession.meet_heir(descriptors),
            host_to_proxy::Kind::Ancestor(_) => self.succession.meet_ancestor(descriptors),
            host_to_proxy::Kind::Drain(drain) => {
                tracing::info!("draining: a newer generation serves");
                let limit = Duration::from_secs(u64::from(drain.seconds));
                self.succession.drain(limit);
                Ok(())
            }
            host_to_proxy::Kind::Feed(_) => self.new_feed(descriptors).await,
        };
        if let Err(error) = done {
            tracing::error!(
                error = format!("{error:#}"),
                "a message of the host role failed"
            );
        }
    }

    async fn attach(
        &self,
        attached: &node::PodAttached,
        descriptors: Vec<OwnedFd>,
    ) -> anyhow::Result<()> {
        let pod = attached
            .pod
            .as_ref()
            .context("a pod was attached without its names")?;
        let uid: Arc<str> = pod.uid.as_str().into();
        let stock = Stock::new(Arc::clone(&uid), self.requests.0.clone());
        let released = self.succession.draining().child_token();
        let mut local = LocalPod::new(attached, &self.place, self.caps, stock, released)
            .map_err(anyhow::Error::msg)?;
        if let Some(before) = self.follower.pods.get(&uid) {
            local.take_over(&before);
        }
        let local = Arc::new(local);
        if let Some(before) = self.follower.pods.put(Arc::clone(&local)) {
            before.replaced_by(Arc::clone(&local));
        }
        for (kind, descriptor) in attached.listeners().zip(descriptors) {
            self.listen(&local, kind, descriptor)
                .with_context(|| format!("{kind:?} listener of pod {uid}"))?;
        }
        let pod_uid = PodUid::new(&uid)?;
        self.say(&ToHost::PodAttached { pod_uid }).await;
        Ok(())
    }

    fn listen(
        &self,
        pod: &Arc<LocalPod>,
        kind: ListenerKind,
        descriptor: OwnedFd,
    ) -> anyhow::Result<()> {
        let (path, pod) = (Arc::clone(&self.follower.path), Arc::clone(pod));
        let mut synced = self.follower.synced.subscribe();
        let drain = self.succession.draining().clone();
        // The queue of the listener holds connections until there is a model to decide by.
        let synced = async move { synced.wait_for(|synced| *synced).await.is_ok() };
        if kind == ListenerKind::DnsDatagram {
            let socket = descriptors::datagrams(descriptor)?;
            self.succession.listening().spawn(async move {
                if drain.run_until_cancelled(synced).await == Some(true) {
                    datagrams(path, pod, socket, drain).await;
                }
            });
            return Ok(());
        }
        let listener = descriptors::listener(descriptor)?;
        self.succession.listening().spawn(async move {
            if drain.run_until_cancelled(synced).await == Some(true) {
                accept_loop(path, pod, listener, kind, drain).await;
            }
        });
        Ok(())
    }

    fn stock(&self, sockets: &node::Sockets, descriptors: Vec<OwnedFd>) -> anyhow::Result<()> {
        // A pod that left in the meantime needs none; the descriptors close here.
        if let Some(pod) = self.follower.pods.get(&sockets.pod_uid) {
            pod.stock.put(sockets.kind(), descriptors);
        }
        Ok(())
    }

    fn release(&self, uid: &str) -> anyhow::Result<()> {
        let pod = self
            .follower
            .pods
            .get(uid)
            .context("an unknown pod was released")?;
        pod.released.cancel();
        let path = Arc::clone(&self.follower.path);
        path.pool.purge(|key| *key.source_pod == *pod.uid);
        let (link, pod_uid) = (Arc::clone(&self.link), PodUid::new(uid)?);
        self.tasks.spawn(async move {
            while pod.is_busy() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            tell(&link, &ToHost::PodReleased { pod_uid, open: 0 }).await;
        });
        Ok(())
    }

    fn forget(&self, uid: &str) -> anyhow::Result<()> {
        if let Some(pod) = self.follower.pods.remove(uid) {
            pod.released.cancel();
            pod.gone.cancel();
            self.follower
                .path
                .pool
                .purge(|key| *key.source_pod == *pod.uid);
            self.follower.path.connections.cut_pod(uid);
        }
        Ok(())
    }

    async fn new_feed(&self, feed: Vec<OwnedFd>) -> anyhow::Result<()> {
        let feed = descriptors::stream(feed).context("the feed of a control role")?;
        // The task of the feeds lives as long as this one.
        self.feeds.send(feed).await.context("no more feeds")
    }

    async fn ask_for_sockets(&self, request: &Request) {
        // Uids were checked when their pods were attached.
        if let Ok(pod_uid) = PodUid::new(&request.pod) {
            let (kind, count) = (request.kind, request.count);
            self.say(&ToHost::NeedSockets {
                pod_uid,
                kind,
                count,
            })
            .await;
        }
    }

    async fn say(&self, record: &ToHost) {
        tell(&self.link, record).await;
    }

    /// The last numbers to the heir, then the last word to the host role.
    async fn finish(self) {
        drop(self.feeds);
        self.tasks.close();
        tokio::time::timeout(LAST_NUMBERS, self.tasks.wait())
            .await
            .ok();
        tell(&self.link, &ToHost::Drained).await;
    }
}

async fn tell(link: &ProxyEnd, record: &ToHost) {
    if let Err(error) = link.send(record).await {
        tracing::error!(%error, ?record, "the host role cannot be told");
    }
}

/// Follows feed after feed: each new control role comes with its own.
async fn follow_feeds(
    follower: Follower,
    mut feeds: mpsc::Receiver<UnixStream>,
    mut wanted: mpsc::Receiver<SpiffeId>,
) {
    let mut next = feeds.recv().await;
    while let Some(feed) = next {
        next = tokio::select! {
            ended = follow(&follower, feed, &mut wanted) => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "the feed of the control role broke");
                }
                follower.state.is_away();
                feeds.recv().await
            }
            next = feeds.recv() => next,
        };
    }
}

/// Tells the host role that this generation serves: there is a model, and every pod that is
/// attached has its certificate, or has been waited for.
async fn announce_ready(link: Arc<ProxyEnd>, follower: Follower) {
    let mut synced = follower.synced.subscribe();
    if synced.wait_for(|synced| *synced).await.is_err() {
        return;
    }
    let mut changes = follower.path.identities.changes();
    let complete = async {
        let missing = || {
            let pods = follower.pods.all();
            pods.iter()
                .any(|pod| follower.path.identities.current(&pod.identity).is_none())
        };
        while missing() && changes.changed().await.is_ok() {}
    };
    tokio::time::timeout(CERTIFICATE_PATIENCE, complete)
        .await
        .ok();
    tell(&link, &ToHost::Ready).await;
}
