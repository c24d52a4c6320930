//! A service is bound to its waypoint and unbound again while it is called.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ambit_e2e::clients::get;
use ambit_e2e::lab::Pod;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::programs;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, WAYPOINT, World};
use ambit_e2e::yaml;

/// Callers at once, each with a new connection for every request.
const CALLERS: usize = 4;
/// Requests that each stretch lasts, bound or not.
const STRETCH: u64 = 400;

/// What callers have seen so far.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    answered: AtomicU64,
    through: AtomicU64,
}

/// Calls until told to stop; every call has to succeed.
fn call(client: &Pod, at: std::net::SocketAddr, waypoint: &str, seen: &Seen) {
    while !seen.stop.load(Ordering::Relaxed) {
        let answer = get(client.namespace(), at, "/").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        if answer.body == waypoint {
            seen.through.fetch_add(1, Ordering::Relaxed);
        }
        seen.answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_label_turns_the_waypoint_on_and_off_under_load_without_a_failed_request() {
    let pods = [("client", 1), ("server", 2), ("waypoint", 2)];
    let options = Options {
        waypoints: vec![WAYPOINT.to_owned()],
        ..Options::default()
    };
    let world = World::fronted(&pods, &options, &[]).unwrap();
    let _waypoint = world.waypoint(WAYPOINT, &[]).unwrap();
    let server = world.pod("server").unwrap();
    let site = "server { listen 8080; location / { return 200 $remote_addr; } }";
    let _server = programs::nginx(&server, &world.dir("nginx"), site, HTTP.1).unwrap();
    let at = world.service("server", Family::V4, HTTP.0).unwrap();
    let address = world.pod(WAYPOINT).unwrap().ip(Family::V4).to_string();
    let client = world.pod("client").unwrap();
    let seen = Arc::new(Seen::default());
    let file = world.mesh.configuration.dir().join("cluster.yaml");
    let plain = fs::read_to_string(file).unwrap();
    let enrolled = "dataplane-mode: ambient\n";
    let labelled = plain.replacen(
        enrolled,
        &format!("{enrolled}{}", yaml::bound_to(WAYPOINT)),
        1,
    );
    assert_ne!(plain, labelled);

    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| scope.spawn(|| call(&client, at, &address, &seen)))
            .collect();
        let more = |count: &AtomicU64| {
            let goal = count.load(Ordering::Relaxed) + STRETCH;
            let enough =
                || count.load(Ordering::Relaxed) >= goal || callers.iter().any(|c| c.is_finished());
            wait_until("requests to be answered", Duration::from_secs(60), enough).unwrap();
        };
        let bind = |bound: bool| {
            let text = if bound { &labelled } else { &plain };
            world.mesh.configuration.apply("cluster", text).unwrap();
            world.await_bound("server", bound).unwrap();
        };
        more(&seen.answered);
        assert_eq!(seen.through.load(Ordering::Relaxed), 0);
        for _ in 0..3 {
            bind(true);
            more(&seen.through);
            bind(false);
            more(&seen.answered);
        }
        seen.stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
    });
}
