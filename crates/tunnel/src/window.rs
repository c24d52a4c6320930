//! Keeps streams whose receiver is slow from using up the window that all streams share.
//!
//! HTTP/2 bounds what a peer may send by a window per stream and one per connection (RFC 9113
//! section 5.2). A stream that its application does not read fills its own and keeps as much of
//! the connection's; after a few of them nobody could send any more. So each stream that is stuck
//! beyond those that fit beside busy ones ([`BUSY`]) adds its window to the connection's, as long as the process has
//! something of its [`Budget`] left: memory stays bounded, whoever does not read.
//!
//! [`Blocked`] is the count, kept by the streams; [`Window`] the decision, taken by whoever drives
//! the connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use crate::settings::Settings;

/// Windows of streams that the connection's own window keeps for those that are not stuck.
const BUSY: usize = 2;
/// So many may be stuck in any case before a window is added.
const FREE: usize = 2;

/// What all connections of the process together may add to their windows: 128 MiB.
static SHARED: Budget = Budget::new(128 << 20);

/// Bytes that may be taken and come back.
#[derive(Debug)]
struct Budget {
    left: AtomicUsize,
}

impl Budget {
    const fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
        }
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// How many streams of a connection have bytes that their receiver does not take.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    streams: AtomicUsize,
    allowed: AtomicUsize,
    driver: AtomicWaker,
}

impl Blocked {
    /// One more stream is stuck.
    pub(crate) fn enter(&self) {
        let streams = self.streams.fetch_add(1, Ordering::AcqRel) + 1;
        if streams > FREE + self.allowed.load(Ordering::Acquire) {
            self.driver.wake();
        }
    }

    /// How many are stuck.
    #[cfg(test)]
    pub(crate) fn stuck(&self) -> usize {
        self.streams.load(Ordering::Acquire)
    }

    /// One goes on.
    pub(crate) fn leave(&self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The window of one connection.
#[derive(Debug)]
pub(crate) struct Window {
    base: u32,
    per_stream: u32,
    /// Stuck streams beyond [`FREE`] that fit into `base`.
    fit: usize,
    added: usize,
    budget: &'static Budget,
}

impl Window {
    /// The window that the settings say.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self::within(settings, &SHARED)
    }

    fn within(settings: &Settings, budget: &'static Budget) -> Self {
        let windows = settings.connection_window / settings.stream_window.max(1);
        Self {
            base: settings.connection_window,
            per_stream: settings.stream_window,
            fit: (windows as usize).saturating_sub(BUSY + FREE),
            added: 0,
            budget,
        }
    }

    /// The window to announce if more streams are stuck than it was made for.
    pub(crate) fn grown(&mut self, blocked: &Blocked, driver: &Waker) -> Option<u32> {
        blocked.driver.register(driver);
        blocked
            .allowed
            .store(self.fit + self.added, Ordering::Release);
        let wanted = self.wanted(blocked);
        if wanted <= self.added {
            return None;
        }
        let one = self.per_stream as usize;
        let before = self.added;
        while self.added < wanted && self.budget.take(one) {
            self.added += 1;
        }
        blocked
            .allowed
            .store(self.fit + self.added, Ordering::Release);
        (self.added > before).then(|| self.size())
    }

    /// The window to announce now that some are no longer stuck. For use now and then: streams
    /// that are merely slow come and go all the time.
    pub(crate) fn shrunk(&mut self, blocked: &Blocked) -> Option<u32> {
        let wanted = self.wanted(blocked);
        if wanted >= self.added {
            return None;
        }
        self.budget
            .give_back((self.added - wanted) * self.per_stream as usize);
        self.added = wanted;
        blocked.allowed.store(self.fit + wanted, Ordering::Release);
        Some(self.size())
    }

    /// The windows to add.
    fn wanted(&self, blocked: &Blocked) -> usize {
        let stuck = blocked.streams.load(Ordering::Acquire);
        stuck.saturating_sub(FREE + self.fit)
    }

    fn size(&self) -> u32 {
        // RFC 9113 section 6.9.1: a window is at most 2^31 - 1.
        let added = u32::try_from(self.added).unwrap_or(u32::MAX);
        self.base
            .saturating_add(added.saturating_mul(self.per_stream))
            .min((1 << 31) - 1)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.budget.give_back(self.added * self.per_stream as usize);
    }
}

#[cfg(test)]
mod tests;
