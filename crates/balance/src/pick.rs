//! Which endpoint of a group.
//!
//! By draw and by turn the endpoints that will not do are passed over: those that the request has
//! tried already, and for a part of the draws those that warm up. A few draws decide nearly always;
//! then the slots are gone through for one that has not been tried. By hash the table is gone along.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use crate::endpoint::{Member, WARM};
use crate::group::Group;
use crate::random::Random;
use crate::settings::{Algorithm, Hashing, Settings};

/// Draws before the slots are gone through. Enough that endpoints that warm up beside as many
/// others get hardly anything by that.
const DRAWS: usize = 8;

/// What a request asks for.
#[derive(Debug)]
pub struct Ask<'a, K> {
    /// The time.
    pub now: Instant,
    /// A random number.
    pub random: u64,
    /// What decides where the algorithm goes by hash; without it chance does.
    pub hash: Option<u64>,
    /// Endpoints that this request has been tried at: others are picked while there are any, if
    /// need be farther ones.
    pub tried: &'a [K],
}

/// All that decides about a pick within a group.
#[derive(Debug)]
pub(crate) struct Chooser<'a, K> {
    pub(crate) ask: &'a Ask<'a, K>,
    pub(crate) settings: &'a Settings,
}

impl<K: Hash + Ord> Chooser<'_, K> {
    /// An endpoint of the group that has not been tried; none if all have been.
    pub(crate) fn choose<'g, T>(&self, group: &'g Group<K, T>) -> Option<&'g Arc<Member<K, T>>> {
        let mut random = Random::new(self.ask.random);
        let found = match self.settings.algorithm {
            Algorithm::LeastRequest => self.less_busy(group, &mut random),
            Algorithm::RoundRobin => self.next_in_turn(group, &mut random),
            Algorithm::Random => self.drawn(group, &mut random).map(|(_, member)| member),
            Algorithm::Hash(hashing) => self.hashed(group, hashing, &mut random),
        };
        found.or_else(|| self.any(group, &mut random))
    }

    /// The less busy of two. They are drawn by units of weight, and the units differ: endpoints of
    /// one unit each are never compared with themselves, and one that has most of the weight
    /// mostly is, so that the others do not get much more than their share.
    fn less_busy<'g, T>(
        &self,
        group: &'g Group<K, T>,
        random: &mut Random,
    ) -> Option<&'g Arc<Member<K, T>>> {
        let (taken, first) = self.drawn(group, random)?;
        let other = random.below(group.units() - 1);
        let second = group.at(if other < taken { other } else { other + 1 });
        match second.filter(|second| self.will_do(second) && self.is_let_in(second, random)) {
            Some(second) if self.is_busier(first, second) => Some(second),
            _ => Some(first),
        }
    }

    fn next_in_turn<'g, T>(
        &self,
        group: &'g Group<K, T>,
        random: &mut Random,
    ) -> Option<&'g Arc<Member<K, T>>> {
        let turn = |_: &mut Random| group.in_turn();
        self.first_of(group, random, turn).map(|(_, member)| member)
    }

    fn drawn<'g, T>(
        &self,
        group: &'g Group<K, T>,
        random: &mut Random,
    ) -> Option<(u64, &'g Arc<Member<K, T>>)> {
        self.first_of(group, random, |random| random.below(group.units()))
    }

    /// The endpoint that the hash leads to, or the next one that will do. Where none does, the
    /// table is not gone through.
    fn hashed<'g, T>(
        &self,
        group: &'g Group<K, T>,
        hashing: Hashing,
        random: &mut Random,
    ) -> Option<&'g Arc<Member<K, T>>> {
        self.any(group, random)?;
        let hash = self.ask.hash.unwrap_or(self.ask.random);
        let mut members = group.hashed(hashing, hash);
        members.find(|member| self.will_do(member))
    }

    /// The first endpoint that will do, of a few units of weight; with the unit. Warming up alone
    /// keeps none of a group from being picked.
    fn first_of<'g, T>(
        &self,
        group: &'g Group<K, T>,
        random: &mut Random,
        mut unit: impl FnMut(&mut Random) -> u64,
    ) -> Option<(u64, &'g Arc<Member<K, T>>)> {
        let mut cold = None;
        for _ in 0..DRAWS {
            let unit = unit(random);
            let member = group.at(unit)?;
            if !self.will_do(member) {
                continue;
            }
            if self.is_let_in(member, random) {
                return Some((unit, member));
            }
            cold = Some((unit, member));
        }
        cold
    }

    /// An endpoint that has not been tried, from any slot on. As many slots as endpoints have been
    /// tried, and one more, are enough to find it.
    fn any<'g, T>(
        &self,
        group: &'g Group<K, T>,
        random: &mut Random,
    ) -> Option<&'g Arc<Member<K, T>>> {
        let len = group.len();
        let start = usize::try_from(random.below(u64::try_from(len).ok()?)).ok()?;
        (start..len)
            .chain(0..start)
            .take(self.ask.tried.len() + 1)
            .filter_map(|slot| group.get(slot))
            .find(|member| self.will_do(member))
    }

    /// Whether the request may go to this endpoint. Whatever else keeps requests from an endpoint for
    /// a while belongs here too; [`Group`]s have only those in them that may be picked at all.
    fn will_do<T>(&self, member: &Member<K, T>) -> bool {
        !self.ask.tried.contains(&member.endpoint.key)
    }

    /// Whether an endpoint that may be warming up gets this draw.
    fn is_let_in<T>(&self, member: &Member<K, T>, random: &mut Random) -> bool {
        let warmth = self.warmth(member);
        warmth == WARM || random.below(WARM) < warmth
    }

    /// Whether the first has more outstanding requests for its weight than the second.
    fn is_busier<T>(&self, first: &Member<K, T>, second: &Member<K, T>) -> bool {
        let share = |member| u128::from(self.weight(member));
        u128::from(first.outstanding()) * share(second)
            > u128::from(second.outstanding()) * share(first)
    }

    fn weight<T>(&self, member: &Member<K, T>) -> u64 {
        member.weight() * self.warmth(member)
    }

    fn warmth<T>(&self, member: &Member<K, T>) -> u64 {
        member.warmth(self.ask.now, self.settings.warm_up)
    }
}
