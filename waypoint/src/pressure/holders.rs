//! Who holds memory: the connections of clients, what waits for each of them to read, and how many
//! requests each has under way. When little is left, the client that holds most loses connections.
//!
//! What waits for one connection is bounded too. Beyond [`BUDGET`] each of its answers hands on one
//! piece at a time: none of them can stop the others.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use ambit_tunnel::Held;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Pieces of this length are counted while they wait for the client.
const COUNTED: usize = 4 << 10;
/// Bytes that may wait for one connection before its answers take turns.
const BUDGET: usize = 1 << 20;
/// What has come in a tunnel and is not read is at least so much, and a window of it in the end.
const UNREAD: usize = 64 << 10;
/// What a request costs at least beside them where its answer is not read, and a connection that is
/// passed on: what waits behind them.
const BEHIND: u64 = 32 << 10;

/// All of them; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    open: Mutex<HashMap<u64, Weak<Holder>>>,
    made: AtomicU64,
}

/// One connection, known here until this is dropped.
#[derive(Debug)]
pub(crate) struct Holder {
    registry: Arc<Registry>,
    number: u64,
    client: IpAddr,
    /// Requests under way.
    requests: AtomicUsize,
    /// Bytes of their answers that the client has not taken.
    unread: AtomicUsize,
    /// Its tunnel.
    tunnel: Option<Held>,
    /// The one that it is passed on to as it is.
    onward: OnceLock<Held>,
    end: CancellationToken,
}

/// What one client holds, in bytes, and by which connections.
#[derive(Default)]
struct OfClient {
    held: u64,
    connections: Vec<(u64, Arc<Holder>)>,
}

/// What has been ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Connections.
    pub(super) count: usize,
    /// What they held, more or less, in bytes.
    pub(super) bytes: u64,
}

impl Holders {
    /// One more connection of a client, in this tunnel.
    pub(crate) fn open(&self, client: IpAddr, tunnel: Option<Held>) -> Arc<Holder> {
        let number = self.0.made.fetch_add(1, Ordering::Relaxed);
        let holder = Arc::new(Holder {
            registry: Arc::clone(&self.0),
            number,
            client,
            requests: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            tunnel,
            onward: OnceLock::new(),
            end: CancellationToken::new(),
        });
        self.0.open.lock().insert(number, Arc::downgrade(&holder));
        holder
    }

    /// Whether anything waits for a client.
    #[cfg(test)]
    pub(super) fn leave_unread(&self) -> bool {
        let open = self.all();
        open.iter()
            .any(|holder| holder.unread.load(Ordering::Relaxed) > 0)
    }

    /// Ends connections that held so many bytes together: of the client that holds most those that
    /// hold most, then of the next. None if all of them hold less than half of that: it is somebody
    /// else's then, and ending them would not bring it back.
    pub(super) fn end(&self, excess: u64) -> Ended {
        let mut clients: HashMap<IpAddr, OfClient> = HashMap::new();
        let mut held = 0_u64;
        for holder in self.all() {
            let cost = holder.cost();
            if cost > 0 && !holder.end.is_cancelled() {
                let client = clients.entry(holder.client).or_default();
                client.held = client.held.saturating_add(cost);
                held = held.saturating_add(cost);
                client.connections.push((cost, holder));
            }
        }
        let mut ended = Ended::default();
        if held < excess / 2 {
            return ended;
        }
        let mut clients: Vec<_> = clients.into_values().collect();
        clients.sort_by_key(|client| Reverse(client.held));
        for mut client in clients {
            client.connections.sort_by_key(|(cost, _)| Reverse(*cost));
            for (cost, holder) in client.connections {
                if ended.bytes >= excess {
                    return ended;
                }
                holder.end.cancel();
                ended.count += 1;
                ended.bytes = ended.bytes.saturating_add(cost);
            }
        }
        ended
    }

    fn all(&self) -> Vec<Arc<Holder>> {
        let open = self.0.open.lock();
        open.values().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.registry.open.lock().remove(&self.number);
    }
}

impl Holder {
    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        let others = self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay {
            holder: Arc::clone(self),
            others,
            answer: None,
        }
    }

    /// It is passed on as it is, in this tunnel.
    pub(crate) fn passed_on(&self, tunnel: Option<Held>) {
        if let Some(tunnel) = tunnel {
            self.onward.get_or_init(|| tunnel);
        }
    }

    /// Waits until it has to end.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Bytes that come back when it ends, more or less.
    fn cost(&self) -> u64 {
        let tunnels = self.tunnel.iter().chain(self.onward.get());
        let unread = |tunnel: &Held| usize::from(tunnel.is_unread()) * UNREAD;
        let held = tunnels.map(|tunnel| tunnel.unsent() + unread(tunnel));
        let unread = self.unread.load(Ordering::Relaxed) + held.sum::<usize>();
        let requests = self.requests.load(Ordering::Relaxed) as u64;
        let ways = requests + u64::from(self.onward.get().is_some());
        (unread as u64).saturating_add(ways.saturating_mul(BEHIND))
    }
}

/// A request, under way until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay {
    holder: Arc<Holder>,
    others: usize,
    /// There once a piece of the answer has been counted.
    answer: Option<Arc<Answer>>,
}

impl UnderWay {
    /// How many others of its connection were under way when it came.
    pub(crate) fn others(&self) -> usize {
        self.others
    }

    /// Waits until another piece of its answer may be handed on.
    pub(crate) fn poll_turn(&self, cx: &Context<'_>) -> Poll<()> {
        let Some(answer) = &self.answer else {
            return Poll::Ready(());
        };
        let is_free = || {
            self.holder.unread.load(Ordering::Acquire) < BUDGET
                || answer.waiting.load(Ordering::Acquire) == 0
        };
        if is_free() {
            return Poll::Ready(());
        }
        answer.reader.register(cx.waker());
        match is_free() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// A piece of its answer, which waits for the client until it is dropped.
    pub(crate) fn waits(&mut self, bytes: Bytes) -> Bytes {
        if bytes.len() < COUNTED {
            return bytes;
        }
        let answer = self.answer.get_or_insert_with(|| {
            Arc::new(Answer {
                holder: Arc::clone(&self.holder),
                waiting: AtomicUsize::new(0),
                reader: AtomicWaker::new(),
            })
        });
        let answer = Arc::clone(answer);
        answer
            .holder
            .unread
            .fetch_add(bytes.len(), Ordering::AcqRel);
        answer.waiting.fetch_add(bytes.len(), Ordering::AcqRel);
        Bytes::from_owner(Waiting { bytes, answer })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.holder.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What waits of one answer.
#[derive(Debug)]
struct Answer {
    holder: Arc<Holder>,
    waiting: AtomicUsize,
    reader: AtomicWaker,
}

/// A piece that waits.
#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    answer: Arc<Answer>,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (length, answer) = (self.bytes.len(), &self.answer);
        answer.holder.unread.fetch_sub(length, Ordering::AcqRel);
        if answer.waiting.fetch_sub(length, Ordering::AcqRel) == length {
            answer.reader.wake();
        }
    }
}

#[cfg(test)]
mod tests;
