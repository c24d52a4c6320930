//! Clients that do not read what they ask for: one of them is kept little, and however many there are,
//! the waypoint stays within its memory, says why it refuses, and serves when they have gone.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use ambit_e2e::clients::{connect, get as get_page};
use ambit_e2e::lab::Program;
use ambit_e2e::mesh::sum_of;
use ambit_e2e::process::{peak_kib, resident_kib};
use ambit_e2e::programs;
use ambit_e2e::wait::{wait_until, wait_with_pauses};
use ambit_e2e::world::SPREAD;

use serde_json::Value;

use crate::frames::{
    END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, frame, get, preface,
};
use crate::fronted::Fronted;
use crate::support::SOON;

/// What a connection of HTTP/2 may cost whose answers are not read, in KiB: of 32 of its 250 a window
/// of the tunnel, whose pieces lie in larger buffers, and 128 KiB each to read and to write; of the
/// others a small window and some pieces.
const UNREAD: u64 = 32 * (448 + 128 + 128) + 218 * (64 + 96);
/// Bytes of a large answer: more than is kept of any, and not so many that all of them would be too much
/// for the kernel.
const LARGE: usize = 400 << 10;
/// Names of ports.
const HTTP: (&str, &str) = ("http", "Http11");
const TCP: (&str, &str) = ("tcp", "Tcp");
/// Connections that are passed on, which together would take more than there is.
const PASSED: u32 = 1700;
/// Between two looks at the memory.
const PAUSE: Duration = Duration::from_millis(300);
/// The waypoint's memory where it is short, in MiB.
const LIMIT: u64 = 192;
/// Clients that come while it is, each of which takes a sixth of it.
const MANY: usize = 20;

/// A service whose answers are large, behind a waypoint with these arguments.
struct Scene {
    fronted: Fronted,
    _nginx: Program,
}

impl Scene {
    /// What is spoken is as the port is named, and so the waypoint knows it.
    fn start((port, known): (&str, &str), more: &[&str]) -> Self {
        let fronted = Fronted::start_with(&[], more);
        let dir = fronted.world.dir("nginx");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("large"), vec![b'x'; LARGE]).unwrap();
        fs::write(dir.join("small"), "small").unwrap();
        let block = format!("server {{ listen 8080; root {}; }}", dir.display());
        let nginx = programs::nginx(&fronted.pod("server"), &dir, &block, 8080).unwrap();
        // A connection for each request, towards the server.
        let file = fronted.world.mesh.configuration.dir().join("pods.yaml");
        let objects = fs::read_to_string(file).unwrap();
        let named = objects.replace("name: p80\n", &format!("name: {port}\n"));
        let configuration = &fronted.world.mesh.configuration;
        configuration.apply("pods", &named).unwrap();
        let scene = Self {
            fronted,
            _nginx: nginx,
        };
        let is_known = || {
            let dump = scene.fronted.waypoint.config_dump().unwrap_or_default();
            dump["services"]
                .to_string()
                .contains(&format!("\"{known}\""))
        };
        wait_until("the port's protocol to be known", SPREAD, is_known).unwrap();
        scene
    }

    fn pid(&self) -> i32 {
        self.fronted.waypoint.program.pid().as_raw()
    }

    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.fronted.waypoint.metrics().unwrap();
        sum_of(&page, name, labels)
    }

    fn is_short(&self) -> bool {
        self.metric("ambit_overloaded", &[]) > 0.0
    }

    /// Once those who held memory have gone there is enough, and there never were more MiB in use than these.
    fn recovers(&self, most: u64) {
        wait_until("memory to be had again", SPREAD, || !self.is_short()).unwrap();
        for _ in 0..20 {
            assert_eq!(self.asks(), Some((200, "small".to_owned())));
        }
        let peak = peak_kib(self.pid()).unwrap();
        assert!(peak < most << 10, "{peak} KiB at most, of {most} MiB");
        let counted = self.metric("ambit_refusals_total", &["reason=\"overloaded\""]);
        assert!(counted > 0.0);
        let log = self.fronted.waypoint.log();
        for word in ["memory is short", "memory is no longer short"] {
            assert!(log.contains(word), "{word:?} in {log}");
        }
    }

    /// A client that asks for more than it may, and reads nothing.
    fn greedy(&self) -> Option<TcpStream> {
        let fronted = &self.fronted;
        let mut client = connect(fronted.pod("client").namespace(), fronted.at(80)).ok()?;
        client.write_all(&everything()).ok()?;
        Some(client)
    }

    /// The status and body of a small answer on a connection of its own; `None` if that was refused.
    fn asks(&self) -> Option<(u16, String)> {
        let fronted = &self.fronted;
        let client = fronted.pod("client");
        let answer = get_page(client.namespace(), fronted.at(80), "/small").ok()?;
        Some((answer.status, answer.body))
    }
}

/// A thousand requests, with windows as large as can be, so that nothing but the waypoint's own bounds
/// holds answers back.
fn everything() -> Vec<u8> {
    let widest = 0x7fff_ffff_u32.to_be_bytes();
    let mut bytes = preface();
    bytes.extend(frame(SETTINGS, 0, 0, &[&[0, 4], &widest[..]].concat()));
    let rest = (0x7fff_ffff_u32 - 65_535).to_be_bytes();
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &rest));
    let ask = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/large"));
    bytes.extend((0..1000).flat_map(|index| ask(index * 2 + 1)));
    bytes
}

#[test]
fn a_client_that_does_not_read_what_it_asked_for_is_kept_little() {
    let scene = Scene::start(HTTP, &[]);
    let before = resident_kib(scene.pid()).unwrap();
    let attacker = scene.greedy().unwrap();
    let asked = || scene.metric("ambit_pool_connections", &[]) > 200.0;
    wait_until("as many requests as there may be", SOON, asked).unwrap();
    // Until it has no more of them than a moment ago.
    let mut last = 0;
    let settled = || {
        let now = resident_kib(scene.pid()).unwrap();
        (std::mem::replace(&mut last, now) == now).then_some(())
    };
    wait_with_pauses(PAUSE, "the memory to settle", SOON, settled).unwrap();
    assert!(last < before + UNREAD, "{before} KiB became {last} KiB");
    drop(attacker);
    let serves = || scene.asks() == Some((200, "small".to_owned()));
    wait_until("the waypoint to serve on", SPREAD, serves).unwrap();
}

#[test]
fn clients_that_read_nothing_cannot_take_all_the_memory_of_a_waypoint() {
    let limit = LIMIT.to_string();
    let scene = Scene::start(HTTP, &["--memory-limit", &limit]);
    let own = scene.metric("ambit_memory_limit_bytes", &[]);
    assert_eq!(own.to_string(), (LIMIT << 20).to_string());
    assert!(!scene.is_short());

    // Connections from before are served, or told why not; new ones are served or refused.
    let mut kept = scene.fronted.connect(80);
    let served = (200, "small".to_owned());
    let refused = (503, "overloaded\n".to_owned());
    let mut seen = BTreeSet::new();
    let mut held = Vec::new();
    let mut ask = |held: &mut Vec<TcpStream>| {
        held.extend(scene.greedy());
        let answer = kept.get("/small", "").unwrap();
        seen.insert((answer.status, answer.body));
        seen.extend(scene.asks());
        seen.contains(&refused)
    };
    wait_until("memory to be short", SOON, || ask(&mut held)).unwrap();
    for _ in 0..MANY {
        ask(&mut held);
        scene.fronted.waypoint.await_ready().unwrap();
    }
    seen.retain(|one| *one != served && *one != refused);
    assert!(seen.is_empty(), "{seen:?}");

    // They stay, and keep nobody out.
    wait_until("memory to be had again", SOON, || !scene.is_short()).unwrap();
    wait_until("to be served", SOON, || {
        scene.asks() == Some((200, "small".to_owned()))
    })
    .unwrap();
    drop(held);
    scene.recovers(LIMIT);
    let lines = scene.fronted.waypoint.access_log();
    let mut told = lines.iter().filter(|line| line["reason"] == "overloaded");
    assert!(told.any(|line| line["response_flags"] == "OM"), "requests");
    assert!(told.any(|line| line["status"].is_null()), "connections");
}

#[test]
fn connections_that_are_passed_on_cannot_take_it_either() {
    let limit = LIMIT.to_string();
    let scene = Scene::start(TCP, &["--memory-limit", &limit]);
    let fronted = &scene.fronted;
    let client = fronted.pod("client");
    let open = || connect(client.namespace(), fronted.at(80)).unwrap();
    let mut held: Vec<TcpStream> = (0..PASSED).map(|_| open()).collect();
    let all = || scene.metric("ambit_connections_open", &[]) >= f64::from(PASSED);
    wait_until("all to be open", SOON, all).unwrap();
    for stream in &mut held {
        // It may have been ended already.
        let ask = b"GET /large HTTP/1.1\r\nHost: s\r\n\r\n";
        stream.write_all(ask).ok();
    }
    // Those that had been let in.
    let ended = || {
        let lines = fronted.waypoint.access_log();
        let of = |line: &Value| line["reason"] == "overloaded" && !line["dst.workload"].is_null();
        lines.iter().any(of)
    };
    wait_until("connections to be ended", SOON, ended).unwrap();
    drop(held);
    // All at once they may take more between two looks than is left.
    scene.recovers(LIMIT + LIMIT / 8);
}
