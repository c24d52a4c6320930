//! Lines of a waypoint beside those of an Envoy that does the same: both are asked for the same things, of
//! servers that do the same, and both lines have the same fields. What is said of a request and of what became
//! of it must be the same but for what [`DIFFERENT`] names; times, ids and addresses are not compared.

mod envoy;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use ambit_e2e::clients::connect;
use ambit_e2e::lab::Namespace;
use ambit_e2e::mesh::Options;
use ambit_e2e::programs;
use ambit_e2e::scripted::{Deed, Heard, Scripted, Then};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{HTTP, NAMESPACE, WAYPOINT, World};
use ambit_e2e::yaml;
use serde_json::{Value, json};

use self::envoy::LISTENER;
use crate::fronted::Fronted;
use crate::support::SOON;

/// Where the server listens, and where nobody does.
const PORTS: (u16, u16) = (HTTP.1, 9);
/// Services beside `server`: one without endpoints, and one whose endpoint refuses connections.
const EMPTY: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 250);
const DOWN: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 251);

/// What is compared, each operator by itself. Of a host only whether there is one.
const OPERATORS: [&str; 29] = [
    "REQ(:METHOD)",
    "REQ(:PATH)",
    "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)",
    "REQ(:AUTHORITY)",
    "REQ(X-REQUEST-ID)",
    "REQ(USER-AGENT)",
    "REQ(X-A)",
    "REQ(X-NO)",
    "PROTOCOL",
    "RESPONSE_CODE",
    "RESPONSE_FLAGS",
    "RESPONSE_FLAGS_LONG",
    "RESPONSE_CODE_DETAILS",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "ROUTE_NAME",
    "RESP(:STATUS)",
    "RESP(CONTENT-TYPE)",
    "RESP(X-SAID)",
    "RESP(LOCATION)",
    "GRPC_STATUS",
    "TRAILER(X-NO)",
    "CONNECTION_TERMINATION_DETAILS",
    "ACCESS_LOG_TYPE",
    "UPSTREAM_PROTOCOL",
    "REQUESTED_SERVER_NAME",
    "UPSTREAM_HOST",
];

/// The rules, as in [`envoy::config`].
const ROUTES: &str = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: shop}
spec:
  hosts: [server]
  http:
    - {name: empty, match: [{uri: {prefix: /empty}}], route: [{destination: {host: empty}}], retries: {attempts: 0}}
    - {name: slow, match: [{uri: {prefix: /slow}}], timeout: 300ms, route: [{destination: {host: server}}], retries: {attempts: 0}}
    - name: trying
      match: [{uri: {prefix: /trying}}]
      route: [{destination: {host: server}}]
      retries: {attempts: 1, perTryTimeout: 200ms, retryOn: 5xx}
    - name: moved
      match: [{uri: {prefix: /old}}]
      rewrite: {uri: /new}
      route: [{destination: {host: server}}]
    - {name: down, match: [{uri: {prefix: /down}}], route: [{destination: {host: down}}], retries: {attempts: 0}}
    - {name: down-again, match: [{uri: {prefix: /again}}], route: [{destination: {host: down}}], retries: {attempts: 1, retryOn: connect-failure}}
    - {name: broken-again, match: [{uri: {prefix: /broken/again}}], route: [{destination: {host: server}}], retries: {attempts: 1, retryOn: reset}}
    - {name: failing, match: [{uri: {prefix: /failing}}], route: [{destination: {host: server}}], retries: {attempts: 1, retryOn: 5xx}}
    - name: aborted
      match: [{uri: {prefix: /aborted}}]
      fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
      route: [{destination: {host: server}}]
    - name: delayed
      match: [{uri: {prefix: /delayed}}]
      fault: {delay: {fixedDelay: 100ms, percentage: {value: 100}}}
      route: [{destination: {host: server}}]
    - {name: said, match: [{uri: {prefix: /said}}], directResponse: {status: 202, body: {string: tea}}}
    - {name: elsewhere, match: [{uri: {prefix: /elsewhere}}], redirect: {uri: /there}}
    - {name: ok, match: [{uri: {prefix: /ok}}], route: [{destination: {host: server}}], retries: {attempts: 0}}
";

/// Requests: what they begin with, and what follows the usual headers.
const CASES: [(&str, &str); 23] = [
    ("GET /ok/plain", "\r\n"),
    (
        "GET /ok/a/../b?q=1",
        "X-A: a \"quote\", a \\ and <&'/>\r\n\r\n",
    ),
    ("POST /ok/body", "Content-Length: 5\r\n\r\nhello"),
    (
        "POST /ok/chunks",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ("HEAD /ok/head", "\r\n"),
    ("GET /ok/chunked", "\r\n"),
    ("GET /ok/missing", "\r\n"),
    ("GET /ok/wrong", "\r\n"),
    ("GET /ok/none", "\r\n"),
    ("GET /ok/broken", "\r\n"),
    ("GET /old/place?q=1", "\r\n"),
    ("GET /nowhere", "\r\n"),
    ("GET /empty", "\r\n"),
    ("GET /down", "\r\n"),
    ("GET /again", "\r\n"),
    ("GET /broken/again", "\r\n"),
    ("GET /failing", "\r\n"),
    ("GET /slow", "\r\n"),
    ("GET /trying", "\r\n"),
    ("GET /aborted", "\r\n"),
    ("GET /delayed", "\r\n"),
    ("GET /said", "\r\n"),
    ("GET /elsewhere", "\r\n"),
];

/// What the server does, in both places.
fn answer(heard: &Heard, _before: usize) -> Deed {
    let said = "X-Said: this\r\nContent-Type: text/plain\r\n";
    match heard.path() {
        "/slow" | "/trying" | "/ok/left" => Deed::new("", Then::Hang),
        "/ok/broken" | "/broken/again" => Deed::new("", Then::Close),
        "/ok/missing" => Deed::with(404, said, "missing"),
        "/ok/wrong" => Deed::with(500, said, "wrong"),
        "/failing" => Deed::with(503, said, "failing"),
        "/ok/none" => Deed::new("HTTP/1.1 204 None\r\n\r\n", Then::ServeOn),
        "/ok/head" => Deed::new(
            format!("HTTP/1.1 200 Said\r\n{said}Content-Length: 5\r\n\r\n"),
            Then::ServeOn,
        ),
        "/ok/chunked" => Deed::new(
            format!(
                "HTTP/1.1 200 Said\r\n{said}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ),
            Then::ServeOn,
        ),
        _ => Deed::with(200, said, "hello"),
    }
}

/// Where the lines differ: the request, the operator, Envoy's value and ours. Each is checked as it stands.
const DIFFERENT: [(&str, &str, &str, &str); 12] = [
    // Bodies of own answers.
    ("GET /ok/broken", SENT, "95", "15"),
    ("GET /nowhere", SENT, "0", "9"),
    (
        "GET /nowhere",
        "RESP(CONTENT-TYPE)",
        "null",
        "\"text/plain\"",
    ),
    ("GET /empty", SENT, "19", "12"),
    ("GET /down", SENT, "98", "13"),
    ("GET /again", SENT, "121", "13"),
    ("GET /broken/again", SENT, "118", "15"),
    ("GET /slow", SENT, "24", "8"),
    ("GET /trying", SENT, "24", "8"),
    ("GET /aborted", SENT, "18", "15"),
    // A tunnel says why in other words.
    ("GET /down", DETAILS, THEIR_REFUSAL, OUR_REFUSAL),
    ("GET /again", DETAILS, THEIR_REFUSAL, OUR_REFUSAL),
];
const SENT: &str = "BYTES_SENT";
const DETAILS: &str = "RESPONSE_CODE_DETAILS";
const THEIR_REFUSAL: &str = "\"upstream_reset_before_response_started{remote_connection_failure|\
                             delayed_connect_error:_Connection_refused}\"";
const OUR_REFUSAL: &str =
    "\"upstream_reset_before_response_started{remote_connection_failure|peer_refused}\"";

fn format() -> Value {
    let operators = OPERATORS
        .iter()
        .map(|operator| (*operator, format!("%{operator}%")));
    json!(operators.collect::<BTreeMap<_, _>>())
}

fn id(case: usize) -> String {
    format!("{case:08}-0000-4000-8000-000000000000")
}

/// Sends a request, and reads to the end of its answer.
fn ask(from: &Namespace, at: SocketAddr, case: usize, (line, rest): (&str, &str)) {
    let id = id(case);
    let mut stream = connect(from, at).unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: server\r\nUser-Agent: tester\r\nX-Request-Id: {id}\r\nConnection: close\r\n{rest}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// Sends a request, and leaves when it has come to the server.
fn leave(from: &Namespace, at: SocketAddr, case: usize, server: &Scripted) {
    let mut stream = connect(from, at).unwrap();
    let id = id(case);
    let request = format!(
        "GET /ok/left HTTP/1.1\r\nHost: server\r\nUser-Agent: tester\r\nX-Request-Id: {id}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    wait_until("the request to arrive", SOON, || {
        !server.heard_at("/ok/left").is_empty()
    })
    .unwrap();
}

/// The lines in a file, by the id of their request.
fn lines(file: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let by_id = |line: Value| Some((line["REQ(X-REQUEST-ID)"].as_str()?.to_owned(), line));
    lines.filter_map(by_id).collect()
}

#[test]
fn a_waypoint_says_of_a_request_what_envoy_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    let mesh = json!({"accessLogEncoding": "JSON", "accessLogFormat": format().to_string()});
    fs::write(&file, mesh.to_string()).unwrap();
    let down = yaml::service(NAMESPACE, "down", "", &[DOWN.into()], &[(80, PORTS.1)]);
    let options = Options {
        control_plane: vec!["--mesh-config".to_owned(), file.display().to_string()],
        waypoints: vec!["waypoint".to_owned()],
        bound: vec!["server".to_owned()],
        objects: vec![
            (
                "empty".to_owned(),
                yaml::service(NAMESPACE, "empty", "", &[EMPTY.into()], &[HTTP]),
            ),
            ("down".to_owned(), down.replace("app: down", "app: server")),
        ],
        ..Options::default()
    };
    let pods = [("client", 1), ("server", 2), ("waypoint", 2)];
    let world = World::fronted(&pods, &options, &[]).unwrap();
    let waypoint = world.waypoint(WAYPOINT, &[]).unwrap();
    let fronted = Fronted { waypoint, world };
    fronted.route(ROUTES, "VirtualService/shop/server/ok");
    let outside = fronted.world.lab.pod(2, "envoy").unwrap();
    let dir = fronted.world.dir("envoy");
    fs::create_dir_all(&dir).unwrap();
    let ours = Scripted::start(&fronted.pod("server"), PORTS.0, answer).unwrap();
    let theirs = Scripted::start(&outside, PORTS.0, answer).unwrap();
    let config = envoy::config(&dir, &format(), PORTS);
    let _envoy = programs::envoy(&outside, &dir, &config, LISTENER).unwrap();

    let client = fronted.pod("client");
    let ways = [
        (client.namespace(), fronted.at(80), &ours),
        (
            outside.namespace(),
            SocketAddr::from((Ipv4Addr::LOCALHOST, LISTENER)),
            &theirs,
        ),
    ];
    for (from, at, server) in ways {
        for (number, case) in CASES.into_iter().enumerate() {
            ask(from, at, number, case);
        }
        leave(from, at, CASES.len(), server);
    }
    let files = [fronted.waypoint.access_log_file(), dir.join("lines")];
    let [ours, theirs] = files.map(|file| {
        let all = || Some(lines(&file)).filter(|lines| lines.len() > CASES.len());
        wait_for("a line of each request", SOON, all)
            .unwrap_or_else(|error| panic!("{error:#}: {:#?}", lines(&file)))
    });
    let mut wrong = Vec::new();
    let names = CASES.iter().map(|(line, _)| *line).chain(["GET /ok/left"]);
    for (number, name) in names.enumerate() {
        let (ours, theirs) = (&ours[&id(number)], &theirs[&id(number)]);
        for operator in OPERATORS {
            let (mut ours, mut theirs) = (ours[operator].clone(), theirs[operator].clone());
            if operator == "UPSTREAM_HOST" {
                (ours, theirs) = (json!(!ours.is_null()), json!(!theirs.is_null()));
            }
            let known = DIFFERENT
                .iter()
                .find(|(of, what, ..)| *of == name && *what == operator);
            let is_right = match known {
                Some((_, _, one, other)) => {
                    [theirs.to_string(), ours.to_string()] == [*one, *other]
                }
                None => ours == theirs,
            };
            if !is_right {
                wrong.push(format!("{name}: {operator}: Envoy {theirs}, ours {ours}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
