//! Requests through a real waypoint to real servers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Duration;

use ambit_e2e::clients::{connect, get};
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Options, Waypoint};
use ambit_e2e::programs;
use ambit_e2e::servers::{self, Server};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, SPREAD, World};

/// A client and a server that are captured, the server's service bound to a waypoint that runs.
fn world() -> (World, Waypoint) {
    let pods = [("client", 1), ("server", 2), ("waypoint", 2)];
    let options = Options {
        waypoints: vec!["waypoint".to_owned()],
        bound: vec!["server".to_owned()],
        ..Options::default()
    };
    let world = World::fronted(&pods, &options, &[]).unwrap();
    let waypoint = world.waypoint("waypoint", &[]).unwrap();
    (world, waypoint)
}

#[test]
fn a_request_goes_through_the_waypoint() {
    let (world, waypoint) = world();
    let server = world.pod("server").unwrap();
    let _server = Server::start(&server, HTTP.1, servers::http).unwrap();
    let at = world.service("server", Family::V4, HTTP.0).unwrap();
    let client = world.pod("client").unwrap();
    let answer = get(client.namespace(), at, "/hello").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", waypoint.log());
    let address = world.pod("waypoint").unwrap().ip(Family::V4);
    assert_eq!(
        answer.body,
        address.to_string(),
        "it is the waypoint that calls"
    );
}

/// Both ends close their connections when they have what they want, as HTTP/1.0 does and most probes
/// and batch jobs: nobody loses a byte of an answer by it, and no log calls it an error.
#[test]
fn who_closes_after_one_answer_has_all_of_it() {
    const BODY: usize = 8 << 20;
    let (world, waypoint) = world();
    let server = world.pod("server").unwrap();
    let dir = world.dir("nginx");
    let site = format!(
        "server {{ listen 8080; location / {{ root {0}; }} location /no {{ client_max_body_size 1k; \
         proxy_pass http://127.0.0.1:1; }} }}",
        dir.display()
    );
    let _server = programs::nginx(&server, &dir, &site, HTTP.1).unwrap();
    fs::write(dir.join("large"), vec![b'x'; BODY]).unwrap();
    let at = world.service("server", Family::V4, HTTP.0).unwrap();
    let client = world.pod("client").unwrap();

    // It begins to read when all others have long finished.
    let mut slow = connect(client.namespace(), at).unwrap();
    let request = b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    slow.write_all(request).unwrap();
    thread::sleep(Duration::from_secs(2));
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer.len() > BODY, "{} bytes", answer.len());
    drop(slow);

    // Refused before it has sent everything, and sending on.
    let mut large = connect(client.namespace(), at).unwrap();
    let head = format!(
        "POST /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {BODY}\r\n\r\n"
    );
    large.write_all(head.as_bytes()).unwrap();
    large.write_all(&vec![b'x'; BODY]).unwrap();
    let mut answer = Vec::new();
    large.read_to_end(&mut answer).unwrap();
    let log = waypoint.log();
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{log}");
    drop(large);

    let pages = world.mesh.agent(1).unwrap().pages();
    let written = || pages.access_log().len() == 2;
    wait_until("the lines of both connections", SPREAD, written).unwrap();
    for line in pages.access_log() {
        assert_eq!(line.text("error"), "", "{line:?}");
    }
}
