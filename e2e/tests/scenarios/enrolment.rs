//! Capturing and releasing a pod that runs: what is open goes on, what is new follows the change.

use std::net::SocketAddr;

use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, World, uid};

use crate::load::{Callers, Paced};
use crate::support::SOON;

/// Connections that the agent of a node has carried for its pods so far.
fn carried(world: &World, node: u8, reporter: &str) -> f64 {
    let label = format!("reporter=\"{reporter}\"");
    let pages = world.mesh.agent(node).unwrap();
    pages
        .pages()
        .metric("istio_tcp_connections_opened_total", &[&label])
        .unwrap()
}

/// Calls from the pod `client` to the service `server`.
fn callers(world: &World) -> Callers {
    let at = world.service("server", Family::V4, 9000).unwrap();
    Callers::start(&world.pod("client").unwrap(), at, 2)
}

#[test]
fn open_connections_survive_capture_and_release_of_running_pods_in_both_directions() {
    let pods = [("pod", 1), ("peer", 2)];
    let world = World::prepare(&pods, &Options::default()).unwrap();
    let (pod, peer) = (world.pod("pod").unwrap(), world.pod("peer").unwrap());
    let _echoes = [&pod, &peer].map(|pod| Server::start(pod, 9000, servers::echo).unwrap());
    let mut open = Vec::new();
    let mut open_all = || {
        for family in Family::BOTH {
            open.push(Paced::start(&pod, SocketAddr::new(peer.ip(family), 9000)));
            open.push(Paced::start(&peer, SocketAddr::new(pod.ip(family), 9000)));
        }
        open.iter().for_each(Paced::goes_on);
        open.len()
    };
    open_all();
    world.enrol("pod").unwrap();
    open_all();
    world.enrol("peer").unwrap();
    let before = carried(&world, 1, "source");
    open_all();
    assert!(
        carried(&world, 1, "source") >= before + 2.0,
        "new connections were not captured"
    );

    world.release("pod").unwrap();
    open_all();
    world.release("peer").unwrap();
    let before = [1, 2].map(|node| carried(&world, node, "source"));
    assert_eq!(open_all(), 20);
    let after = [1, 2].map(|node| carried(&world, node, "source"));
    assert!(
        before == after,
        "connections of released pods were captured: {before:?} {after:?}"
    );
    open.into_iter().for_each(Paced::finish);
}

#[test]
fn peers_are_told_of_tunnels_only_after_capture_and_until_release() {
    let world = World::prepare(&[("client", 1), ("server", 2)], &Options::default()).unwrap();
    let agents = || world.mesh.agents.iter();
    assert!(agents().all(|agent| agent.pages().advertises(&uid("server")) == Some(false)));
    world.enrol("server").unwrap();
    world
        .mesh
        .await_advertised(&uid("server"), true, SPREAD)
        .unwrap();
    world.enrol("client").unwrap();
    world
        .mesh
        .await_advertised(&uid("client"), true, SPREAD)
        .unwrap();

    // Nobody notices the release: there is no moment at which a peer tunnels to a pod that is no
    // longer captured.
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let calling = callers(&world);
    world.release("server").unwrap();
    assert!(agents().all(|agent| agent.pages().advertises(&uid("server")) == Some(false)));
    calling.stop_without_a_failure();
}

#[test]
fn capturing_a_server_again_and_again_fails_no_call() {
    let world = World::start(&[("client", 1), ("server", 2)]).unwrap();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let calling = callers(&world);
    let at = world.service("server", Family::V4, 9000).unwrap();
    // Of the first capture; it outlives all the others.
    let paced = Paced::start(&world.pod("client").unwrap(), at);
    for _ in 0..5 {
        world.release("server").unwrap();
        paced.goes_on();
        let direct = carried(&world, 2, "destination");
        world.enrol("server").unwrap();
        let captured = || {
            calling.go_on();
            carried(&world, 2, "destination") > direct
        };
        wait_until("calls to be captured", SOON, captured).unwrap();
        paced.goes_on();
    }
    calling.stop_without_a_failure();
    paced.finish();
}
