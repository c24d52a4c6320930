//! Requests that stay with one endpoint, and services behind two waypoints.

use std::collections::BTreeSet;

use ambit_e2e::scripted::Scripted;

use crate::fronted::{Fronted, http_route};

const RULES: &str = "
    - matches: [{path: {type: PathPrefix, value: /cookie}}]
      sessionPersistence: {sessionName: shop, type: Cookie}
      backendRefs: [{name: one, port: 80}, {name: two, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /header}}]
      sessionPersistence: {sessionName: x-shop, type: Header}
      backendRefs: [{name: one, port: 80}, {name: two, port: 80}]
";

#[test]
fn a_session_stays_with_its_endpoint_whatever_the_weights_say() {
    let fronted = Fronted::start(&["one", "two"]);
    let one = Scripted::saying(&fronted.pod("one"), 8080, "one").unwrap();
    let two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    let route = http_route("sessions", RULES);
    fronted.route(&route, "HTTPRoute/shop/sessions/0");

    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let first = fronted.get("/cookie/x", "");
        let cookie = first.header("set-cookie").unwrap();
        assert!(
            cookie.contains("Path=/cookie") && cookie.contains("HttpOnly"),
            "{cookie}"
        );
        let (value, _) = cookie.split_once(';').unwrap();
        let headers = format!("Cookie: a=b; {value}\r\n");
        for _ in 0..5 {
            let next = fronted.get("/cookie/y", &headers);
            assert_eq!(next.body, first.body);
            assert_eq!(next.header("set-cookie"), None);
        }
        seen.insert(first.body);
    }
    assert_eq!(seen.len(), 2, "one endpoint got all sessions");

    // A session with the one that gets no new ones later.
    let mut begun = std::iter::repeat_with(|| fronted.get("/header", ""));
    let first = begun.find(|first| first.body == "one").unwrap();
    let headers = format!("X-Shop: {}\r\n", first.header("x-shop").unwrap());
    for _ in 0..10 {
        assert_eq!(fronted.get("/header", &headers).body, first.body);
    }
    // Whatever the weights say later, and a session that is no session begins anew.
    let rules = RULES.replace("{name: one, port: 80}", "{name: one, port: 80, weight: 0}");
    fronted.route(&http_route("moved", &rules), "HTTPRoute/shop/moved/0");
    for _ in 0..10 {
        assert_eq!(fronted.get("/header", &headers).body, first.body);
        let forged = fronted.get("/header", "X-Shop: nonsense\r\n");
        assert_eq!(forged.body, "two");
        assert!(forged.header("x-shop").is_some());
    }
    drop((one, two));
}
