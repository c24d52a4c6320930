//! The supply of outgoing sockets: made in a pod's network namespace, handed to the proxy that
//! asked.
//!
//! One thread of its own makes them, so that neither a burst of requests nor a slow kernel holds
//! up the rest of the role. Every request is answered: with the whole batch, or with none where
//! it cannot be granted, so that the proxy never waits in vain. Bounds: [`LARGEST_BATCH`] per
//! request, a rate per pod, [`WAITING`] requests in line.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use ambit_netsys::NetNs;
use ambit_netsys::sockets::{Outgoing, outgoing};
use ambit_wire::node::host_to_proxy::Kind;
use ambit_wire::node::{SocketKind, Sockets};
use parking_lot::Mutex;

use super::allowance::Allowance;
use super::counters::{Count, Counters};
use super::generations::{Handed, Parcel};
use super::names::PodUid;

/// Most sockets of one answer; more descriptors do not fit one message.
pub(crate) const LARGEST_BATCH: u8 = 64;
/// Requests in line: each of a node's busy pods may have one of each kind there.
const WAITING: usize = 256;
/// Messages that may wait for a proxy when it asks for sockets: one that orders and does not read
/// would otherwise use up the role's descriptors.
const UNSENT: usize = 64;
/// Sockets per second and pod: some times what one pod can use up on a large machine.
const PER_SECOND: u32 = 50_000;
/// Sockets that a pod may get at once after a quiet time.
const BURST: u32 = 4096;

/// A request for sockets, checked.
#[derive(Debug)]
pub(crate) struct Order {
    /// The pod.
    pub(crate) uid: PodUid,
    /// Its network namespace.
    pub(crate) netns: Arc<NetNs>,
    /// What they are for.
    pub(crate) kind: SocketKind,
    /// How many.
    pub(crate) count: u8,
    /// Where the answer goes.
    pub(crate) reply: tokio::sync::mpsc::Sender<Parcel>,
}

/// The supply.
#[derive(Debug)]
pub(crate) struct Supply {
    line: mpsc::SyncSender<Order>,
    allowances: Mutex<HashMap<PodUid, Allowance>>,
    counters: Arc<Counters>,
}

impl Supply {
    /// Starts the thread; it ends with the supply.
    pub(crate) fn start(counters: Arc<Counters>) -> io::Result<Self> {
        let (line, orders) = mpsc::sync_channel(WAITING);
        let of_thread = Arc::clone(&counters);
        thread::Builder::new()
            .name("sockets".to_owned())
            .spawn(move || {
                for order in orders {
                    fill(&order, &of_thread);
                }
            })?;
        Ok(Self {
            line,
            allowances: Mutex::default(),
            counters,
        })
    }

    /// Takes an order; one beyond the bounds is answered with none at once.
    pub(crate) fn order(&self, order: Order, now: Instant) {
        let granted = (1..=LARGEST_BATCH).contains(&order.count)
            && self
                .allowances
                .lock()
                .entry(order.uid.clone())
                .or_insert_with(|| Allowance::new(PER_SECOND, BURST, now))
                .take(u32::from(order.count), now);
        let refused = if granted {
            match self.line.try_send(order) {
                Ok(()) => return,
                Err(mpsc::TrySendError::Full(order) | mpsc::TrySendError::Disconnected(order)) => {
                    order
                }
            }
        } else {
            order
        };
        self.counters.count(Count::SocketsRefused);
        answer(&refused, Vec::new());
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&self, uid: &PodUid) {
        self.allowances.lock().remove(uid);
    }
}

/// Makes a batch in a pod's network namespace: all of it or an error.
fn make(netns: &NetNs, kind: Outgoing, count: u8) -> io::Result<Vec<OwnedFd>> {
    netns.run(|| {
        (0..count)
            .map(|_| outgoing(kind))
            .collect::<io::Result<Vec<_>>>()
    })?
}

fn fill(order: &Order, counters: &Counters) {
    let unsent = order.reply.max_capacity() - order.reply.capacity();
    if unsent >= UNSENT {
        counters.count(Count::SocketsRefused);
        return answer(order, Vec::new());
    }
    match make(&order.netns, outgoing_of(order.kind), order.count) {
        Ok(sockets) => {
            counters.add(Count::SocketsMade, u64::from(order.count));
            answer(order, sockets);
        }
        Err(error) => {
            tracing::warn!(pod = %order.uid, kind = ?order.kind, %error, "cannot make sockets");
            counters.count(Count::SocketsRefused);
            answer(order, Vec::new());
        }
    }
}

/// An answer that the proxy has no room for is dropped: it does not read, and its patience with
/// its own request ends by itself.
fn answer(order: &Order, sockets: Vec<OwnedFd>) {
    let kind = Kind::Sockets(Sockets {
        pod_uid: order.uid.as_str().to_owned(),
        kind: order.kind.into(),
    });
    let descriptors = sockets.into_iter().map(Handed::given).collect();
    if order.reply.try_send(Parcel { kind, descriptors }).is_err() {
        tracing::debug!(pod = %order.uid, "a proxy has no room for its sockets");
    }
}

fn outgoing_of(kind: SocketKind) -> Outgoing {
    match kind {
        SocketKind::World4 => Outgoing::World4,
        SocketKind::World6 => Outgoing::World6,
        SocketKind::App4 => Outgoing::App4,
        SocketKind::App6 => Outgoing::App6,
        SocketKind::Datagram4 => Outgoing::Datagram4,
        SocketKind::Datagram6 => Outgoing::Datagram6,
    }
}

#[cfg(test)]
mod tests;
