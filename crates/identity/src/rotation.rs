//! When to fetch which certificate: a machine without I/O for all identities of one node.
//!
//! ```text
//!              PodKnown                   a slot is free, Action::Fetch
//!   (nothing) ----------> due ------------------------------------------> under way
//!                          ^                                               |     |
//!                          | half of its life, less jitter     Fetched     |     |  Failed
//!                          +---------------- held <------------------------+     |
//!                          +---------------- waiting (backoff) <-----------------+
//!   last pod of it gone, from any state: Action::Forget
//! ```
//!
//! Invariants: an identity is fetched at most once at a time; what somebody waits for goes before
//! what is missing, and that before renewals; a failed renewal does not touch the valid certificate
//! that is held; no identity is fetched that no pod of the node has. Time comes in with every
//! event; certificates are told by what is left of their life, never by the time of day.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::SpiffeId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// First wait after a failure; also the shortest time between two attempts for one identity.
pub const RETRY_FIRST: Duration = Duration::from_millis(500);
/// Longest wait after failures.
pub const RETRY_LONGEST: Duration = Duration::from_secs(150);
/// Fetches under way at once: a node that starts with hundreds of identities must not flood the
/// control plane.
const MOST_AT_ONCE: usize = 8;
/// Of these, kept free for identities that somebody waits for.
const RESERVED: usize = 2;
/// Renewal comes up to this part of the wait earlier, so that the identities of a node that were
/// fetched together do not stay together.
const JITTER: f64 = 0.2;

/// What happens to the identities of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A pod of this node has (or will have) this identity. Repeating it changes nothing.
    PodKnown {
        /// Kubernetes' uid of the pod.
        pod: Arc<str>,
        /// Its identity.
        identity: SpiffeId,
        /// A certificate of it, kept from an earlier life of this process.
        kept: Option<Kept>,
    },
    /// The pod is gone.
    PodGone {
        /// Kubernetes' uid of the pod.
        pod: Arc<str>,
    },
    /// Somebody waits for this certificate.
    Demanded(SpiffeId),
    /// The answer to [`Action::Fetch`].
    Fetched {
        /// Whose.
        identity: SpiffeId,
        /// What is left of its life.
        left: Duration,
    },
    /// The other answer to [`Action::Fetch`].
    Failed(SpiffeId),
    /// The time of [`Rotation::wake_at`] has come.
    Tick,
}

/// How long a certificate that was fetched earlier lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its whole life.
    pub life: Duration,
    /// What is left of it.
    pub left: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for a certificate; answered by [`Event::Fetched`] or [`Event::Failed`].
    Fetch(SpiffeId),
    /// No pod has this identity any more: erase its key wherever it is.
    Forget(SpiffeId),
}

/// The machine.
#[derive(Debug)]
pub struct Rotation {
    pods: HashMap<Arc<str>, SpiffeId>,
    identities: HashMap<SpiffeId, Identity>,
    under_way: usize,
    random: StdRng,
}

#[derive(Debug)]
struct Identity {
    pods: usize,
    /// When the next attempt may start.
    due: Instant,
    /// Until when a certificate is held; `None`: none.
    held_until: Option<Instant>,
    under_way: bool,
    demanded: bool,
    failures: u32,
    last_attempt: Option<Instant>,
}

impl Identity {
    fn new(now: Instant) -> Self {
        Self {
            pods: 0,
            due: now,
            held_until: None,
            under_way: false,
            demanded: false,
            failures: 0,
            last_attempt: None,
        }
    }

    fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

impl Rotation {
    /// No identity yet. The seed is for jitter.
    pub fn new(seed: u64) -> Self {
        Self {
            pods: HashMap::new(),
            identities: HashMap::new(),
            under_way: 0,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Takes an event in and says what is to be done.
    pub fn on_event(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::PodKnown {
                pod,
                identity,
                kept,
            } => {
                if let Some(kept) = kept {
                    self.kept(now, &identity, kept);
                }
                self.pod_known(now, pod, identity, &mut actions);
            }
            Event::PodGone { pod } => self.pod_gone(&pod, &mut actions),
            Event::Demanded(identity) => self.demanded(now, &identity),
            Event::Fetched { identity, left } => self.fetched(now, &identity, left, &mut actions),
            Event::Failed(identity) => self.failed(now, &identity),
            Event::Tick => {}
        }
        self.start_due(now, &mut actions);
        actions
    }

    /// When [`Event::Tick`] is due next; `None` while only other events can move the machine.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.under_way >= MOST_AT_ONCE {
            return None;
        }
        let background_is_full = self.under_way >= MOST_AT_ONCE - RESERVED;
        self.identities
            .values()
            .filter(|i| !i.under_way && (i.demanded || !background_is_full))
            .map(|i| i.due)
            .min()
    }

    /// True if a pod of this node has the identity.
    pub fn is_known(&self, identity: &SpiffeId) -> bool {
        self.identities.contains_key(identity)
    }

    /// How many identities the pods of this node have.
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// True if no pod has an identity.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Identities without a valid certificate.
    pub fn missing(&self, now: Instant) -> usize {
        self.identities.values().filter(|i| !i.is_held(now)).count()
    }

    fn pod_known(
        &mut self,
        now: Instant,
        pod: Arc<str>,
        identity: SpiffeId,
        actions: &mut Vec<Action>,
    ) {
        if self.pods.get(&pod) == Some(&identity) {
            return;
        }
        // The new one first: a pod that changes between two shared identities drops neither.
        self.identities
            .entry(identity.clone())
            .or_insert_with(|| Identity::new(now))
            .pods += 1;
        if let Some(before) = self.pods.insert(pod, identity) {
            self.leave(&before, actions);
        }
    }

    fn pod_gone(&mut self, pod: &Arc<str>, actions: &mut Vec<Action>) {
        if let Some(identity) = self.pods.remove(pod) {
            self.leave(&identity, actions);
        }
    }

    fn leave(&mut self, identity: &SpiffeId, actions: &mut Vec<Action>) {
        let Some(known) = self.identities.get_mut(identity) else {
            return;
        };
        known.pods = known.pods.saturating_sub(1);
        if known.pods > 0 {
            return;
        }
        if known.under_way {
            self.under_way = self.under_way.saturating_sub(1);
        }
        self.identities.remove(identity);
        actions.push(Action::Forget(identity.clone()));
    }

    fn kept(&mut self, now: Instant, identity: &SpiffeId, kept: Kept) {
        let wait = self.jittered(kept.left.saturating_sub(kept.life / 2));
        let known = self
            .identities
            .entry(identity.clone())
            .or_insert_with(|| Identity::new(now));
        if known.held_until.is_none() && !kept.left.is_zero() {
            known.held_until = Some(now + kept.left);
            known.due = now + wait;
        }
    }

    fn demanded(&mut self, now: Instant, identity: &SpiffeId) {
        let Some(known) = self.identities.get_mut(identity) else {
            return;
        };
        if known.is_held(now) {
            return;
        }
        known.demanded = true;
        // However often somebody asks, the control plane is asked this often at most.
        let earliest = known.last_attempt.map_or(now, |last| last + RETRY_FIRST);
        known.due = known.due.min(earliest);
    }

    fn fetched(
        &mut self,
        now: Instant,
        identity: &SpiffeId,
        left: Duration,
        actions: &mut Vec<Action>,
    ) {
        let wait = self.jittered(left / 2);
        let Some(known) = self.identities.get_mut(identity) else {
            actions.push(Action::Forget(identity.clone()));
            return;
        };
        if std::mem::take(&mut known.under_way) {
            self.under_way = self.under_way.saturating_sub(1);
        }
        known.held_until = Some(now + left);
        // A certificate that is nearly over when it comes must not be asked for in a loop.
        known.due = now + wait.max(RETRY_FIRST.min(left.max(RETRY_FIRST / 5)));
        known.demanded = false;
        known.failures = 0;
    }

    fn failed(&mut self, now: Instant, identity: &SpiffeId) {
        let jitter = 1.0 - self.random.random_range(0.0..JITTER);
        let Some(known) = self.identities.get_mut(identity) else {
            return;
        };
        if std::mem::take(&mut known.under_way) {
            self.under_way = self.under_way.saturating_sub(1);
        }
        let doubled = RETRY_FIRST.saturating_mul(1 << known.failures.min(16));
        known.failures = known.failures.saturating_add(1);
        known.due = now + doubled.min(RETRY_LONGEST).mul_f64(jitter);
    }

    /// Starts what is due, most urgent first, as far as slots are free.
    fn start_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let mut due: Vec<(SpiffeId, bool, bool, Instant)> = self
            .identities
            .iter()
            .filter(|(_, i)| !i.under_way && i.due <= now)
            .map(|(id, i)| (id.clone(), !i.demanded, i.is_held(now), i.due))
            .collect();
        due.sort_by(|a, b| (a.1, a.2, a.3, &a.0).cmp(&(b.1, b.2, b.3, &b.0)));
        for (identity, background, _, _) in due {
            let slots = if background {
                MOST_AT_ONCE - RESERVED
            } else {
                MOST_AT_ONCE
            };
            if self.under_way >= slots {
                return;
            }
            if let Some(known) = self.identities.get_mut(&identity) {
                known.under_way = true;
                known.last_attempt = Some(now);
                self.under_way += 1;
                actions.push(Action::Fetch(identity));
            }
        }
    }

    fn jittered(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(1.0 - self.random.random_range(0.0..JITTER))
    }
}

#[cfg(test)]
mod tests;
