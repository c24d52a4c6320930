//! Whether bytes go by on a connection: noted for nothing, looked at seldom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether bytes go by; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<AtomicBool>);

impl Activity {
    /// Bytes go by.
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Waits until none has gone by for `idle`, or up to twice as long.
    pub(crate) async fn ceased(&self, idle: Duration) {
        loop {
            tokio::time::sleep(idle).await;
            if !self.0.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }
}
