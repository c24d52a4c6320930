//! Memory: however many clients there are, the process stays within its limit.
//!
//! Every bound on one client is one that many clients together go beyond. So the process looks at how
//! much memory it has, some times a second, and a request looks at what came of it: one number.
//!
//! | of the limit | |
//! |---|---|
//! | [`HIGH`] | what begins is refused; what is under way goes on |
//! | [`LAST`] | connections that hold much are ended too ([`holders`]), and no tunnel is taken |
//!
//! Each ends somewhat below where it begins, so that it does not come and go with every connection.
//! Readiness does not change: a pod that is taken out of its service for this would leave its load, and
//! whoever makes it, to the next.
//!
//! What counts is resident memory. That of the control group has the page cache in it, of which the
//! kernel frees what it needs, and in a group that is not a container's own other processes. It lacks
//! what the kernel holds for sockets: the rest of the limit is for that, and for what comes between
//! two looks. An allocator that keeps what was freed would keep the waypoint refusing: ours gives it
//! back within a second.

pub(crate) mod holders;
mod limit;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use ambit_kit::process::resident_bytes;

use self::holders::Holders;
use crate::proxy::Proxy;

pub(crate) use self::limit::limit;

/// Parts of a hundred of the limit: where refusing begins, and where it ends.
const HIGH: (u64, u64) = (85, 75);
/// The same of ending what holds much.
const LAST: (u64, u64) = (90, 87);
/// Between two looks, the same from half of the limit on, and while memory is short.
const LOOK: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(25),
    Duration::from_millis(10),
];

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
    /// What follows on this level when so much of the limit is used.
    fn after(self, used: u64, limit: u64) -> Self {
        let is_above = |part: u64| u128::from(used) * 100 >= u128::from(limit) * u128::from(part);
        let holds = |level: Self, (begin, end): (u64, u64)| {
            is_above(if self >= level { end } else { begin })
        };
        match () {
            () if holds(Self::Last, LAST) => Self::Last,
            () if holds(Self::High, HIGH) => Self::High,
            () => Self::Enough,
        }
    }
}

/// How short memory is, as all connections see it.
#[derive(Debug)]
pub(crate) struct Pressure {
    level: AtomicU8,
    used: AtomicU64,
    limit: u64,
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
        Self {
            level: AtomicU8::new(Level::Enough as u8),
            used: AtomicU64::new(0),
            limit,
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
        let now = before.after(used, self.limit);
        self.level.store(now as u8, Ordering::Relaxed);
        Seen { before, now }
    }

    /// Bytes that are to be left in use when what holds much is ended.
    fn goal(&self) -> u64 {
        self.limit / 200 * (HIGH.0 + HIGH.1)
    }
}

/// Looks for ever.
pub(crate) async fn watch(proxy: Arc<Proxy>) {
    let pressure = &proxy.pressure;
    let limit = pressure.limit;
    tracing::info!(limit, "memory is held under its limit");
    let mut ended = 0;
    loop {
        let before = pressure.used();
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
                tracing::warn!(%reason, used, limit, ended, "memory is no longer short");
                ended = 0;
            }
            _ => {}
        }
        if seen.now > Level::Enough {
            pressure.holders.look();
        }
        if seen.now == Level::Last {
            // As much more as came since the last look may come until the next.
            let excess = used.saturating_sub(pressure.goal()) + used.saturating_sub(before);
            ended += pressure.holders.end(excess);
        }
        let [far, near, short] = LOOK;
        let pause = match seen.now {
            Level::Enough if used < limit / 2 => far,
            Level::Enough => near,
            Level::High | Level::Last => short,
        };
        tokio::time::sleep(pause).await;
    }
}

fn resident() -> Option<u64> {
    u64::try_from(resident_bytes()?).ok()
}

#[cfg(test)]
mod tests;
