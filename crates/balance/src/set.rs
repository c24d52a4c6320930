//! The endpoints of one port of a service: a snapshot that picks, and the changes that make the
//! next one of it.
//!
//! Every endpoint that is known stands in one map by its key; those that may be picked stand in a
//! slot of the group of their rank too. Both are persistent.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use ambit_model::Health;
use imbl::OrdMap;

use crate::endpoint::{Endpoint, Live, Member, Pick};
use crate::group::Group;
use crate::pick::{Ask, Chooser};
use crate::settings::Settings;

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
    "no endpoint to go to: {known} known, {unhealthy} of them unhealthy, {far} outside the places \
     that the service is kept to"
)]
pub struct Shortage {
    /// Endpoints that are known.
    pub known: usize,
    /// Of these, unhealthy.
    pub unhealthy: usize,
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
    turns: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Known<K, T> {
    member: Arc<Member<K, T>>,
    seat: Result<Seat, Unfit>,
}

/// Where an endpoint that may be picked stands.
#[derive(Clone, Copy, Debug)]
struct Seat {
    rank: usize,
    slot: usize,
}

/// Why an endpoint may not be picked.
#[derive(Clone, Copy, Debug)]
enum Unfit {
    Unhealthy,
    TooFar,
}

impl<K: Clone + Hash + Ord, T> EndpointSet<K, T> {
    /// A set without endpoints. The random number says whose turn is first.
    pub fn new(settings: Settings, random: u64) -> Self {
        Self {
            known: OrdMap::new(),
            groups: groups_for(&settings),
            settings: Arc::new(settings),
            unhealthy: 0,
            turns: Arc::new(AtomicU64::new(random)),
        }
    }

    /// Picks an endpoint for a request: of the nearest that have one it has not been tried at; if
    /// it has been tried at all of them, any of the nearest.
    pub fn pick(&self, ask: &Ask<'_, K>) -> Result<Pick<K, T>, Shortage> {
        let choose = |ask: &Ask<'_, K>| {
            let chooser = Chooser {
                ask,
                settings: &self.settings,
                turns: &self.turns,
            };
            self.groups.iter().find_map(|group| chooser.choose(group))
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
        known.seat.is_ok().then(|| Pick::new(&known.member))
    }

    /// How many requests are outstanding at an endpoint; none if it is not known.
    pub fn outstanding(&self, key: &K) -> Option<u64> {
        Some(self.known.get(key)?.member.outstanding())
    }

    /// Brings changes in that came together. Endpoints that may be picked from now on warm up if
    /// others could be picked before.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change<K, T>>, now: Instant) {
        let joined = (self.ready() > 0).then_some(now);
        for change in changes {
            match change {
                Change::Put(endpoint) => self.put(endpoint, joined),
                Change::Remove(key) => self.remove(&key),
            }
        }
    }

    /// Puts other settings in force. Every endpoint is placed anew, so this costs O(n log n).
    pub fn configure(&mut self, settings: Settings) {
        if *self.settings == settings {
            return;
        }
        self.groups = groups_for(&settings);
        self.settings = Arc::new(settings);
        self.unhealthy = 0;
        for (_, known) in std::mem::take(&mut self.known) {
            self.add(known.member);
        }
    }

    /// How many endpoints may be picked.
    fn ready(&self) -> usize {
        self.groups.iter().map(Group::len).sum()
    }

    fn shortage(&self) -> Shortage {
        Shortage {
            known: self.known.len(),
            unhealthy: self.unhealthy,
            far: self.known.len() - self.unhealthy - self.ready(),
        }
    }

    fn put(&mut self, endpoint: Endpoint<K, T>, joined: Option<Instant>) {
        let old = self.known.get(&endpoint.key);
        let old_seat = old.and_then(|old| Some((old.seat.ok()?, old.member.joined)));
        let member = Arc::new(Member {
            live: old.map_or_else(Arc::<Live>::default, |old| Arc::clone(&old.member.live)),
            joined: old_seat.map_or(joined, |(_, joined)| joined),
            endpoint,
        });
        match (old_seat, self.judge(&member.endpoint)) {
            (Some((seat, _)), Ok(rank)) if rank == seat.rank => self.replace(member, seat),
            _ => {
                self.remove(&member.endpoint.key);
                self.add(member);
            }
        }
    }

    /// Seats a new version of an endpoint where the old one is.
    fn replace(&mut self, member: Arc<Member<K, T>>, seat: Seat) {
        if let Some(group) = self.groups.get_mut(seat.rank) {
            group.replace(seat.slot, Arc::clone(&member));
        }
        self.know(member, Ok(seat));
    }

    fn add(&mut self, member: Arc<Member<K, T>>) {
        let seat = self.judge(&member.endpoint).and_then(|rank| {
            let group = self.groups.get_mut(rank).ok_or(Unfit::TooFar)?;
            let slot = group.add(Arc::clone(&member));
            Ok(Seat { rank, slot })
        });
        if let Err(Unfit::Unhealthy) = seat {
            self.unhealthy += 1;
        }
        self.know(member, seat);
    }

    fn know(&mut self, member: Arc<Member<K, T>>, seat: Result<Seat, Unfit>) {
        let key = member.endpoint.key.clone();
        self.known.insert(key, Known { member, seat });
    }

    fn remove(&mut self, key: &K) {
        match self.known.remove(key).map(|known| known.seat) {
            Some(Ok(seat)) => self.vacate(seat),
            Some(Err(Unfit::Unhealthy)) => self.unhealthy -= 1,
            Some(Err(Unfit::TooFar)) | None => {}
        }
    }

    /// Takes the endpoint off a seat, and keeps track of the one that fills it.
    fn vacate(&mut self, seat: Seat) {
        let group = self.groups.get_mut(seat.rank);
        let moved = group.and_then(|group| group.remove(seat.slot));
        if let Some(known) = moved.and_then(|moved| self.known.get_mut(&moved.endpoint.key)) {
            known.seat = Ok(seat);
        }
    }

    /// The rank of an endpoint.
    fn judge(&self, endpoint: &Endpoint<K, T>) -> Result<usize, Unfit> {
        if endpoint.health == Health::Unhealthy && !self.settings.allow_unhealthy {
            return Err(Unfit::Unhealthy);
        }
        let rank = self.settings.preference.rank(&endpoint.place);
        rank.ok_or(Unfit::TooFar)
    }
}

fn groups_for<K, T>(settings: &Settings) -> Vec<Group<K, T>> {
    std::iter::repeat_with(Group::default)
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
            turns: Arc::clone(&self.turns),
        }
    }
}

impl<K, T> Clone for Known<K, T> {
    fn clone(&self) -> Self {
        Self {
            member: Arc::clone(&self.member),
            seat: self.seat,
        }
    }
}

#[cfg(test)]
mod tests;
