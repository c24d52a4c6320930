//! A service is bound to its waypoint and unbound again while it is called, under a policy that names
//! who may: whoever judges must know the client all the while.

use std::fs;
use std::net::SocketAddr;
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
use ambit_e2e::world::{HTTP, NAMESPACE, SPREAD, WAYPOINT, World};
use ambit_e2e::yaml;

use crate::requests::{Plan, Requests, Use};

/// Callers at once, each with a new connection for every request.
const CALLERS: usize = 4;
/// Requests that each stretch lasts, bound or not.
const STRETCH: u64 = 400;

/// Clients that keep their connections.
const LOAD: Plan = Plan {
    clients: &[(Use::Kept, 4), (Use::Once, 2), (Use::Http2, 4)],
    rate: 200,
    path: "/",
};
/// Requests of all of them between two looks.
const LOOK: u64 = 100;

/// What callers have seen so far.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    answered: AtomicU64,
    through: AtomicU64,
}

/// Calls until told to stop; every call has to succeed.
fn call(client: &Pod, at: SocketAddr, waypoint: &str, seen: &Seen) {
    while !seen.stop.load(Ordering::Relaxed) {
        let answer = get(client.namespace(), at, "/").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        if answer.body == waypoint {
            seen.through.fetch_add(1, Ordering::Relaxed);
        }
        seen.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client, a server that only this client may call, and a waypoint.
struct Scene {
    world: World,
    /// The objects without a label, and with.
    texts: [String; 2],
}

impl Scene {
    fn start() -> Self {
        let pods = [("client", 1), ("server", 2), ("waypoint", 2)];
        let options = Options {
            waypoints: vec![WAYPOINT.to_owned()],
            ..Options::default()
        };
        let world = World::fronted(&pods, &options, &[]).unwrap();
        let rule = yaml::from_principal(NAMESPACE, "client");
        let policy = yaml::authorization_policy(NAMESPACE, "p", "server", "ALLOW", &rule);
        world.mesh.configuration.apply("policy", &policy).unwrap();
        let file = world.mesh.configuration.dir().join("cluster.yaml");
        let plain = fs::read_to_string(file).unwrap();
        let enrolled = "dataplane-mode: ambient\n";
        let label = format!("{enrolled}{}", yaml::bound_to(WAYPOINT));
        let labelled = plain.replacen(enrolled, &label, 1);
        assert_ne!(plain, labelled);
        let texts = [plain, labelled];
        Self { world, texts }
    }

    fn bind(&self, bound: bool) {
        let text = &self.texts[usize::from(bound)];
        self.world
            .mesh
            .configuration
            .apply("cluster", text)
            .unwrap();
        self.world.await_bound("server", bound).unwrap();
    }

    fn at(&self) -> SocketAddr {
        self.world.service("server", Family::V4, HTTP.0).unwrap()
    }

    /// Waits until the policy is in force at the server's agent.
    fn await_policy(&self) {
        let agent = self.world.mesh.agent(2).unwrap();
        wait_until("the policy to be known", SPREAD, || {
            let dump = agent.pages().config_dump();
            dump.is_ok_and(|dump| dump["policies"].as_array().is_some_and(|p| !p.is_empty()))
        })
        .unwrap();
    }
}

#[test]
fn a_label_turns_the_waypoint_on_and_off_under_load_without_a_failed_request() {
    let scene = Scene::start();
    let world = &scene.world;
    let _waypoint = world.waypoint(WAYPOINT, &[]).unwrap();
    let server = world.pod("server").unwrap();
    let site = "server { listen 8080; location / { return 200 $remote_addr; } }";
    let _server = programs::nginx(&server, &world.dir("nginx"), site, HTTP.1).unwrap();
    scene.await_policy();
    let at = scene.at();
    let address = world.pod(WAYPOINT).unwrap().ip(Family::V4).to_string();
    let client = world.pod("client").unwrap();
    let seen = Arc::new(Seen::default());

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
        more(&seen.answered);
        assert_eq!(seen.through.load(Ordering::Relaxed), 0);
        for _ in 0..3 {
            scene.bind(true);
            more(&seen.through);
            scene.bind(false);
            more(&seen.answered);
        }
        seen.stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
    });
}

#[test]
fn connections_that_clients_keep_are_drained_when_a_binding_ends() {
    let scene = Scene::start();
    let world = &scene.world;
    let waypoint = world.waypoint(WAYPOINT, &[]).unwrap();
    let server = world.pod("server").unwrap();
    let dir = world.dir("haproxy");
    fs::create_dir_all(&dir).unwrap();
    let _server = programs::haproxy(&server, &dir, &site(), HTTP.1).unwrap();
    scene.await_policy();
    let client = world.pod("client").unwrap();
    for _ in 0..2 {
        scene.bind(true);
        // Those of connections that were made now.
        let requests = Requests::start(&client, scene.at(), LOAD);
        let through = || {
            let before = waypoint.access_log().len();
            requests.go_on_for(LOOK);
            waypoint.access_log().len() - before
        };
        let most = usize::try_from(LOOK * 9 / 10).unwrap();
        wait_until("requests to pass the waypoint", SPREAD, || {
            through() >= most
        })
        .unwrap();
        scene.bind(false);
        wait_until("all clients to go directly", SPREAD, || through() == 0).unwrap();
        // What is open stays direct, and what is new passes the waypoint.
        scene.bind(true);
        wait_until("new connections to pass it", SPREAD, || through() > 0).unwrap();
        scene.bind(false);
        wait_until("all to go directly again", SPREAD, || through() == 0).unwrap();
        let (count, failed) = requests.stop();
        assert!(failed.is_empty(), "of {count} requests: {failed:#?}");
    }
}

/// A server of HTTP/1.1 and HTTP/2 on one port.
fn site() -> String {
    let port = HTTP.1;
    format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\n\
         frontend f\n  bind :::{port} v4v6\n  http-request return status 200 content-type \
         text/plain string ok\n"
    )
}
