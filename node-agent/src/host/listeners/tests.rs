use std::os::fd::AsFd;

use super::*;
use crate::host::testing::Namespace;

#[test]
fn a_pod_gets_three_ports_per_family_and_15001_on_loopback_only() {
    for (ipv6, count) in [(false, 3), (true, 6)] {
        let addresses = pod_addresses(ipv6);
        assert_eq!(addresses.len(), count);
        for address in addresses {
            let kind = kind_of(address).unwrap();
            assert_eq!(
                kind == ListenerKind::Outbound,
                address.ip().is_loopback(),
                "{address}"
            );
        }
    }
    assert!(
        page_addresses(true)
            .iter()
            .all(|address| kind_of(*address).is_none())
    );
}

#[test]
fn listeners_are_opened_in_the_namespace_all_or_none() {
    let namespace = Namespace::make("listeners");
    let netns = namespace.open();
    let opened = open(&netns, &pod_addresses(true)).unwrap();
    assert_eq!(opened.len(), 6);
    assert!(silent(&opened).is_empty());
    assert_eq!(namespace.shell("ss -Hltn | wc -l").trim(), "6");

    let error = open(&netns, &pod_addresses(true)).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:15001"), "{error}");
    drop(opened);
    assert_eq!(namespace.shell("ss -Hltn | wc -l").trim(), "0");
}

#[test]
fn a_listener_that_was_stopped_is_found_and_can_be_made_anew() {
    let namespace = Namespace::make("stopped");
    let netns = namespace.open();
    let mut opened = open(&netns, &pod_addresses(false)).unwrap();
    let stolen = opened[1].socket.as_fd().try_clone_to_owned().unwrap();
    nix::sys::socket::shutdown(
        std::os::fd::AsRawFd::as_raw_fd(&stolen),
        nix::sys::socket::Shutdown::Both,
    )
    .unwrap();
    assert_eq!(silent(&opened), [opened[1].address]);
    let address = opened.remove(1).address;
    let renewed = open(&netns, &[address]).unwrap();
    assert!(silent(&renewed).is_empty());
}
