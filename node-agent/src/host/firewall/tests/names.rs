//! Questions about names: redirected by UDP and TCP, but those of the proxy.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ambit_netsys::sockets::{self, Outgoing};
use tokio::net::UdpSocket;

use super::wire::{self, FAMILIES, Family, PORT, Wire, connect};
use super::*;
use crate::ports;

with_every_filter! {
    questions_are_redirected_and_those_of_the_proxy_are_not
    questions_to_other_servers_are_left_alone
    a_question_from_a_port_that_a_client_has_used_is_the_proxys_own
    a_socket_that_stays_open_asks_where_the_rules_say_once_its_flow_is_forgotten
}

/// Where resolvers listen.
const DNS: u16 = 53;
/// How long a packet may take; one lost is sent again.
const PATIENCE: Duration = Duration::from_secs(3);

fn with_names(wire: &Wire) -> Duty {
    match wire.capture() {
        Duty::Capture(input) => Duty::Capture(input.with_dns(&FAMILIES.map(|family| family.peer))),
        other => other,
    }
}

/// Something that answers by UDP with a word.
fn answer(at: &Namespace, address: (IpAddr, u16), word: &'static str) {
    let socket = bound(at, address.into());
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(word.as_bytes(), from).await.ok();
        }
    });
}

fn bound(at: &Namespace, address: SocketAddr) -> UdpSocket {
    let socket = when_free(|| {
        at.open()
            .run(|| sockets::datagram_listener(address))
            .unwrap()
    });
    UdpSocket::from_std(socket.into()).unwrap()
}

/// A port that was let go may be held for a moment by a program that another test is starting.
fn when_free<T>(bind: impl Fn() -> io::Result<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        match bind() {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && start.elapsed() < PATIENCE =>
            {
                std::thread::yield_now();
            }
            bound => return bound.unwrap(),
        }
    }
}

/// A pod with its resolver on the other side, and a stand-in for the proxy.
fn make(about: &str) -> Wire {
    let wire = Wire::make(about);
    for family in FAMILIES {
        let loopback: IpAddr = match family.pod {
            IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        wire.serve(&wire.node, (family.peer, DNS), "resolver");
        wire.serve(&wire.pod, (loopback, ports::DNS), "names");
        answer(&wire.node, (family.peer, DNS), "resolver");
        answer(&wire.node, (family.peer, PORT), "peer");
        answer(&wire.pod, (loopback, ports::DNS), "names");
        answer(&wire.pod, (family.pod, DNS), "own");
    }
    wire
}

/// Who answers a packet; the socket hears nobody but whom it asked.
async fn asked(socket: &UdpSocket, to: SocketAddr) -> String {
    socket.connect(to).await.unwrap();
    let mut buffer = [0; 64];
    for _ in 0..3 {
        socket.send(b"?").await.unwrap();
        if let Ok(Ok(length)) = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await {
            return String::from_utf8_lossy(&buffer[..length]).into_owned();
        }
    }
    "nobody".to_owned()
}

fn any(family: Family, port: u16) -> SocketAddr {
    let ip: IpAddr = match family.pod {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, port)
}

/// A socket of the proxy, bound to a port or not.
fn of_the_proxy(wire: &Wire, family: Family, port: Option<u16>) -> UdpSocket {
    let kind = match family.pod {
        IpAddr::V4(_) => Outgoing::Datagram4,
        IpAddr::V6(_) => Outgoing::Datagram6,
    };
    let made = wire.pod.open().run(|| sockets::outgoing(kind)).unwrap();
    let socket = std::net::UdpSocket::from(made.unwrap());
    if let Some(port) = port {
        let bind = || socket2::SockRef::from(&socket).bind(&any(family, port).into());
        when_free(|| wire.pod.open().run(bind).unwrap());
    }
    UdpSocket::from_std(socket).unwrap()
}

async fn questions_are_redirected_and_those_of_the_proxy_are_not(rules: Rules) {
    let wire = make("names");
    let netns = wire::netns(&wire);
    take(&netns, &rules::routing(true)).await.unwrap();
    for (duty, names, streams) in [
        (wire.capture(), "resolver", "out"),
        (with_names(&wire), "names", "names"),
        (Duty::Drain, "resolver", "resolver"),
        (Duty::Nothing, "resolver", "resolver"),
    ] {
        load(&netns, rules, &duty).await.unwrap();
        for family in FAMILIES {
            let resolver = (family.peer, DNS).into();
            let fresh = || bound(&wire.pod, any(family, 0));
            assert_eq!(asked(&fresh(), resolver).await, names, "{duty:?}");
            let talk = connect(&wire.pod, None, resolver).await.unwrap();
            assert!(talk.with.starts_with(streams), "{duty:?}: {}", talk.with);
            let proxys = of_the_proxy(&wire, family, None);
            assert_eq!(asked(&proxys, resolver).await, "resolver", "{duty:?}");
            // Other ports, and resolvers of the pod's own, are not the mesh's.
            assert_eq!(asked(&fresh(), (family.peer, PORT).into()).await, "peer");
            assert_eq!(asked(&fresh(), (family.pod, DNS).into()).await, "own");
        }
    }
}

/// Also where the resolvers are of one family only.
async fn questions_to_other_servers_are_left_alone(rules: Rules) {
    let wire = make("others");
    let netns = wire::netns(&wire);
    take(&netns, &rules::routing(true)).await.unwrap();
    // The node itself is the server that is not the mesh's.
    for family in FAMILIES {
        answer(&wire.node, (family.node, DNS), "other");
        wire.serve(&wire.node, (family.node, DNS), "other");
    }
    for captured in FAMILIES {
        let Duty::Capture(input) = wire.capture() else {
            panic!("it captures");
        };
        let duty = Duty::Capture(input.with_dns(&[captured.peer]));
        load(&netns, rules, &duty).await.unwrap();
        for family in FAMILIES {
            let is_captured = family.peer == captured.peer;
            let (resolver, other) = ((family.peer, DNS).into(), (family.node, DNS).into());
            let fresh = || bound(&wire.pod, any(family, 0));
            let wanted = if is_captured { "names" } else { "resolver" };
            assert_eq!(asked(&fresh(), resolver).await, wanted, "{duty:?}");
            assert_eq!(asked(&fresh(), other).await, "other", "{duty:?}");
            // From one port to both, as a resolver in the pod asks.
            let socket = fresh();
            assert_eq!(asked(&socket, other).await, "other", "{duty:?}");
            assert_eq!(asked(&socket, resolver).await, wanted, "{duty:?}");
            // By TCP it is a connection like any other.
            let talk = connect(&wire.pod, None, other).await.unwrap();
            assert_eq!(talk.with, format!("out {other}"), "{duty:?}");
            let proxys = of_the_proxy(&wire, family, None);
            assert_eq!(asked(&proxys, other).await, "other", "{duty:?}");
        }
    }
}

async fn a_question_from_a_port_that_a_client_has_used_is_the_proxys_own(rules: Rules) {
    let wire = make("zones");
    let netns = wire::netns(&wire);
    take(&netns, &rules::routing(true)).await.unwrap();
    load(&netns, rules, &with_names(&wire)).await.unwrap();
    for family in FAMILIES {
        let resolver = (family.peer, DNS).into();
        for port in [40_001, 40_002] {
            let client = bound(&wire.pod, any(family, port));
            assert_eq!(asked(&client, resolver).await, "names");
            drop(client);
            let proxys = of_the_proxy(&wire, family, Some(port));
            assert_eq!(asked(&proxys, resolver).await, "resolver");
            drop(proxys);
            let client = bound(&wire.pod, any(family, port));
            assert_eq!(asked(&client, resolver).await, "names");
        }
    }
}

async fn a_socket_that_stays_open_asks_where_the_rules_say_once_its_flow_is_forgotten(
    rules: Rules,
) {
    let wire = make("flows");
    let netns = wire::netns(&wire);
    take(&netns, &rules::routing(true)).await.unwrap();
    let open = FAMILIES.map(|family| (family, bound(&wire.pod, any(family, 0))));
    for (duty, who) in [
        (wire.capture(), "resolver"),
        (with_names(&wire), "names"),
        (wire.capture(), "resolver"),
        (with_names(&wire), "names"),
        (Duty::Drain, "resolver"),
    ] {
        load(&netns, rules, &duty).await.unwrap();
        netns
            .run(|| ambit_netsys::conntrack::forget_udp(DNS))
            .unwrap()
            .unwrap();
        for (family, socket) in &open {
            let resolver = (family.peer, DNS).into();
            assert_eq!(asked(socket, resolver).await, who, "{duty:?}");
        }
    }
}
