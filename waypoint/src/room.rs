//! How much of one thing clients may hold at once: all of them together, and each.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_kit::sources::{Share, Sources};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    all: Arc<Semaphore>,
    each: Sources,
}

/// A place that a client holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// Room for `all`, and for `each` client so much of it.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each: Sources::new(each),
        }
    }

    /// One more place for a client; `None` if it has its share, or nothing is left.
    pub(crate) fn take(&self, client: IpAddr) -> Option<Place> {
        let share = self.each.take(client)?;
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place {
            _share: share,
            _permit: permit,
        })
    }
}

#[cfg(test)]
mod tests;
