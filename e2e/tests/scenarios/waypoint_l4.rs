//! The way through a waypoint, as the agents at both ends see to it. The waypoint is a peer of our
//! own making, with the identity of the waypoint's pod: it judges nobody and notes what it is asked.

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};

use ambit_e2e::capture::Capture;
use ambit_e2e::clients::{connect, exchange};
use ambit_e2e::forge::{Forger, Leaf, Life};
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{AccessLine, Options};
use ambit_e2e::peer::{HBONE, Outcome, Waypoint, ask, hear};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{NAMESPACE, SPREAD, WAYPOINT, World, identity};
use ambit_e2e::yaml;

use crate::support::{SOON, assert_refused};

/// A client and a server that are captured, a stranger that is not, and the pods of a waypoint that
/// the server's service is bound to.
fn world(waypoints: &[&str]) -> World {
    let mut pods = vec![("client", 1), ("server", 2), ("stranger", 1)];
    pods.extend(waypoints.iter().map(|name| (*name, 2)));
    let options = Options {
        waypoints: waypoints.iter().map(ToString::to_string).collect(),
        bound: vec!["server".to_owned()],
        ..Options::default()
    };
    World::fronted(&pods, &options, &["stranger"]).unwrap()
}

fn leaf(world: &World, name: &str) -> Leaf {
    let thief = Forger::with_the_meshs_key(world.mesh.control_plane.state()).unwrap();
    thief.sign(&identity(name), Life::Now).unwrap()
}

/// The waypoint in the pod of that name.
fn waypoint(world: &World, name: &str) -> Waypoint {
    let server = world.pod("server").unwrap().ip(Family::V4);
    let pod = world.pod(name).unwrap();
    Waypoint::start(&pod, leaf(world, "waypoint"), server).unwrap()
}

fn ip(world: &World, name: &str) -> IpAddr {
    world.pod(name).unwrap().ip(Family::V4)
}

fn echoes(world: &World, at: SocketAddr) -> bool {
    let client = world.pod("client").unwrap();
    exchange(client.namespace(), at, b"through").is_ok_and(|got| got == b"through")
}

/// Whom the application sees when the client calls it.
fn seen(world: &World, at: SocketAddr) -> String {
    let mut stream = connect(world.pod("client").unwrap().namespace(), at).unwrap();
    let mut seen = String::new();
    stream.read_to_string(&mut seen).unwrap();
    seen
}

/// The first line of a node's access log about a connection that ended well.
fn logged(world: &World, node: u8, direction: &str) -> AccessLine {
    let pages = world.mesh.agent(node).unwrap().pages();
    let line = wait_for("the access log's line", SOON, || {
        let mut lines = pages.access_log().into_iter();
        lines.find(|line| line.text("direction") == direction && line.reason().is_empty())
    });
    line.unwrap()
}

#[test]
fn a_bound_service_is_called_through_its_waypoint_and_the_application_sees_the_client() {
    let world = world(&["waypoint"]);
    let server = world.pod("server").unwrap();
    let _who = Server::start(&server, 9000, servers::who).unwrap();
    let gate = waypoint(&world, "waypoint");
    let wan = world.lab.wan();
    let capture = Capture::start(wan, "node1", world.lab.dir(), "bound").unwrap();
    let (client, at) = (
        ip(&world, "client"),
        world.service("server", Family::V4, 9000).unwrap(),
    );
    for _ in 0..2 {
        assert_eq!(seen(&world, at), client.to_string());
    }

    let asked = gate.asked();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert_eq!((asked.from, asked.authority), (client, at.to_string()));
        let forwarded = format!("for=\"{client}:");
        assert!(
            asked.forwarded.starts_with(&forwarded),
            "{}",
            asked.forwarded
        );
    }
    let captured = capture.stop().unwrap();
    let from_client = captured
        .packets()
        .iter()
        .filter(|p| p.source.ip() == client);
    let mut reached: Vec<_> = from_client.map(|packet| packet.destination).collect();
    reached.dedup();
    let gate_at = SocketAddr::new(ip(&world, "waypoint"), HBONE);
    assert_eq!(reached, [gate_at], "the client's node spoke to others");
    assert_reports(&world, client, gate_at);
}

/// Each agent names the waypoint as the other end, and the service as what was called.
fn assert_reports(world: &World, client: IpAddr, gate: SocketAddr) {
    let out = logged(world, 1, "outbound");
    assert_eq!(out.text("dst.workload"), "waypoint");
    assert_eq!(out.text("dst.identity"), identity("waypoint"));
    assert_eq!(out.text("dst.hbone_addr"), gate.to_string());
    let hostname = "server.shop.svc.cluster.local";
    assert_eq!(out.text("dst.service"), hostname);
    let into = logged(world, 2, "inbound");
    assert_eq!(into.text("src.workload"), "waypoint");
    assert_eq!(into.text("src.identity"), identity("waypoint"));
    let told = into.text("src.forwarded_addr");
    assert!(told.starts_with(&format!("{client}:")), "{told}");
    for (node, labels) in [
        (
            1,
            [
                "source_workload=\"client\"",
                "destination_workload=\"waypoint\"",
            ],
        ),
        (
            2,
            [
                "source_workload=\"waypoint\"",
                "destination_workload=\"server\"",
            ],
        ),
    ] {
        let service = format!("destination_service=\"{hostname}\"");
        let labels = [labels[0], labels[1], &service];
        let pages = world.mesh.agent(node).unwrap().pages();
        let opened = pages.metric("istio_tcp_connections_opened_total", &labels);
        assert!((opened.unwrap() - 2.0).abs() < 0.5, "on node {node}");
    }
}

#[test]
fn without_its_waypoint_a_bound_service_is_refused_and_never_reached() {
    let world = world(&["waypoint"]);
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let gate = waypoint(&world, "waypoint");
    assert!(echoes(&world, at), "the control of what follows");
    let capture = Capture::start(world.lab.wan(), "node1", world.lab.dir(), "without").unwrap();
    drop(gate);
    assert!(!echoes(&world, at));
    assert_refused(&world, 1, "connect_refused");

    let file = world.mesh.configuration.dir().join("pods.yaml");
    let objects = fs::read_to_string(file).unwrap();
    let without = objects.replace(
        &format!("    app: waypoint\n{}", yaml::made_for(WAYPOINT)),
        "    app: none\n",
    );
    world.mesh.configuration.apply("pods", &without).unwrap();
    let agent = world.mesh.agent(1).unwrap();
    let refused = || {
        assert!(!echoes(&world, at), "a way around the waypoint");
        let log = agent.pages().access_log();
        log.iter().any(|line| line.reason() == "no_waypoint")
    };
    wait_until("the waypoint to have no endpoint", SPREAD, refused).unwrap();
    let line = assert_refused(&world, 1, "no_waypoint");
    let said = line.text("error");
    assert!(
        said.contains("shop/server") && said.contains("shop/waypoint"),
        "{said}"
    );
    let server = ip(&world, "server");
    let captured = capture.stop().unwrap();
    let around = |p: &&ambit_e2e::capture::Packet| p.destination.ip() == server;
    assert_eq!(captured.packets().iter().filter(around).count(), 0);
}

#[test]
fn where_one_endpoint_of_a_waypoint_is_dead_the_other_serves_every_connection() {
    let world = world(&["waypoint", "dead"]);
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let gate = waypoint(&world, "waypoint");
    let capture = Capture::start(world.lab.wan(), "node1", world.lab.dir(), "dead").unwrap();
    for _ in 0..20 {
        assert!(echoes(&world, at));
    }
    assert_eq!(gate.asked().len(), 20);
    let dead = ip(&world, "dead");
    let captured = capture.stop().unwrap();
    let tried = |p: &&ambit_e2e::capture::Packet| p.destination.ip() == dead;
    assert!(
        captured.packets().iter().any(|p| tried(&p)),
        "the dead one was never picked"
    );
}

#[test]
fn what_is_forwarded_is_believed_from_the_waypoint_only_and_so_is_its_judgement() {
    let world = world(&["waypoint"]);
    let _who = Server::start(&world.pod("server").unwrap(), 9000, servers::who).unwrap();
    let server = ip(&world, "server");
    let authority = SocketAddr::new(server, 9000).to_string();
    let dial = |pod: &Pod| connect(pod.namespace(), SocketAddr::new(server, HBONE)).unwrap();
    let (gate, stranger) = (
        world.pod("waypoint").unwrap(),
        world.pod("stranger").unwrap(),
    );
    let forged = "for=\"10.77.0.1:4000\"";
    for (pod, account, expected) in [
        (&gate, "waypoint", "10.77.0.1".to_owned()),
        (&gate, "stranger", gate.v4.to_string()),
        (&stranger, "stranger", stranger.v4.to_string()),
        (&stranger, "waypoint", stranger.v4.to_string()),
    ] {
        let heard = hear(dial(pod), &leaf(&world, account), &authority, forged);
        assert_eq!(heard.unwrap(), expected, "{account} from {}", pod.name);
    }

    // The waypoint is not among those that the policy lets in; its clients may be.
    let rule = yaml::from_principal(NAMESPACE, "client");
    let allow = yaml::authorization_policy(NAMESPACE, "allow", "server", "ALLOW", &rule);
    world.mesh.configuration.apply("allow", &allow).unwrap();
    let knock = |pod: &Pod, account: &str| {
        ask(dial(pod), Some(&leaf(&world, account)), &authority).unwrap()
    };
    let refused = || knock(&stranger, "stranger") == Outcome::Answered(401);
    wait_until("the policy to bite", SOON, refused).unwrap();
    assert_eq!(knock(&gate, "waypoint"), Outcome::Answered(200));
    assert_eq!(knock(&stranger, "waypoint"), Outcome::Answered(401));
    let _gate = waypoint(&world, "waypoint");
    let at = world.service("server", Family::V4, 9000).unwrap();
    assert_eq!(
        seen(&world, at),
        world.pod("client").unwrap().v4.to_string()
    );
}
