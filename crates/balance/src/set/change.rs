//! Changes of endpoints and settings: where each endpoint stands.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::Health;

use super::{Change, EndpointSet, Known, Seat, Standing, Unfit, groups_for};
use crate::endpoint::{Endpoint, Live, Member};
use crate::group::Group;
use crate::settings::Settings;

impl<K: Clone + Hash + Ord, T> EndpointSet<K, T> {
    /// Brings changes in that came together. Endpoints that may be picked from now on warm up if
    /// others could be picked before.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change<K, T>>, now: Instant) {
        let joined = (self.ready() > 0).then_some(now);
        for change in changes {
            match change {
                Change::Put(endpoint) => self.put(endpoint, joined, now),
                Change::Remove(key) => {
                    self.take_out(&key);
                    self.records.forget(&key);
                }
            }
        }
        self.settle(now);
    }

    /// Puts other settings in force. Every endpoint is placed anew, so this costs O(n log n).
    pub fn configure(&mut self, settings: Settings, now: Instant) {
        if *self.settings == settings {
            return;
        }
        self.watch.set(settings.outliers.as_ref());
        let turn = self.groups.first().map_or(0, Group::turns);
        self.groups = groups_for(&settings, turn);
        self.settings = Arc::new(settings);
        self.unhealthy = 0;
        for (_, known) in std::mem::take(&mut self.known) {
            self.pardon_unfit(&known.member, now);
            self.add(known.member);
        }
        self.settle(now);
    }

    fn put(&mut self, endpoint: Endpoint<K, T>, joined: Option<Instant>, now: Instant) {
        let old = self.known.get(&endpoint.key);
        let old = old.map(|known| (Arc::clone(&known.member), known.standing));
        let was_fit = |standing: &Standing| !matches!(standing, Standing::Unfit(_));
        let member = Arc::new(Member {
            live: match &old {
                Some((old, _)) => Arc::clone(&old.live),
                None => Arc::new(Live::new(&self.watch)),
            },
            joined: match &old {
                Some((old, standing)) if was_fit(standing) => old.joined,
                _ => joined,
            },
            was_well: endpoint.health == Health::Healthy
                || old.as_ref().is_some_and(|(old, _)| old.was_well),
            endpoint,
        });
        self.pardon_unfit(&member, now);
        match (old, self.judge(&member.endpoint)) {
            (Some((_, Standing::Seated(seat))), Ok(rank)) if rank == seat.rank => {
                self.replace(member, seat);
            }
            _ => {
                self.take_out(&member.endpoint.key);
                self.add(member);
            }
        }
    }

    /// Ends the ejection of an endpoint that may not be picked anyway.
    fn pardon_unfit(&mut self, member: &Member<K, T>, now: Instant) {
        let is_unfit = self.judge(&member.endpoint).is_err();
        if is_unfit && self.records.release(&member.endpoint.key, now) {
            member.live.faults.clear();
        }
    }

    /// Seats a new version of an endpoint where the old one is.
    fn replace(&mut self, member: Arc<Member<K, T>>, seat: Seat) {
        if let Some(group) = self.groups.get_mut(seat.rank) {
            group.replace(seat.slot, Arc::clone(&member));
        }
        self.know(member, Standing::Seated(seat));
    }

    /// Brings an endpoint in that is not known.
    fn add(&mut self, member: Arc<Member<K, T>>) {
        let is_out = !self.panic && self.records.is_ejected(&member.endpoint.key);
        let standing = self.judge(&member.endpoint).and_then(|rank| {
            let group = self.groups.get_mut(rank).ok_or(Unfit::TooFar)?;
            if is_out {
                group.bench(Arc::clone(&member));
                return Ok(Standing::Benched(rank));
            }
            let slot = group.add(Arc::clone(&member));
            Ok(Standing::Seated(Seat { rank, slot }))
        });
        let standing = standing.unwrap_or_else(|unfit| match unfit {
            Unfit::Unhealthy(_) => Standing::Unfit(Unfit::Unhealthy(self.lose(&member))),
            Unfit::TooFar => Standing::Unfit(unfit),
        });
        self.know(member, standing);
    }

    /// Counts an unhealthy endpoint, and for the group that it would stand in if it was healthy
    /// before: one that never was is nothing that the group has lost.
    fn lose(&mut self, member: &Member<K, T>) -> Option<usize> {
        self.unhealthy += 1;
        let rank = self.settings.preference.rank(&member.endpoint.place);
        let rank = rank.filter(|_| member.was_well)?;
        self.groups.get_mut(rank)?.lose();
        Some(rank)
    }

    fn know(&mut self, member: Arc<Member<K, T>>, standing: Standing) {
        let key = member.endpoint.key.clone();
        self.known.insert(key, Known { member, standing });
    }

    /// Takes an endpoint out, but for what is remembered of its ejections.
    fn take_out(&mut self, key: &K) -> Option<Arc<Member<K, T>>> {
        let Known { member, standing } = self.known.remove(key)?;
        match standing {
            Standing::Seated(seat) => self.vacate(seat),
            Standing::Benched(rank) => {
                if let Some(group) = self.groups.get_mut(rank) {
                    group.unbench(key);
                }
            }
            Standing::Unfit(Unfit::Unhealthy(rank)) => {
                self.unhealthy -= 1;
                if let Some(group) = rank.and_then(|rank| self.groups.get_mut(rank)) {
                    group.find();
                }
            }
            Standing::Unfit(Unfit::TooFar) => {}
        }
        Some(member)
    }

    /// Places an endpoint anew.
    pub(super) fn place_anew(&mut self, key: &K) {
        if let Some(member) = self.take_out(key) {
            self.add(member);
        }
    }

    /// Takes the endpoint off a seat, and keeps track of the one that fills it.
    fn vacate(&mut self, seat: Seat) {
        let group = self.groups.get_mut(seat.rank);
        let moved = group.and_then(|group| group.remove(seat.slot));
        if let Some(known) = moved.and_then(|moved| self.known.get_mut(&moved.endpoint.key)) {
            known.standing = Standing::Seated(seat);
        }
    }

    /// The rank of an endpoint, if it may be picked unless it is ejected.
    fn judge(&self, endpoint: &Endpoint<K, T>) -> Result<usize, Unfit> {
        if endpoint.health == Health::Unhealthy && !self.settings.allow_unhealthy {
            return Err(Unfit::Unhealthy(None));
        }
        let rank = self.settings.preference.rank(&endpoint.place);
        rank.ok_or(Unfit::TooFar)
    }
}
