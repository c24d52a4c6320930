//! What a rule says of connections, at a server that tells on which connection a request came, and in
//! which version of HTTP.

use std::time::{Duration, Instant};

use ambit_e2e::lab::Program;
use ambit_e2e::programs;
use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, TCP};

use super::{CLUSTER, apply, await_series, rule, series};
use crate::fronted::{Fronted, pool, virtual_service};
use crate::support::SOON;

const ACTIVE: &str = "envoy_cluster_upstream_cx_active";

/// Whatever is answered with an error is tried again.
pub(super) fn again() -> String {
    let rule = "  - match: [{port: 80}]\n    retries: {attempts: 2, retryOn: 5xx}\n    \
                route: [{destination: {host: server}}]\n";
    virtual_service("again", "server", rule)
}

/// nginx in the server's pod, which says version, connection, and how many requests came on that.
fn nginx(fronted: &Fronted, listen: &str) -> Program {
    let dir = fronted.world.dir(&listen.replace(' ', "-"));
    let says = "return 200 \"$server_protocol $connection $connection_requests\";";
    let servers = format!(
        "server {{ listen {listen}; location / {{ {says} }}\n\
         location /slow {{ limit_rate 20; {says} }} }}"
    );
    programs::nginx(&fronted.pod("server"), &dir, &servers, 8080).unwrap()
}

/// Puts a rule in force that says this of connections, of both kinds.
fn bounded(fronted: &Fronted, tcp: &str, http: &str, known: impl Fn(&serde_json::Value) -> bool) {
    apply(fronted, &pool("server", tcp, http), |traffic| {
        known(&traffic["whole"]["any"]["connections"])
    });
}

/// Version, connection and number of the request, as nginx answers.
fn asked(fronted: &Fronted) -> [String; 3] {
    let answer = fronted.get("/", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut words = answer.body.split(' ').map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap())
}

#[test]
fn connections_are_used_kept_and_upgraded_as_the_rule_says() {
    let fronted = Fronted::start(&[]);
    let server = nginx(&fronted, "8080");
    // As the contract has it: ten requests on each connection.
    bounded(&fronted, "", "maxRequestsPerConnection: 10", |known| {
        known["requests_each"] == 10
    });
    let all: Vec<[String; 3]> = (0..30).map(|_| asked(&fronted)).collect();
    let turns: Vec<String> = all.iter().map(|[_, _, turn]| turn.clone()).collect();
    let expected: Vec<String> = (0..30).map(|turn| (turn % 10 + 1).to_string()).collect();
    assert_eq!(turns, expected);

    // Without, and as long as it is used, one connection does for all.
    bounded(&fronted, "", "idleTimeout: 2s", |known| {
        known["requests_each"].is_null() && !known["idle_timeout"].is_null()
    });
    let [version, first, _] = asked(&fronted);
    assert_eq!(version, "HTTP/1.1");
    assert_eq!(asked(&fronted)[1], first);
    // And it is ended when nobody has used it for that long: not before, and some time later.
    let unused = Instant::now();
    let ended = wait_until(
        "the connection to be ended",
        Duration::from_secs(30),
        || series(&fronted, ACTIVE) < 1.0,
    );
    ended.unwrap();
    assert!(
        unused.elapsed() > Duration::from_millis(1500),
        "{:?}",
        unused.elapsed()
    );
    assert_ne!(asked(&fronted)[1], first);

    drop(server);
    let _server = nginx(&fronted, "8080 http2");
    bounded(&fronted, "", "h2UpgradePolicy: UPGRADE", |known| {
        known["http"] == "Http2"
    });
    let [version, first, _] = asked(&fronted);
    assert_eq!(version, "HTTP/2.0");
    assert_eq!(asked(&fronted)[1], first);
    // One stream on each: of two requests at once one needs another connection.
    let alone = "h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 1";
    bounded(&fronted, "", alone, |known| known["streams_each"] == 1);
    let _slow = ["/slow/1", "/slow/2"].map(|path| {
        let mut client = fronted.connect(80);
        let get = format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n");
        client.send(get).unwrap();
        client
    });
    await_series(&fronted, ACTIVE, 2.0);
}

#[test]
fn endpoints_hear_what_the_client_speaks_if_the_rule_says_so() {
    let fronted = Fronted::start(&[]);
    // It does not know HTTP/1, and its port says nothing else.
    let _server = nginx(&fronted, "8080 http2");
    let says_so = |text: &str| text.replace("name: p80\n", "name: http\n");
    fronted
        .world
        .mesh
        .configuration
        .edit("pods", says_so)
        .unwrap();
    let url = format!("http://{}/", fronted.at(80));
    let by_http2 = || {
        let args = [
            "-sS",
            "-m",
            "10",
            "--http2-prior-knowledge",
            "-w",
            " %{http_code}",
        ];
        fronted.run("curl", &[&args[..], &[&url]].concat())
    };
    wait_until("the port to be known", SPREAD, || {
        by_http2().ends_with(" 502")
    })
    .unwrap();
    bounded(&fronted, "", "useClientProtocol: true", |known| {
        known["http"] == "OfClient"
    });
    let answer = by_http2();
    assert!(
        answer.starts_with("HTTP/2.0 ") && answer.ends_with(" 200"),
        "{answer}"
    );
    assert_eq!(fronted.get("/", "").status, 502);
    // And not for ever.
    bounded(&fronted, "", "useClientProtocol: false", |known| {
        known["http"] != "OfClient"
    });
    assert!(by_http2().ends_with(" 502"));
}

#[test]
fn an_endpoint_that_is_not_there_is_given_up_in_time() {
    let fronted = Fronted::start(&["away"]);
    let slice = super::endpoints(&fronted, &["away"]);
    let text =
        rule("  host: server\n  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 700ms}}}\n");
    apply(&fronted, &format!("{slice}{text}"), |traffic| {
        !traffic["whole"]["any"]["connections"]["connect_timeout"].is_null()
    });
    fronted
        .pod("away")
        .run("ip", &["link", "set", "eth0", "down"])
        .unwrap();
    let began = Instant::now();
    let answer = fronted.get("/away", "");
    let took = began.elapsed();
    assert_eq!(
        (answer.status, answer.body.trim()),
        (503, "connect_timeout")
    );
    assert!(took >= Duration::from_millis(650), "{took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(fronted.logged("/away").field("response_flags"), "URX,UF");
}

#[test]
fn retries_at_once_and_connections_of_one_port_are_bounded() {
    let fronted = Fronted::start(&[]);
    // The first try of each request fails, the second hangs.
    let server = Scripted::start(&fronted.pod("server"), 8080, |_, before| match before {
        0 => Deed::answer(500, "badly"),
        _ => Deed::new("", Then::Hang),
    });
    let server = server.unwrap();
    let _echo = Server::start(&fronted.pod("server"), TCP.1, servers::echo).unwrap();
    let text = rule(
        "  host: server\n  trafficPolicy:\n    connectionPool: {http: {maxRetries: 1}}\n    \
         portLevelSettings:\n    - {port: {number: 9000}, connectionPool: {tcp: {maxConnections: 1}}}\n",
    );
    apply(&fronted, &text, |traffic| {
        traffic["whole"]["any"]["connections"]["retries"] == 1
    });
    fronted.route(&again(), "VirtualService/shop/again/0");
    let mut first = fronted.connect(80);
    first
        .send("GET /1 HTTP/1.1\r\nHost: server\r\n\r\n")
        .unwrap();
    wait_until("the retry", SOON, || server.heard_at("/1").len() == 2).unwrap();
    // No second at once: the request keeps the answer that it has.
    let answer = fronted.get("/2", "");
    assert_eq!((answer.status, answer.body.as_str()), (500, "badly"));
    assert_eq!(server.heard_at("/2").len(), 1);
    await_series(&fronted, "envoy_cluster_upstream_rq_retry", 1.0);
    await_series(&fronted, "envoy_cluster_upstream_rq_retry_overflow", 1.0);
    drop(first);
    await_series(&fronted, "envoy_cluster_upstream_rq_active", 0.0);

    // The other port has a policy of its own, and none of the retries'.
    let overflow = "envoy_cluster_upstream_cx_overflow";
    let of_port = CLUSTER.replace("|80|", "|9000|");
    let counted = || {
        let page = fronted.waypoint.metrics().unwrap();
        ambit_e2e::mesh::sum_of(&page, overflow, &[&of_port])
    };
    assert!(counted() < 1.0);
    let mut held = fronted.connect(9000);
    held.send("\0held\r\n\r\n").unwrap();
    assert_eq!(held.lines().unwrap(), "\0held\r\n");
    let mut other = fronted.connect(9000);
    other.send("\0refused\r\n\r\n").ok();
    assert!(other.rest().unwrap_or_default().is_empty());
    wait_until("the overflow to be counted", SOON, || counted() >= 1.0).unwrap();
    drop(held);
    wait_until("room for another", SOON, || {
        let mut next = fronted.connect(9000);
        next.send("\0next\r\n\r\n").is_ok() && next.lines().is_ok_and(|line| line == "\0next\r\n")
    })
    .unwrap();
    assert!(series(&fronted, overflow) < 1.0);
}
