//! Clients that send what nobody should: the waypoint's memory stays bounded, what it refuses is
//! counted with a reason, and a client that behaves notices nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use ambit_e2e::clients::connect;
use ambit_e2e::lab::Pod;
use ambit_e2e::mesh::{Waypoint, sum_of};
use ambit_e2e::process::resident_kib;
use ambit_e2e::wait::wait_until;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, block, frame, get,
    preface, receive, send,
};
use crate::replicas::{Replica, Replicas, SERVERS, Stands, WAYPOINTS};
use crate::requests::{Plan, Requests, Use};
use crate::support::SOON;

/// What any attack may cost in memory, in KiB.
const GROWTH: u64 = 64 << 10;
/// Connections of each attack.
const MANY: usize = 20;

/// Answers on one connection: far more than there may be control frames without any.
const MANY_ANSWERS: u32 = 2000;

const GOOD: Plan = Plan {
    clients: &[(Use::Kept, 4), (Use::Once, 2), (Use::Http2, 2)],
    rate: 100,
    path: "/",
};

struct Scene {
    replicas: Replicas,
    waypoint: Waypoint,
    _server: Replica,
    attacker: Arc<Pod>,
    at: SocketAddr,
}

impl Scene {
    fn start() -> Self {
        let mut replicas = Replicas::start();
        for name in &SERVERS[1..] {
            replicas.set(name, Stands::NotReady);
        }
        let server = replicas.server(SERVERS[0]);
        let waypoint = replicas.waypoint(WAYPOINTS[0]);
        replicas.await_served();
        // The other pods of the service call it as well as any.
        let attacker = replicas.world.pod(SERVERS[1]).unwrap();
        let at = replicas.at();
        Self {
            replicas,
            waypoint,
            _server: server,
            attacker,
            at,
        }
    }

    fn connect(&self) -> TcpStream {
        connect(self.attacker.namespace(), self.at).unwrap()
    }

    fn refused(&self, reason: &str) -> f64 {
        let page = self.waypoint.metrics().unwrap();
        let label = format!("reason=\"{reason}\"");
        sum_of(&page, "ambit_refusals_total", &[&label])
    }

    fn resident(&self) -> u64 {
        resident_kib(self.waypoint.program.pid().as_raw()).unwrap()
    }

    /// What the logs say of the client that behaves, and last of the server's agent.
    fn complaints(&self) -> String {
        let client = self.replicas.client().v4.to_string();
        let log = self.waypoint.log();
        let lines = log.lines().rev();
        let bad = lines.filter(|line| line.contains(&client) && !line.contains("status=200"));
        let bad = bad.take(20).collect::<Vec<_>>().join("\n");
        let agent = self.replicas.world.mesh.agent(2).unwrap();
        format!("{bad}\n{}", agent.log_end())
    }

    /// Runs an attack beside a client that behaves; it is counted for this reason, if for one.
    fn survives(&self, name: &str, reason: Option<&str>, attack: impl Fn(&Self)) {
        let load = Requests::start(&self.replicas.client(), self.at, GOOD);
        load.go_on_for(20);
        let before = self.resident();
        let counted = reason.map_or(0.0, |reason| self.refused(reason));
        attack(self);
        let grown = self.resident().saturating_sub(before);
        load.go_on_for(20);
        let (count, failed) = load.stop();
        assert!(
            failed.is_empty(),
            "{name}: {} of {count} failed: {failed:#?}\n{}",
            failed.len(),
            self.complaints()
        );
        assert!(grown < GROWTH, "{name}: {grown} KiB more");
        if let Some(reason) = reason {
            let what = format!("{name} to be counted as {reason}");
            wait_until(&what, SOON, || self.refused(reason) > counted).unwrap();
        }
    }

    /// Sends the same on many connections, one after the other.
    fn each(&self, bytes: &[u8]) {
        for _ in 0..MANY {
            send(&mut self.connect(), bytes);
        }
    }
}

/// Frames on streams 1, 3, 5 and so on, after the preface.
fn on_streams(count: u32, frames: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let streams = (0..count).map(|index| index * 2 + 1);
    let mut bytes = preface();
    bytes.extend(streams.flat_map(frames));
    bytes
}

#[test]
fn malformed_and_oversized_requests_are_refused_and_harm_nobody() {
    let scene = Scene::start();
    let garbage: Vec<u8> = (0..200_000_u32)
        .map(|n| u8::try_from(((n * 7919) >> 3) % 256).unwrap() | 1)
        .collect();
    scene.survives("garbage", Some("malformed_request"), |scene| {
        scene.each(&garbage);
    });
    let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20));
    scene.survives("a long line", Some("oversized_request"), |scene| {
        scene.each(line.as_bytes());
    });
    let head = format!(
        "GET / HTTP/1.1\r\nHost: s\r\nX: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    scene.survives("a large head", Some("oversized_request"), |scene| {
        scene.each(head.as_bytes());
    });
    let many = "X: y\r\n".repeat(10_000);
    let many = format!("GET / HTTP/1.1\r\nHost: s\r\n{many}\r\n");
    scene.survives("many headers", Some("oversized_request"), |scene| {
        scene.each(many.as_bytes());
    });
    let chunk = format!(
        "POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n1;{}\r\n",
        "a".repeat(1 << 20)
    );
    scene.survives(
        "a long chunk extension",
        Some("malformed_request"),
        |scene| {
            scene.each(chunk.as_bytes());
        },
    );
}

#[test]
fn floods_of_frames_end_their_connection_and_harm_nobody() {
    let scene = Scene::start();
    let open = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/"));
    // CVE-2023-44487.
    let resets = on_streams(5000, |stream| {
        [open(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    scene.survives("rapid reset", None, |scene| scene.each(&resets));
    let pings = on_streams(5000, |_| frame(PING, 0, 0, &[7; 8]));
    scene.survives("pings", Some("control_flood"), |scene| scene.each(&pings));
    // CVE-2024-27316.
    let mut continued = preface();
    continued.extend(frame(HEADERS, END_STREAM, 1, &get("/")));
    for _ in 0..5000 {
        let block = block(&[("x", &"y".repeat(1000))]);
        continued.extend(frame(CONTINUATION, 0, 1, &block));
    }
    scene.survives("continuation", None, |scene| scene.each(&continued));
    // A header that is told once and named again and again (RFC 7541 6.1).
    let mut bomb = get("/");
    let name = "x-bomb";
    bomb.extend([0x40, u8::try_from(name.len()).unwrap()]);
    bomb.extend(name.as_bytes());
    let value = block(&[("", &"y".repeat(3000))]);
    bomb.extend(&value[2..]);
    bomb.extend([0x80 | 62].repeat(15_000));
    let bombs = on_streams(50, |stream| {
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)
    });
    scene.survives("an HPACK bomb", None, |scene| scene.each(&bombs));
    // More at once than a connection may have, none of which is ever complete.
    let halves = on_streams(5000, |stream| {
        let head = block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "s"),
            (":path", "/"),
        ]);
        [
            frame(HEADERS, END_HEADERS, stream, &head),
            frame(DATA, 0, stream, b"half"),
        ]
        .concat()
    });
    scene.survives("streams that do not end", None, |scene| scene.each(&halves));
}

/// Libraries that fit their windows to the way ping once in each round trip in which DATA comes in.
#[test]
fn a_ping_for_each_answer_is_no_flood() {
    let scene = Scene::start();
    let mut stream = scene.connect();
    stream.write_all(&preface()).unwrap();
    let began = Instant::now();
    for index in 0..MANY_ANSWERS {
        let number = index * 2 + 1;
        let head = frame(HEADERS, END_HEADERS | END_STREAM, number, &get("/"));
        stream.write_all(&head).unwrap();
        let answered = |kind, flags, on| {
            matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 && on == number
        };
        receive(&mut stream, answered).unwrap_or_else(|error| panic!("answer {index}: {error}"));
        stream.write_all(&frame(PING, 0, 0, &[7; 8])).unwrap();
    }
    let took = began.elapsed();
    let refused = scene.refused("control_flood");
    assert!(refused < 1.0, "{MANY_ANSWERS} answers in {took:?}");
}

#[test]
fn slow_clients_hold_little_and_harm_nobody() {
    let scene = Scene::start();
    let pieces = [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: s\r\nX: ",
        "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 1000\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    scene.survives("slow clients", None, |scene| {
        let mut held: Vec<TcpStream> = Vec::new();
        for piece in pieces {
            for _ in 0..50 {
                let mut stream = scene.connect();
                stream.write_all(piece.as_bytes()).unwrap();
                held.push(stream);
            }
        }
        // Byte by byte.
        for _ in 0..20 {
            for stream in &mut held {
                stream.write_all(b"a").ok();
            }
        }
    });
}
