//! Where hashes lead: a table made of the endpoints of a group.
//!
//! It depends on keys and weights alone, not on the order in which endpoints came, so that all
//! replicas of a waypoint make the same one; and when one of n endpoints goes, about 1/n of the
//! hashes lead elsewhere. Where the endpoint that a hash leads to will not do, the next one in the
//! table is taken: other hashes lead where they did before.

use std::hash::Hash;
use std::sync::Arc;

use crate::endpoint::Member;
use crate::random::stable_hash;
use crate::settings::Hashing;

mod maglev;
mod ring;

/// Where hashes lead.
#[derive(Debug)]
pub(crate) enum Table {
    Ring(ring::Ring),
    Maglev(maglev::Maglev),
}

/// What a table is made of.
#[derive(Clone, Copy, Debug)]
struct Entrant {
    /// Of the endpoint's key.
    hash: u64,
    weight: u64,
    slot: usize,
}

impl Table {
    /// The table of these endpoints, by the slots that they have here.
    pub(crate) fn build<'a, K: Hash + Ord + 'a, T: 'a>(
        hashing: Hashing,
        members: impl Iterator<Item = &'a Arc<Member<K, T>>>,
    ) -> Self {
        let mut members: Vec<_> = members.enumerate().collect();
        members.sort_unstable_by_key(|(_, member)| &member.endpoint.key);
        let entrants = members.into_iter().map(|(slot, member)| Entrant {
            hash: stable_hash(&member.endpoint.key),
            weight: member.weight(),
            slot,
        });
        let entrants: Vec<_> = entrants.collect();
        match hashing {
            Hashing::Ring { size } => Self::Ring(ring::Ring::new(size, &entrants)),
            Hashing::Maglev { size } => Self::Maglev(maglev::Maglev::new(size, &entrants)),
        }
    }

    /// The slots of the endpoints from the one on that a hash leads to: the next ones, should that
    /// not do. Each comes as often as it stands in the table.
    pub(crate) fn from(&self, hash: u64) -> impl Iterator<Item = usize> {
        let (start, end) = match self {
            Self::Ring(ring) => (ring.position(hash), ring.points.len()),
            Self::Maglev(maglev) => (maglev.position(hash), maglev.entries.len()),
        };
        (start..end)
            .chain(0..start)
            .filter_map(|position| self.at(position))
    }

    fn at(&self, position: usize) -> Option<usize> {
        match self {
            Self::Ring(ring) => ring.points.get(position).map(|(_, slot)| *slot),
            Self::Maglev(maglev) => maglev.entries.get(position).copied(),
        }
    }
}

#[cfg(test)]
mod tests;
