//! A request that two readers could read in two ways is read by nobody: it is refused at the
//! waypoint and counted. Everything else arrives with one reading, and what follows it on its
//! connection is what the client sent after it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};

use ambit_e2e::clients::connect;
use ambit_e2e::lab::address::Family;
use ambit_e2e::mesh::{Options, Waypoint, sum_of};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, SPREAD, World};

use crate::recorder::{Recorder, Seen};

/// What becomes of a case.
enum Fate {
    /// Answered with this status, and nothing of it arrives.
    Refused(u16),
    /// Arrives as these requests: method and target, and body.
    Arrives(&'static [(&'static str, &'static str)]),
}
use Fate::{Arrives, Refused};

/// Raw requests, each followed by another one on its connection.
const CASES: &[(&str, &str, Fate)] = &[
    (
        "plain",
        "GET /a HTTP/1.1\r\nHost: s\r\n\r\n",
        Arrives(&[("GET /a", "")]),
    ),
    (
        "length",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\n\r\nabc",
        Arrives(&[("POST /a", "abc")]),
    ),
    (
        "chunks",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        Arrives(&[("POST /a", "abcde")]),
    ),
    (
        "chunks in capitals",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: Chunked\r\n\r\n0A\r\n0123456789\r\n000\r\n\r\n",
        Arrives(&[("POST /a", "0123456789")]),
    ),
    (
        "a request in a body",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 29\r\n\r\nGET /evil HTTP/1.1\r\nHost: s\r\n\r\n",
        Arrives(&[("POST /a", "GET /evil HTTP/1.1\r\nHost: s\r\n")]),
    ),
    (
        "a whole request in a body",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 31\r\n\r\nGET /evil HTTP/1.1\r\nHost: s\r\n\r\n",
        Arrives(&[("POST /a", "GET /evil HTTP/1.1\r\nHost: s\r\n\r\n")]),
    ),
    (
        "three in a row",
        "GET /a HTTP/1.1\r\nHost: s\r\n\r\nGET /b HTTP/1.1\r\nHost: s\r\n\r\n\r\nGET /c HTTP/1.1\r\nHost: s\r\n\r\n",
        Arrives(&[("GET /a", ""), ("GET /b", ""), ("GET /c", "")]),
    ),
    (
        "CL.TE",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil",
        Refused(400),
    ),
    (
        "TE.CL",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1f\r\nGET /evil HTTP/1.1\r\nHost: s\r\n\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE.TE, one unknown",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE.TE, both chunked",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE, a list",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE, identity",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "TE, almost chunked",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE, quoted",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE, vertical tab",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE, blank before the colon",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE, folded",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE, after a bare LF",
        "POST /a HTTP/1.1\r\nHost: s\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "TE in HTTP/1.0",
        "POST /a HTTP/1.0\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    (
        "two lengths alike",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "two lengths",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc",
        Refused(400),
    ),
    (
        "a list of lengths",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 3, 3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "a negative length",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: -3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "a length with a plus",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: +3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "a length in hex",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 0x3\r\n\r\nabc",
        Refused(400),
    ),
    (
        "a length with a blank in it",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 1 1\r\n\r\nabc",
        Refused(400),
    ),
    (
        "a length beyond all numbers",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 18446744073709551619\r\n\r\nabc",
        Refused(400),
    ),
    (
        "an empty length",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: \r\n\r\n",
        Refused(400),
    ),
    (
        "a length named with an underscore",
        "POST /a HTTP/1.1\r\nHost: s\r\nContent_Length: 3\r\nContent-Length: 0\r\n\r\n",
        Arrives(&[("POST /a", "")]),
    ),
    (
        "a folded header",
        "GET /a HTTP/1.1\r\nHost: s\r\nX: y\r\n\tz: GET /evil\r\n\r\n",
        Refused(400),
    ),
    (
        "a folded first header",
        "GET /a HTTP/1.1\r\n Host: s\r\nHost: s\r\n\r\n",
        Refused(400),
    ),
    (
        "a bare LF",
        "GET /a HTTP/1.1\r\nHost: s\r\nX: y\nZ: a\r\n\r\n",
        Refused(400),
    ),
    (
        "a bare CR",
        "GET /a HTTP/1.1\r\nHost: s\r\nX: y\rZ: a\r\n\r\n",
        Refused(400),
    ),
    ("lines of LF", "GET /a HTTP/1.1\nHost: s\n\n", Refused(400)),
    (
        "a head that ends with LF",
        "GET /a HTTP/1.1\r\nHost: s\r\n\n",
        Refused(400),
    ),
    (
        "CR CR LF",
        "GET /a HTTP/1.1\r\nHost: s\r\nX: y\r\r\n\r\n",
        Refused(400),
    ),
    (
        "NUL in a value",
        "GET /a HTTP/1.1\r\nHost: s\r\nX: \0\r\n\r\n",
        Refused(400),
    ),
    (
        "NUL in a name",
        "GET /a HTTP/1.1\r\nHost: s\r\nX\0: y\r\n\r\n",
        Refused(400),
    ),
    (
        "NUL in the target",
        "GET /\0 HTTP/1.1\r\nHost: s\r\n\r\n",
        Refused(400),
    ),
    (
        "a blank in a name",
        "GET /a HTTP/1.1\r\nHost: s\r\nX y: z\r\n\r\n",
        Refused(400),
    ),
    (
        "no name",
        "GET /a HTTP/1.1\r\nHost: s\r\n: z\r\n\r\n",
        Refused(400),
    ),
    (
        "no colon",
        "GET /a HTTP/1.1\r\nHost: s\r\nXyz\r\n\r\n",
        Refused(400),
    ),
    (
        "a chunk's size with a sign",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        Refused(0),
    ),
    (
        "a chunk's size in C",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        Refused(0),
    ),
    (
        "a chunk's size and a blank",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
        Refused(0),
    ),
    (
        "a chunk's size beyond all numbers",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        Refused(0),
    ),
    (
        "a chunk longer than its size",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
        Refused(0),
    ),
    (
        "a chunk's size that ends with LF",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        Refused(0),
    ),
    (
        "a chunk's extension with LF",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
        Refused(0),
    ),
    (
        "a length as trailer",
        "POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
        Refused(0),
    ),
    ("no Host", "GET /a HTTP/1.1\r\n\r\n", Refused(400)),
    (
        "two Hosts",
        "GET /a HTTP/1.1\r\nHost: s\r\nHost: t\r\n\r\n",
        Refused(400),
    ),
    (
        "a Host with a path",
        "GET /a HTTP/1.1\r\nHost: s/evil\r\n\r\n",
        Refused(400),
    ),
    (
        "a Host with a user",
        "GET /a HTTP/1.1\r\nHost: s@t\r\n\r\n",
        Refused(400),
    ),
    (
        "absolute form",
        "GET http://t/a HTTP/1.1\r\nHost: s\r\n\r\n",
        Arrives(&[("GET /a", "")]),
    ),
    (
        "a blank in the target",
        "GET /a b HTTP/1.1\r\nHost: s\r\n\r\n",
        Refused(400),
    ),
    (
        "two blanks",
        "GET  /a HTTP/1.1\r\nHost: s\r\n\r\n",
        Refused(400),
    ),
    (
        "a version of 1.10",
        "GET /a HTTP/1.10\r\nHost: s\r\n\r\n",
        Refused(505),
    ),
    (
        "a version of 2",
        "GET /a HTTP/2.0\r\nHost: s\r\n\r\n",
        Refused(505),
    ),
];

const AFTER: &str = "GET /after HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";

struct Scene {
    world: World,
    waypoint: Waypoint,
    recorder: Recorder,
}

impl Scene {
    fn start() -> Self {
        let pods = [("client", 1), ("server", 2), ("waypoint", 2)];
        let options = Options {
            waypoints: vec!["waypoint".to_owned()],
            bound: vec!["server".to_owned()],
            ..Options::default()
        };
        let world = World::fronted(&pods, &options, &[]).unwrap();
        let file = world.mesh.configuration.dir().join("pods.yaml");
        let objects = fs::read_to_string(file).unwrap();
        let named = objects.replace("name: p80\n", "name: http\n");
        world.mesh.configuration.apply("pods", &named).unwrap();
        let waypoint = world.waypoint("waypoint", &[]).unwrap();
        let recorder = Recorder::start(&world.pod("server").unwrap(), HTTP.1);
        let scene = Self {
            world,
            waypoint,
            recorder,
        };
        // What is no HTTP at all is refused on a port that says HTTP.
        let refused = || statuses(&scene.exchange("G@T / HTTP/1.1\r\n\r\n")) == [400];
        wait_until("the port's protocol to be known", SPREAD, refused).unwrap();
        scene.recorder.take();
        scene
    }

    /// Sends all at once, and reads until the waypoint closes.
    fn exchange(&self, text: &str) -> String {
        self.exchange_and(text, false)
    }

    /// The same, and says too that no more comes: then a request that is not complete breaks off.
    fn exchange_and(&self, text: &str, ends: bool) -> String {
        let at: SocketAddr = self.world.service("server", Family::V4, HTTP.0).unwrap();
        let client = self.world.pod("client").unwrap();
        let mut stream = connect(client.namespace(), at).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        if ends {
            stream.shutdown(Shutdown::Write).ok();
        }
        let mut answer = Vec::new();
        // A connection that was ended for what came on it may be reset.
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn refused(&self) -> f64 {
        let page = self.waypoint.metrics().unwrap();
        sum_of(
            &page,
            "ambit_refusals_total",
            &["reason=\"malformed_request\""],
        )
    }
}

fn statuses(answer: &str) -> Vec<u16> {
    let parts = answer.split("HTTP/1.1 ").skip(1);
    parts
        .filter_map(|part| part.get(..3)?.parse().ok())
        .collect()
}

/// What the server saw has one reading, and is what was meant.
fn assert_seen(name: &str, seen: &[Seen], expected: &[(&str, &str)]) {
    for seen in seen {
        assert_eq!(seen.bad, None, "{name}: {seen:?}");
        assert_eq!(seen.values("host").len(), 1, "{name}: {seen:?}");
        let lengths = seen.values("content-length").len() + seen.values("transfer-encoding").len();
        assert!(lengths <= 1, "{name}: {seen:?}");
    }
    let bodies = seen.iter().map(|seen| String::from_utf8_lossy(&seen.body));
    let bodies: Vec<_> = bodies.collect();
    let came: Vec<_> = seen
        .iter()
        .map(Seen::asks)
        .zip(bodies.iter().map(AsRef::as_ref))
        .collect();
    assert_eq!(came, expected, "{name}");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_all_else_arrives_as_it_was_meant() {
    let scene = Scene::start();
    let mut refused = scene.refused();
    for (name, text, fate) in CASES {
        let breaks_off = matches!(fate, Refused(0));
        let answer = scene.exchange_and(&format!("{text}{AFTER}"), breaks_off);
        // Whatever could still come of it has come before this.
        let control = scene.exchange(&AFTER.replace("/after", "/control"));
        assert_eq!(statuses(&control), [200], "{name}: {control}");
        let seen = scene.recorder.take();
        match fate {
            Refused(status) => {
                // The body of a request that is on its way already breaks off: it has no answer.
                let expected: &[u16] = if *status == 0 { &[] } else { &[*status] };
                let statuses = statuses(&answer);
                let of_ours = statuses.iter().all(|status| *status >= 400);
                assert!(
                    statuses == expected || (*status == 0 && of_ours),
                    "{name}: {answer}"
                );
                assert_seen(name, &seen, &[("GET /control", "")]);
                let now = scene.refused();
                assert!(now > refused, "{name} is not counted: {now}");
                refused = now;
            }
            Arrives(expected) => {
                let all = [expected, &[("GET /after", ""), ("GET /control", "")][..]].concat();
                assert_eq!(
                    statuses(&answer),
                    vec![200; all.len() - 1],
                    "{name}: {answer}"
                );
                assert_seen(name, &seen, &all);
            }
        }
    }
}
