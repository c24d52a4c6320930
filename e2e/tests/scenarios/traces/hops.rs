//! Two waypoints on one way: each goes on from the span of the other's try.

use std::fs;

use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::scripted::{Deed, Scripted};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{HTTP, SPREAD, World, uid};

use super::otlp::{CLIENT, SERVER, Span, spans};
use super::{CALLER, TRACE, settings};
use crate::fronted::http_route;
use crate::support::SOON;
use crate::waypoint_chain::with_second;

#[test]
fn two_waypoints_are_in_one_trace() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    fs::write(&file, "").unwrap();
    let pods = [
        ("client", 1),
        ("server", 2),
        ("one", 1),
        ("waypoint", 2),
        ("second", 1),
        ("collector", 2),
    ];
    let options = Options {
        control_plane: vec!["--mesh-config".to_owned(), file.display().to_string()],
        waypoints: vec!["waypoint".to_owned()],
        bound: vec!["server".to_owned()],
        ..Options::default()
    };
    let world = World::prepare(&pods, &options).unwrap();
    let objects = world.mesh.configuration.dir().join("pods.yaml");
    let objects = with_second(&fs::read_to_string(objects).unwrap());
    world.mesh.configuration.apply("pods", &objects).unwrap();
    for name in ["client", "server", "one"] {
        world.enrol(name).unwrap();
    }
    for name in ["client", "server", "one", "waypoint", "second"] {
        let advertised = world.mesh.await_advertised(&uid(name), true, SPREAD);
        advertised.unwrap();
    }
    for service in ["server", "one"] {
        world.await_bound(service, true).unwrap();
    }
    let rules = "    - backendRefs: [{name: one, port: 80}]\n";
    let further = http_route("further", rules);
    world.mesh.configuration.apply("routes", &further).unwrap();
    let _first = world.waypoint("waypoint", &[]).unwrap();
    let _second = world.waypoint_of("second", "second", &[]).unwrap();
    let server = Scripted::saying(&world.pod("one").unwrap(), HTTP.1, "one").unwrap();
    let collector = world.pod("collector").unwrap();
    fs::write(&file, settings(collector.v4, 0.0)).unwrap();
    let collector = Scripted::start(&collector, 4318, |_, _| Deed::answer(200, "")).unwrap();

    let at = world.service("server", Family::V4, HTTP.0).unwrap();
    let client = world.pod("client").unwrap();
    let headers = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
    let told = |path: &str| -> Vec<Span> {
        let heard = collector.heard();
        let all: Vec<Span> = heard.iter().flat_map(|heard| spans(&heard.body)).collect();
        let is_of = |span: &&Span| span.kind == SERVER && span.attribute("http.target") == path;
        let servers: Vec<Span> = all.iter().filter(is_of).cloned().collect();
        let is_part = |span: &Span| {
            let mut servers = servers.iter();
            servers.any(|server| span.id == server.id || span.parent == server.id)
        };
        all.into_iter().filter(is_part).collect()
    };
    let mut number = 0;
    let mut path = String::new();
    // Both follow the settings, each in its own time.
    let both = wait_until("both to trace", SPREAD, || {
        number += 1;
        path = format!("/hop/{number}");
        let mut connection = Connection::open(client.namespace(), at).unwrap();
        assert_eq!(connection.get(&path, &headers).unwrap().status, 200);
        wait_for("four spans", SOON / 4, || {
            (told(&path).len() == 4).then_some(())
        })
        .is_ok()
    });
    both.unwrap();
    let spans = told(&path);
    let child_of = |parent: &str, kind: i32| -> &Span {
        let found = spans.iter().find(|span| span.parent == parent);
        let found = found.unwrap_or_else(|| panic!("none of {parent} in {spans:#?}"));
        assert_eq!((&*found.trace, found.kind), (TRACE, kind));
        found
    };
    let first = child_of(CALLER, SERVER);
    let onward = child_of(&first.id, CLIENT);
    let second = child_of(&onward.id, SERVER);
    let last = child_of(&second.id, CLIENT);
    let heard = server.heard_at(&path).remove(0);
    let expected = format!("00-{TRACE}-{}-01", last.id);
    assert_eq!(heard.header("traceparent"), Some(expected));
}
