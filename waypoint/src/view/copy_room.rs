//! Room for copies of requests that one service is sent: so many at once, and half of that for one client.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_kit::sources::{Share, Sources};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Copies at once.
const MOST: usize = 128;

/// Room for copies.
#[derive(Debug)]
pub(crate) struct CopyRoom {
    all: Arc<Semaphore>,
    clients: Sources,
}

impl CopyRoom {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST)),
            clients: Sources::new(MOST / 2),
        }
    }

    /// Room for a copy of a client's request while this is kept, if there is some.
    pub(crate) fn take(&self, client: IpAddr) -> Option<(OwnedSemaphorePermit, Share)> {
        let share = self.clients.take(client)?;
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some((permit, share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_half_and_others_the_rest() {
        let room = CopyRoom::new();
        let client = |number: u8| IpAddr::from([10, 0, 0, number]);
        let mut held: Vec<_> = std::iter::from_fn(|| room.take(client(1))).collect();
        assert_eq!(held.len(), MOST / 2);
        held.extend(std::iter::from_fn(|| room.take(client(2))));
        assert_eq!(held.len(), MOST);
        assert!(room.take(client(3)).is_none());
        held.truncate(MOST - 1);
        assert!(room.take(client(3)).is_some());
    }
}
