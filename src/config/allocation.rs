//! Addresses that stand for hosts of service entries which name none.
//!
//! In a cluster they stand in the status of the objects, where every replica reads the same
//! (`translate/service_entry/addresses.rs`). Otherwise they are computed here: by a hash of namespace
//! and host, so that the same hosts have the same addresses after a restart; where that is taken, the
//! next one that is free. What was given once stays for the life of the process.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// A host of a namespace.
pub(super) type HostOf = (Arc<str>, Arc<str>);

/// The first two numbers of all addresses that are given: of class E, that nobody routes.
const RANGE: [u8; 2] = [240, 240];
/// How many there are, without the first and the last.
const SIZE: u16 = u16::MAX - 1;

/// Who has which address.
#[derive(Debug, Default)]
pub struct Allocations {
    by_host: HashMap<HostOf, u16>,
    given: BTreeSet<u16>,
}

impl Allocations {
    /// Gives each host an address that has none, as far as there are any. `is_used` tells hosts that
    /// are still there: once there are no others, the addresses of those that are not are given away.
    pub fn give(&mut self, hosts: BTreeSet<HostOf>, is_used: impl Fn(&HostOf) -> bool) {
        for host in hosts {
            if self.by_host.contains_key(&host) {
                continue;
            }
            if self.given.len() >= usize::from(SIZE) {
                self.by_host.retain(|host, _| is_used(host));
                self.given = self.by_host.values().copied().collect();
            }
            if let Some(number) = next_free(preferred(&host), |number| self.given.contains(&number))
            {
                self.given.insert(number);
                self.by_host.insert(host, number);
            }
        }
    }

    /// The address of a host, if it was given one.
    pub fn of(&self, host: &HostOf) -> Option<IpAddr> {
        self.by_host.get(host).map(|number| address(*number))
    }
}

/// Whether an address is of those that are given.
pub(super) fn is_allocatable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b] == RANGE && (1..=SIZE).contains(&u16::from_be_bytes([c, d]))
        }
        IpAddr::V6(_) => false,
    }
}

/// An address for a host, of those that nobody has.
pub(super) fn choose(host: &HostOf, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    next_free(preferred(host), |number| is_taken(address(number))).map(address)
}

/// The first number from this one on that is not taken, in a circle.
fn next_free(from: u16, is_taken: impl Fn(u16) -> bool) -> Option<u16> {
    let mut numbers = (from..=SIZE).chain(1..from);
    numbers.find(|number| !is_taken(*number))
}

/// A number of 1 to [`SIZE`] that is the same wherever it is asked for (FNV-1a).
fn preferred((namespace, host): &HostOf) -> u16 {
    let bytes = namespace.bytes().chain([b'/']).chain(host.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let folded = (hash >> 16) ^ (hash & 0xffff);
    u16::try_from(folded % u32::from(SIZE)).map_or(1, |number| number + 1)
}

fn address(number: u16) -> IpAddr {
    let ([a, b], [c, d]) = (RANGE, number.to_be_bytes());
    Ipv4Addr::new(a, b, c, d).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> HostOf {
        ("shop".into(), name.into())
    }

    #[test]
    fn what_was_given_stays_and_is_the_same_after_a_restart() {
        let mut first = Allocations::default();
        first.give(BTreeSet::from([host("a.example.com")]), |_| true);
        let given = first.of(&host("a.example.com")).unwrap();
        assert!(is_allocatable(given), "{given}");
        first.give(
            (0..500)
                .map(|n| host(&format!("{n}.example.com")))
                .collect(),
            |_| true,
        );
        assert_eq!(first.of(&host("a.example.com")), Some(given));
        let mut again = Allocations::default();
        again.give(BTreeSet::from([host("a.example.com")]), |_| true);
        assert_eq!(again.of(&host("a.example.com")), Some(given));
        assert_eq!(first.of(&host("unknown.example.com")), None);
    }

    #[test]
    fn nobody_has_another_ones() {
        let mut all = Allocations::default();
        let hosts: BTreeSet<HostOf> = (0..5_000).map(|n| host(&format!("h{n}"))).collect();
        all.give(hosts.clone(), |_| true);
        let given: BTreeSet<IpAddr> = hosts.iter().filter_map(|host| all.of(host)).collect();
        assert_eq!(given.len(), hosts.len());
        assert!(given.iter().all(|address| is_allocatable(*address)));
    }

    #[test]
    fn once_all_are_given_those_that_nobody_uses_are_given_again() {
        let mut all = Allocations::default();
        let hosts: BTreeSet<HostOf> = (0..SIZE).map(|n| host(&format!("h{n}"))).collect();
        all.give(hosts, |_| true);
        all.give(BTreeSet::from([host("late")]), |_| true);
        assert_eq!(all.of(&host("late")), None);
        let gone = host("h7");
        let was = all.of(&gone);
        all.give(BTreeSet::from([host("late")]), |host| *host != gone);
        assert_eq!((all.of(&host("late")), all.of(&gone)), (was, None));
    }

    #[test]
    fn the_ends_of_the_range_are_never_given() {
        for (text, fits) in [
            ("240.240.0.0", false),
            ("240.240.0.1", true),
            ("240.240.255.254", true),
            ("240.240.255.255", false),
            ("240.241.0.1", false),
            ("2001:2::1", false),
        ] {
            assert_eq!(is_allocatable(text.parse().unwrap()), fits, "{text}");
        }
        let only = choose(&host("x"), |address| address.to_string() != "240.240.0.1");
        assert_eq!(
            only.map(|address| address.to_string()).as_deref(),
            Some("240.240.0.1")
        );
        assert_eq!(choose(&host("x"), |_| true), None);
    }
}
