//! Shares of a bounded thing by source address, so that one stranger cannot hold all of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How much each source holds. Clones count together.
#[derive(Clone, Debug)]
pub struct Sources {
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// Told of every part that is given back.
    freed: Arc<Notify>,
    most: usize,
}

/// A part that a source holds, until it is dropped.
#[derive(Debug)]
pub struct Share {
    sources: Sources,
    source: IpAddr,
}

impl Sources {
    /// Each source may hold up to `most`.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            held: Arc::default(),
            freed: Arc::default(),
            most,
        }
    }

    /// One more for this source; `None` if it has its share. An IPv6 source is a /64, which is
    /// what one host is commonly given.
    pub fn take(&self, source: IpAddr) -> Option<Share> {
        let source = match source {
            IpAddr::V4(_) => source,
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => IpAddr::V4(ip),
                None => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
            },
        };
        let mut held = self.held.lock();
        let count = held.entry(source).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            sources: self.clone(),
            source,
        })
    }

    /// The same, once the source has less than its share.
    pub async fn wait(&self, source: IpAddr) -> Share {
        let mut freed = pin!(self.freed.notified());
        loop {
            // Before the look: what is given back meanwhile counts.
            freed.as_mut().enable();
            if let Some(share) = self.take(source) {
                return share;
            }
            freed.as_mut().await;
            freed.set(self.freed.notified());
        }
    }
}

impl Share {
    /// Who holds it.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.source
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.sources.held.lock();
        if let Some(count) = held.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.source);
            }
        }
        drop(held);
        self.sources.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
