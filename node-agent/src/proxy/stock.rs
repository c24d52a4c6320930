//! Outgoing sockets of one pod, made ahead of need by the host role in the pod's network
//! namespace: the proxy itself can make none.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use ambit_wire::node::SocketKind;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

/// How long a connection waits for a socket before it is refused.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a connection that waits looks whether another batch has to be asked for.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// First batch: most pods call little.
const FIRST_BATCH: u8 = 4;
/// Largest batch: what fits one message of the host role.
const LARGEST_BATCH: u8 = 64;

/// A request to the host role for more sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The pod.
    pub(crate) pod: Arc<str>,
    /// What they are for.
    pub(crate) kind: SocketKind,
    /// How many.
    pub(crate) count: u8,
}

/// The sockets at hand, one shelf per kind.
#[derive(Debug)]
pub(crate) struct Stock {
    pod: Arc<str>,
    requests: mpsc::Sender<Request>,
    shelves: [Shelf; 6],
}

/// Connections are given sockets in the order in which they came: a batch wakes as many of them as
/// it has sockets.
#[derive(Debug)]
struct Shelf {
    kind: SocketKind,
    sockets: Mutex<VecDeque<OwnedFd>>,
    /// A permit for each of the sockets.
    there: Semaphore,
    /// A batch was asked for and has not come.
    awaited: AtomicBool,
    batch: AtomicU8,
}

impl Stock {
    /// An empty stock that asks on `requests`.
    pub(crate) fn new(pod: Arc<str>, requests: mpsc::Sender<Request>) -> Self {
        let shelf = |kind| Shelf {
            kind,
            sockets: Mutex::default(),
            there: Semaphore::new(0),
            awaited: AtomicBool::new(false),
            batch: AtomicU8::new(FIRST_BATCH),
        };
        let kinds = [
            SocketKind::World4,
            SocketKind::World6,
            SocketKind::App4,
            SocketKind::App6,
            SocketKind::Datagram4,
            SocketKind::Datagram6,
        ];
        Self {
            pod,
            requests,
            shelves: kinds.map(shelf),
        }
    }

    /// One socket, from the shelf or as soon as the host role sends some; `None` if it does not
    /// within the bounded wait.
    pub(crate) async fn take(&self, kind: SocketKind) -> Option<OwnedFd> {
        let shelf = self.shelf(kind)?;
        if let Ok(permit) = shelf.there.try_acquire() {
            permit.forget();
            return self.from(shelf, false);
        }
        let wait = async {
            let turn = shelf.there.acquire();
            tokio::pin!(turn);
            loop {
                // Also without a batch: the host role may have had none, and be asked again.
                self.refill(shelf, 0, true);
                if let Ok(turn) = tokio::time::timeout(LOOK_AGAIN, &mut turn).await {
                    turn.ok()?.forget();
                    return self.from(shelf, true);
                }
            }
        };
        let taken = tokio::time::timeout(PATIENCE, wait).await.ok().flatten();
        if taken.is_none() {
            // The answer is lost: the next connection asks again.
            shelf.awaited.store(false, Ordering::Relaxed);
        }
        taken
    }

    /// Puts a batch that arrived on its shelf.
    pub(crate) fn put(&self, kind: SocketKind, sockets: Vec<OwnedFd>) {
        let Some(shelf) = self.shelf(kind) else {
            return;
        };
        // Fewer than asked for, or none: the host role had no more. Ask again at next need.
        let came = sockets.len();
        shelf.sockets.lock().extend(sockets);
        shelf.awaited.store(false, Ordering::Relaxed);
        shelf.there.add_permits(came);
    }

    /// The next socket, for which there was a permit; asks for more while it lasts.
    fn from(&self, shelf: &Shelf, waited: bool) -> Option<OwnedFd> {
        let (socket, left) = {
            let mut sockets = shelf.sockets.lock();
            (sockets.pop_front(), sockets.len())
        };
        // Who had to wait, and leaves none, is hardly the last one.
        self.refill(shelf, left, waited && left == 0);
        socket
    }

    fn shelf(&self, kind: SocketKind) -> Option<&Shelf> {
        self.shelves.iter().find(|shelf| shelf.kind == kind)
    }

    /// Asks for more when less than half a batch is left; the batch grows when it ran dry.
    fn refill(&self, shelf: &Shelf, left: usize, dry: bool) {
        let mut batch = shelf.batch.load(Ordering::Relaxed);
        if left > usize::from(batch / 2) || shelf.awaited.swap(true, Ordering::Relaxed) {
            return;
        }
        if dry {
            batch = (batch * 2).min(LARGEST_BATCH);
            shelf.batch.store(batch, Ordering::Relaxed);
        }
        let request = Request {
            pod: Arc::clone(&self.pod),
            kind: shelf.kind,
            count: batch,
        };
        if self.requests.try_send(request).is_err() {
            shelf.awaited.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
