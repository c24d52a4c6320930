//! Tables for the serving end.

use std::sync::Arc;

use super::super::properties::Shelf;
use super::*;
use crate::discovery::{Node, Status};

fn shelf(names: &[(&str, &str)]) -> Shelf {
    let mut shelf = Shelf::default();
    for (name, version) in names {
        shelf.put(name, version);
    }
    shelf
}

fn first(versions: &[(&str, &str)]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        initial_resource_versions: versions
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn subscription(subscribe: &[&str], unsubscribe: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        resource_names_subscribe: subscribe.iter().map(|n| (*n).to_owned()).collect(),
        resource_names_unsubscribe: unsubscribe.iter().map(|n| (*n).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// A first request of a client that understands a state in several responses.
fn chunked() -> DeltaDiscoveryRequest {
    let mut request = first(&[]);
    let mut metadata = prost_types::Struct::default();
    metadata
        .fields
        .insert(ANNOUNCE_CHUNKS.to_owned(), prost_types::Value::default());
    request.node = Some(Node {
        metadata: Some(metadata),
        ..Node::default()
    });
    request
}

fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        response_nonce: response.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|r| r.name.as_str()).collect()
}

#[test]
fn a_returning_client_gets_only_what_differs() {
    let shelf = shelf(&[
        ("same", "1"),
        ("new", "1"),
        ("changed", "2"),
        ("rejected", "1"),
    ]);
    let mut server = Server::new("t", 5);
    let held = [
        ("same", "1"),
        ("changed", "1"),
        ("gone", "1"),
        ("rejected", ""),
    ];
    assert_eq!(server.request(first(&held), &shelf), Outcome::Subscribed);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(names(&response), ["changed", "new", "rejected"]);
    assert_eq!(response.removed_resources, ["gone"]);
    assert_eq!(response.system_version_info, "");
}

#[test]
fn a_client_that_holds_everything_gets_an_empty_first_answer() {
    let shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 5);
    server.request(first(&[("a", "1")]), &shelf);
    let response = server.poll(&shelf).unwrap();
    assert!(response.resources.is_empty() && response.removed_resources.is_empty());
    assert_eq!(server.acked_through(), 4);
    assert_eq!(server.request(ack(&response), &shelf), Outcome::Acked);
    assert_eq!(server.acked_through(), 5);
    assert_eq!(server.poll(&shelf), None, "only once");
}

#[test]
fn one_response_is_under_way_and_later_changes_wait_for_its_answer() {
    let mut shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 1);
    server.request(first(&[]), &shelf);
    let response = server.poll(&shelf).unwrap();
    for (sequence, version) in [(2, "2"), (3, "3")] {
        let name = shelf.put("a", version);
        server.changed(sequence, [&name], &shelf);
    }
    assert_eq!(server.poll(&shelf), None);
    assert_eq!(server.acked_through(), 0);
    server.request(ack(&response), &shelf);
    assert_eq!(server.acked_through(), 1);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(response.resources[0].version, "3", "the newest state, once");
    server.request(ack(&response), &shelf);
    assert_eq!(server.acked_through(), 3);
}

#[test]
fn a_change_back_before_it_was_sent_is_not_sent() {
    let mut shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 1);
    server.request(first(&[("a", "1")]), &shelf);
    let response = server.poll(&shelf).unwrap();
    for (sequence, version) in [(2, "2"), (3, "1")] {
        let name = shelf.put("a", version);
        server.changed(sequence, [&name], &shelf);
    }
    server.request(ack(&response), &shelf);
    assert_eq!(server.poll(&shelf), None);
    assert_eq!(server.acked_through(), 3);
}

#[test]
fn a_nack_is_counted_and_the_same_version_not_sent_again() {
    let shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 1);
    server.request(first(&[]), &shelf);
    let response = server.poll(&shelf).unwrap();
    let mut nack = ack(&response);
    nack.error_detail = Some(Status {
        code: 3,
        message: "a: bad".to_owned(),
    });
    assert_eq!(
        server.request(nack, &shelf),
        Outcome::Nacked("a: bad".to_owned())
    );
    assert_eq!((server.nacks(), server.poll(&shelf)), (1, None));
}

#[test]
fn an_answer_to_another_response_is_stale() {
    let shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 1);
    server.request(first(&[]), &shelf);
    server.poll(&shelf).unwrap();
    let mut stale = DeltaDiscoveryRequest::default();
    assert_eq!(server.request(stale.clone(), &shelf), Outcome::Stale);
    stale.response_nonce = "99".to_owned();
    assert_eq!(server.request(stale, &shelf), Outcome::Stale);
    assert!(server.awaits_answer());
}

#[test]
fn a_client_that_says_so_gets_a_large_state_in_marked_parts() {
    let mut large = Shelf::default();
    for n in 0..2500 {
        large.put(&format!("n{n:04}"), "1");
    }
    let mut server = Server::new("t", 1);
    server.request(chunked(), &large);
    let mut seen = Vec::new();
    while let Some(response) = server.poll(&large) {
        seen.push((
            response.resources.len(),
            response.system_version_info == MORE,
        ));
        server.request(ack(&response), &large);
    }
    assert_eq!(seen, [(1000, true), (1000, true), (500, false)]);

    let mut foreign = Server::new("t", 1);
    foreign.request(first(&[]), &large);
    assert_eq!(foreign.poll(&large).unwrap().resources.len(), 2500);
}

#[test]
fn on_demand_every_asked_name_is_answered_unknown_ones_as_removed() {
    let mut shelf = shelf(&[("a", "1"), ("b", "1")]);
    let mut server = Server::new("t", 1);
    server.request(subscription(&["*"], &["*"]), &shelf);
    let response = server.poll(&shelf).unwrap();
    assert!(response.resources.is_empty(), "subscribed to nothing");
    server.request(ack(&response), &shelf);

    server.request(subscription(&["net/a", "nobody"], &[]), &shelf);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(names(&response), ["a"]);
    assert_eq!(response.resources[0].aliases, ["net/a"]);
    assert_eq!(response.removed_resources, ["nobody"]);
    server.request(ack(&response), &shelf);

    let changed = [
        shelf.put("a", "2"),
        shelf.put("b", "2"),
        shelf.put("nobody", "1"),
    ];
    server.changed(2, &changed, &shelf);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(names(&response), ["a", "nobody"]);
    server.request(ack(&response), &shelf);

    let gone: Arc<str> = "a".into();
    shelf.0.remove(&gone);
    server.changed(3, [&gone], &shelf);
    assert_eq!(server.poll(&shelf).unwrap().removed_resources, ["a"]);
}

/// Whoever asks must not take what came by chance for all that there is.
#[test]
fn an_alias_is_answered_when_all_that_waits_has_been_told() {
    let mut shelf = Shelf::default();
    let mut server = Server::new("t", 1).answering();
    server.request(chunked(), &shelf);
    let response = server.poll(&shelf).unwrap();
    server.request(ack(&response), &shelf);
    let names: Vec<String> = (0..2 * MAX_CHUNK_RESOURCES)
        .map(|n| format!("r{n}"))
        .collect();
    let changed: Vec<Arc<str>> = names.iter().map(|name| shelf.put(name, "1")).collect();
    server.changed(2, &changed, &shelf);
    server.request(
        subscription(&["net/r1999", "net/nobody", "r5"], &[]),
        &shelf,
    );
    let mut told = 0;
    while told < names.len() {
        let response = server.poll(&shelf).unwrap();
        assert!(response.removed_resources.is_empty());
        told += response.resources.len();
        server.request(ack(&response), &shelf);
    }
    let response = server.poll(&shelf).unwrap();
    assert_eq!(response.removed_resources, ["net/r1999", "net/nobody"]);
    server.request(ack(&response), &shelf);
    assert!(server.poll(&shelf).is_none());
}

#[test]
fn what_goes_after_it_was_asked_for_again_is_told_as_gone() {
    let mut shelf = shelf(&[("a", "1"), ("b", "1")]);
    let mut server = Server::new("t", 1).answering();
    server.request(first(&[]), &shelf);
    let response = server.poll(&shelf).unwrap();
    server.request(ack(&response), &shelf);
    let changed = [shelf.put("b", "2")];
    server.changed(2, &changed, &shelf);
    let response = server.poll(&shelf).unwrap();
    server.request(subscription(&["net/a"], &[]), &shelf);
    shelf.0.remove("a");
    server.changed(3, &["a".into()], &shelf);
    server.request(ack(&response), &shelf);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(response.removed_resources, ["a", "net/a"]);
}

#[test]
fn asking_again_for_a_held_name_is_answered_by_nothing_new_for_a_wildcard_client() {
    let shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 1);
    server.request(first(&[]), &shelf);
    let response = server.poll(&shelf).unwrap();
    server.request(ack(&response), &shelf);
    server.request(subscription(&["*"], &[]), &shelf);
    assert_eq!(server.poll(&shelf), None);
}

#[test]
fn nothing_is_sent_before_the_type_is_asked_for() {
    let mut shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 1);
    let name = shelf.put("a", "2");
    server.changed(2, [&name], &shelf);
    assert_eq!(server.poll(&shelf), None);
    assert!(!server.is_subscribed());
}

#[test]
fn after_losing_count_a_client_is_told_what_differs() {
    let mut server = Server::new("t", 5);
    server.request(first(&[]), &shelf(&[("a", "1"), ("b", "1"), ("c", "1")]));
    let response = server
        .poll(&shelf(&[("a", "1"), ("b", "1"), ("c", "1")]))
        .unwrap();
    server.request(ack(&response), &shelf(&[]));
    let later = shelf(&[("a", "1"), ("b", "2"), ("d", "1")]);
    server.resync(90, &later);
    let response = server.poll(&later).unwrap();
    assert_eq!(names(&response), ["b", "d"]);
    assert_eq!(response.removed_resources, ["c"]);
    assert_eq!(server.acked_through(), 89);
}

#[test]
fn after_losing_count_a_client_of_some_names_is_told_of_those() {
    let mut server = Server::new("t", 5);
    let before = shelf(&[("a", "1"), ("b", "1"), ("c", "1")]);
    server.request(subscription(&["a", "b", "unknown"], &[]), &before);
    let response = server.poll(&before).unwrap();
    server.request(ack(&response), &before);
    let later = shelf(&[("a", "2"), ("c", "2"), ("unknown", "1")]);
    server.resync(90, &later);
    let response = server.poll(&later).unwrap();
    let mut told = names(&response);
    told.sort_unstable();
    assert_eq!(told, ["a", "unknown"]);
    assert_eq!(response.removed_resources, ["b"]);
}

/// Tells what is appended, if something is.
fn appended(since: &str, before: &Bytes, now: &Bytes) -> Option<Bytes> {
    let more = now.strip_prefix(&**before)?;
    Some([since.as_bytes(), b"+", more].concat().into())
}

fn nack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        error_detail: Some(Status::default()),
        ..ack(response)
    }
}

/// Changes a resource, whose body is its version, and says what is sent.
fn sent(server: &mut Server, shelf: &mut Shelf, version: &str) -> DeltaDiscoveryResponse {
    let name = shelf.put("a", version);
    server.changed(server.latest + 1, [&name], shelf);
    server.poll(shelf).unwrap()
}

fn body(response: &DeltaDiscoveryResponse) -> &str {
    let resource = response.resources[0].resource.as_ref().unwrap();
    std::str::from_utf8(&resource.value).unwrap()
}

#[test]
fn what_the_client_has_is_edited() {
    let mut shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 5).editing(appended);
    server.request(first(&[]), &shelf);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(body(&response), "1");
    server.request(ack(&response), &shelf);
    // Also what has changed twice in the meantime, and what cannot be told in fewer bytes.
    shelf.put("a", "12");
    for (now, told) in [("123", "1+23"), ("4", "4"), ("45", "4+5")] {
        let response = sent(&mut server, &mut shelf, now);
        assert_eq!(body(&response), told);
        assert_eq!(response.resources[0].version, now);
        server.request(ack(&response), &shelf);
    }
    // What went and came back is sent whole.
    shelf.0.clear();
    server.changed(100, [&"a".into()], &shelf);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(response.removed_resources, ["a"]);
    server.request(ack(&response), &shelf);
    assert_eq!(body(&sent(&mut server, &mut shelf, "456")), "456");
}

#[test]
fn a_returning_client_is_edited_if_it_has_what_the_catalog_has() {
    for (held, told) in [("1", "1+2"), ("0", "12"), ("", "12")] {
        let mut shelf = shelf(&[("a", "1")]);
        let mut server = Server::new("t", 5).editing(appended);
        server.request(first(&[("a", held)]), &shelf);
        if held == "1" {
            let response = server.poll(&shelf).unwrap();
            assert!(response.resources.is_empty());
            server.request(ack(&response), &shelf);
        }
        assert_eq!(body(&sent(&mut server, &mut shelf, "12")), told);
    }
}

#[test]
fn an_edit_that_is_refused_is_followed_by_the_whole_and_that_by_nothing() {
    let mut shelf = shelf(&[("a", "1")]);
    let mut server = Server::new("t", 5).editing(appended);
    server.request(first(&[("a", "1")]), &shelf);
    let response = server.poll(&shelf).unwrap();
    server.request(ack(&response), &shelf);
    let response = sent(&mut server, &mut shelf, "12");
    assert_eq!(body(&response), "1+2");
    server.request(nack(&response), &shelf);
    assert!(server.acked_through() < server.latest);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(body(&response), "12");
    server.request(nack(&response), &shelf);
    assert_eq!(server.poll(&shelf), None);
    assert_eq!(server.acked_through(), server.latest);
    // Who knows what the client has: nothing is edited until it has taken something.
    for told in ["123", "123+4"] {
        let response = sent(&mut server, &mut shelf, &told.replace('+', ""));
        assert_eq!(body(&response), told);
        server.request(ack(&response), &shelf);
    }
}

#[test]
fn some_of_what_waits_is_told_before_the_rest() {
    let mut shelf = shelf(&[("a", "1"), ("b", "1")]);
    let mut server = Server::new("t", 1);
    server.request(first(&[]), &shelf);
    let is_b = |name: &Arc<str>| &**name == "b";
    assert_eq!(
        server.poll_some(&shelf, is_b),
        None,
        "the first answer is whole"
    );
    let response = server.poll(&shelf).unwrap();
    server.request(ack(&response), &shelf);
    for (sequence, name) in [(2, "a"), (3, "b"), (4, "c")] {
        let name = shelf.put(name, "2");
        server.changed(sequence, [&name], &shelf);
    }
    assert_eq!(server.waits_through(), Some(4));
    let response = server.poll_some(&shelf, is_b).unwrap();
    let names: Vec<_> = response.resources.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(server.poll_some(&shelf, is_b), None, "it is under way");
    server.request(ack(&response), &shelf);
    assert!(!server.waits_for(is_b) && server.acked_through() == 1);
    assert_eq!(server.poll_some(&shelf, is_b), None);
    let response = server.poll(&shelf).unwrap();
    let names: Vec<_> = response.resources.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["a", "c"]);
    server.request(ack(&response), &shelf);
    assert_eq!((server.acked_through(), server.waits_through()), (4, None));
}

#[test]
fn one_that_returns_may_be_told_some_before_its_first_answer_is_whole() {
    let shelf = shelf(&[("a", "2"), ("b", "2"), ("c", "1")]);
    let is_b = |name: &Arc<str>| &**name == "b";
    let returning = |chunks: bool| {
        let mut request = first(&[("a", "1"), ("b", "1"), ("c", "1")]);
        request.node = chunked().node.filter(|_| chunks);
        let mut server = Server::new("t", 1);
        server.request(request, &shelf);
        server
    };
    let mut server = returning(false);
    assert_eq!(server.poll_some(&shelf, is_b), None, "it knows of no parts");
    let mut server = returning(true);
    assert_eq!(server.poll_some(&shelf, |_| false), None);
    for (which, is_such) in [("b", true), ("a", false)] {
        let response = server
            .poll_some(&shelf, |name| is_b(name) == is_such)
            .unwrap();
        assert_eq!(names(&response), [which]);
        // Even if nothing is left to be told.
        assert_eq!(response.system_version_info, MORE);
        // It has been told since: it may have dropped what it asks for.
        server.request(subscription(&[which], &[]), &shelf);
        server.request(ack(&response), &shelf);
    }
    let response = server.poll(&shelf).unwrap();
    assert_eq!(names(&response), ["b", "a"]);
    assert_ne!(response.system_version_info, MORE);
    server.request(ack(&response), &shelf);
    assert_eq!(server.poll(&shelf), None);
}

#[test]
fn what_comes_after_it_was_asked_for_is_not_told_as_gone() {
    let mut shelf = shelf(&[]);
    let mut server = Server::new("t", 1);
    server.request(subscription(&["*"], &["*"]), &shelf);
    let response = server.poll(&shelf).unwrap();
    server.request(subscription(&["a", "net/a", "b"], &[]), &shelf);
    server.changed(2, &[shelf.put("a", "1")], &shelf);
    server.request(ack(&response), &shelf);
    let response = server.poll(&shelf).unwrap();
    assert_eq!(names(&response), ["a"]);
    assert_eq!(response.removed_resources, ["b"]);
}
