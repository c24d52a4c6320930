//! The first thing a mesh must do: a call arrives, from whom it came, and nobody can read it.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use ambit_e2e::capture::Capture;
use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::lab::address::Family;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_for;
use ambit_e2e::world::{World, identity};

use crate::support::{SOON, seen_by_server};

const MARKER: &[u8] = b"the-quick-brown-secret-0123456789";
const TLS13: u16 = 0x0304;

fn world() -> World {
    World::start(&[("client", 1), ("server", 2), ("neighbour", 1)]).unwrap()
}

#[test]
fn a_call_by_service_or_pod_address_arrives_with_the_clients_own_address() {
    let world = world();
    let client = world.pod("client").unwrap();
    for name in ["server", "neighbour"] {
        let pod = world.pod(name).unwrap();
        let _who = Server::start(&pod, 9000, servers::who).unwrap();
        for family in Family::BOTH {
            let expected = client.ip(family).to_string();
            assert_eq!(seen_by_server(&world, "client", name, family), expected);
            let direct = SocketAddr::new(pod.ip(family), 9000);
            let mut seen = String::new();
            let mut stream = connect(client.namespace(), direct).unwrap();
            stream.read_to_string(&mut seen).unwrap();
            assert_eq!(seen, expected);
        }
    }
}

#[test]
fn between_nodes_and_within_one_the_wire_shows_tls_1_3_and_no_plaintext() {
    let world = world();
    let client = world.pod("client").unwrap();
    let node = &world.lab.node(1).unwrap().namespace;
    for (name, namespace, link) in [
        ("server", &**world.lab.wan(), "node1"),
        ("neighbour", node, "p0"),
    ] {
        let _echo = Server::start(&world.pod(name).unwrap(), 9000, servers::echo).unwrap();
        let capture = Capture::start(namespace, link, world.lab.dir(), name).unwrap();
        for family in Family::BOTH {
            let at = world.service(name, family, 9000).unwrap();
            let echoed = exchange(client.namespace(), at, &MARKER.repeat(100)).unwrap();
            assert_eq!(echoed, MARKER.repeat(100));
        }
        let seen = capture.stop().unwrap();
        assert_eq!(
            seen.holding(&MARKER[..12]).count(),
            0,
            "plaintext on the way to {name}"
        );
        assert!(
            seen.tcp_bytes(15008) > 2 * 2 * MARKER.len() * 100,
            "{:?}",
            seen.bytes_by_port()
        );
        assert_eq!(seen.tcp_bytes(9000), 0);
        let families = [true, false].map(|v4| {
            seen.on_port(15008)
                .filter(|packet| packet.source.is_ipv4() == v4)
                .count()
        });
        assert!(families.iter().all(|packets| *packets > 0), "{families:?}");
        let versions = seen.tls_versions(15008);
        assert!(
            versions.len() >= 2 && versions.iter().all(|v| *v == TLS13),
            "{versions:x?}"
        );
    }
}

#[test]
fn without_capture_the_same_call_is_readable_on_the_wire() {
    // The control of the test above: the capture does see what is plain.
    let world = World::prepare(&[("client", 1), ("server", 2)], &Default::default()).unwrap();
    let server = world.pod("server").unwrap();
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    let capture = Capture::start(world.lab.wan(), "node1", world.lab.dir(), "plain").unwrap();
    let at = SocketAddr::new(server.ip(Family::V4), 9000);
    exchange(world.pod("client").unwrap().namespace(), at, MARKER).unwrap();
    assert!(capture.stop().unwrap().holding(MARKER).count() >= 2);
}

#[test]
fn both_agents_log_and_count_the_call_with_both_identities_and_mutual_tls() {
    let world = world();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let client = world.pod("client").unwrap();
    exchange(client.namespace(), at, &[b'x'; 1000]).unwrap();
    for (node, direction, reporter) in [(1, "outbound", "source"), (2, "inbound", "destination")] {
        let pages = world.mesh.agent(node).unwrap().pages();
        let line = wait_for("the access log's line", SOON, || {
            pages
                .access_log()
                .into_iter()
                .find(|line| line.text("direction") == direction)
        });
        let line = line.unwrap();
        assert_eq!(line.text("src.identity"), identity("client"));
        assert_eq!(line.text("dst.identity"), identity("server"));
        assert_eq!(
            (line.number("bytes_sent"), line.number("bytes_recv")),
            (1000, 1000)
        );
        let labels = [
            &format!("reporter=\"{reporter}\""),
            "connection_security_policy=\"mutual_tls\"",
            "source_workload=\"client\"",
            "destination_workload=\"server\"",
            "destination_service_name=\"server\"",
            &format!("source_principal=\"{}\"", identity("client")),
            &format!("destination_principal=\"{}\"", identity("server")),
        ];
        for (name, expected) in [
            ("istio_tcp_connections_opened_total", 1.0),
            ("istio_tcp_connections_closed_total", 1.0),
            ("istio_tcp_sent_bytes_total", 1000.0),
            ("istio_tcp_received_bytes_total", 1000.0),
        ] {
            let value = pages.metric(name, &labels).unwrap();
            assert!(
                (value - expected).abs() < 0.5,
                "{name} on node {node} is {value}"
            );
        }
        assert_eq!(promtool(&pages.metrics().unwrap()), "", "node {node}");
    }
}

#[test]
fn clients_outside_the_mesh_are_counted_as_not_secured_and_pods_by_their_workload() {
    let world = World::prepare(&[("client", 1), ("server", 2)], &Default::default()).unwrap();
    let server = world.pod("server").unwrap();
    let _echo = Server::start(&server, 9000, servers::echo).unwrap();
    world.enrol("server").unwrap();
    let at = SocketAddr::new(server.ip(Family::V4), 9000);
    exchange(world.pod("client").unwrap().namespace(), at, MARKER).unwrap();
    // As the kubelet does, and who comes by a NodePort.
    let node = world.lab.node(2).unwrap();
    exchange(&node.namespace, at, MARKER).unwrap();
    // The series that the chart's alert MTLSConnectionCoverageDrop is made of, as in its test.
    let opened = |policy: &str, source: &str| {
        let (policy, source) = (
            format!("connection_security_policy=\"{policy}\""),
            format!("source_workload=\"{source}\""),
        );
        let labels = [
            "reporter=\"destination\"",
            policy.as_str(),
            source.as_str(),
            "destination_workload=\"server\"",
        ];
        let pages = world.mesh.agent(2).unwrap().pages();
        let count = pages.metric("istio_tcp_connections_opened_total", &labels);
        count.unwrap_or_default()
    };
    let sources = ["client", "unknown"];
    wait_for("the connections to be counted", SOON, || {
        let counts = sources.map(|source| opened("unknown", source));
        (counts == [1.0, 1.0]).then_some(())
    })
    .unwrap();
    for policy in ["mutual_tls", "none"] {
        let counts = sources.map(|source| opened(policy, source));
        assert!(counts == [0.0, 0.0], "{policy}: {counts:?}");
    }
}

/// What Prometheus' own tool says against a page of metrics.
fn promtool(page: &str) -> String {
    let mut program = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).unwrap();
    drop(stdin);
    let output = program.wait_with_output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_port_where_nothing_listens_ends_the_connection_at_once() {
    let world = world();
    let client = world.pod("client").unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let started = std::time::Instant::now();
    // The redirection accepts; what the application sees is a connection that is reset.
    let mut stream = connect(client.namespace(), at).unwrap();
    stream.write_all(b"anybody there?").ok();
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    assert!(ended.is_err() || answer.is_empty());
    assert!(started.elapsed() < SOON / 2, "{:?}", started.elapsed());
    crate::support::assert_refused(&world, 2, "connect_refused");
}
