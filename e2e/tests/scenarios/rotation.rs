//! Certificates that live for seconds, and a root that is replaced under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{World, identity};
use serde_json::Value;

use crate::load::{Callers, Paced};
use crate::support::SOON;

const RENEWALS: usize = 5;
const MINUTES: Duration = Duration::from_secs(120);

/// A world whose certificates live for a few seconds.
fn short_lived() -> World {
    let options = Options {
        control_plane: vec!["--certificate-ttl".into(), "6s".into()],
        ..Options::default()
    };
    let world = World::prepare(&[("client", 1), ("server", 2)], &options).unwrap();
    world.enrol_all().unwrap();
    world
}

fn authority(world: &World) -> Value {
    let answer = world.mesh.control_plane.admin("GET", "/ca").unwrap();
    serde_json::from_str(&answer.body).unwrap()
}

/// The serial number of the certificate that a node's proxy shows for an identity.
fn serial(world: &World, node: u8, name: &str) -> Option<String> {
    let dump = world.mesh.agent(node).ok()?.pages().config_dump().ok()?;
    let listed = dump.get("certificates")?.as_array()?.clone();
    let of_name = |c: &&Value| c["identity"].as_str() == Some(&identity(name));
    Some(listed.iter().find(of_name)?["serial"].as_str()?.to_owned())
}

#[test]
fn certificates_are_renewed_many_times_and_no_call_fails() {
    let world = short_lived();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let client = world.pod("client").unwrap();
    let calling = Callers::start(&client, at, 2);
    let paced = Paced::start(&client, at);
    let mut serials = [(1, "client"), (2, "server")].map(|pod| (pod, BTreeSet::new()));
    let renewed = || {
        for ((node, name), seen) in &mut serials {
            seen.extend(serial(&world, *node, name));
        }
        serials.iter().all(|(_, seen)| seen.len() > RENEWALS)
    };
    wait_until("certificates to be renewed many times", MINUTES, renewed).unwrap();
    // No tunnel takes new connections for longer than its certificates are valid.
    let pages = world.mesh.agent(2).unwrap().pages();
    let labels = ["side=\"server\"", "result=\"ok\""];
    let tunnels = pages.metric("ambit_tls_handshakes_total", &labels).unwrap();
    assert!(tunnels > RENEWALS as f64 / 3.0, "{tunnels} tunnels");
    // The stream of the first one still carries.
    paced.finish();
    calling.stop_without_a_failure();
}

#[test]
fn the_root_is_replaced_under_load_without_a_failed_connection() {
    let world = short_lived();
    let _echo = Server::start(&world.pod("server").unwrap(), 9000, servers::echo).unwrap();
    let at = world.service("server", Family::V4, 9000).unwrap();
    let client = world.pod("client").unwrap();
    let calling = Callers::start(&client, at, 2);
    let before = authority(&world);
    let old: Vec<String> = before["roots"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(old.len(), 1);
    let answer = world
        .mesh
        .control_plane
        .admin("POST", "/ca/rotate")
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);

    let mut phases = Vec::new();
    let steady = || {
        let now = authority(&world)["phase"].clone();
        // New tunnels all the time, with whatever certificates and roots there are just now.
        if phases.last() != Some(&now) {
            phases.push(now.clone());
            for agent in &world.mesh.agents {
                agent.replace_proxy().unwrap();
            }
        }
        now == "steady"
    };
    wait_until("the rotation to end", MINUTES, steady).unwrap();
    assert!(phases.len() >= 2, "{phases:?}");
    let roots = authority(&world)["roots"].as_object().unwrap().clone();
    assert!(
        roots.len() == 1 && !roots.contains_key(&old[0]),
        "{old:?} became {roots:?}"
    );
    let trusted = || {
        world.mesh.agents.iter().all(|agent| {
            agent
                .pages()
                .config_dump()
                .is_ok_and(|dump| dump["trust"]["roots"] == 1)
        })
    };
    wait_until("every agent to drop the old root", SOON, trusted).unwrap();
    let since = Instant::now();
    calling.go_on();
    assert!(since.elapsed() < SOON);
    calling.stop_without_a_failure();
}
