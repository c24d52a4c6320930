//! How requests are spread: algorithms, subsets, sessions by header and cookie.

use std::thread;
use std::time::Duration;

use ambit_e2e::scripted::{Deed, Scripted};

use super::{apply, await_endpoints, endpoints, rule};
use crate::fronted::Fronted;

const PODS: [&str; 3] = ["one", "two", "three"];
/// What the slow one takes for an answer, where it is slow.
const SLOW: Duration = Duration::from_millis(50);

/// Servers that say their names, the last of which takes its time for what begins with `/uneven`.
fn servers(fronted: &Fronted) -> [Scripted; 3] {
    PODS.map(|name| {
        let script = move |heard: &ambit_e2e::scripted::Heard, _: usize| {
            if name == PODS[2] && heard.path().starts_with("/uneven") {
                thread::sleep(SLOW);
            }
            Deed::answer(200, name)
        };
        Scripted::start(&fronted.pod(name), 8080, script).unwrap()
    })
}

/// Many at once, as many of them at each server as this.
fn uneven(fronted: &Fronted, servers: &[Scripted; 3], path: &str) -> [usize; 3] {
    let url = format!("http://server{path}");
    let report = fronted.run("h2load", &["--h1", "-n900", "-c12", "-t1", &url]);
    assert!(report.contains("900 2xx"), "{report}");
    servers.each_ref().map(|server| server.heard_at(path).len())
}

fn balanced(fronted: &Fronted, policy: &str, is_known: impl Fn(&serde_json::Value) -> bool) {
    let text = rule(&format!(
        "  host: server\n  trafficPolicy: {{loadBalancer: {policy}}}\n"
    ));
    let slice = endpoints(fronted, &PODS);
    apply(fronted, &format!("{slice}{text}"), |traffic| {
        is_known(&traffic["whole"]["any"]["balancing"])
    });
    await_endpoints(fronted, 3);
}

#[test]
fn requests_are_spread_as_the_rule_says() {
    let fronted = Fronted::start(&PODS);
    let servers = servers(&fronted);
    let shares = |path: &str| servers.each_ref().map(|server| server.heard_at(path).len());

    balanced(&fronted, "{simple: ROUND_ROBIN}", |known| {
        known == "RoundRobin"
    });
    let report = fronted.run(
        "h2load",
        &["--h1", "-n300", "-c1", "-t1", "http://server/turns"],
    );
    assert!(report.contains("300 2xx"), "{report}");
    assert_eq!(shares("/turns"), [100; 3]);
    // Whatever each of them takes.
    assert_eq!(uneven(&fronted, &servers, "/uneven/turns"), [300; 3]);

    balanced(&fronted, "{simple: LEAST_REQUEST}", |known| {
        known == "LeastRequest"
    });
    let report = fronted.run(
        "h2load",
        &["--h1", "-n3000", "-c8", "-t1", "http://server/least"],
    );
    assert!(report.contains("3000 2xx"), "{report}");
    for share in shares("/least") {
        // On a busy machine one may be quicker than the other.
        assert!((600..1500).contains(&share), "{:?}", shares("/least"));
    }
    // What is under way counts: of those who answer at once each has a multiple of the slow one's.
    let [one, two, slow] = uneven(&fronted, &servers, "/uneven/least");
    assert!(
        one.min(two) > 2 * slow,
        "{one} and {two}, the slow one {slow}"
    );

    balanced(&fronted, "{simple: RANDOM}", |known| known == "Random");
    let random = uneven(&fronted, &servers, "/uneven/random");
    // 5.3 times the deviation of a share of one in three.
    for share in random {
        assert!((225..=375).contains(&share), "{random:?}");
    }

    let by_header = "{consistentHash: {httpHeaderName: x-user}}";
    balanced(&fronted, by_header, |known| {
        known["Hash"]["by"]["Header"] == "x-user"
    });
    for user in 0..12 {
        let header = format!("X-User: {user}\r\n");
        let first = fronted.get("/header", &header).body;
        for _ in 0..4 {
            assert_eq!(fronted.get("/header", &header).body, first);
        }
    }
    assert!(shares("/header").iter().filter(|share| **share > 0).count() > 1);

    let by_cookie = "{consistentHash: {httpCookie: {name: user, ttl: 60s, path: /cookie, attributes: [{name: SameSite, value: Lax}]}, \
         maglev: {tableSize: 101}}}";
    balanced(&fronted, by_cookie, |known| {
        known["Hash"]["by"]["Cookie"]["name"] == "user"
    });
    for _ in 0..6 {
        let answer = fronted.get("/cookie", "");
        let given = answer.header("set-cookie").unwrap();
        let pair = given.split(';').next().unwrap();
        for said in ["Max-Age=60", "Path=/cookie", "SameSite=Lax"] {
            assert!(given.contains(said), "{given}");
        }
        let header = format!("Cookie: {pair}\r\n");
        for _ in 0..4 {
            assert_eq!(fronted.get("/cookie", &header).body, answer.body);
        }
    }
}

#[test]
fn a_canary_of_one_in_ten_is_a_subset() {
    let fronted = Fronted::start(&PODS);
    let servers = PODS.map(|name| Scripted::saying(&fronted.pod(name), 8080, name).unwrap());
    let subsets = "  host: server\n  subsets:\n  - {name: stable, labels: {app: one}}\n  - {name: canary, labels: {app: two}}\n";
    let route = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {name: split, namespace: shop}\nspec:\n  hosts: [server]\n  http:\n  \
         - match: [{uri: {prefix: /nobody}}]\n    route: [{destination: {host: server, subset: v9}}]\n  \
         - route:\n    - {destination: {host: server, subset: stable}, weight: 90}\n    \
         - {destination: {host: server, subset: canary}, weight: 10}\n";
    let slice = endpoints(&fronted, &PODS);
    apply(&fronted, &format!("{slice}{}", rule(subsets)), |traffic| {
        traffic["subsets"]["canary"]["labels"]["app"] == "two"
    });
    await_endpoints(&fronted, 3);
    fronted.route(route, "VirtualService/shop/split/1");
    let report = fronted.run(
        "h2load",
        &["--h1", "-n10000", "-c8", "-t1", "http://server/split"],
    );
    assert!(report.contains("10000 2xx"), "{report}");
    let [stable, canary, nobody] = servers
        .each_ref()
        .map(|server| server.heard_at("/split").len());
    assert_eq!((stable + canary, nobody), (10_000, 0));
    // 5.4 times the deviation of a share of one in ten.
    assert!((838..1162).contains(&canary), "{canary}");
    let answer = fronted.get("/nobody", "");
    assert_eq!((answer.status, answer.body.trim()), (503, "unknown_subset"));
    assert_eq!(fronted.logged("/nobody").field("response_flags"), "NC");
}
