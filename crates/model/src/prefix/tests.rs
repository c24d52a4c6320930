use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_longest_prefix_wins_and_the_next_one_takes_over_when_it_goes() {
    let mut map = PrefixMap::default();
    map.insert(net("0.0.0.0/0"), "all");
    map.insert(net("10.0.0.0/8"), "ten");
    map.insert(net("10.1.2.3/32"), "one");
    assert_eq!(map.longest_match(ip("10.1.2.3")), Some(&"one"));
    assert_eq!(map.longest_match(ip("10.1.2.4")), Some(&"ten"));
    assert_eq!(map.longest_match(ip("192.0.2.1")), Some(&"all"));

    assert_eq!(map.remove(net("10.1.2.3/32")), Some("one"));
    assert_eq!(map.longest_match(ip("10.1.2.3")), Some(&"ten"));
    assert_eq!(map.remove(net("10.1.2.3/32")), None);
}

#[test]
fn families_do_not_meet() {
    let mut map = PrefixMap::default();
    map.insert(net("::/0"), "six");
    assert_eq!(map.longest_match(ip("10.0.0.1")), None);
    assert_eq!(map.longest_match(ip("2001:db8::1")), Some(&"six"));
}

#[test]
fn host_bits_are_ignored() {
    let mut map = PrefixMap::default();
    assert_eq!(map.insert(net("10.1.2.3/8"), 1), None);
    assert_eq!(map.insert(net("10.9.9.9/8"), 2), Some(1));
    assert_eq!(map.get(net("10.0.0.0/8")), Some(&2));
    assert_eq!(map.len(), 1);
}

/// Addresses and prefixes from a narrow space, so that they meet often.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0..4_u8, 0..4_u8).prop_map(|(a, b)| IpAddr::V4(Ipv4Addr::new(10, a, 0, b))),
        (0..4_u16, 0..4_u16)
            .prop_map(|(a, b)| IpAddr::V6(Ipv6Addr::new(0xfd00, a, 0, 0, 0, 0, 0, b))),
    ]
}

fn prefix() -> impl Strategy<Value = IpNet> {
    (address(), any::<prop::sample::Index>()).prop_map(|(address, index)| {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = u8::try_from(index.index(longest + 1)).unwrap();
        IpNet::new(address, length).unwrap().trunc()
    })
}

fn naive_longest(model: &HashMap<IpNet, u32>, address: IpAddr) -> Option<u32> {
    model
        .iter()
        .filter(|(net, _)| net.contains(&address))
        .max_by_key(|(net, _)| net.prefix_len())
        .map(|(_, value)| *value)
}

proptest! {
    #[test]
    fn look_up_equals_a_scan_of_all_prefixes_and_old_clones_stay_as_they_were(
        changes in prop::collection::vec((prefix(), prop::option::of(0..100_u32)), 1..60),
        probes in prop::collection::vec(address(), 1..20),
    ) {
        let (mut map, mut model) = (PrefixMap::default(), HashMap::new());
        let mut history = Vec::new();
        for (net, value) in changes {
            let replaced = match value {
                Some(value) => (map.insert(net, value), model.insert(net, value)),
                None => (map.remove(net), model.remove(&net)),
            };
            prop_assert_eq!(replaced.0, replaced.1);
            history.push((map.clone(), model.clone()));
        }
        for (map, model) in &history {
            prop_assert_eq!(map.len(), model.len());
            for probe in &probes {
                prop_assert_eq!(map.longest_match(*probe).copied(), naive_longest(model, *probe));
            }
        }
    }
}
