//! Time for all tries, several copies, origins of browsers, redirects in parts, and ports.

use std::thread;
use std::time::{Duration, Instant};

use ambit_e2e::scripted::{Deed, Scripted, Then};
use ambit_e2e::wait::wait_until;

use super::{is_near, virtual_service};
use crate::fronted::Fronted;
use crate::support::SOON;

const RULES: &str = r"
  hosts: [server]
  http:
    - match: [{uri: {prefix: /slow}}]
      timeout: 1s
      retries: {attempts: 9, perTryTimeout: 400ms, retryOn: 5xx}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /copied}}]
      route: [{destination: {host: one}}]
      mirrors:
        - {destination: {host: two}, percentage: {value: 100}}
        - {destination: {host: three}, percentage: {value: 30}}
    - match: [{uri: {prefix: /shared}}]
      corsPolicy:
        allowOrigins: [{exact: 'https://shop.example'}, {regex: 'https://[a-z]+\.shop\.example'}]
        allowMethods: [GET, PUT]
        allowHeaders: [x-cart]
        exposeHeaders: [x-total]
        allowCredentials: true
        maxAge: 24h
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /begun}}]
      corsPolicy: {allowOrigins: [{prefix: 'https://shop.'}]}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /older}}]
      corsPolicy: {allowOrigin: ['https://shop.example']}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /closed}}]
      corsPolicy: {allowOrigins: [{exact: 'https://shop.example'}], unmatchedPreflights: IGNORE}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /open}}]
      corsPolicy: {allowOrigins: [{exact: 'https://shop.example'}], unmatchedPreflights: FORWARD}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /again}}]
      retries: {attempts: 2, backoff: 300ms, retryOn: 5xx}
      route: [{destination: {host: one}}]
    - match: [{uri: {prefix: /redirect/part}}]
      redirect: {uriPrefix: /whole, port: 8443, scheme: https, redirectCode: 308}
    - match: [{uri: {prefix: /redirect/derived}}]
      redirect: {authority: new.example, derivePort: FROM_REQUEST_PORT}
    - match: [{port: 9000}]
      directResponse: {status: 200, body: {string: 'of the other port'}}
    - match: [{uri: {prefix: /secure}, scheme: {exact: https}}]
      directResponse: {status: 200, body: {string: secure}}
    - match: [{queryParams: {debug: {}}}]
      directResponse: {status: 200, body: {string: debug}}
    - match: [{headers: {x-user: {prefix: 'beta-'}}}, {headers: {x-user: {regex: '[0-9]+'}}}]
      directResponse: {status: 200, body: {string: some}}
    - route: [{destination: {host: one}}]
";

#[test]
fn time_copies_origins_redirects_and_ports_are_as_the_rules_say() {
    let fronted = Fronted::start(&["one", "two", "three"]);
    let one = Scripted::start(&fronted.pod("one"), 8080, |heard, _| {
        let path = heard.path();
        match path.starts_with("/slow") && !path.starts_with("/slow/upload") {
            true => Deed::new("", Then::Hang),
            false if path == "/again" => Deed::answer(500, "not yet"),
            false if path == "/paid" => Deed::answer(503, "paid, but out of paper"),
            false => Deed::answer(200, "one"),
        }
    });
    let one = one.unwrap();
    let two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    let three = Scripted::saying(&fronted.pod("three"), 8080, "three").unwrap();
    let text = virtual_service("ways", RULES);
    fronted.route(&text, "VirtualService/shop/ways/14");

    // The time for all tries ends the third of them.
    let began = Instant::now();
    assert_eq!(fronted.get("/slow", "").status, 504);
    let took = began.elapsed();
    assert!((950..1900).contains(&took.as_millis()), "{took:?}");
    assert_eq!(one.heard_at("/slow").len(), 3);
    assert_eq!(fronted.logged("/slow").field("response_flags"), "UT");

    slow_upload(&fronted, &one);
    back_off(&fronted, &one);
    said_once(&fronted, &one);
    preflights_of_others(&fronted, &one);

    let args = ["--h1", "-n2000", "-c4", "-t1", "http://server/copied"];
    assert!(fronted.run("h2load", &args).contains("2000 2xx"));
    let copies = |server: &Scripted| server.heard_at("/copied").len();
    wait_until("all copies", SOON, || {
        copies(&two) == 2000 && is_near(copies(&three), 2000, 0.3)
    })
    .unwrap_or_else(|error| panic!("{} and {}: {error:#}", copies(&two), copies(&three)));
    assert_eq!(copies(&one), 2000);

    origins(&fronted);
    for (asked, status, location) in [
        (
            "/redirect/part/x?q=1",
            308,
            "https://server:8443/whole/x?q=1",
        ),
        (
            "/redirect/derived/x",
            301,
            "http://new.example/redirect/derived/x",
        ),
    ] {
        let answer = fronted.get(asked, "");
        let found = answer.header("location").unwrap();
        assert_eq!((answer.status, found.as_str()), (status, location));
    }
    for (asked, headers, body) in [
        ("/secure", "", "one"),
        ("/secure", "X-Forwarded-Proto: https\r\n", "secure"),
        ("/?debug", "", "debug"),
        ("/?debugged=1", "", "one"),
        ("/", "X-User: beta-1\r\n", "some"),
        ("/", "X-User: 42\r\n", "some"),
        ("/", "X-User: a42\r\n", "one"),
    ] {
        assert_eq!(fronted.get(asked, headers).body, body, "{asked} {headers}");
    }
    let mut other = fronted.connect(9000);
    let answer = other.get("/", "").unwrap();
    assert_eq!(answer.body, "of the other port");
}

/// As long as the rule says, at least, before each further try.
fn back_off(fronted: &Fronted, one: &Scripted) {
    let began = Instant::now();
    assert_eq!(fronted.get("/again", "").status, 500);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(600), "{took:?}");
    assert_eq!(one.heard_at("/again").len(), 3);
}

/// What an endpoint has heard is not said again by a rule that says nothing of retries.
fn said_once(fronted: &Fronted, one: &Scripted) {
    let mut client = fronted.connect(80);
    let asked = "POST /paid HTTP/1.1\r\nHost: server\r\nContent-Length: 5\r\n\r\nmoney";
    client.send(asked).unwrap();
    assert_eq!(client.answer().unwrap().status, 503);
    assert_eq!(one.heard_at("/paid").len(), 1);
}

/// Whether the application is asked by a browser of an origin that the rule does not know.
fn preflights_of_others(fronted: &Fronted, one: &Scripted) {
    for (path, status, heard) in [("/closed", 403, 0), ("/open", 200, 1)] {
        let mut client = fronted.connect(80);
        let asked = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: server\r\nOrigin: https://other.example\r\n\
             Access-Control-Request-Method: GET\r\n\r\n"
        );
        client.send(asked).unwrap();
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        assert_eq!(one.heard_at(path).len(), heard, "{path}");
    }
}

/// Time counts from the end of a request: neither is a long upload late, nor a try of it.
fn slow_upload(fronted: &Fronted, one: &Scripted) {
    let upload = |path: &str| {
        let mut client = fronted.connect(80);
        let head = format!("POST {path} HTTP/1.1\r\nHost: server\r\nContent-Length: 6\r\n\r\n");
        client.send(head).unwrap();
        for part in ["a ", "bo", "dy"] {
            // The client's own time, of which there is more than the rule has for all.
            thread::sleep(Duration::from_millis(600));
            client.send(part).unwrap();
        }
        let sent = Instant::now();
        (client.answer().unwrap().status, sent.elapsed())
    };
    assert_eq!(upload("/slow/upload").0, 200);
    let heard = one.heard_at("/slow/upload");
    assert_eq!(heard.len(), 1);
    assert_eq!(heard.first().unwrap().body, b"a body");
    // From then on it does count.
    let (status, took) = upload("/slow/answer");
    assert_eq!(status, 504);
    assert!((950..1900).contains(&took.as_millis()), "{took:?}");
}

/// What browsers ask before they ask, and what they are told afterwards.
fn origins(fronted: &Fronted) {
    let preflight = |origin: &str| {
        let mut client = fronted.connect(80);
        let asks =
            "OPTIONS /shared HTTP/1.1\r\nHost: server\r\nAccess-Control-Request-Method: PUT\r\n";
        client
            .send(format!("{asks}Origin: {origin}\r\n\r\n"))
            .unwrap();
        client.answer().unwrap()
    };
    for origin in ["https://shop.example", "https://beta.shop.example"] {
        let answer = preflight(origin);
        assert!(matches!(answer.status, 200 | 204), "{answer:?}");
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "GET,PUT"),
            ("access-control-allow-headers", "x-cart"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "86400"),
        ] {
            let found = answer.header(name).unwrap_or_default().replace(", ", ",");
            assert_eq!(found, value, "{name}");
        }
    }
    for (path, origin, is_allowed) in [
        ("/begun", "https://shop.test", true),
        ("/begun", "https://a.shop.test", false),
        ("/older", "https://shop.example", true),
        ("/older", "https://shop.example.org", false),
    ] {
        let answer = fronted.get(path, &format!("Origin: {origin}\r\n"));
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(
            allowed.is_some_and(|allowed| allowed == origin),
            is_allowed,
            "{path} {origin}"
        );
    }
    let stranger = preflight("https://evil.example");
    assert_eq!(stranger.header("access-control-allow-origin"), None);
    let answer = fronted.get("/shared", "Origin: https://shop.example\r\n");
    assert_eq!(answer.body, "one");
    assert_eq!(
        answer.header("access-control-expose-headers").as_deref(),
        Some("x-total")
    );
}
