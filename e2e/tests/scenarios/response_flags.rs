//! Envoy's letters for what goes wrong with a request, each made by real traffic: in the access log, and as
//! the label of series. (`OM` takes a waypoint without memory, `waypoint_hostile_memory`; `SI` a client
//! that says nothing for minutes.)

use ambit_e2e::keepalive::Connection;
use ambit_e2e::mesh::sum_of;
use ambit_e2e::scripted::{Deed, Heard, Scripted, Then};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{HTTP, SPREAD};

use crate::fronted::{Beside, Fronted, pool, rule, rule_to, virtual_service};
use crate::support::SOON;
use crate::traces::collector::{Collector, Manner};

/// A rule for each thing that may become of a request.
fn routes() -> String {
    let late = "fault: {delay: {fixedDelay: 10ms, percentage: {value: 100}}}";
    let abort = "fault: {abort: {httpStatus: 418, percentage: {value: 100}}}";
    let tries = "retries: {attempts: 1, perTryTimeout: 300ms, retryOn: '5xx,reset'}";
    let once = "retries: {attempts: 0}";
    let subset = "route: [{destination: {host: one, subset: none}}]";
    let rules = [
        rule_to("empty", "/empty", "empty", ""),
        rule_to("down-once", "/down/once", "down", once),
        rule_to("down", "/down", "down", ""),
        rule_to("late-down", "/late/down", "down", late),
        rule_to("late", "/late/ok", "one", late),
        rule_to("abort", "/abort", "one", abort),
        rule("subset", "/subset", subset),
        rule_to("slow", "/slow", "one", "timeout: 300ms"),
        rule_to("tries", "/tries", "one", tries),
        rule_to("streams", "/streams", "streams", once),
        rule_to("ok", "/ok", "one", once),
    ];
    let routes = virtual_service("server", "server", &rules.concat());
    [routes, pool("streams", "", "h2UpgradePolicy: UPGRADE")].concat()
}

/// One request more than one at once to `two`, and one more try than one at once.
fn pools() -> String {
    let rules = [
        rule_to("pool", "/pool", "two", ""),
        rule_to(
            "retried",
            "/",
            "one",
            "retries: {attempts: 1, retryOn: 5xx}",
        ),
    ];
    let routes = virtual_service("server", "server", &rules.concat());
    let two = pool("two", "", "http2MaxRequests: 1");
    [routes, two, pool("one", "", "maxRetries: 1")].concat()
}

fn start() -> Fronted {
    Fronted::beside(&Beside {
        backends: &["one", "two", "down", "streams"],
        services: &[("empty", None)],
        ..Beside::default()
    })
}

/// What a server does about these paths.
fn answer(heard: &Heard, before: usize) -> Deed {
    match heard.path() {
        "/slow" | "/tries/slow" | "/ok/left" | "/pool/held" => Deed::new("", Then::Hang),
        "/held" if before > 0 => Deed::new("", Then::Hang),
        "/ok/closed" | "/tries/closed" => Deed::new("", Then::Close),
        "/ok/cut" => Deed::new(
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            Then::Close,
        ),
        "/ok/bad" | "/tries/bad" | "/held" | "/over" => Deed::answer(503, "bad"),
        _ => Deed::answer(200, "well"),
    }
}

/// Path, status, flags and how often it was tried.
type Case = (&'static str, u16, &'static str, u32);

const CASES: [Case; 16] = [
    ("/ok", 200, "-", 1),
    ("/ok/bad", 503, "-", 1),
    ("/nowhere", 404, "NR", 0),
    ("/empty", 503, "UH", 0),
    ("/subset", 503, "NC", 0),
    ("/down/once", 503, "UF", 1),
    // Nobody has said how often: three times.
    ("/down", 503, "URX,UF", 3),
    ("/tries/bad", 503, "URX", 2),
    ("/tries/closed", 503, "URX,UC", 2),
    ("/tries/slow", 504, "URX,UT", 2),
    ("/slow", 504, "UT", 1),
    ("/ok/closed", 503, "UC", 1),
    ("/abort", 418, "FI", 0),
    ("/late/ok", 200, "DI", 1),
    ("/late/down", 503, "DI,URX,UF", 3),
    ("/ok/again", 200, "-", 1),
];

/// A request that is not waited for.
fn begin(fronted: &Fronted, server: &Scripted, path: &str, times: usize) -> Connection {
    let mut connection = fronted.connect(80);
    let get = format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n");
    connection.send(get).unwrap();
    let heard = || server.heard_at(path).len();
    let arrived = wait_until("the request to arrive", SOON, || heard() == times);
    if let Err(error) = arrived {
        let lines = fronted.waypoint.access_log();
        panic!(
            "{path} was heard {} times: {error:#}; {:?}",
            heard(),
            lines.last()
        );
    }
    connection
}

fn assert_flags(fronted: &Fronted, path: &str, flags: &str) {
    let line = fronted.logged(path);
    assert_eq!(line.field("response_flags"), flags, "{path}: {line:?}");
    let label = format!("response_flags=\"{flags}\"");
    let counted = || {
        let page = fronted.waypoint.metrics().unwrap();
        sum_of(&page, "istio_requests_total", &[&label]) >= 1.0
    };
    wait_until(&format!("a series with {flags}"), SOON, counted).unwrap();
}

#[test]
fn every_flag_that_can_be_is_made_by_a_request() {
    let fronted = start();
    let one = Scripted::start(&fronted.pod("one"), HTTP.1, answer).unwrap();
    let two = Scripted::start(&fronted.pod("two"), HTTP.1, answer).unwrap();
    let streams = Collector::start_at(&fronted.pod("streams"), HTTP.1).unwrap();
    streams.does(Manner::ResetsStreams);
    fronted.route(&routes(), "VirtualService/shop/server/ok");
    for (path, status, flags, tries) in CASES {
        assert_eq!(fronted.get(path, "").status, status, "{path}");
        assert_flags(&fronted, path, flags);
        let tried = fronted.logged(path).field("tries");
        let expected = if tries == 0 {
            "null".to_owned()
        } else {
            tries.to_string()
        };
        assert!(
            tried == expected || (tries == 0 && tried == "0"),
            "{path}: {tried}"
        );
    }
    // By HTTP/2, of which the endpoint resets the stream.
    let grpc = fronted.get("/streams", "Content-Type: application/grpc\r\n");
    assert!(grpc.head.contains("grpc-status: 14"), "{grpc:?}");
    assert_flags(&fronted, "/streams", "UR");
    // An answer that breaks off, and a client that leaves.
    assert!(fronted.connect(80).get("/ok/cut", "").is_err());
    assert_flags(&fronted, "/ok/cut", "UPE");
    drop(begin(&fronted, &one, "/ok/left", 1));
    assert_flags(&fronted, "/ok/left", "DC");
    assert_eq!(fronted.logged("/ok/left").field("status"), "null");
    // Something else than HTTP.
    let mut wrong = fronted.connect(80);
    wrong
        .send("GET /wrong HTTP/1.1\r\nHo st: server\r\n\r\n")
        .unwrap();
    assert_eq!(wrong.head().unwrap().0, 400);
    let told = || {
        let mut lines = fronted.waypoint.access_log().into_iter();
        lines.rfind(|line| line["response_flags"] == "DPE")
    };
    wait_for("a line with DPE", SOON, told).unwrap();

    fronted.route(&pools(), "VirtualService/shop/server/retried");
    let held = begin(&fronted, &two, "/pool/held", 1);
    let mut number = 0;
    // The rule of the pool comes in its own time.
    wait_until("a request that is one too many", SPREAD, || {
        number += 1;
        let path = format!("/pool/{number}");
        fronted.get(&path, "").status == 503 && {
            assert_flags(&fronted, &path, "UO");
            true
        }
    })
    .unwrap();
    drop(held);
    // Of tries only one may be under way, which is held.
    let held = begin(&fronted, &one, "/held", 2);
    assert_eq!(fronted.get("/over", "").status, 503);
    assert_flags(&fronted, "/over", "UO");
    assert_eq!(one.heard_at("/over").len(), 1);
    drop(held);
}
