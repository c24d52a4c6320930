//! Tokens that were found good, so that a client's next request costs no verification.
//!
//! Only good tokens are kept: whoever sends bad ones fills nothing. They are kept under a keyed hash
//! (HMAC with SHA-256, of a key that this process made), so that the cache holds no token that could
//! be used, and no token can be made to meet another's place.
//!
//! There are several parts, each with a lock that is held for a look-up or a few pointers. A part has
//! two halves: what is found in the old one moves to the young one, and when that is full, the old
//! one is dropped and the young one gets old. What has not been used for long is thus forgotten, and
//! the bound on memory holds without a list of uses.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use parking_lot::Mutex;

use crate::outputs::Verified;

/// Enough that workers seldom meet.
const SHARDS: usize = 16;
/// What a token takes besides what it says: its place in a table that is half empty.
const OVERHEAD: usize = 128;
/// Bytes of a tag.
const TAG: usize = 32;

/// Tokens that were found good; shared by the verifiers of a process.
pub struct Cache {
    key: hmac::Key,
    shards: [Mutex<Shard>; SHARDS],
    /// Bytes of half a part.
    half: usize,
}

/// What a cache has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Tokens that were found.
    pub hits: u64,
    /// Tokens that were not.
    pub misses: u64,
    /// Tokens that it holds.
    pub tokens: usize,
    /// About how many bytes they take.
    pub bytes: usize,
}

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random numbers")]
pub struct NoRandomness;

/// The place of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tag([u8; TAG]);

/// What tokens are kept under: of one verifier's place, as long as its rules and keys are the same.
#[derive(Clone, Debug)]
pub(crate) struct Scope(hmac::Key);

impl Scope {
    /// The place of a token within.
    pub(crate) fn tag(&self, token: &[u8]) -> Option<Tag> {
        let tag = hmac::sign(&self.0, token);
        tag.as_ref().try_into().ok().map(Tag)
    }
}

type Half = HashMap<Tag, Arc<Verified>>;

#[derive(Debug, Default)]
struct Shard {
    young: Half,
    old: Half,
    young_bytes: usize,
    old_bytes: usize,
    hits: u64,
    misses: u64,
}

impl Cache {
    /// A cache of so many bytes, about.
    pub fn new(bytes: usize) -> Result<Self, NoRandomness> {
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new());
        Ok(Self {
            key: key.map_err(|_unspecified| NoRandomness)?,
            shards: Default::default(),
            half: bytes / SHARDS / 2,
        })
    }

    /// What it has done and holds.
    pub fn counts(&self) -> CacheCounts {
        let mut counts = CacheCounts::default();
        for shard in &self.shards {
            let shard = shard.lock();
            counts.hits += shard.hits;
            counts.misses += shard.misses;
            counts.tokens += shard.young.len() + shard.old.len();
            counts.bytes += shard.young_bytes + shard.old_bytes;
        }
        counts
    }

    /// The scope of that description.
    pub(crate) fn scope(&self, description: &[u8]) -> Scope {
        let key = hmac::sign(&self.key, description);
        Scope(hmac::Key::new(HMAC_SHA256, key.as_ref()))
    }

    /// The token at that place.
    pub(crate) fn find(&self, tag: &Tag) -> Option<Arc<Verified>> {
        let dropped;
        let found = {
            let mut shard = self.shard(tag)?.lock();
            let found = shard.young.get(tag).map(Arc::clone);
            let (found, left) = match found {
                Some(found) => (Some(found), None),
                None => shard.renew(tag, self.half),
            };
            match found {
                Some(_) => shard.hits += 1,
                None => shard.misses += 1,
            }
            dropped = left;
            found
        };
        // Not while others wait.
        drop(dropped);
        found
    }

    /// Keeps a token, unless it is so large that it would drive out many.
    pub(crate) fn keep(&self, tag: Tag, verified: &Arc<Verified>) {
        let bytes = OVERHEAD + verified.bytes;
        let Some(shard) = self.shard(&tag) else {
            return;
        };
        if bytes > self.half / 4 {
            return;
        }
        let dropped = {
            let mut shard = shard.lock();
            shard.add(tag, Arc::clone(verified), bytes, self.half)
        };
        drop(dropped);
    }

    fn shard(&self, tag: &Tag) -> Option<&Mutex<Shard>> {
        let [first, ..] = tag.0;
        self.shards.get(usize::from(first) % SHARDS)
    }
}

impl Shard {
    /// Moves a token from the old half to the young one. Also what is to be dropped.
    fn renew(&mut self, tag: &Tag, half: usize) -> (Option<Arc<Verified>>, Option<Half>) {
        let Some(found) = self.old.remove(tag) else {
            return (None, None);
        };
        let bytes = OVERHEAD + found.bytes;
        self.old_bytes = self.old_bytes.saturating_sub(bytes);
        let dropped = self.add(*tag, Arc::clone(&found), bytes, half);
        (Some(found), dropped)
    }

    /// Adds a token to the young half. What is to be dropped.
    fn add(
        &mut self,
        tag: Tag,
        verified: Arc<Verified>,
        bytes: usize,
        half: usize,
    ) -> Option<Half> {
        let mut dropped = None;
        if self.young_bytes + bytes > half {
            let young = std::mem::take(&mut self.young);
            dropped = Some(std::mem::replace(&mut self.old, young));
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        // Two requests may have verified the same token at once.
        if self.young.insert(tag, verified).is_none() {
            self.young_bytes += bytes;
        }
        dropped
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
