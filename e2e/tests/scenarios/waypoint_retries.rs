//! Time-outs and retries, at a server that misbehaves in every way.

use std::thread;
use std::time::{Duration, Instant};

use ambit_e2e::clients::Answer;
use ambit_e2e::scripted::{Deed, Scripted, Then};

use crate::fronted::{Fronted, http_route};

/// As contract line M12 has it: ten seconds in all, two for a try, three retries. `/quick` is the
/// same in little; `/tight` has no time for all of its tries.
const RULES: &str = "
    - matches: [{path: {type: PathPrefix, value: /m12}}]
      timeouts: {request: 10s, backendRequest: 2s}
      retry: {attempts: 3, codes: [500, 503, 409], backoff: 25ms}
      backendRefs: [{name: one, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /tight}}]
      timeouts: {request: 4s, backendRequest: 1500ms}
      retry: {attempts: 3, codes: [503], backoff: 25ms}
      backendRefs: [{name: one, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /once}}]
      timeouts: {request: 500ms}
      backendRefs: [{name: one, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /refused}}]
      timeouts: {request: 10s, backendRequest: 2s}
      retry: {attempts: 3, codes: [503], backoff: 25ms}
      backendRefs: [{name: two, port: 80}]
";

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";

/// What the server does about a request, by the words of its path: a misdeed, and for how many tries.
fn misbehave(path: &str, before: usize) -> Deed {
    let mut words = path.rsplit('/');
    let times: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let misdeed = words.next().unwrap_or_default();
    if before >= times {
        return Deed::answer(200, "well");
    }
    match misdeed {
        "reset" => Deed::new("", Then::Reset),
        "close" => Deed::new("", Then::Close),
        "half-head" => Deed::new("HTTP/1.1 200 O", Then::Reset),
        "cut" => Deed::new(format!("{HEAD}12345"), Then::Close),
        "slow-head" => Deed::new("", Then::Hang),
        "slow-body" => Deed::new(format!("{HEAD}12345"), Then::Hang),
        status => Deed::answer(status.parse().unwrap_or(200), "badly"),
    }
}

/// What came of a request, how long it took, and how often the server was asked.
struct Case {
    result: anyhow::Result<Answer>,
    took: Duration,
    heard: usize,
}

fn ask(fronted: &Fronted, server: &Scripted, method: &str, path: &str) -> Case {
    let began = Instant::now();
    let mut client = fronted.connect(80);
    let length = if method == "POST" {
        "Content-Length: 4\r\n\r\nbody"
    } else {
        "\r\n"
    };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: server\r\n{length}");
    let sent = client.send(request);
    let result = sent.and_then(|()| client.answer());
    let heard = server.heard_at(path);
    if method == "POST" {
        assert!(heard.iter().all(|heard| heard.body == b"body"), "{path}");
    }
    Case {
        result,
        took: began.elapsed(),
        heard: heard.len(),
    }
}

fn status(case: &Case) -> u16 {
    case.result.as_ref().map_or(0, |answer| answer.status)
}

#[test]
fn a_time_out_and_retries_hold_exactly_at_a_server_that_misbehaves_in_every_way() {
    let fronted = Fronted::start(&["one", "two"]);
    let server = Scripted::start(&fronted.pod("one"), 8080, |heard, before| {
        misbehave(heard.path(), before)
    });
    let server = server.unwrap();
    let route = http_route("tries", RULES);
    fronted.route(&route, "HTTPRoute/shop/tries/0");
    thread::scope(|scope| {
        // Slow by nature, so at once: as many as may retry at once, however few requests there are.
        scope.spawn(|| slow_heads(&fronted, &server));
        scope.spawn(|| {
            slow_body(&fronted, &server);
            one_slow_head(&fronted, &server);
            total_time(&fronted, &server);
            slow_upload(&fronted, &server);
        });
        scope.spawn(|| quick_ones(&fronted, &server));
    });
    refused(&fronted);
}

/// Four tries of two seconds each, and no more.
fn slow_heads(fronted: &Fronted, server: &Scripted) {
    let path = "/m12/slow-head/9";
    let case = ask(fronted, server, "GET", path);
    assert_eq!((status(&case), case.heard), (504, 4));
    assert!(case.took >= Duration::from_secs(8), "{:?}", case.took);
    assert!(case.took < Duration::from_secs(10), "{:?}", case.took);
    let line = fronted.logged(path);
    let fields = ["response_flags", "tries", "status"].map(|name| line.field(name));
    assert_eq!(fields, ["URX,UT", "4", "504"]);
}

/// An answer has begun: it breaks off when the try's time is over, and is not tried again.
fn slow_body(fronted: &Fronted, server: &Scripted) {
    for (path, limit) in [
        ("/m12/slow-body/9", Duration::from_secs(2)),
        ("/once/slow-body/9", Duration::from_millis(500)),
    ] {
        let case = ask(fronted, server, "GET", path);
        assert!(case.result.is_err(), "{:?}", case.result);
        assert_eq!(case.heard, 1);
        let took = case.took;
        assert!(
            took >= limit && took < limit + Duration::from_secs(3),
            "{took:?}"
        );
    }
}

/// The second try answers.
fn one_slow_head(fronted: &Fronted, server: &Scripted) {
    let case = ask(fronted, server, "GET", "/m12/slow-head/1");
    assert_eq!((status(&case), case.heard), (200, 2));
    assert!(case.took >= Duration::from_secs(2), "{:?}", case.took);
}

/// The time of all tries together ends the third.
fn total_time(fronted: &Fronted, server: &Scripted) {
    for (path, limit, tries) in [
        ("/tight/slow-head/9", 4000, 3),
        ("/once/slow-head/9", 500, 1),
    ] {
        let case = ask(fronted, server, "GET", path);
        assert_eq!((status(&case), case.heard), (504, tries), "{path}");
        let (took, limit) = (case.took, Duration::from_millis(limit));
        assert!(
            took >= limit && took < limit + Duration::from_secs(2),
            "{took:?}"
        );
    }
}

/// By an HTTPRoute time counts from the head of a request, also while the client has not sent all of it.
fn slow_upload(fronted: &Fronted, server: &Scripted) {
    let (path, limit) = ("/once/upload/0", Duration::from_millis(500));
    let mut client = fronted.connect(80);
    let began = Instant::now();
    let begun = format!("POST {path} HTTP/1.1\r\nHost: server\r\nContent-Length: 4\r\n\r\nbo");
    client.send(begun).unwrap();
    // It waits for the answer with the rest.
    assert_eq!(client.answer().unwrap().status, 504);
    let took = began.elapsed();
    assert!(
        took >= limit && took < limit + Duration::from_secs(2),
        "{took:?}"
    );
    assert_eq!(server.heard_at(path).len(), 0);
}

fn quick_ones(fronted: &Fronted, server: &Scripted) {
    for misdeed in ["reset", "close", "half-head", "503", "500", "409"] {
        for method in ["GET", "POST"] {
            let name = method.to_ascii_lowercase();
            let path = format!("/m12/{name}/{misdeed}/3");
            let case = ask(fronted, server, method, &path);
            assert_eq!((status(&case), case.heard), (200, 4), "{path}");
            assert_eq!(fronted.logged(&path).field("tries"), "4", "{path}");

            let path = format!("/m12/{name}/{misdeed}/9");
            let case = ask(fronted, server, method, &path);
            let last = misdeed.parse().unwrap_or(503);
            assert_eq!((status(&case), case.heard), (last, 4), "{path}");
        }
    }
    // What nobody asked to try again.
    for status_of in ["429", "502", "404"] {
        let case = ask(fronted, server, "GET", &format!("/m12/{status_of}/9"));
        let expected = status_of.parse().unwrap();
        assert_eq!((status(&case), case.heard), (expected, 1));
    }
    let case = ask(fronted, server, "GET", "/m12/cut/9");
    assert!(case.result.is_err(), "{:?}", case.result);
    assert_eq!(case.heard, 1);
    let case = ask(fronted, server, "POST", "/once/reset/9");
    assert_eq!((status(&case), case.heard), (503, 1));
}

/// Nothing listens, so nothing can be counted at the server.
fn refused(fronted: &Fronted) {
    let answer = fronted.get("/refused", "");
    assert_eq!(answer.status, 503, "{answer:?}");
    let line = fronted.logged("/refused");
    assert_eq!(
        [line.field("tries"), line.field("response_flags")],
        ["4", "URX,UF"]
    );
}
