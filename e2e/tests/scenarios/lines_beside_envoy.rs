//! Lines of a waypoint beside those of an Envoy that does the same: both are asked for the same things, of
//! servers that do the same, and both lines have the same fields. What is said of a request and of what became
//! of it must be the same but for what [`DIFFERENT`] names; times, ids and addresses are not compared.

mod cases;
mod envoy;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use ambit_e2e::clients::connect;
use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::programs;
use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::HTTP;
use serde_json::{Value, json};

use self::cases::{CASES, Case, DIFFERENT, LEFT, MEANWHILE, POLICIES, answer, calls, routes};
use self::envoy::LISTENER;
use crate::fronted::{Beside, Fronted, pool};
use crate::support::SOON;

/// Where the server listens, where it takes gRPC, and where nobody listens.
const PORTS: [u16; 3] = [HTTP.1, 9001, 9];

/// What is compared, each operator by itself. Of a host only whether there is one.
const OPERATORS: [&str; 30] = [
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
    "TRAILER(X-SUM)",
    "CONNECTION_TERMINATION_DETAILS",
    "ACCESS_LOG_TYPE",
    "UPSTREAM_PROTOCOL",
    "REQUESTED_SERVER_NAME",
    "UPSTREAM_HOST",
];

/// Arguments of curl for a call of gRPC. Nobody looks into its message.
const CALL: [&str; 6] = [
    "-H",
    "Content-Type: application/grpc",
    "-H",
    "TE: trailers",
    "-d",
    "",
];

fn format() -> Value {
    let operators = OPERATORS
        .iter()
        .map(|operator| (*operator, format!("%{operator}%")));
    json!(operators.collect::<BTreeMap<_, _>>())
}

fn id(case: usize) -> String {
    format!("{case:08}-0000-4000-8000-000000000000")
}

/// Who asks, where, and the servers there.
struct Way {
    from: Arc<Pod>,
    at: SocketAddr,
    server: Scripted,
    _calls: Program,
}

impl Way {
    fn new(from: &Arc<Pod>, at: SocketAddr, serves: &Pod, dir: &Path) -> Self {
        Self {
            from: Arc::clone(from),
            at,
            server: Scripted::start(serves, PORTS[0], answer).unwrap(),
            _calls: programs::nginx(serves, dir, &calls(), PORTS[1]).unwrap(),
        }
    }

    /// Asks for everything.
    fn ask_all(&self) {
        let mut number = 0..;
        let mut next = || number.next().unwrap();
        for case in CASES {
            self.ask(next(), case);
        }
        for path in LEFT {
            let leaving = self.begin(next(), path);
            // One of them is all that there may be at once.
            if path.starts_with("/pool") {
                for case in MEANWHILE {
                    self.ask(next(), case);
                }
            }
            drop(leaving);
        }
    }

    /// Sends a request, and reads to the end of its answer.
    fn ask(&self, number: usize, (name, rest): Case) {
        let args: Vec<&str> = rest.split_whitespace().collect();
        match name.split_once(' ') {
            Some(("h2", path)) => self.curl(number, path, &args),
            Some(("grpc", path)) => self.curl(number, path, &[&CALL[..], &args].concat()),
            _ => {
                let mut stream = self.send(number, name, &format!("Connection: close\r\n{rest}"));
                // One that breaks off may be reset.
                let _answer = stream.read_to_end(&mut Vec::new());
            }
        }
    }

    /// By HTTP/2. Answers that break off are none that it likes.
    fn curl(&self, number: usize, path: &str, more: &[&str]) {
        let mut curl = self.from.namespace().command("curl");
        curl.args(["-sS", "-m", "10", "--http2-prior-knowledge", "-A", "tester"]);
        curl.args(["--connect-to", &format!("::{}", self.at)]);
        curl.args(["-H", &format!("X-Request-Id: {}", id(number))]);
        curl.args(more).arg(format!("http://server{path}"));
        curl.output().unwrap();
    }

    /// Sends a request, and waits until it has come to the server.
    fn begin(&self, number: usize, path: &str) -> TcpStream {
        let stream = self.send(number, &format!("GET {path}"), "\r\n");
        wait_until("the request to arrive", SOON, || {
            !self.server.heard_at(path).is_empty()
        })
        .unwrap();
        stream
    }

    fn send(&self, number: usize, line: &str, rest: &str) -> TcpStream {
        let mut stream = connect(self.from.namespace(), self.at).unwrap();
        let id = id(number);
        let request = format!(
            "{line} HTTP/1.1\r\nHost: server\r\nUser-Agent: tester\r\nX-Request-Id: {id}\r\n{rest}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

/// The names of all requests, in the order of [`Way::ask_all`].
fn names() -> Vec<String> {
    let of = |case: &Case| case.0.to_owned();
    let mut names: Vec<String> = CASES.iter().map(of).collect();
    names.extend(LEFT.map(|path| format!("GET {path}")));
    names.extend(MEANWHILE.iter().map(of));
    names
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

/// What is wrong with our value of an operator.
fn wrong(name: &str, operator: &str, lines: [&Value; 2]) -> Option<String> {
    let [ours, theirs] = lines.map(|line| match operator {
        "UPSTREAM_HOST" => json!(!line[operator].is_null()),
        _ => line[operator].clone(),
    });
    let path = name.split_once(' ').map(|(_, path)| path);
    let is_of = |of: &str| of == name || Some(of) == path;
    let mut known = DIFFERENT.iter();
    let known = known.find(|(of, what, ..)| is_of(of) && *what == operator);
    let is_right = match known {
        Some((_, _, one, other)) => [theirs.to_string(), ours.to_string()] == [*one, *other],
        None => ours == theirs,
    };
    (!is_right).then(|| format!("{name}: {operator}: Envoy {theirs}, ours {ours}"))
}

#[test]
fn a_waypoint_says_of_a_request_what_envoy_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    let mesh = json!({"accessLogEncoding": "JSON", "accessLogFormat": format().to_string()});
    fs::write(&file, mesh.to_string()).unwrap();
    let [server, grpc, nobody] = PORTS;
    let fronted = Fronted::beside(&Beside {
        services: &[
            ("empty", None),
            ("web", Some(server)),
            ("down", Some(nobody)),
            ("pool", Some(server)),
            ("grpc", Some(grpc)),
        ],
        objects: &format!("{POLICIES}{}", pool("pool", "", "http2MaxRequests: 1")),
        control_plane: &["--mesh-config", &file.display().to_string()],
        ..Beside::default()
    });
    fronted.route(&routes(), "VirtualService/shop/server/ok");
    let outside = fronted.world.lab.pod(2, "envoy").unwrap();
    let dir = fronted.world.dir("envoy");
    fs::create_dir_all(&dir).unwrap();
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, LISTENER));
    let [ours, theirs] = ["ours", "theirs"].map(|name| dir.join(name));
    let (client, server) = (fronted.pod("client"), fronted.pod("server"));
    let ways = [
        Way::new(&client, fronted.at(80), &server, &ours),
        Way::new(&outside, own, &outside, &theirs),
    ];
    let config = envoy::config(&dir, &format(), PORTS);
    let _envoy = programs::envoy(&outside, &dir, &config, LISTENER).unwrap();
    for way in &ways {
        way.ask_all();
    }
    let names = names();
    let files = [fronted.waypoint.access_log_file(), dir.join("lines")];
    let [ours, theirs] = files.map(|file| {
        let all = || Some(lines(&file)).filter(|lines| lines.len() == names.len());
        wait_for("a line of each request", SOON, all)
            .unwrap_or_else(|error| panic!("{error:#}: {:#?}", lines(&file)))
    });
    let mut all = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let lines = [&ours[&id(number)], &theirs[&id(number)]];
        all.extend(OPERATORS.iter().filter_map(|one| wrong(name, one, lines)));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
