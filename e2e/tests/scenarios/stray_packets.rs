//! A packet that belongs to no connection must not open a way around the mesh.
//!
//! Address translation looks at the first packet that connection tracking knows of. If that was a
//! stray one, the connection that follows with the same ports would not be redirected.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{NAMESPACE, SPREAD, World, uid};
use ambit_e2e::yaml;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::support::SOON;

const PORT: u16 = 9000;
/// How long a connection may try: first packets that are dropped get no answer.
const PATIENCE: Duration = Duration::from_secs(2);

fn v4(pod: &Pod) -> Ipv4Addr {
    match pod.ip(Family::V4) {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => panic!("{ip} is not IPv4"),
    }
}

/// An ACK from nowhere, with a TCP MD5 signature (RFC 2385) that nobody expects: the receiver
/// drops it without an answer, and no reset tells connection tracking that it meant nothing.
fn stray_ack(from: &Pod, source: u16, to: (Ipv4Addr, u16)) {
    let mut segment = Vec::new();
    segment.extend(source.to_be_bytes());
    segment.extend(to.1.to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend(1_u32.to_be_bytes());
    segment.extend([10 << 4, 0x10, 0x20, 0, 0, 0, 0, 0]);
    segment.extend([19, 18]);
    segment.extend([7; 16]);
    segment.extend([1, 1]);
    let mut summed = Vec::new();
    summed.extend(v4(from).octets());
    summed.extend(to.0.octets());
    summed.extend([0, 6, 0, 40]);
    summed.extend(&segment);
    let pairs = summed
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = pairs.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [high, low] = (!u16::try_from(sum).unwrap()).to_be_bytes();
    (segment[16], segment[17]) = (high, low);
    let sent = from.namespace().run(|| {
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap();
        raw.send_to(&segment, &SockAddr::from(SocketAddr::from(to)))
            .unwrap()
    });
    assert_eq!(sent.unwrap(), segment.len());
}

/// Connects from a port of one's own choice and says something; what came back.
fn exchange_from(pod: &Pod, port: u16, to: (Ipv4Addr, u16)) -> std::io::Result<Vec<u8>> {
    let exchange = || {
        let mut socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(SocketAddr::from(([0; 4], port))))?;
        socket.connect_timeout(&SockAddr::from(SocketAddr::from(to)), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(b"plain")?;
        let mut answer = [0; 5];
        socket.read_exact(&mut answer)?;
        Ok(answer.to_vec())
    };
    pod.namespace().run(exchange).unwrap()
}

fn carried(world: &World, node: u8, reporter: &str) -> f64 {
    let label = format!("reporter=\"{reporter}\"");
    let pages = world.mesh.agent(node).unwrap().pages();
    let name = "istio_tcp_connections_opened_total";
    pages.metric(name, &[&label]).unwrap()
}

#[test]
fn a_stray_packet_opens_no_way_around_the_mesh() {
    no_way_around(&Options::default());
}

/// Fails if one does in a mesh with these options.
pub(crate) fn no_way_around(options: &Options) {
    let pods = [("server", 2), ("stranger", 1)];
    let world = World::prepare(&pods, options).unwrap();
    world.enrol("server").unwrap();
    world
        .mesh
        .await_advertised(&uid("server"), true, SPREAD)
        .unwrap();
    let (server, stranger) = (world.pod("server").unwrap(), world.pod("stranger").unwrap());
    let _echoes = [&server, &stranger].map(|pod| Server::start(pod, PORT, servers::echo).unwrap());

    // Out: where the captured pod connects to, somebody has sent it a packet before.
    for port in [20_001, 20_002] {
        if port == 20_002 {
            stray_ack(&stranger, PORT, (v4(&server), port));
        }
        let before = carried(&world, 2, "source");
        let answer = exchange_from(&server, port, (v4(&stranger), PORT));
        let captured = carried(&world, 2, "source") > before;
        assert!(
            captured || answer.is_err(),
            "port {port} went around: {answer:?}"
        );
    }

    // In, under STRICT.
    let passes = |port| {
        exchange_from(&stranger, port, (v4(&server), PORT)).is_ok_and(|answer| !answer.is_empty())
    };
    assert!(passes(20_003), "the control: PERMISSIVE");
    let strict = yaml::peer_authentication(NAMESPACE, "default", "STRICT");
    world.mesh.configuration.apply("strict", &strict).unwrap();
    let mut ports = 20_100..;
    let refused = || !passes(ports.next().unwrap());
    wait_until("plaintext to be refused", SOON, refused).unwrap();
    stray_ack(&stranger, 21_000, (v4(&server), PORT));
    assert!(!passes(21_000), "a stray packet opened the way in");
    assert!(!passes(21_001));
}
