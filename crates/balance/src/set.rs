//! The endpoints of one port of a service: a snapshot that picks, and the changes that make the
//! next one of it.
//!
//! Every endpoint that is known stands in one map by its key; those that may be picked stand in a
//! slot of the group of their rank too, and those that are ejected on its bench. All are persistent.
//! Changes are in `set/change.rs`, ejections in `set/eject.rs`.

use std::hash::Hash;
use std::sync::Arc;

use imbl::OrdMap;

use crate::endpoint::{Endpoint, Member, Pick};
use crate::group::Group;
use crate::outlier::{Records, Watch};
use crate::pick::{Ask, Chooser};
use crate::settings::{Algorithm, Settings};
use crate::spread::Spread;

mod change;
mod eject;

/// A change of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<K, T> {
    /// It is there, and like this.
    Put(Endpoint<K, T>),
    /// It is gone.
    Remove(K),
}

/// No endpoint may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no endpoint to go to: {known} known, {unhealthy} of them unhealthy, {ejected} ejected, {far} \
     outside the places that the service is kept to"
)]
pub struct Shortage {
    /// Endpoints that are known.
    pub known: usize,
    /// Of these, unhealthy.
    pub unhealthy: usize,
    /// Of these, ejected for failing.
    pub ejected: usize,
    /// Of these, healthy but outside the places that the service is kept to.
    pub far: usize,
}

/// The endpoints of one port of a service.
#[derive(Debug)]
pub struct EndpointSet<K: Ord, T> {
    settings: Arc<Settings>,
    known: OrdMap<K, Known<K, T>>,
    /// By rank, the nearest first.
    groups: Vec<Group<K, T>>,
    unhealthy: usize,
    /// What each group gets of the requests.
    spread: Spread,
    /// What is watched for at the endpoints.
    watch: Arc<Watch>,
    /// Who is ejected: none but endpoints that could be picked otherwise.
    records: Records<K>,
    /// Ejections are ignored: those that are ejected have seats.
    panic: bool,
}

#[derive(Debug)]
struct Known<K, T> {
    member: Arc<Member<K, T>>,
    standing: Standing,
}

/// Whether an endpoint may be picked.
#[derive(Clone, Copy, Debug)]
enum Standing {
    /// It may, and stands here.
    Seated(Seat),
    /// It is ejected, and sits on the bench of the group of this rank.
    Benched(usize),
    /// It may not.
    Unfit(Unfit),
}

/// Where an endpoint that may be picked stands.
#[derive(Clone, Copy, Debug)]
struct Seat {
    rank: usize,
    slot: usize,
}

/// Why an endpoint may not be picked, were it not ejected.
#[derive(Clone, Copy, Debug)]
enum Unfit {
    /// With the rank of the group that has lost it, if it was healthy before.
    Unhealthy(Option<usize>),
    TooFar,
}

impl<K: Clone + Hash + Ord, T> EndpointSet<K, T> {
    /// A set without endpoints. The random number says whose turn is first.
    pub fn new(settings: Settings, random: u64) -> Self {
        let watch = Watch::default();
        watch.set(settings.outliers.as_ref());
        Self {
            known: OrdMap::new(),
            groups: groups_for(&settings, random),
            settings: Arc::new(settings),
            unhealthy: 0,
            spread: Spread::default(),
            watch: Arc::new(watch),
            records: Records::default(),
            panic: false,
        }
    }

    /// Picks an endpoint for a request: of the group that is due to it, or else of the nearest that
    /// has one it has not been tried at; if it has been tried at all of them, any of these groups.
    pub fn pick(&self, ask: &Ask<'_, K>) -> Result<Pick<K, T>, Shortage> {
        let by_hash = matches!(self.settings.algorithm, Algorithm::Hash(_));
        let hash = ask.hash.filter(|_| by_hash);
        let first = self.spread.first(hash, ask.random);
        let choose = |ask: &Ask<'_, K>| {
            let chooser = Chooser {
                ask,
                settings: &self.settings,
            };
            let first = first.and_then(|first| self.groups.get(first));
            let mut groups = first.into_iter().chain(&self.groups);
            groups.find_map(|group| chooser.choose(group))
        };
        let again = || {
            let afresh = Ask { tried: &[], ..*ask };
            choose(&afresh)
        };
        let chosen = choose(ask).or_else(again);
        chosen.map(Pick::new).ok_or_else(|| self.shortage())
    }

    /// Picks this endpoint and no other, however near it is; none if it may not be picked.
    pub fn pick_this(&self, key: &K) -> Option<Pick<K, T>> {
        let known = self.known.get(key)?;
        let seated = matches!(known.standing, Standing::Seated(_));
        seated.then(|| Pick::new(&known.member))
    }

    /// How many requests are outstanding at an endpoint; none if it is not known.
    pub fn outstanding(&self, key: &K) -> Option<u64> {
        Some(self.known.get(key)?.member.outstanding())
    }

    /// How many endpoints are known.
    pub fn known(&self) -> usize {
        self.known.len()
    }

    /// How many endpoints may be picked.
    pub fn ready(&self) -> usize {
        self.groups.iter().map(Group::len).sum()
    }

    /// How many endpoints sit on benches.
    fn benched(&self) -> usize {
        self.groups.iter().map(Group::benched).sum()
    }

    fn shortage(&self) -> Shortage {
        let ejected = self.benched();
        Shortage {
            known: self.known.len(),
            unhealthy: self.unhealthy,
            ejected,
            far: self.known.len() - self.unhealthy - ejected - self.ready(),
        }
    }
}

fn groups_for<K: Ord, T>(settings: &Settings, turn: u64) -> Vec<Group<K, T>> {
    std::iter::repeat_with(|| Group::new(turn))
        .take(settings.preference.ranks())
        .collect()
}

// Derived, they would ask for `T: Clone`.
impl<K: Clone + Ord, T> Clone for EndpointSet<K, T> {
    fn clone(&self) -> Self {
        Self {
            settings: Arc::clone(&self.settings),
            known: self.known.clone(),
            groups: self.groups.clone(),
            unhealthy: self.unhealthy,
            spread: self.spread.clone(),
            watch: Arc::clone(&self.watch),
            records: self.records.clone(),
            panic: self.panic,
        }
    }
}

impl<K, T> Clone for Known<K, T> {
    fn clone(&self) -> Self {
        Self {
            member: Arc::clone(&self.member),
            standing: self.standing,
        }
    }
}

#[cfg(test)]
mod tests;
