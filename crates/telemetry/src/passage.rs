//! A connection that a waypoint passes on as it is, while it is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::series::Series;

/// An open connection; dropping it counts its end.
#[derive(Debug)]
pub struct Passage {
    series: Arc<Series>,
    towards: AtomicU64,
    back: AtomicU64,
}

impl Passage {
    pub(crate) fn open(series: Arc<Series>) -> Self {
        series.opened.fetch_add(1, Ordering::Relaxed);
        Self {
            series,
            towards: AtomicU64::new(0),
            back: AtomicU64::new(0),
        }
    }

    /// Counts bytes that went towards the server.
    pub fn towards(&self, bytes: u64) {
        // Istio's convention: "received" is what the client sent, "sent" what the server answered.
        self.series.received.fetch_add(bytes, Ordering::Relaxed);
        self.towards.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that came back.
    pub fn back(&self, bytes: u64) {
        self.series.sent.fetch_add(bytes, Ordering::Relaxed);
        self.back.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All bytes that went towards the server, and that came back.
    pub fn carried(&self) -> (u64, u64) {
        let read = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        (read(&self.towards), read(&self.back))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.series.closed.fetch_add(1, Ordering::Relaxed);
    }
}
