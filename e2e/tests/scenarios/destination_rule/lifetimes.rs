//! How long connections last, and how they are probed: at a server that takes no tunnels, as hosts outside of
//! the mesh take none.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::Options;
use ambit_e2e::programs;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::{wait_for, wait_until};
use ambit_e2e::world::{SPREAD, TCP, WAYPOINT, World};

use super::{apply, rule};
use crate::fronted::Fronted;
use crate::support::SOON;

/// Lines that say how a connection ended, in Envoy's words.
const MESH: &str = "accessLogFile: /dev/stdout\naccessLogEncoding: JSON\naccessLogFormat: '{\"flags\": \
                    \"%RESPONSE_FLAGS%\", \"why\": \"%CONNECTION_TERMINATION_DETAILS%\"}'\n";
/// nginx, which says on which connection a request came, at once or in some seconds.
const SITE: &str = "server { listen 8080; location / { return 200 $connection; }\n\
                    location /slow { limit_rate 20; return 200 \
                    0123456789012345678901234567890123456789012345678901234567890123456789end; } }";

/// The waypoint before a server that is not captured.
fn start(mesh_config: &str) -> Fronted {
    let options = Options {
        control_plane: vec!["--mesh-config".to_owned(), mesh_config.to_owned()],
        waypoints: vec![WAYPOINT.to_owned()],
        bound: vec!["server".to_owned()],
        ..Options::default()
    };
    let pods = [("client", 1), ("server", 2), ("waypoint", 2)];
    let world = World::fronted(&pods, &options, &["server"]).unwrap();
    let waypoint = world.waypoint(WAYPOINT, &[]).unwrap();
    Fronted { waypoint, world }
}

/// Puts a rule in force that says this of connections.
fn says(fronted: &Fronted, tcp: &str, known: &str) {
    let text = rule(&format!(
        "  host: server\n  trafficPolicy: {{connectionPool: {{tcp: {{{tcp}}}}}}}\n"
    ));
    apply(fronted, &text, |traffic| {
        !traffic["whole"]["any"]["connections"][known].is_null()
    });
}

/// A connection that is no HTTP, on which a word has come back.
fn spoken(fronted: &Fronted) -> Connection {
    let mut held = fronted.connect(TCP.0);
    assert!(speaks(&mut held));
    held
}

/// Whether a word comes back.
fn speaks(held: &mut Connection) -> bool {
    held.send("\0word\r\n\r\n").is_ok() && held.lines().is_ok_and(|line| line == "\0word\r\n")
}

/// Waits for a line with this flag and reason.
fn assert_logged(fronted: &Fronted, flag: &str, reason: &str) {
    let find = || {
        let mut lines = fronted.waypoint.access_log().into_iter();
        lines.find(|line| line["flags"] == flag && line["why"] == reason)
    };
    wait_for(&format!("a line with {flag}"), SPREAD, find).unwrap();
}

/// The sockets of the waypoint to this port of the server, with their timers.
fn sockets(fronted: &Fronted, port: u16) -> String {
    let server = fronted.pod("server").ip(Family::V4);
    let filter = format!("{server}:{port}");
    let args = ["-tnoH", "state", "established", "dst", &filter];
    fronted.pod(WAYPOINT).run("ss", &args).unwrap()
}

#[test]
fn connections_are_probed_and_end_as_the_rule_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    fs::write(&file, MESH).unwrap();
    let fronted = start(&file.display().to_string());
    let server = fronted.pod("server");
    let _echo = Server::start(&server, TCP.1, servers::echo).unwrap();
    let _nginx = programs::nginx(&server, &fronted.world.dir("nginx"), SITE, 8080).unwrap();

    // Without a rule nobody probes.
    let held = spoken(&fronted);
    let plain = sockets(&fronted, TCP.1);
    assert!(!plain.is_empty() && !plain.contains("keepalive"), "{plain}");
    drop(held);
    says(
        &fronted,
        "tcpKeepalive: {time: 600s, interval: 30s, probes: 4}",
        "keepalive",
    );
    let _held = spoken(&fronted);
    assert_eq!(fronted.get("/", "").status, 200);
    for port in [TCP.1, 8080] {
        wait_until("the kernel to probe", SOON, || {
            let shown = sockets(&fronted, port);
            shown.contains("timer:(keepalive,9min") || shown.contains("timer:(keepalive,10min")
        })
        .unwrap_or_else(|error| panic!("{error:#}: {}", sockets(&fronted, port)));
    }

    // A connection ends at its age, whatever goes by on it.
    says(&fronted, "maxConnectionDuration: 1500ms", "lifetime");
    let began = Instant::now();
    let mut held = spoken(&fronted);
    wait_until("the connection to end", SOON, || !speaks(&mut held)).unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(1400),
        "{:?}",
        began.elapsed()
    );
    assert_logged(&fronted, "DT", "connection_duration");
    // One of HTTP takes no more requests then, and no request is cut.
    let began = Instant::now();
    let slow = fronted.get("/slow", "");
    assert!(slow.status == 200 && slow.body.ends_with("end"), "{slow:?}");
    assert!(
        began.elapsed() > Duration::from_millis(1600),
        "it was too quick to be cut"
    );
    let asked = || {
        let answer = fronted.get("/", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    };
    let first = asked();
    assert_eq!(asked(), first);
    wait_until("another connection", SOON, || asked() != first).unwrap();

    // And one that nothing goes by on ends, but not before.
    says(&fronted, "idleTimeout: 1s", "silence");
    let mut held = spoken(&fronted);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        // As long as its client says.
        sleep(Duration::from_millis(300));
        assert!(speaks(&mut held));
    }
    let silent = Instant::now();
    assert!(held.rest().unwrap_or_default().is_empty());
    let took = silent.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert_logged(&fronted, "SI", "idle_timeout");
}
