//! Two waypoints on one way: each goes on from the span of the other's try.

use std::fs;

use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::address::Family;
use ambit_e2e::scripted::{Deed, Scripted};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{HTTP, SPREAD};

use super::otlp::{CLIENT, SERVER, Span, spans};
use super::{CALLER, TRACE, settings};
use crate::support::SOON;
use crate::waypoint_chain::Chain;

#[test]
fn two_waypoints_are_in_one_trace() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    fs::write(&file, "").unwrap();
    let settings_file = vec!["--mesh-config".to_owned(), file.display().to_string()];
    let chain = Chain::start(&[("collector", 2)], settings_file);
    let world = &chain.world;
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
    let heard = chain.server.heard_at(&path).remove(0);
    let expected = format!("00-{TRACE}-{}-01", last.id);
    assert_eq!(heard.header("traceparent"), Some(expected));
}
