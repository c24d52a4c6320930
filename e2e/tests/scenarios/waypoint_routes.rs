//! Routes of the Gateway API, written as users write them and seen through a real waypoint: where a
//! request goes, what is changed on the way, and what the waypoint answers itself.

use ambit_e2e::scripted::{Deed, Scripted};
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use crate::fronted::{Fronted, http_route};

/// What a server was asked, as a body: the request line and headers, lower case, in order.
fn mirror_of(pod: &ambit_e2e::lab::Pod) -> Scripted {
    Scripted::start(pod, 8080, |heard, _| {
        Deed::with(200, "x-server: yes\r\nx-gone: yes\r\n", &heard.head)
    })
    .unwrap()
}

const CHANGES: &str = "
    - matches: [{path: {type: PathPrefix, value: /headers}}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{name: X-Set, value: set}]
            add: [{name: X-Add, value: added}]
            remove: [X-Remove]
        - type: ResponseHeaderModifier
          responseHeaderModifier:
            set: [{name: X-Server, value: waypoint}]
            add: [{name: X-More, value: more}]
            remove: [X-Gone]
      backendRefs:
        - name: one
          port: 80
          filters:
            - type: RequestHeaderModifier
              requestHeaderModifier: {set: [{name: X-Backend, value: one}]}
    - matches: [{path: {type: PathPrefix, value: /old}}]
      filters:
        - type: URLRewrite
          urlRewrite: {hostname: one.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}
      backendRefs: [{name: one, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /moved}}]
      filters:
        - type: RequestRedirect
          requestRedirect: {scheme: https, hostname: shop.example, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /here}}
    - matches: [{path: {type: Exact, value: /port}}]
      filters: [{type: RequestRedirect, requestRedirect: {port: 8083, statusCode: 307}}]
    - matches: [{path: {type: PathPrefix, value: /cors}}]
      filters:
        - type: CORS
          cors: {allowOrigins: ['https://shop.example'], allowMethods: [GET, PUT], allowHeaders: [x-token], maxAge: 60}
      backendRefs: [{name: one, port: 80}]
    - matches: [{headers: [{name: version, value: two}]}, {queryParams: [{name: v, value: '2'}]}]
      backendRefs: [{name: two, port: 80}]
    - matches: [{path: {type: Exact, value: /missing}}]
      backendRefs: [{name: nobody, port: 80}]
    - matches: [{path: {type: Exact, value: /half}}]
      backendRefs: [{name: nobody, port: 80}, {name: one, port: 80}]
    - matches: [{path: {type: Exact, value: /idle}}]
      backendRefs: [{name: idle, port: 80}]
    - matches: [{path: {type: Exact, value: /weightless}}]
      backendRefs: [{name: one, port: 80, weight: 0}]
";

/// A Service without a pod.
const IDLE: &str = "---
apiVersion: v1
kind: Service
metadata: {name: idle, namespace: shop}
spec: {clusterIP: 10.96.0.99, selector: {app: idle}, ports: [{port: 80, targetPort: 8080}]}
";

#[test]
fn a_request_is_matched_changed_redirected_or_refused_as_its_route_says() {
    let fronted = Fronted::start(&["one", "two"]);
    let one = mirror_of(&fronted.pod("one"));
    let _two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    let text = format!("{IDLE}{}", http_route("changes", CHANGES));
    fronted.route(&text, "HTTPRoute/shop/changes/0");

    changed(&fronted, &one);
    redirected(&fronted);
    cors(&fronted);
    for (path, headers) in [("/", "Version: two\r\n"), ("/?x=1&v=2", "")] {
        assert_eq!(fronted.get(path, headers).body, "two");
    }
    for (path, status, reason) in [
        ("/nowhere", 404, "no_route"),
        ("/missing", 500, "invalid_backend"),
        ("/idle", 503, "no_endpoint"),
        ("/weightless", 500, "no_backend"),
    ] {
        let answer = fronted.get(path, "");
        assert_eq!((answer.status, answer.body.trim()), (status, reason));
        assert_eq!(fronted.logged(path).field("reason"), reason);
    }
    // A backend that is missing takes its own share of the requests only.
    let mut client = fronted.connect(80);
    let mut halves = [0, 0];
    for _ in 0..200 {
        let answer = client.get("/half", "").unwrap();
        halves[usize::from(answer.status == 200)] += 1;
        assert!(matches!(answer.status, 200 | 500), "{answer:?}");
    }
    // Less than 1 in 10^9 by chance.
    assert!(halves.iter().all(|half| *half > 57), "{halves:?}");
}

fn changed(fronted: &Fronted, one: &Scripted) {
    let answer = fronted.get(
        "/headers/x?q=1",
        "X-Set: old\r\nX-Add: first\r\nX-Remove: me\r\nX-Kept: kept\r\n",
    );
    assert_eq!(answer.status, 200);
    let header = |name: &str| answer.header(name).unwrap_or_default();
    assert_eq!([header("x-server"), header("x-more")], ["waypoint", "more"]);
    assert_eq!(answer.header("x-gone"), None);
    let heard = one.heard_at("/headers/x?q=1").remove(0);
    for (name, value) in [
        ("x-set", Some("set")),
        ("x-add", Some("first,added")),
        ("x-remove", None),
        ("x-kept", Some("kept")),
        ("x-backend", Some("one")),
        ("host", Some("server")),
    ] {
        assert_eq!(heard.header(name).as_deref(), value, "{name}");
    }

    fronted.get("/old/and/more?q=1", "");
    let heard = one.heard_at("/new/and/more?q=1").remove(0);
    assert_eq!(heard.header("host").as_deref(), Some("one.example"));
}

fn redirected(fronted: &Fronted) {
    for (path, status, to) in [
        ("/moved/x?q=1", 301, "https://shop.example/here/x?q=1"),
        ("/port", 307, "http://server:8083/port"),
    ] {
        let answer = fronted.get(path, "");
        let location = answer.header("location").unwrap_or_default();
        assert_eq!((answer.status, location.as_str()), (status, to));
    }
}

fn cors(fronted: &Fronted) {
    let mut client = fronted.connect(80);
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /cors HTTP/1.1\r\nHost: server\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: PUT\r\n\r\n"
        )
    };
    client.send(preflight("https://shop.example")).unwrap();
    let answer = client.answer().unwrap();
    let header = |name: &str| answer.header(name).unwrap_or_default();
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    assert_eq!(
        header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert_eq!(header("access-control-max-age"), "60");
    assert!(header("access-control-allow-methods").contains("PUT"));

    client.send(preflight("https://evil.example")).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(answer.header("access-control-allow-origin"), None);

    let actual = client.get("/cors", "Origin: https://shop.example\r\n");
    let actual = actual.unwrap();
    let allowed = actual.header("access-control-allow-origin");
    assert_eq!(allowed.as_deref(), Some("https://shop.example"));
    assert!(actual.body.starts_with("GET /cors"), "{actual:?}");
}

#[test]
fn what_is_wrong_with_routes_is_answered_and_nothing_gets_around_them() {
    let fronted = Fronted::start(&[]);
    let server = Scripted::saying(&fronted.pod("server"), 8080, "server").unwrap();
    let known = |rule: &str| {
        let known = wait_until("the waypoint to know the routes", SPREAD, || {
            let dump = fronted.waypoint.config_dump().unwrap_or_default();
            dump["routes"].to_string().contains(rule)
        });
        known.unwrap();
    };
    assert_eq!(fronted.get("/", "").body, "server");
    // Nothing of it can be followed: what is left is no rule at all.
    let typo = "    - matches: [{path: {type: RegularExpression, value: '('}}]\n";
    let configuration = &fronted.world.mesh.configuration;
    let typo = http_route("typo", typo);
    configuration.apply("routes", &typo).unwrap();
    known("\"matches\":[]");
    let answer = fronted.get("/", "");
    assert_eq!((answer.status, answer.body.trim()), (404, "no_route"));
    // Waypoints change no header of the connection, whoever asks for it; the other rules are followed.
    let rules = "
    - matches: [{path: {value: /wrong}}]
      filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Connection]}}]
      backendRefs: [{name: server, port: 80}]
    - matches: [{path: {value: /right}}]
      backendRefs: [{name: server, port: 80}]
";
    fronted.route(&http_route("parts", rules), "HTTPRoute/shop/parts/1");
    assert_eq!(fronted.get("/wrong", "").status, 500);
    assert_eq!(fronted.get("/right", "").body, "server");
    assert!(server.heard_at("/wrong").is_empty());
}

#[test]
fn ten_thousand_requests_are_shared_as_the_weights_say() {
    let fronted = Fronted::start(&["one", "two"]);
    let one = Scripted::saying(&fronted.pod("one"), 8080, "one").unwrap();
    let two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    let mut before = [0, 0];
    for (name, canary) in [("ninety", 10_u32), ("ninety-five", 5)] {
        let stable = 100 - canary;
        let rules = format!(
            "    - backendRefs:\n        - {{name: one, port: 80, weight: {stable}}}\n        \
             - {{name: two, port: 80, weight: {canary}}}\n"
        );
        let route = http_route(name, &rules);
        fronted.route(&route, &format!("HTTPRoute/shop/{name}/0"));
        let report = fronted.run(
            "h2load",
            &["--h1", "-n10000", "-c20", "-t1", "http://server/"],
        );
        assert!(report.contains("10000 succeeded, 0 failed"), "{report}");
        assert!(
            report.contains("10000 2xx"),
            "not all were answered well: {report}"
        );
        let now = [one.count(), two.count()];
        let got = [now[0] - before[0], now[1] - before[1]];
        before = now;
        assert_eq!(got[0] + got[1], 10_000);
        let expected = f64::from(canary) * 100.0;
        let share = f64::from(canary) / 100.0;
        // Chance goes this far once in a million runs at most.
        let bound = 5.2 * (10_000.0 * share * (1.0 - share)).sqrt();
        let off = (f64::from(u32::try_from(got[1]).unwrap()) - expected).abs();
        assert!(off <= bound, "{got:?} for {stable}/{canary}");
    }
}
