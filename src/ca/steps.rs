//! What each step makes of what is kept: pure functions, so that they can be applied again to a
//! newer state when somebody else was faster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::authority::Settings;
use super::kept::Kept;
use super::replica::{ABSENT, Offer};
use super::rotation::{Phase, Report, Rotation, Step};
use super::signer::{Signer, SignerError};

/// What an authority that has never kept anything begins with.
pub(super) fn first(
    settings: &Settings,
    offer: &Offer,
    now: SystemTime,
) -> Result<Kept, SignerError> {
    let first = match offer {
        Offer::Given(signer) => Arc::clone(signer),
        Offer::Unusable { why } => return Err(SignerError::Unusable(Arc::clone(why))),
        Offer::Unknown | Offer::Nothing { .. } => {
            Arc::new(Signer::make(&settings.trust_domain, now)?)
        }
    };
    Ok(Kept {
        generation: 1,
        phase: Phase::Steady,
        leaves_until: leaves_until(settings, now),
        agents: BTreeSet::new(),
        first,
        next: None,
    })
}

/// How far ahead leaves are allowed to live: written a few times in a certificate's life and not
/// with every certificate. The old root of a rotation stays for as long.
fn leaves_until(settings: &Settings, now: SystemTime) -> SystemTime {
    now + settings.certificate_life * 3 / 2
}

/// True if leaves will soon be cut short by what is kept.
pub(super) fn is_short(settings: &Settings, kept: &Kept, now: SystemTime) -> bool {
    let left = kept.leaves_until.duration_since(now).unwrap_or_default();
    left < settings.certificate_life * 5 / 4
}

/// What no agent sees: longer lives for leaves, agents that were not known.
pub(super) fn noted(
    settings: &Settings,
    kept: &Kept,
    rotation: &Rotation,
    now: SystemTime,
) -> Option<Kept> {
    let newcomers = rotation.connected_beside(&kept.agents);
    let is_short = is_short(settings, kept, now);
    if newcomers.is_empty() && !is_short {
        return None;
    }
    let mut noted = kept.clone();
    noted.agents.extend(newcomers);
    if is_short {
        noted.leaves_until = leaves_until(settings, now).max(kept.leaves_until);
    }
    Some(noted)
}

/// A rotation to this signer begins, or the one under way is given another end.
pub(super) fn rotated(
    settings: &Settings,
    kept: &Kept,
    rotation: &Rotation,
    next: Arc<Signer>,
    now: SystemTime,
) -> Kept {
    let generation = kept.generation + 1;
    Kept {
        generation,
        phase: rotation.beginning(generation, now, settings.patience),
        next: Some(next),
        ..kept.clone()
    }
}

/// The step that the rotation says is due.
pub(super) fn stepped(
    settings: &Settings,
    kept: &Kept,
    rotation: &Rotation,
    others: &[Report],
    now: SystemTime,
) -> Option<Kept> {
    let step = rotation.due(now, others)?;
    let next = Arc::clone(kept.next.as_ref()?);
    Some(match step {
        Step::SignWithNext => Kept {
            phase: Phase::Retiring {
                until: kept.leaves_until,
            },
            leaves_until: leaves_until(settings, now),
            ..kept.clone()
        },
        Step::DropOld => {
            let mut agents = rotation.heard_of();
            agents.extend(others.iter().flat_map(Report::agents).cloned());
            Kept {
                phase: Phase::Steady,
                generation: kept.generation + 1,
                agents,
                first: next,
                next: None,
                ..kept.clone()
            }
        }
    })
}

/// What a user's wish leads to.
#[derive(Debug)]
pub(super) enum Wish {
    /// Nothing: it is so already, or it has to wait.
    Granted,
    /// A rotation to this authority, or to a root that is made for it.
    Rotate(Option<Arc<Signer>>),
    /// This one takes the place of one with the same roots, at once.
    Replace(Arc<Signer>),
}

/// What the user's wish leads to now. Another root waits until the one before it has gone.
pub(super) fn wished(kept: &Kept, offer: &Offer, now: SystemTime) -> Wish {
    let last = kept.last();
    let may_rotate = !matches!(kept.phase, Phase::Retiring { .. });
    match offer {
        Offer::Given(signer) if signer.is_same(last) => Wish::Granted,
        Offer::Given(signer) if signer.has_the_anchors_of(last) => {
            Wish::Replace(Arc::clone(signer))
        }
        Offer::Given(signer) if may_rotate => Wish::Rotate(Some(Arc::clone(signer))),
        Offer::Nothing { since } if last.is_given() && may_rotate && now >= *since + ABSENT => {
            Wish::Rotate(None)
        }
        // A self-made root that grows old is replaced unasked; a user's is the user's.
        Offer::Nothing { .. } | Offer::Unknown
            if kept.phase == Phase::Steady && !last.is_given() && last.is_old(now) =>
        {
            Wish::Rotate(None)
        }
        Offer::Given(_) | Offer::Nothing { .. } | Offer::Unknown | Offer::Unusable { .. } => {
            Wish::Granted
        }
    }
}

/// One signer in the place of another with the same roots.
pub(super) fn replaced(kept: &Kept, signer: Arc<Signer>) -> Kept {
    match kept.next {
        Some(_) => Kept {
            next: Some(signer),
            ..kept.clone()
        },
        None => Kept {
            first: signer,
            ..kept.clone()
        },
    }
}

/// How long a leaf may live that is asked for now, and why not at all.
pub(super) fn life(
    settings: &Settings,
    kept: &Kept,
    asked: Duration,
    now: SystemTime,
) -> Option<Duration> {
    let longest = settings.certificate_life;
    let asked = if asked.is_zero() { longest } else { asked };
    let left = kept.leaves_until.duration_since(now).unwrap_or_default();
    let life = asked.min(longest).max(super::leaf::SHORTEST_LIFE);
    (left >= super::leaf::SHORTEST_LIFE).then(|| life.min(left))
}

#[cfg(test)]
mod tests;
