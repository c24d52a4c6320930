//! Copies of requests: that they arrive, and that whatever becomes of them neither changes an answer
//! nor when it comes.

use std::sync::{Arc, Condvar, Mutex};

use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;

use crate::fronted::{Fronted, http_route};
use crate::support::SOON;

/// Requests of one round.
const ROUND: usize = 200;
/// Requests that are answered while their copies are not.
const HELD: usize = 5;

const RULES: &str = "
    - matches: [{path: {type: PathPrefix, value: /all}}]
      filters:
        - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-copied, value: 'yes'}]}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: three, port: 80}}}
      backendRefs: [{name: one, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /tenth}}]
      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}, percent: 10}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: three, port: 80}, fraction: {numerator: 1, denominator: 2}}}
      backendRefs: [{name: one, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /held}}]
      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: three, port: 80}}}
      backendRefs: [{name: one, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /bad}}]
      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: nobody, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: absent, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: two, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: three, port: 80}}}
      backendRefs: [{name: one, port: 80}]
";

/// What a server waits at until somebody opens it.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn wait(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open));
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

fn post(fronted: &Fronted, path: &str, body: &str) -> ambit_e2e::clients::Answer {
    let mut client = fronted.connect(80);
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    client.send(request).unwrap();
    client.answer().unwrap()
}

#[test]
fn requests_are_copied_and_a_copy_that_fails_or_hangs_changes_nothing() {
    let fronted = Fronted::start(&["one", "two", "three", "absent"]);
    let one = Scripted::saying(&fronted.pod("one"), 8080, "one").unwrap();
    // The second copy goes to a server that hangs, breaks or speaks no HTTP.
    let two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    // Or waits until it is told to answer.
    let gate = Arc::<Gate>::default();
    let held = Arc::clone(&gate);
    let three = Scripted::start(&fronted.pod("three"), 8080, move |heard, before| {
        if heard.path().starts_with("/held") {
            held.wait();
        }
        match (heard.path().starts_with("/bad"), before % 3) {
            (false, _) => Deed::answer(500, "three"),
            (true, 0) => Deed::new("", Then::Hang),
            (true, 1) => Deed::new("", Then::Reset),
            (true, _) => Deed::new("no HTTP at all\r\n\r\n", Then::Close),
        }
    });
    let three = three.unwrap();
    fronted.route(&http_route("copies", RULES), "HTTPRoute/shop/copies/0");

    let answer = post(&fronted, "/all/x?y=1", "a body");
    assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
    for server in [&two, &three] {
        wait_until("the copy", SOON, || server.count() == 1).unwrap();
        let copy = server.heard_at("/all/x?y=1").remove(0);
        assert_eq!(copy.body, b"a body");
        assert_eq!(copy.header("host").as_deref(), Some("shop.example"));
        assert_eq!(copy.header("x-copied").as_deref(), Some("yes"));
        assert!(copy.head.starts_with("POST "), "{}", copy.head);
    }
    // What waypoints tell each other is no word of a client.
    let mut client = fronted.connect(80);
    let answer = client.get("/all/marked", "x-ambit-hops: 1 copy\r\n");
    assert_eq!(answer.unwrap().body, "one");
    wait_until("the copy of a request that calls itself one", SOON, || {
        two.heard_at("/all/marked").len() == 1
    })
    .unwrap();
    let bodies = ["x".repeat(150_000), "y".repeat(60_000)];
    for body in &bodies {
        assert_eq!(post(&fronted, "/all/large", body).body, "one");
    }
    wait_until("the large copies", SOON, || {
        two.heard_at("/all/large").len() == bodies.len()
    })
    .unwrap();
    for (copy, body) in two.heard_at("/all/large").iter().zip(&bodies) {
        assert!(copy.body == body.as_bytes(), "{} bytes", copy.body.len());
    }
    held_ones(&fronted, &three, &gate);
    bad_ones(&fronted, &one, &three);
    shares(&fronted, &[&one, &two, &three]);
}

/// Requests of one connection are answered, one after the other, before any of their copies is.
fn held_ones(fronted: &Fronted, three: &Scripted, gate: &Gate) {
    let copies = || three.heard_at("/held").len();
    let mut client = fronted.connect(80);
    for asked in 1..=HELD {
        let answer = client.get("/held", "").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
        // It is under way, and waits.
        wait_until("the copy", SOON, || copies() == asked).unwrap();
    }
    gate.open();
    // What was held up was the copies alone: another one is answered on the way.
    assert_eq!(client.get("/held", "").unwrap().body, "one");
    wait_until("the next copy", SOON, || copies() == HELD + 1).unwrap();
}

/// Nobody, nothing listening, one that hangs and one that breaks, all at once: no request has to do with them.
fn bad_ones(fronted: &Fronted, one: &Scripted, three: &Scripted) {
    let mut client = fronted.connect(80);
    for _ in 0..ROUND {
        let answer = client.get("/bad", "").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "one"));
    }
    assert_eq!(one.heard_at("/bad").len(), ROUND);
    assert!(!three.heard_at("/bad").is_empty());
}

/// Copies are drawn as often as they are to be.
fn shares(fronted: &Fronted, servers: &[&Scripted; 3]) {
    let report = fronted.run(
        "h2load",
        &["--h1", "-n4000", "-c8", "-t1", "http://server/tenth"],
    );
    assert!(report.contains("4000 2xx"), "{report}");
    let count = |server: &Scripted| server.heard_at("/tenth").len();
    assert_eq!(count(servers[0]), 4000);
    for (server, share) in [(servers[1], 0.1), (servers[2], 0.5)] {
        let (expected, bound) = (
            4000.0 * share,
            5.2 * (4000.0_f64 * share * (1.0 - share)).sqrt(),
        );
        let is_near = || {
            let got = f64::from(u32::try_from(count(server)).unwrap_or(u32::MAX));
            (got - expected).abs() <= bound
        };
        let near = wait_until("a share of copies", SOON, is_near);
        near.unwrap_or_else(|error| panic!("{} of 4000: {error:#}", count(server)));
    }
}
