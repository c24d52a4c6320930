//! Who leads: a machine without I/O over a lease that all candidates see.
//!
//! Whoever holds the lease leads for [`LEADS`] from the moment *before* it asked for it; another
//! may take the lease only after it has seen it unchanged for [`LEASE`], by its own clock, from the
//! moment *after* it saw it. Both intervals begin on opposite sides of the write, and the first is
//! shorter: with clocks that run at equal rates (they need not show the same time) there are never
//! two leaders, and a difference of rates of a third is needed for two.
//!
//! A write goes over the version that was read, so of two that take the lease at once one fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a lease counts that nobody renews.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How long its holder takes itself for the leader.
pub(super) const LEADS: Duration = Duration::from_secs(10);
/// How often the holder renews it.
const RENEW: Duration = Duration::from_secs(5);
/// How often others look.
const LOOK: Duration = Duration::from_secs(1);

/// The lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its version; another one after every write.
    pub(super) version: String,
    /// Who holds it; nobody after a release.
    pub(super) holder: Option<Arc<str>>,
    /// How often it went from one to another.
    pub(super) transitions: i32,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Over this version, or where there is none.
    pub(super) over: Option<String>,
    /// How often it went from one to another, this time included.
    pub(super) transitions: i32,
    /// True if the writer did not hold it before.
    pub(super) is_new: bool,
}

/// The machine of one candidate.
#[derive(Debug)]
pub(super) struct Election {
    us: Arc<str>,
    seen: Option<(Seen, Instant)>,
    leads_until: Option<Instant>,
    renewed: Option<Instant>,
}

impl Election {
    /// A candidate under a name that nobody else has, not even an earlier process in its place.
    pub(super) fn new(us: Arc<str>) -> Self {
        Self {
            us,
            seen: None,
            leads_until: None,
            renewed: None,
        }
    }

    /// The lease was read, or there is none; `now` is a moment after it was read.
    pub(super) fn saw(&mut self, lease: Option<Seen>, now: Instant) {
        match lease {
            None => self.seen = None,
            Some(lease) => match &self.seen {
                Some((known, _)) if *known == lease => {}
                _ => self.seen = Some((lease, now)),
            },
        }
        if self.seen.as_ref().is_none_or(|(l, _)| !self.is_ours(l)) {
            // Taken from us, or released.
            self.leads_until = None;
        }
    }

    /// What to write now, if anything.
    pub(super) fn claim(&self, now: Instant) -> Option<Claim> {
        let Some((lease, since)) = &self.seen else {
            return Some(Claim {
                over: None,
                transitions: 0,
                is_new: true,
            });
        };
        let is_ours = self.is_ours(lease);
        let is_due = self.renewed.is_none_or(|at| now >= at + RENEW);
        let is_free = lease.holder.is_none() || now >= *since + LEASE;
        let writes = if is_ours { is_due } else { is_free };
        writes.then(|| Claim {
            over: Some(lease.version.clone()),
            transitions: lease.transitions + i32::from(!is_ours),
            is_new: !is_ours,
        })
    }

    /// What was claimed is written; `sent` is a moment before the writing began.
    pub(super) fn wrote(&mut self, lease: Seen, sent: Instant, now: Instant) {
        self.seen = Some((lease, now));
        self.leads_until = Some(sent + LEADS);
        self.renewed = Some(sent);
    }

    /// It holds the lease no more, by its own wish.
    pub(super) fn released(&mut self) {
        self.leads_until = None;
        self.seen = None;
    }

    /// The version to release, if the lease is ours.
    pub(super) fn held(&self) -> Option<&Seen> {
        let (lease, _) = self.seen.as_ref()?;
        self.is_ours(lease).then_some(lease)
    }

    /// Until when it leads; nothing if it does not.
    pub(super) fn leads_until(&self, now: Instant) -> Option<Instant> {
        self.leads_until.filter(|until| now < *until)
    }

    /// When to look again.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        let is_calm = self.leads_until(now).is_some();
        let renewal = self.renewed.map(|at| at + RENEW);
        match renewal.filter(|at| is_calm && *at > now) {
            Some(at) => at,
            None => now + LOOK,
        }
    }

    fn is_ours(&self, lease: &Seen) -> bool {
        lease.holder.as_ref() == Some(&self.us)
    }
}

#[cfg(test)]
mod tests;
