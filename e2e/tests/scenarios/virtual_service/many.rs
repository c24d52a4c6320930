//! Several objects about one service: put together, delegating, exported, and beside an HTTPRoute.

use ambit_e2e::scripted::Scripted;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::SPREAD;

use super::virtual_service;
use crate::fronted::{Fronted, http_route};

/// One rule, for paths that begin so.
fn rule(prefix: &str, to: &str) -> String {
    format!(
        "    - match: [{{uri: {{prefix: {prefix}}}}}]\n      route: [{{destination: {{host: {to}}}}}]\n"
    )
}

fn of(name: &str, spec: &str, rules: &str) -> String {
    virtual_service(name, &format!("  hosts: [server]\n{spec}  http:\n{rules}"))
}

#[test]
fn objects_about_one_service_are_put_together_and_give_way_to_routes_of_the_gateway_api() {
    let fronted = Fronted::start(&["one", "two"]);
    let _one = Scripted::saying(&fronted.pod("one"), 8080, "one").unwrap();
    let _two = Scripted::saying(&fronted.pod("two"), 8080, "two").unwrap();
    let delegate = "    - match: [{uri: {prefix: /d}, headers: {x-d: {exact: 'yes'}}}]\n      delegate: {name: theirs}\n";
    let theirs = format!("  http:\n{}", rule("/d/two", "two"));
    // Its hosts are those of its own namespace.
    let far =
        "    - match: [{uri: {prefix: /far}}]\n      delegate: {name: far, namespace: elsewhere}\n";
    let there = rule("/far/two", "two.shop.svc.cluster.local") + &rule("/far/short", "two");
    let away = virtual_service("far", &format!("  http:\n{there}"));
    let away = away.replace("namespace: shop", "namespace: elsewhere");
    let elsewhere = "  exportTo: [elsewhere]\n";
    let text = [
        of(
            "b",
            "",
            &format!("{}{}", rule("/same", "two"), rule("/b", "two")),
        ),
        of("a", "", &format!("{}{delegate}{far}", rule("/same", "one"))),
        of("hidden", elsewhere, &rule("/hidden", "one")),
        of("own", "  exportTo: ['.']\n", &rule("/own", "one")),
        of("edge", "  gateways: [edge]\n", &rule("/edge", "one")),
        virtual_service("theirs", &theirs),
        away,
    ]
    .concat();
    fronted.route(&text, "VirtualService/shop/theirs/0");
    for (path, headers, expected) in [
        ("/same", "", "one"),
        ("/b", "", "two"),
        ("/own", "", "one"),
        ("/d/two/x", "X-D: yes\r\n", "two"),
        ("/d/two/x", "", "no_route"),
        ("/d/one", "X-D: yes\r\n", "no_route"),
        ("/far/two", "", "two"),
        ("/far/one", "", "no_route"),
        ("/hidden", "", "no_route"),
        ("/edge", "", "no_route"),
    ] {
        assert_eq!(fronted.get(path, headers).body.trim(), expected, "{path}");
    }
    assert_eq!(fronted.get("/far/short", "").status, 500);

    // Of the same port only one front-end counts.
    let route = http_route("beside", "    - backendRefs: [{name: two, port: 80}]\n");
    fronted.route(&format!("{text}{route}"), "HTTPRoute/shop/beside/0");
    for path in ["/same", "/hidden", "/anything"] {
        assert_eq!(fronted.get(path, "").body, "two", "{path}");
    }
    // And when it goes, the others are there again.
    fronted
        .world
        .mesh
        .configuration
        .apply("routes", &text)
        .unwrap();
    wait_until("the VirtualServices again", SPREAD, || {
        fronted.get("/same", "").body == "one"
    })
    .unwrap();
}
