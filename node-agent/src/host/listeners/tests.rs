use std::os::fd::AsFd;

use super::*;
use crate::host::testing::Namespace;

#[test]
fn a_pod_gets_three_ports_per_family_and_15001_on_loopback_only() {
    for (ipv6, count) in [(false, 3), (true, 6)] {
        let addresses = pod_addresses(ipv6);
        assert_eq!(addresses.len(), count);
        for address in addresses {
            let kind = kind_of(address.into()).unwrap();
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
            .all(|address| kind_of((*address).into()).is_none())
    );
}

#[test]
fn questions_about_names_have_a_port_of_their_own_by_udp_and_tcp() {
    let namespace = Namespace::make("names");
    let netns = namespace.open();
    let opened = open(&netns, &name_places(true)).unwrap();
    let kinds: Vec<_> = opened
        .iter()
        .map(|listener| kind_of(listener.place))
        .collect();
    let both = [ListenerKind::DnsStream, ListenerKind::DnsDatagram].map(Some);
    assert_eq!(kinds, [both, both].concat());
    assert!(opened.iter().all(|listener| listener.is_for_names()));
    assert_eq!(
        namespace.shell("ss -Hlun sport = 15053 | wc -l").trim(),
        "2"
    );
    assert_eq!(
        namespace.shell("ss -Hltn sport = 15053 | wc -l").trim(),
        "2"
    );
    assert!(silent(&opened).is_empty());
    // What another role opened is told apart by the sockets themselves.
    for listener in &opened {
        let socket = listener.socket.as_fd().try_clone_to_owned().unwrap();
        let taken = Listener::taken_over(listener.place.address, socket);
        assert_eq!(taken.place, listener.place);
    }
    // One that was made to hear a single peer hears nobody else.
    let stolen = std::net::UdpSocket::from(opened[1].socket.as_fd().try_clone_to_owned().unwrap());
    stolen.connect("127.0.0.1:9").unwrap();
    assert_eq!(silent(&opened), [opened[1].place]);
    sockets::disconnect(&stolen).unwrap();
    assert!(silent(&opened).is_empty());
    let port = stolen.local_addr().unwrap();
    assert_eq!(port, opened[1].place.address, "it keeps its address");
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
    assert_eq!(silent(&opened), [opened[1].place]);
    let place = opened.remove(1).place;
    let renewed = open(&netns, &[place]).unwrap();
    assert!(silent(&renewed).is_empty());
}
