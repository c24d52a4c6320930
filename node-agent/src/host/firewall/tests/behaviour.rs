//! What rules do to packets: the table that every packet filter is held to.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use ambit_netsys::sockets::{self, Outgoing};
use tokio::net::{TcpSocket, UdpSocket};

use super::stray::{ACK, SYN, stray};
use super::wire::{
    self, DEAD, FAMILIES, Family, PORT, Wire, captured, connect, direct, greet, with,
};
use super::*;
use crate::ports;

with_every_filter! {
    new_connections_are_redirected_out_and_in_and_nothing_else_is
    open_connections_survive_capture_and_drain
    a_repeated_load_leaves_no_moment_that_is_direct
    a_change_of_filter_leaves_no_moment_that_is_direct
    a_probe_reaches_the_mesh_only_where_something_listens
    the_leg_to_the_application_has_the_clients_own_port
    marked_packets_with_a_foreign_source_do_not_leave
    a_stray_packet_opens_no_way_around
    a_first_packet_before_the_application_listens_opens_no_way_around
}

/// Everything that a capture changes, as an enrolment does it.
async fn set_up(wire: &Wire, rules: Rules) {
    let netns = wire::netns(wire);
    take(&netns, &rules::routing(true)).await.unwrap();
    load(&netns, rules, &wire.capture()).await.unwrap();
    take(&netns, &rules::tracking()).await.unwrap();
}

async fn new_connections_are_redirected_out_and_in_and_nothing_else_is(rules: Rules) {
    let wire = Wire::make("redirect");
    assert_eq!(with(&wire.all().await), direct());
    set_up(&wire, rules).await;
    assert_eq!(with(&wire.all().await), captured());
    for family in FAMILIES {
        let tunnel = wire.inward(family, ports::HBONE).await.unwrap();
        assert_eq!(tunnel.with, "tunnel");
        let own = connect(&wire.pod, None, (family.pod, PORT).into()).await;
        assert_eq!(own.unwrap().with, "app", "to its own address");
        datagrams_pass(&wire, family).await;
        let (version, pod, peer) = match family.pod.is_ipv4() {
            true => ("-4", family.pod, family.peer),
            false => ("-6", family.pod, family.peer),
        };
        for (from, to) in [(&wire.pod, peer), (&wire.node, pod)] {
            let report = from.shell(&format!("ping {version} -c 1 -W 2 {to}"));
            assert!(report.contains("1 received"), "{report}");
        }
    }
    for duty in [Duty::Drain, Duty::Nothing] {
        load(&wire::netns(&wire), rules, &duty).await.unwrap();
        assert_eq!(with(&wire.all().await), direct(), "{duty:?}");
    }
}

/// One datagram each way on the ports that TCP is redirected from.
async fn datagrams_pass(wire: &Wire, family: Family) {
    let bind = |at: &Namespace, address: SocketAddr| {
        let bind = || {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        UdpSocket::from_std(at.open().run(bind).unwrap().unwrap()).unwrap()
    };
    let [pod, peer] = [(&wire.pod, family.pod), (&wire.node, family.peer)]
        .map(|(at, ip)| bind(at, (ip, PORT).into()));
    for (from, to, address) in [(&pod, &peer, family.peer), (&peer, &pod, family.pod)] {
        from.send_to(b"datagram", (address, PORT)).await.unwrap();
        let mut buffer = [0; 16];
        let heard = tokio::time::timeout(Duration::from_secs(3), to.recv_from(&mut buffer)).await;
        assert_eq!(heard.unwrap().unwrap().1, from.local_addr().unwrap());
    }
}

async fn open_connections_survive_capture_and_drain(rules: Rules) {
    let wire = Wire::make("survive");
    let netns = wire::netns(&wire);
    let mut open = wire.all().await;
    set_up(&wire, rules).await;
    for (duty, expected) in [
        (wire.capture(), captured()),
        (Duty::Drain, direct()),
        (wire.capture(), captured()),
        (Duty::Drain, direct()),
    ] {
        load(&netns, rules, &duty).await.unwrap();
        let fresh = wire.all().await;
        assert_eq!(with(&fresh), expected);
        open.extend(fresh);
        for talk in &mut open {
            talk.goes_on().await;
        }
    }
}

/// Connects for as long as something else takes; fails if a connection is not captured.
async fn captured_meanwhile<T>(wire: &Wire, mut work: impl Future<Output = T> + Unpin) -> T {
    loop {
        let looked = async {
            let talks = wire.all().await;
            assert_eq!(with(&talks), captured());
        };
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = looked => {}
        }
    }
}

async fn a_repeated_load_leaves_no_moment_that_is_direct(rules: Rules) {
    let wire = Wire::make("again");
    let netns = wire::netns(&wire);
    set_up(&wire, rules).await;
    let work = async {
        for _ in 0..10 {
            load(&netns, rules, &wire.capture()).await.unwrap();
        }
    };
    captured_meanwhile(&wire, Box::pin(work)).await;
}

async fn a_change_of_filter_leaves_no_moment_that_is_direct(rules: Rules) {
    let wire = Wire::make("change");
    let netns = wire::netns(&wire);
    set_up(&wire, rules).await;
    let mut open = wire.all().await;
    let others = [Rules::Nft, Rules::IptablesNft, Rules::IptablesLegacy];
    let work = async {
        for other in others.into_iter().filter(|other| *other != rules) {
            for (new, old) in [(other, rules), (rules, other)] {
                load(&netns, new, &wire.capture()).await.unwrap();
                load(&netns, old, &Duty::Nothing).await.unwrap();
            }
        }
    };
    captured_meanwhile(&wire, Box::pin(work)).await;
    for talk in &mut open {
        talk.goes_on().await;
    }
}

async fn a_probe_reaches_the_mesh_only_where_something_listens(rules: Rules) {
    let wire = Wire::make("probe");
    set_up(&wire, rules).await;
    for family in FAMILIES {
        let alive = wire.probe(family, PORT).await.unwrap();
        assert!(alive.with.starts_with("in "), "{}", alive.with);
        let dead = wire.probe(family, DEAD).await.unwrap_err();
        assert_eq!(dead.kind(), ErrorKind::ConnectionRefused, "{dead}");
        // One that listens on one address alone counts too.
        let listen = || std::net::TcpListener::bind((family.pod, DEAD));
        let listener = wire.pod.open().run(listen).unwrap().unwrap();
        let alive = wire.probe(family, DEAD).await.unwrap();
        assert!(alive.with.starts_with("in "), "{}", alive.with);
        drop(listener);
        // Anybody else is let in even so: 15006 refuses with a reason.
        let other = wire.inward(family, DEAD).await.unwrap();
        assert!(other.with.starts_with("in "), "{}", other.with);
    }
}

async fn the_leg_to_the_application_has_the_clients_own_port(rules: Rules) {
    let wire = Wire::make("leg");
    for (family, kind) in FAMILIES.into_iter().zip([Outgoing::App4, Outgoing::App6]) {
        // The round before has ended with a drain.
        set_up(&wire, rules).await;
        let to = (family.pod, PORT).into();
        let client = (family.peer, 33_333).into();
        let mut inbound = connect(&wire.node, Some(client), to).await.unwrap();
        assert!(inbound.with.starts_with("in "), "{}", inbound.with);
        let mut legs = Vec::new();
        for (duty, port) in [(wire.capture(), 33_333), (Duty::Drain, 33_334)] {
            load(&wire::netns(&wire), rules, &duty).await.unwrap();
            let socket = wire.pod.open().run(|| sockets::outgoing(kind));
            let socket = socket.unwrap().unwrap();
            sockets::bind_foreign(&socket, (family.peer, port).into()).unwrap();
            let leg = greet(TcpSocket::from_std_stream(socket.into()), to).await;
            legs.push(leg.unwrap());
            for leg in &mut legs {
                assert_eq!(leg.with, "app");
                leg.goes_on().await;
            }
            inbound.goes_on().await;
        }
    }
}

async fn marked_packets_with_a_foreign_source_do_not_leave(rules: Rules) {
    let wire = Wire::make("foreign");
    wire.node.shell(
        "nft 'add table inet seen; add counter inet seen foreign; \
              add chain inet seen every { type filter hook prerouting priority -400; }; \
              add rule inet seen every ip saddr 10.9.9.9 counter name foreign; \
              add rule inet seen every ip6 saddr fd00:244:9::9 counter name foreign'",
    );
    let seen = || {
        let shown = wire.node.shell("nft list counters table inet seen");
        let words = shown.split_ascii_whitespace();
        let mut packets = words.skip_while(|word| *word != "packets").skip(1);
        packets.next().unwrap().parse::<u64>().unwrap()
    };
    let send = |family: Family, mark| {
        let domain = socket2::Domain::for_address((family.foreign, 0).into());
        let send = || {
            let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
            match family.foreign.is_ipv4() {
                true => socket.set_ip_transparent_v4(true)?,
                false => socket.set_ip_transparent_v6(true)?,
            }
            socket.bind_device(Some(b"eth0"))?;
            socket.set_mark(mark)?;
            socket.bind(&SocketAddr::from((family.foreign, 5000)).into())?;
            socket.send_to(b"?", &SocketAddr::from((family.peer, PORT)).into())
        };
        wire.pod.open().run(send).unwrap()
    };
    let all = || {
        let marks = [sockets::APP_MARK, sockets::WORLD_MARK];
        FAMILIES
            .into_iter()
            .flat_map(move |family| marks.map(|mark| (family, mark)))
    };
    for (family, mark) in all() {
        send(family, mark).unwrap();
    }
    // Neighbours may have to be found first.
    let start = std::time::Instant::now();
    while seen() < 4 && start.elapsed() < Duration::from_secs(3) {
        tokio::task::yield_now().await;
    }
    assert_eq!(seen(), 4, "the control: without rules they leave");
    for duty in [wire.capture(), Duty::Drain] {
        load(&wire::netns(&wire), rules, &duty).await.unwrap();
        for (family, mark) in all() {
            // The kernel may say that it was not permitted, or nothing.
            drop(send(family, mark));
        }
        assert_eq!(seen(), 4, "{duty:?}");
    }
}

async fn a_stray_packet_opens_no_way_around(rules: Rules) {
    let wire = Wire::make("stray");
    set_up(&wire, rules).await;
    // As if something had got past the setting: with it, no stray packet makes an entry.
    wire.pod
        .shell("echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_loose");
    for family in FAMILIES {
        let inside = |port| SocketAddr::new(family.pod, port);
        let outside = |port| SocketAddr::new(family.peer, port);
        stray(ACK, &wire.node, outside(20_001), inside(PORT));
        let strange = connect(&wire.node, Some(outside(20_001)), inside(PORT)).await;
        assert_eq!(strange.unwrap_err().kind(), ErrorKind::TimedOut, "in");
        let usual = connect(&wire.node, Some(outside(20_002)), inside(PORT)).await;
        assert!(usual.unwrap().with.starts_with("in "));
        let node = SocketAddr::new(family.node, 20_004);
        stray(ACK, &wire.node, node, inside(PORT));
        let strange = connect(&wire.node, Some(node), inside(PORT)).await;
        assert_eq!(
            strange.unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "from the node"
        );

        stray(ACK, &wire.node, outside(PORT), inside(20_003));
        let strange = connect(&wire.pod, Some(inside(20_003)), outside(PORT)).await;
        assert_ne!(
            strange.map_or_else(|e| e.to_string(), |talk| talk.with),
            "peer",
            "out"
        );
    }
}

/// Where nothing listens the node's first packets are not redirected, and a signed one gets no
/// answer that would end its entry.
async fn a_first_packet_before_the_application_listens_opens_no_way_around(rules: Rules) {
    let wire = Wire::make("early");
    set_up(&wire, rules).await;
    for family in FAMILIES {
        let (node, to) = ((family.node, 20_005).into(), (family.pod, DEAD).into());
        stray(SYN, &wire.node, node, to);
        wire.start_application(family, DEAD);
        let early = connect(&wire.node, Some(node), to).await;
        let early = early.map_or_else(|error| error.to_string(), |talk| talk.with);
        assert!(early.starts_with("in "), "{early}");
    }
}
