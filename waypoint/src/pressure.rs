//! Memory: however many clients there are, the process stays within its limit.
//!
//! Every bound on one client is one that many clients together go beyond. So a thread of its own looks
//! at how much memory the process has, the more often the less is left, and a request looks at what
//! came of it: one number.
//!
//! | of what may be held | |
//! |---|---|
//! | [`HIGH`] | what begins is refused; what is under way goes on, for [`PATIENCE`] |
//! | [`LAST`], or [`HIGH`] for that long | connections are ended too, down to [`GOAL`] ([`holders`]) |
//! | [`LAST`] | no tunnel is taken |
//!
//! Each ends somewhat below where it begins, so that it does not come and go with every connection.
//! Whoever leaves memory in use keeps it no longer than that: others would be refused for as long.
//! Readiness does not change: a pod that is taken out of its service for this would leave its load, and
//! whoever makes it, to the next.
//!
//! What counts is resident memory. That of the control group has the page cache in it, of which the
//! kernel frees what it needs, and in a group that is not a container's own other processes. It lacks
//! what the kernel holds for sockets: the rest of the limit is for that, and for what comes until a look
//! has its effect, which is a [`BURST`] whatever the limit is. An allocator that keeps what was freed would keep the waypoint refusing: ours gives it
//! back within a second.

pub(crate) mod holders;
mod limit;

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ambit_decide::{Reason, Refusal};
use ambit_kit::clock;
use ambit_kit::process::resident_bytes;

use self::holders::{Ended, Holders};
use crate::proxy::Proxy;

pub(crate) use self::limit::limit;

/// What clients can make the process take from one look to the end of what is ended for it: some tens
/// of milliseconds, at as much as can be copied in them.
const BURST: u64 = 48 << 20;
/// Parts of a hundred of what may be held: where refusing begins, and where it ends.
const HIGH: (u64, u64) = (85, 75);
/// The same of ending what holds much.
const LAST: (u64, u64) = (90, 87);
/// What is left in use when connections are ended: less than where refusing ends.
const GOAL: u64 = 70;
/// How long what is under way goes on while what begins is refused.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it takes until what was held can be seen to be free, at most.
const FREED: Duration = Duration::from_millis(1500);
/// Bytes that can be taken in a millisecond, for how long it is until the next look.
const RATE: u64 = 4 << 20;
/// Between two looks, in milliseconds.
const LOOKS: RangeInclusive<u64> = 5..=250;

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    /// There is enough.
    Enough,
    /// Nothing new is begun.
    High,
    /// What holds much is ended.
    Last,
}

impl Level {
    /// What follows on this level when so much is used of what may be held.
    fn after(self, used: u64, most: u64) -> Self {
        let is_above = |part: u64| u128::from(used) * 100 >= u128::from(most) * u128::from(part);
        let holds = |level: Self, (begin, end): (u64, u64)| {
            is_above(if self >= level { end } else { begin })
        };
        if holds(Self::Last, LAST) {
            Self::Last
        } else if holds(Self::High, HIGH) {
            Self::High
        } else {
            Self::Enough
        }
    }
}

/// How short memory is, as all connections see it.
#[derive(Debug)]
pub(crate) struct Pressure {
    level: AtomicU8,
    used: AtomicU64,
    limit: u64,
    /// What may be held of it.
    most: u64,
    holders: Holders,
}

/// What a look has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    before: Level,
    now: Level,
}

impl Pressure {
    /// Enough of this, in bytes.
    pub(crate) fn new(limit: u64) -> Self {
        // Above the last mark there has to be room for a burst; a small limit has less.
        let last = limit - BURST.min(limit / 4);
        let (part, _) = LAST;
        Self {
            level: AtomicU8::new(Level::Enough as u8),
            used: AtomicU64::new(0),
            limit,
            most: (last / part).saturating_mul(100).min(limit),
            holders: Holders::default(),
        }
    }

    /// Whether it is as short as that.
    pub(crate) fn has_reached(&self, level: Level) -> bool {
        self.level.load(Ordering::Relaxed) >= level as u8
    }

    /// Nothing new is begun while memory is short.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match self.has_reached(Level::High) {
            false => Ok(()),
            true => Err(self.refusal()),
        }
    }

    /// Why something is refused or ended for it.
    pub(crate) fn refusal(&self) -> Refusal {
        let detail = "the waypoint has next to no memory left";
        Refusal::new(Reason::Overloaded, detail)
    }

    /// Who holds memory.
    pub(crate) fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Bytes in use when they were last looked at.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be in use.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn level(&self) -> Level {
        let levels = [Level::Last, Level::High];
        let reached = levels.into_iter().find(|level| self.has_reached(*level));
        reached.unwrap_or(Level::Enough)
    }

    /// So much is in use.
    fn see(&self, used: u64) -> Seen {
        self.used.store(used, Ordering::Relaxed);
        let before = self.level();
        let now = before.after(used, self.most);
        self.level.store(now as u8, Ordering::Relaxed);
        Seen { before, now }
    }

    /// How long nothing can go wrong, with so much in use.
    fn pause(&self, used: u64) -> Duration {
        let (part, _) = HIGH;
        let left = (self.most / 100 * part).saturating_sub(used);
        Duration::from_millis((left / RATE).clamp(*LOOKS.start(), *LOOKS.end()))
    }
}

/// What is to be ended, by what has been seen and ended so far.
#[derive(Debug, Default)]
struct Ending {
    /// Since when memory is short.
    since: Option<Instant>,
    /// What was ended a moment ago, in bytes: it is still seen in use.
    freed: Vec<(Instant, u64)>,
    /// Until when nothing is ended, as nobody held enough.
    rests: Option<Instant>,
    /// Connections ended since memory is short.
    count: usize,
}

impl Ending {
    /// Bytes that connections have to give back now.
    fn excess(&mut self, level: Level, used: u64, most: u64, now: Instant) -> u64 {
        self.freed.retain(|(at, _)| now.duration_since(*at) < FREED);
        if level == Level::Enough {
            self.since = None;
            return 0;
        }
        let since = *self.since.get_or_insert(now);
        let is_patient = level < Level::Last && now.duration_since(since) < PATIENCE;
        if is_patient || self.rests.is_some_and(|until| now < until) {
            return 0;
        }
        let freed = self.freed.iter().map(|(_, bytes)| bytes).sum();
        let goal = most / 100 * GOAL;
        used.saturating_sub(goal).saturating_sub(freed)
    }

    fn ended(&mut self, ended: Ended, now: Instant) {
        self.count += ended.count;
        self.freed.push((now, ended.bytes));
        self.rests = (ended.count == 0).then_some(now + FREED);
    }
}

/// Looks for ever, on a thread of its own: those that serve may all be busy with what takes the memory.
pub(crate) fn watch(proxy: Arc<Proxy>) -> io::Result<()> {
    let thread = thread::Builder::new().name("watch memory".into());
    thread.spawn(move || look(&proxy.pressure)).map(drop)
}

fn look(pressure: &Pressure) {
    let limit = pressure.limit;
    tracing::info!(limit, "memory is held under its limit");
    let mut ending = Ending::default();
    loop {
        let Some(used) = resident() else {
            tracing::warn!("this process cannot see how much memory it has");
            return;
        };
        let seen = pressure.see(used);
        let reason = Reason::Overloaded;
        match (seen.before, seen.now) {
            (Level::Enough, Level::High | Level::Last) => {
                tracing::warn!(%reason, used, limit, "memory is short: what begins is refused");
            }
            (Level::High | Level::Last, Level::Enough) => {
                let ended = std::mem::take(&mut ending.count);
                tracing::warn!(%reason, used, limit, ended, "memory is no longer short");
            }
            _ => {}
        }
        let now = clock::now();
        let excess = ending.excess(seen.now, used, pressure.most, now);
        if excess > 0 {
            ending.ended(pressure.holders.end(excess), now);
        }
        thread::sleep(pressure.pause(used));
    }
}

fn resident() -> Option<u64> {
    u64::try_from(resident_bytes()?).ok()
}

#[cfg(test)]
mod tests;
