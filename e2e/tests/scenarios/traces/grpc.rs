//! OTLP over gRPC: two waypoints on one way and a retry, a tenth of all requests; and collectors that
//! are slow, away or wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::sum_of;
use ambit_e2e::scripted::{Deed, Heard, Scripted};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, SPREAD};

use super::collector::{Collector, Manner, PORT};
use super::otlp::{CLIENT, SERVER, Span};
use super::{CALLER, TRACE, Traced, settings};
use crate::fronted::virtual_service;
use crate::support::SOON;
use crate::waypoint_chain::Chain;

/// The mesh's settings with a collector of gRPC.
fn by_grpc(at: Ipv4Addr, sampling: f64) -> String {
    settings(at, sampling).replace("port: 4318, http: {}", &format!("port: {PORT}"))
}

fn retries() -> String {
    let rule =
        "    - retries: {attempts: 2, retryOn: 5xx}\n      route: [{destination: {host: one}}]\n";
    virtual_service("one", "one", rule)
}

/// Requests of which a share is recorded.
const REQUESTS: usize = 1000;
/// Clients that send them at once: no more than may be tried again at once.
const CLIENTS: usize = 3;

#[test]
fn a_tenth_of_all_traces_arrive_whole_through_two_waypoints_and_a_retry() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    fs::write(&file, "").unwrap();
    let settings_file = vec!["--mesh-config".to_owned(), file.display().to_string()];
    let chain = Chain::start(&[("collector", 2)], settings_file);
    let world = &chain.world;
    let pod = world.pod("collector").unwrap();
    let collector = Collector::start(&pod).unwrap();
    // The first try of each path fails.
    drop(chain.server);
    let fails = |heard: &Heard, before| match heard.path().starts_with("/share") && before == 0 {
        true => Deed::answer(503, "again"),
        false => Deed::answer(200, "hello"),
    };
    let server = Scripted::start(&world.pod("one").unwrap(), HTTP.1, fails).unwrap();
    let configuration = &world.mesh.configuration;
    configuration.apply("retries", &retries()).unwrap();
    fs::write(&file, by_grpc(pod.v4, 10.0)).unwrap();

    let at = world.service("server", Family::V4, HTTP.0).unwrap();
    let client = world.pod("client").unwrap();
    let open = || Connection::open(client.namespace(), at).unwrap();
    let mut number = 0;
    // Both waypoints have both: a request that fails at first comes through, and each of them names a
    // span of its own, of which the endpoint sees that of the second.
    let ready = wait_until("both to trace and to try again", SPREAD, || {
        number += 1;
        let path = format!("/share/ready/{number}");
        let headers = format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n");
        let is_served = open().get(&path, &headers).unwrap().status == 200;
        let of = |span: &&Span| span.kind == SERVER && span.attribute("http.target") == path;
        let both = || collector.spans().iter().filter(of).count() == 2;
        is_served && wait_until("spans of both", SOON / 4, both).is_ok()
    });
    ready.unwrap_or_else(|error| {
        panic!("{error:#}:\n{}\n{}", chain.first.log(), chain.second.log())
    });

    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut connection = open();
                for number in (client..REQUESTS).step_by(CLIENTS) {
                    let answer = connection.get(&format!("/share/{number}"), "").unwrap();
                    assert_eq!(answer.status, 200, "{number}: {answer:?}");
                }
            });
        }
    });
    let asked = |heard: &Heard| {
        let number = heard.path().strip_prefix("/share/").unwrap_or_default();
        number.parse::<usize>().is_ok()
    };
    let heard: Vec<Heard> = server.heard().into_iter().filter(asked).collect();
    assert_eq!(heard.len(), 2 * REQUESTS);
    // What the endpoint was told: trace, span of the try, whether it is recorded.
    let recorded: Vec<(String, String)> = heard.iter().filter_map(told).collect();
    let traces: BTreeSet<&str> = recorded.iter().map(|(trace, _)| &**trace).collect();
    // Otherwise once in ten million times.
    assert!(
        (50..150).contains(&traces.len()),
        "{} of {REQUESTS}",
        traces.len()
    );
    assert_eq!(recorded.len(), 2 * traces.len());

    let arrived = || -> BTreeMap<String, Vec<Span>> {
        let mut by_trace = BTreeMap::<_, Vec<Span>>::new();
        for span in collector.spans() {
            by_trace.entry(span.trace.clone()).or_default().push(span);
        }
        by_trace
    };
    let all = || {
        let arrived = arrived();
        traces
            .iter()
            .all(|trace| arrived.get(*trace).is_some_and(|spans| spans.len() >= 5))
    };
    wait_until("all of their spans", SOON, all).unwrap();
    let arrived = arrived();
    for trace in &traces {
        let tries = recorded
            .iter()
            .filter(|(of, _)| of == trace)
            .map(|(_, id)| &**id);
        assert_whole(&arrived[*trace], &tries.collect::<Vec<_>>());
    }
    // And nothing of others.
    let share = |spans: &&Vec<Span>| {
        spans
            .iter()
            .any(|span| span.kind == SERVER && span.parent.is_empty())
    };
    assert_eq!(arrived.values().filter(share).count(), traces.len());
    assert_eq!(collector.wrong(), [] as [String; 0]);
    // Batches, not calls for each span; and one connection of each waypoint.
    let (connections, calls) = collector.counts();
    assert!(calls < traces.len(), "{calls} calls");
    assert_eq!(connections, 2);
}

/// The trace and the span that an endpoint is to go on from, if that is recorded.
fn told(heard: &Heard) -> Option<(String, String)> {
    let parent = heard.header("traceparent").unwrap();
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!(parts.len(), 4, "{parent}");
    (parts[3] == "01").then(|| (parts[1].to_owned(), parts[2].to_owned()))
}

/// Fails unless these are the spans of one request: the first waypoint's and its only try, the second
/// waypoint's in that, and in that the two tries of which the endpoint was told.
fn assert_whole(spans: &[Span], tries: &[&str]) {
    let children = |parent: &str, kind: i32| -> Vec<&Span> {
        let of = spans.iter().filter(|span| span.parent == parent);
        of.inspect(|span| assert_eq!(span.kind, kind, "{spans:#?}"))
            .collect()
    };
    let only = |parent: &str, kind: i32| -> &Span {
        let found = children(parent, kind);
        assert_eq!(found.len(), 1, "of {parent:?} in {spans:#?}");
        found[0]
    };
    let first = only("", SERVER);
    let onward = only(&first.id, CLIENT);
    let second = only(&onward.id, SERVER);
    let last = children(&second.id, CLIENT);
    let ids: Vec<&str> = last.iter().map(|span| &*span.id).collect();
    assert_eq!(ids, tries, "{spans:#?}");
    let status = |span: &Span| span.attribute("http.status_code");
    assert_eq!([status(last[0]), status(last[1])], ["503", "200"]);
    assert_eq!([status(first), status(onward), status(second)], ["200"; 3]);
    assert_eq!(
        first.attribute("http.target"),
        second.attribute("http.target")
    );
    assert_eq!(spans.len(), 5, "{spans:#?}");
}

/// Requests one after the other on a connection: what the middle one and the slowest took.
fn latencies(traced: &Traced, path: &str) -> (Duration, Duration) {
    let mut connection = traced.fronted.connect(80);
    let times = (0..200).map(|_| {
        let began = Instant::now();
        assert_eq!(connection.get(path, "").unwrap().status, 200);
        began.elapsed()
    });
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

#[test]
fn no_collector_of_grpc_slows_a_request_however_wrong_it_is() {
    let traced = Traced::start(0.0);
    let pod = traced.fronted.pod("collector");
    let server = Scripted::saying(&traced.server(), HTTP.1, "hello").unwrap();
    fs::write(&traced.file, "").unwrap();
    let mut number = 0;
    let mut settled = |what: &str, is_traced: bool| {
        let settled = wait_until(what, SPREAD, || {
            number += 1;
            let path = format!("/settle/{number}");
            assert_eq!(traced.fronted.get(&path, "").status, 200);
            server.heard_at(&path)[0].header("traceparent").is_some() == is_traced
        });
        settled.unwrap();
    };
    settled("no traces", false);
    let (usual, _) = latencies(&traced, "/off");

    // Nobody is there at first.
    fs::write(&traced.file, by_grpc(pod.v4, 100.0)).unwrap();
    settled("traces", true);
    let load = |path: &str| {
        let url = format!("http://server{path}");
        let report = traced
            .fronted
            .run("h2load", &["--h1", "-n1000", "-c8", "-t1", &url]);
        assert!(report.contains("1000 2xx"), "{report}");
    };
    // Every request is served as if there were no collector, and its spans are counted so.
    let lost = |path: &str, result: &str| {
        let before = traced.count(result);
        let lost = wait_until(&format!("{result} spans of {path}"), SPREAD * 3, || {
            load(path);
            let (middle, slowest) = latencies(&traced, path);
            assert!(
                middle < usual * 3 + Duration::from_millis(20),
                "{path}: {middle:?}, without a collector {usual:?}"
            );
            // Any wait for a collector would take as long as a try of it.
            assert!(slowest < Duration::from_secs(5), "{path}: {slowest:?}");
            traced.count(result) > before
        });
        lost.unwrap();
    };
    lost("/absent", "failed");
    let collector = Collector::start(&pod).unwrap();
    for (path, manner) in [
        ("/unimplemented", Manner::Refuses("12")),
        ("/unavailable", Manner::Refuses("14")),
        ("/streams", Manner::ResetsStreams),
        ("/connections", Manner::ResetsConnections),
        ("/garbage", Manner::Garbage),
    ] {
        collector.does(manner);
        lost(path, "failed");
    }
    // What is told to one that takes it arrives, whatever was before.
    collector.does(Manner::Takes);
    let before = traced.count("sent");
    let of = |span: &Span| span.attribute("http.target") == "/taken";
    // The queue may be full still, so that the first ones are dropped.
    let takes = wait_until("spans to be taken", SPREAD * 3, || {
        assert_eq!(traced.fronted.get("/taken", "").status, 200);
        collector.spans().iter().any(of)
    });
    takes.unwrap();
    assert!(traced.count("sent") > before);
    // One that is slow fills the queue.
    for (path, manner) in [("/hangs", Manner::Hangs), ("/silent", Manner::Silent)] {
        collector.does(manner);
        lost(path, "dropped");
    }
    assert_eq!(collector.wrong(), [] as [String; 0]);
    let (connections, _) = collector.counts();
    assert!(connections > 3, "{connections}");
    let page = traced.fronted.waypoint.metrics().unwrap();
    assert!(sum_of(&page, "ambit_spans_total", &[]) > 10_000.0);
}
