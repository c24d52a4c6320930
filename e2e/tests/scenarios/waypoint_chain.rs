//! A waypoint that calls a service which is behind another waypoint.

use std::fs;

use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Options, Waypoint};
use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, NAMESPACE, SPREAD, World, uid};
use ambit_e2e::yaml;

use crate::fronted::{http_route, route};

/// `server` behind a waypoint that sends everything to `one`, which is behind another one.
pub(crate) struct Chain {
    pub(crate) first: Waypoint,
    pub(crate) second: Waypoint,
    /// What `one` is served by.
    pub(crate) server: Scripted,
    pub(crate) world: World,
}

impl Chain {
    /// With these pods too, which are not captured, and these arguments of the control plane.
    pub(crate) fn start(more: &[(&str, u8)], control_plane: Vec<String>) -> Self {
        let meshed = [
            ("client", 1),
            ("server", 2),
            ("one", 1),
            ("waypoint", 2),
            ("second", 1),
        ];
        let options = Options {
            control_plane,
            waypoints: vec!["waypoint".to_owned()],
            bound: vec!["server".to_owned()],
            ..Options::default()
        };
        let world = World::prepare(&[&meshed, more].concat(), &options).unwrap();
        let file = world.mesh.configuration.dir().join("pods.yaml");
        let objects = with_second(&fs::read_to_string(file).unwrap());
        world.mesh.configuration.apply("pods", &objects).unwrap();
        for name in ["client", "server", "one"] {
            world.enrol(name).unwrap();
        }
        for (name, _) in meshed {
            let advertised = world.mesh.await_advertised(&uid(name), true, SPREAD);
            advertised.unwrap();
        }
        for service in ["server", "one"] {
            world.await_bound(service, true).unwrap();
        }
        world
            .mesh
            .configuration
            .apply("routes", &further())
            .unwrap();
        Self {
            first: world.waypoint("waypoint", &[]).unwrap(),
            second: world.waypoint_of("second", "second", &[]).unwrap(),
            server: Scripted::saying(&world.pod("one").unwrap(), HTTP.1, "one").unwrap(),
            world,
        }
    }
}

/// The route from `server` to `one`.
fn further() -> String {
    http_route("further", "    - backendRefs: [{name: one, port: 80}]\n")
}

/// The objects of a world, with `one` behind the waypoint `second`.
fn with_second(objects: &str) -> String {
    let labelled = |kind: &str, name: &str, labels: &str| {
        let head = format!("kind: {kind}\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n");
        (head.clone(), format!("{head}  labels:\n{labels}"))
    };
    let made = yaml::made_for("second");
    let (service, second) = labelled("Service", "second", &made);
    let (backend, bound) = labelled("Service", "one", &yaml::bound_to("second"));
    let pod = "    app: second\n";
    let changed = objects
        .replace(&service, &second)
        .replace(&backend, &bound)
        .replacen(pod, &format!("{pod}{made}"), 1);
    format!("{changed}---\n{}", yaml::waypoint(NAMESPACE, "second"))
}

#[test]
fn a_waypoint_reaches_what_is_behind_another_through_that_one_only() {
    let Chain {
        first,
        second,
        server,
        world,
    } = Chain::start(&[], Vec::new());
    let at = world.service("server", Family::V4, HTTP.0).unwrap();
    let client = world.pod("client").unwrap();
    let try_get = |path: &str| {
        let mut connection = Connection::open(client.namespace(), at).unwrap();
        connection.get(path, "")
    };
    let get = |path: &str| try_get(path).unwrap();
    let through = || get("/ready").body == "one";
    let reached = wait_until("the way through both", SPREAD, through);
    reached.unwrap_or_else(|error| panic!("{error:#}:\n{}\n{}", first.log(), second.log()));
    let by = server.heard().remove(0).header("x-forwarded-for");
    let first_pod = world.pod("waypoint").unwrap().v4;
    assert_eq!(by.unwrap_or_default(), format!("{},{first_pod}", client.v4));
    let seen = || {
        second
            .access_log()
            .iter()
            .any(|line| line["path"] == "/ready")
    };
    wait_until("the second waypoint's line", SPREAD, seen).unwrap();

    // Routes in a circle: each waypoint has the other one's service go on to its own.
    let back = "    - matches: [{path: {type: PathPrefix, value: /circle}}]\n      \
                backendRefs: [{name: server, port: 80}]\n\
                \x20   - backendRefs: [{name: one, port: 80}]\n";
    let back =
        http_route("back", back).replace("kind: Service, name: server", "kind: Service, name: one");
    world.mesh.configuration.apply("back", &back).unwrap();
    let circles = || get("/circle").status == 508;
    wait_until("a circle to be found", SPREAD, circles).unwrap();
    let reasons = || {
        let logs = [&first, &second].map(Waypoint::access_log);
        let mut lines = logs.iter().flatten();
        lines.any(|line| line["reason"] == "too_many_hops")
    };
    wait_until("its line", SPREAD, reasons).unwrap();
    assert_eq!(get("/straight").body, "one");
    let told = server.heard_at("/straight").remove(0);
    assert_eq!(told.header("x-ambit-hops"), None);

    // The same with connections that are passed on as they are.
    for (name, parent, to) in [("routes", "server", "one"), ("back", "one", "server")] {
        let rules = format!("    - backendRefs: [{{name: {to}, port: 80}}]\n");
        let kind = ("gateway.networking.k8s.io/v1alpha2", "TCPRoute");
        let text = route(kind.0, kind.1, name, "", &rules);
        let text = text.replace(
            "kind: Service, name: server",
            &format!("kind: Service, name: {parent}"),
        );
        world.mesh.configuration.apply(name, &text).unwrap();
    }
    let circles = || try_get("/circle").is_err();
    wait_until("a circle of connections to end", SPREAD, circles).unwrap();
    let ended = || {
        let logs = [&first, &second].map(Waypoint::access_log);
        let mut lines = logs.iter().flatten();
        lines.any(|line| line["reason"] == "too_many_hops" && line["method"].is_null())
    };
    wait_until("the line of the connection", SPREAD, ended).unwrap();
    world
        .mesh
        .configuration
        .apply("routes", &further())
        .unwrap();
    world.mesh.configuration.remove("back").unwrap();
    let through = || try_get("/ready").is_ok_and(|answer| answer.body == "one");
    wait_until("the way through both again", SPREAD, through).unwrap();

    let before = server.count();
    second.terminate().unwrap();
    let answer = get("/without");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(server.count(), before, "a way around the second waypoint");
}
