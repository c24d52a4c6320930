//! What is looked over as a whole a while after changes, not with each of them: what is to be said
//! of every policy. Changes that come close together are looked over once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::objects::Kind;
use crate::config::statuses::Report;
use crate::config::{Batch, Configuration};

/// How long after a change of a policy: its author is waiting to be told.
const SOON: Duration = Duration::from_millis(200);
/// How long after a change that only the number of pods depends on.
const LATER: Duration = Duration::from_secs(2);

/// The way to whoever writes what is said of policies; nothing before the first look.
#[derive(Clone, Debug)]
pub(crate) struct StatusFeed(pub(crate) watch::Sender<Option<Arc<Report>>>);

/// When everything is to be looked over again, and who wants to know.
#[derive(Debug)]
pub(super) struct Survey {
    feed: Option<StatusFeed>,
    due: Option<Instant>,
}

impl Survey {
    /// For whoever wants to know, if somebody does.
    pub(super) fn new(feed: Option<StatusFeed>) -> Self {
        Self { feed, due: None }
    }

    /// Notes a batch.
    pub(super) fn note(&mut self, batch: &Batch, now: Instant) {
        let about_pods = |kind: Kind| matches!(kind, Kind::Pod | Kind::Namespace);
        let due = if !batch.shown.is_empty() {
            now + SOON
        } else if batch
            .events
            .iter()
            .any(|event| about_pods(event.key().kind))
        {
            now + LATER
        } else {
            return;
        };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// Waits until something is due.
    pub(super) async fn is_due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Looks everything over.
    pub(super) fn look(&mut self, configuration: &Configuration) {
        self.due = None;
        if let Some(StatusFeed(feed)) = &self.feed {
            feed.send_replace(Some(Arc::new(configuration.report())));
        }
    }
}
