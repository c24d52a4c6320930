//! Who holds memory: the connections of clients, what waits for each of them to read, and how many
//! requests each has under way. When nothing is left, those are ended that hold most for longest.
//!
//! What waits for one connection is bounded too. Beyond [`BUDGET`] each of its answers hands on one
//! piece at a time: none of them can stop the others.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ambit_tunnel::Held;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::http::activity::Activity;

/// Pieces of this length are counted while they wait for the client.
const COUNTED: usize = 4 << 10;
/// Bytes that may wait for one connection before its answers take turns.
const BUDGET: usize = 1 << 20;
/// What has come in a tunnel and is not read is at least so much, and a window of it in the end.
const UNREAD: usize = 64 << 10;
/// What a request costs at least beside them where its answer is not read: what waits behind them.
const BEHIND: u64 = 32 << 10;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    open: Mutex<HashMap<u64, Arc<Holder>>>,
    made: AtomicU64,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Holder {
    number: u64,
    /// Requests under way.
    requests: AtomicUsize,
    /// Bytes of their answers that the client has not taken.
    unread: AtomicUsize,
    /// Looks since the client has taken any.
    stalled: AtomicU32,
    activity: Activity,
    /// Its tunnel, and the one that it is passed on to.
    tunnels: [Option<Held>; 2],
    ends: AtomicBool,
    end: Notify,
}

/// A connection that is open until this is dropped.
#[derive(Debug)]
pub(crate) struct Open<'h> {
    holders: &'h Holders,
    holder: Arc<Holder>,
}

impl Holders {
    /// One more connection, on which bytes go by as noted here, in these tunnels.
    pub(crate) fn open(&self, activity: Activity, tunnels: [Option<Held>; 2]) -> Open<'_> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let holder = Arc::new(Holder::new(number, activity, tunnels));
        self.open.lock().insert(number, Arc::clone(&holder));
        Open {
            holders: self,
            holder,
        }
    }

    /// Whether anything waits for a client.
    #[cfg(test)]
    pub(super) fn leave_unread(&self) -> bool {
        let open = self.open.lock();
        let mut unread = open
            .values()
            .map(|open| open.unread.load(Ordering::Relaxed));
        unread.any(|unread| unread > 0)
    }

    /// Notes who has taken something since the last look.
    pub(super) fn look(&self) {
        for holder in self.open.lock().values() {
            holder.look();
        }
    }

    /// Ends those that hold most, until they held so many bytes; how many that are.
    pub(super) fn end(&self, excess: u64) -> usize {
        let mut all: Vec<_> = {
            let open = self.open.lock();
            let holding = open.values().filter(|holder| holder.holds());
            holding.map(Arc::clone).collect()
        };
        all.sort_by_cached_key(|holder| Reverse(holder.weight()));
        let (mut freed, mut count) = (0_u64, 0);
        for holder in all {
            if freed >= excess {
                break;
            }
            freed = freed.saturating_add(holder.cost());
            count += usize::from(holder.tell_to_end());
        }
        count
    }
}

impl Open<'_> {
    /// The connection.
    pub(crate) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Whether bytes go by on it.
    pub(crate) fn activity(&self) -> &Activity {
        &self.holder.activity
    }

    /// Waits until it has to end.
    pub(crate) async fn ended(&self) {
        self.holder.end.notified().await;
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.holders.open.lock().remove(&self.holder.number);
    }
}

impl Holder {
    fn new(number: u64, activity: Activity, tunnels: [Option<Held>; 2]) -> Self {
        Self {
            number,
            requests: AtomicUsize::new(0),
            unread: AtomicUsize::new(0),
            stalled: AtomicU32::new(0),
            activity,
            tunnels,
            ends: AtomicBool::new(false),
            end: Notify::new(),
        }
    }

    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        let others = self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay {
            holder: Arc::clone(self),
            others,
            answer: None,
        }
    }

    fn look(&self) {
        let stalled = match self.activity.has_written() {
            true => 0,
            false => self.stalled.load(Ordering::Relaxed).saturating_add(1),
        };
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    fn holds(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0 || self.unread() > 0
    }

    /// Bytes that wait for somebody to take them.
    fn unread(&self) -> usize {
        let tunnels = self.tunnels.iter().flatten();
        let unread = |tunnel: &Held| usize::from(tunnel.is_unread()) * UNREAD;
        let held = tunnels.map(|tunnel| tunnel.unsent() + unread(tunnel));
        self.unread.load(Ordering::Relaxed) + held.sum::<usize>()
    }

    /// How soon it is to end: first whose answers wait for it, by how much that is, and how long.
    fn weight(&self) -> (bool, u64) {
        let unread = self.unread();
        let requests = self.requests.load(Ordering::Relaxed);
        let held = if unread > 0 { unread } else { requests };
        let looks = u64::from(self.stalled.load(Ordering::Relaxed)) + 1;
        (unread > 0, (held as u64).saturating_mul(looks))
    }

    /// Bytes that come back when it ends, more or less.
    fn cost(&self) -> u64 {
        let unread = self.unread() as u64;
        let requests = self.requests.load(Ordering::Relaxed) as u64;
        unread.saturating_add(requests.saturating_mul(BEHIND))
    }

    /// False if it was told before.
    fn tell_to_end(&self) -> bool {
        self.end.notify_one();
        !self.ends.swap(true, Ordering::Relaxed)
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
