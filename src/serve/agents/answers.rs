//! What is remembered of tokens: a machine without I/O, bounded in size.
//!
//! Only tokens of agents' accounts are remembered for long, so that strangers cannot push them
//! out: refusals have a room of their own, which is emptied when it is full.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::TokenOwner;
use crate::serve::caller::Refusal;
use crate::serve::tokens::Hash;

/// How long an answer counts before the API server is asked again.
const FRESH: Duration = Duration::from_secs(60);
/// How much longer it counts while the API server does not answer.
const LONGER: Duration = Duration::from_secs(600);
/// How long no further question is asked after one that was not answered.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a refusal counts: a pod just made may not be known everywhere at once.
const REFUSED: Duration = Duration::from_secs(2);
/// Tokens of agents: two for each node of the largest cluster, as tokens are renewed.
const OWNERS: usize = 16_384;
/// Refusals.
const REFUSALS: usize = 4096;

#[derive(Debug)]
struct Confirmed {
    owner: Arc<TokenOwner>,
    at: Instant,
    ask_again: Instant,
}

/// What is remembered of a token.
#[derive(Debug)]
pub(super) enum Found {
    /// Its owner.
    Owner(Arc<TokenOwner>),
    /// That it is refused.
    Refused(Refusal),
    /// Nothing that counts now.
    Nothing,
}

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    owners: HashMap<Hash, Confirmed>,
    refusals: HashMap<Hash, (Refusal, Instant)>,
}

impl Answers {
    /// What counts for this token now.
    pub(super) fn find(&self, hash: &Hash, now: Instant) -> Found {
        if let Some(confirmed) = self.owners.get(hash).filter(|c| now < c.ask_again) {
            return Found::Owner(Arc::clone(&confirmed.owner));
        }
        match self.refusals.get(hash) {
            Some((refusal, until)) if now < *until => Found::Refused(refusal.clone()),
            _ => Found::Nothing,
        }
    }

    /// The API server named the owner.
    pub(super) fn confirmed(&mut self, hash: Hash, owner: &Arc<TokenOwner>, now: Instant) {
        self.refusals.remove(&hash);
        if self.owners.len() >= OWNERS && !self.owners.contains_key(&hash) {
            self.owners.retain(|_, c| now < c.at + FRESH + LONGER);
            if self.owners.len() >= OWNERS {
                let oldest = self.owners.iter().min_by_key(|(_, c)| c.at);
                let oldest = oldest.map(|(hash, _)| *hash);
                oldest.and_then(|hash| self.owners.remove(&hash));
            }
        }
        let confirmed = Confirmed {
            owner: Arc::clone(owner),
            at: now,
            ask_again: now + FRESH,
        };
        self.owners.insert(hash, confirmed);
    }

    /// The token is of nobody who is let in.
    pub(super) fn refused(&mut self, hash: Hash, refusal: &Refusal, now: Instant) {
        self.owners.remove(&hash);
        if self.refusals.len() >= REFUSALS {
            self.refusals.clear();
        }
        self.refusals.insert(hash, (refusal.clone(), now + REFUSED));
    }

    /// The API server did not answer: the last answer, if it may still count.
    pub(super) fn unanswered(&mut self, hash: &Hash, now: Instant) -> Option<Arc<TokenOwner>> {
        let confirmed = self.owners.get_mut(hash)?;
        let end = confirmed.at + FRESH + LONGER;
        if now >= end {
            self.owners.remove(hash);
            return None;
        }
        confirmed.ask_again = end.min(now + PAUSE);
        Some(Arc::clone(&confirmed.owner))
    }
}

#[cfg(test)]
mod tests;
