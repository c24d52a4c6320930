//! Who has read how far: the proxies and the keeper, each with a backlog of its own, and those who
//! wait until a change is in force at every proxy.
//!
//! The control plane's next message waits for our answer to the last, so a proxy that does not
//! answer must not hold that up: it is waited for once, for a bounded time, and not again until it
//! has caught up.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::backlog::{Backlog, Mark};
use super::model::Model;

/// How long a change waits for a proxy. A proxy applies one within milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// A proxy's progress.
#[derive(Debug)]
struct Reader {
    backlog: Backlog,
    applied: u64,
    /// The change that it was too slow for; it is not waited for until it has applied that.
    missed: Option<u64>,
}

/// Somebody who waits for a change to be in force.
#[derive(Debug)]
struct Waiting {
    through: u64,
    /// `None`: for as long as it takes.
    until: Option<Instant>,
    tell: oneshot::Sender<()>,
}

/// All readers.
#[derive(Debug)]
pub(crate) struct Readers {
    sequence: u64,
    keeper: Backlog,
    proxies: BTreeMap<u64, Reader>,
    waiting: Vec<Waiting>,
}

impl Readers {
    /// The keeper alone.
    pub(crate) fn new(keeper: Backlog) -> Self {
        Self {
            sequence: 0,
            keeper,
            proxies: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// A proxy that knows nothing yet.
    pub(crate) fn join(&mut self, proxy: u64, model: &Model) -> Backlog {
        let backlog = Backlog::all_of(model, self.sequence);
        let reader = Reader {
            backlog: backlog.clone(),
            applied: 0,
            missed: None,
        };
        self.proxies.insert(proxy, reader);
        backlog
    }

    /// Tells everybody what changed; the number of the change.
    pub(crate) fn mark(&mut self, marks: Vec<Mark>) -> u64 {
        self.sequence += 1;
        for reader in self.proxies.values() {
            reader.backlog.mark(self.sequence, marks.iter().cloned());
        }
        self.keeper.mark(self.sequence, marks);
        self.sequence
    }

    /// Tells `tell` when all proxies have applied the change, or the patience is over.
    pub(crate) fn when_in_force(&mut self, now: Instant, through: u64, tell: oneshot::Sender<()>) {
        self.waiting.push(Waiting {
            through,
            until: Some(now + PATIENCE),
            tell,
        });
        self.tell_waiting();
    }

    /// Tells `tell` when all proxies have applied the change, however long that takes.
    pub(crate) fn when_everywhere(&mut self, through: u64, tell: oneshot::Sender<()>) {
        self.waiting.push(Waiting {
            through,
            until: None,
            tell,
        });
        self.tell_waiting();
    }

    /// A proxy has applied everything up to a change.
    pub(crate) fn applied(&mut self, proxy: u64, through: u64) {
        if let Some(reader) = self.proxies.get_mut(&proxy) {
            reader.applied = reader.applied.max(through);
            reader.missed.take_if(|missed| *missed <= through);
        }
        self.tell_waiting();
    }

    /// A proxy is gone.
    pub(crate) fn closed(&mut self, proxy: u64) {
        self.proxies.remove(&proxy);
        self.tell_waiting();
    }

    /// When the next patience ends.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting
            .iter()
            .filter_map(|waiting| waiting.until)
            .min()
    }

    /// Gives up on proxies that are too slow for somebody.
    pub(crate) fn pass_time(&mut self, now: Instant) {
        let over = |waiting: &&Waiting| waiting.until.is_some_and(|until| until <= now);
        let Some(through) = self.waiting.iter().filter(over).map(|w| w.through).max() else {
            return;
        };
        for (proxy, reader) in &mut self.proxies {
            if reader.applied < through && reader.missed.is_none() {
                tracing::warn!(
                    proxy,
                    "a proxy does not apply changes in time; not waited for"
                );
                reader.missed = Some(through);
            }
        }
        self.tell_waiting();
    }

    fn tell_waiting(&mut self) {
        let applied = |reader: &&Reader| reader.missed.is_none();
        let in_time = self
            .proxies
            .values()
            .filter(applied)
            .map(|r| r.applied)
            .min();
        let everywhere = self.proxies.values().map(|r| r.applied).min();
        let done = |waiting: &mut Waiting| {
            let progress = if waiting.until.is_some() {
                in_time
            } else {
                everywhere
            };
            progress.is_none_or(|applied| waiting.through <= applied)
        };
        for waiting in self.waiting.extract_if(.., done) {
            // Whoever waited may be gone by now.
            waiting.tell.send(()).ok();
        }
    }
}

#[cfg(test)]
mod tests;
