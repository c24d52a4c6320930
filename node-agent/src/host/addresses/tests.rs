use super::*;
use crate::host::enrol;
use crate::host::pods::PodState;
use crate::host::testing::{Ground, Namespace, names};
use ambit_netsys::NetNs;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_node_is_known_by_every_address_that_others_can_reach_the_given_ones_first() {
    let found = ips(&[
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "10.9.0.1",
        "fe80::1",
        "fd00::1",
    ]);
    let all = together(&ips(&["10.9.0.1"]), found.into_iter().collect());
    assert_eq!(all, ips(&["10.9.0.1", "10.0.0.1", "fd00::1"]));
}

#[test]
fn a_node_with_very_many_addresses_still_fits_one_message() {
    let found = (0..500u16).map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0xffff, 0xffff, 0xffff, n]));
    assert_eq!(together(&[], found.collect()).len(), MOST);
}

#[test]
fn addresses_of_interfaces_that_are_down_are_not_the_nodes() {
    let namespace = Namespace::make("ipvs");
    namespace.shell("ip link add d0 type veth peer name d1 && ip addr add 10.96.0.1/32 dev d0");
    let found = || namespace.open().run(restore::addresses).unwrap();
    assert!(!found().contains(&ips(&["10.96.0.1"])[0]));
    namespace.shell("ip link set d0 up");
    assert!(found().contains(&ips(&["10.96.0.1"])[0]));
}

#[tokio::test]
async fn rules_and_proxies_learn_a_new_address() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let netns = NetNs::open(pod.path()).unwrap();
    let state = enrol::enrol(&node.host, names("a"), netns, Some(pod.path())).await;
    assert_eq!(state.unwrap(), PodState::Captured);
    assert!(!pod.shell("nft list ruleset").contains("192.0.2.77"));
    assert!(node.host.set_node_ips(ips(&["192.0.2.77"])));
    assert!(!node.host.set_node_ips(ips(&["192.0.2.77"])), "the same");
    tell(&node.host).await;
    assert!(pod.shell("nft list ruleset").contains("192.0.2.77"));
}
