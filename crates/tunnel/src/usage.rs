//! How much a connection of the opening side is in use: its streams, its idleness, its rate.
//!
//! Shared by the pool (which picks), the streams (which hold a [`Lease`]) and the driver (which
//! lets go of what is idle), without a lock between them: a connection is retired and a stream
//! admitted by one and the same atomic number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::transport::Watch;

/// Set in [`Usage::streams`] when no more streams may be opened.
const RETIRED: usize = 1 << (usize::BITS - 1);
/// Shortest time over which a rate is measured.
const SAMPLE: Duration = Duration::from_millis(100);

/// How much a connection is in use.
#[derive(Debug)]
pub(crate) struct Usage {
    streams: AtomicUsize,
    /// The peer has answered something: the handshake was good on its side too.
    proven: AtomicBool,
    born: Instant,
    /// Milliseconds from `born` to the end of the last stream.
    idle_since: AtomicU64,
    watch: Arc<Watch>,
    sample: Mutex<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    moved: u64,
    rate: u64,
}

impl Usage {
    /// Of a connection that has just come to be.
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        let now = Instant::now();
        Self {
            streams: AtomicUsize::new(0),
            proven: AtomicBool::new(false),
            born: now,
            idle_since: AtomicU64::new(0),
            watch,
            sample: Mutex::new(Sample {
                at: now,
                moved: 0,
                rate: 0,
            }),
        }
    }

    /// What passes on the connection.
    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// The peer has answered.
    pub(crate) fn prove(&self) {
        self.proven.store(true, Ordering::Release);
    }

    /// Whether the peer has ever answered.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire) & !RETIRED
    }

    /// Whether streams may still be opened.
    pub(crate) fn is_open(&self) -> bool {
        self.streams.load(Ordering::Acquire) & RETIRED == 0
    }

    /// Opens no more streams from now on.
    pub(crate) fn retire(&self) {
        self.streams.fetch_or(RETIRED, Ordering::AcqRel);
    }

    /// Retires a connection that has had no stream for so long.
    pub(crate) fn retire_if_idle(&self, release: Duration, now: Instant) -> bool {
        let idle_since = Duration::from_millis(self.idle_since.load(Ordering::Acquire));
        let age = now.saturating_duration_since(self.born);
        age.saturating_sub(idle_since) >= release
            && self
                .streams
                .compare_exchange(0, RETIRED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// A place for one more stream, if there are fewer than `limit`.
    pub(crate) fn lease(self: &Arc<Self>, limit: usize) -> Option<Lease> {
        let one_more = |streams| (streams < limit.min(RETIRED)).then_some(streams + 1);
        self.streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()?;
        Some(Lease(Arc::clone(self)))
    }

    /// Bytes per second lately, both directions.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        let mut sample = self.sample.lock();
        let elapsed = now.saturating_duration_since(sample.at);
        if elapsed >= SAMPLE {
            let moved = self.watch.moved.load(Ordering::Relaxed);
            let millis = u64::try_from(elapsed.as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
            let rate = moved.saturating_sub(sample.moved).saturating_mul(1000) / millis;
            *sample = Sample {
                at: now,
                moved,
                rate,
            };
        }
        sample.rate
    }
}

/// A stream's place on its connection.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Usage>);

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::AcqRel) & !RETIRED == 1 {
            let now = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.idle_since.store(now, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests;
