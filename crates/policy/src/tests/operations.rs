use ambit_model::RequestAction::{Allow, Audit, Deny};
use serde_json::{Value, json};

use super::asking::{Ask, Row, check, matches, web};
use super::written;

#[expect(clippy::needless_pass_by_value, reason = "so that tables are short")]
fn to(operation: Value) -> Value {
    json!({"to": [{"operation": operation}]})
}

/// Rows of one field and of its negation.
fn both(field: &str, negated: &str, rows: Vec<(Value, Ask, bool)>) {
    let mut all: Vec<Row> = Vec::new();
    for (values, ask, expected) in rows {
        all.push((to(json!({field: values})), ask.clone(), expected));
        all.push((to(json!({negated: values})), ask, !expected));
    }
    check(all);
}

#[test]
fn hosts_are_met_in_any_case_and_by_their_name_alone_if_that_is_all_that_is_asked() {
    let at = |host: &str| web().host(host);
    both(
        "hosts",
        "notHosts",
        vec![
            (json!(["shop.example.com"]), web(), true),
            (json!(["Shop.Example.COM"]), web(), true),
            (json!(["shop.example.com"]), at("SHOP.example.com"), true),
            (
                json!(["shop.example.com"]),
                at("shop.example.com:8080"),
                true,
            ),
            (json!(["shop.example.com"]), at("shop.example.com:"), true),
            (json!(["shop.example.com"]), at("shop.example.com:x"), false),
            (
                json!(["shop.example.com"]),
                at("evil-shop.example.com"),
                false,
            ),
            (
                json!(["shop.example.com"]),
                at("shop.example.com.evil.org"),
                false,
            ),
            (
                json!(["shop.example.com:8080"]),
                at("shop.example.com:8080"),
                true,
            ),
            (
                json!(["shop.example.com:8080"]),
                at("shop.example.com:80"),
                false,
            ),
            (json!(["shop.example.com:8080"]), web(), false),
            (
                json!(["shop.example.com:*"]),
                at("shop.example.com:80"),
                true,
            ),
            (json!(["shop.example.com:*"]), web(), false),
            (json!(["*.example.com"]), web(), true),
            (json!(["*.EXAMPLE.com"]), at("a.b.example.com:443"), true),
            (json!(["*.example.com"]), at("example.com"), false),
            (json!(["shop*"]), at("SHOP"), true),
            (json!(["shopping*"]), at("shop"), false),
            (json!(["*:8080"]), at("a:8080"), true),
            (json!(["[::1]"]), at("[::1]:80"), true),
            (json!(["[::1]"]), at("[::1]"), true),
            (json!(["[::1]:80"]), at("[::1]:80"), true),
            (json!(["::1"]), at("::1"), true),
            (json!([":"]), at("::1"), false),
            (json!(["*"]), web(), true),
            (json!(["*"]), web().without_host(), false),
            (json!(["a", "shop.example.com"]), web(), true),
            (json!(["*.example.com"]), web().without_host(), false),
        ],
    );
}

/// Servers take `shop.example.com.` for the same name: no way around what refuses it. A host without a text is one.
#[test]
fn a_dot_at_the_end_of_a_host_or_an_empty_one_never_opens_a_door() {
    for (value, host) in [
        ("shop.example.com", "shop.example.com."),
        ("shop.example.com", "Shop.Example.COM.:8080"),
        ("shop.example.com:8080", "shop.example.com.:8080"),
        ("*.example.com", "shop.example.com."),
        ("*.com:8080", "shop.example.com.:8080"),
        ("*", ""),
    ] {
        let ask = web().host(host);
        let found = |written: Value| {
            let rule = written::rule(&written);
            [Allow, Deny, Audit].map(|action| matches(&rule, action, &ask))
        };
        let named = found(to(json!({"hosts": [value]})));
        assert_eq!(named, [false, true, true], "{value} {host}");
        let not_named = found(to(json!({"notHosts": [value]})));
        assert_eq!(not_named, [false, true, true], "{value} {host}");
    }
    let two = web().host("shop.example.com..");
    let rule = written::rule(&to(json!({"hosts": ["shop.example.com"]})));
    assert!(!matches(&rule, Deny, &two), "no name at all");
}

#[test]
fn ports_are_those_of_the_destination() {
    both(
        "ports",
        "notPorts",
        vec![
            (json!(["8080"]), web(), true),
            (json!(["80"]), web(), false),
            (json!(["80", "8080"]), web(), true),
            // Not what the client says of it.
            (json!(["80"]), web().host("a:80"), false),
        ],
    );
}

#[test]
fn methods_have_a_case() {
    both(
        "methods",
        "notMethods",
        vec![
            (json!(["GET"]), web(), true),
            (json!(["get"]), web(), false),
            (json!(["GET"]), web().method("get"), false),
            (json!(["GE"]), web(), false),
            (json!(["POST", "GET"]), web(), true),
            (json!(["P*"]), web().method("PATCH"), true),
            (json!(["P*"]), web(), false),
            (json!(["*T"]), web(), true),
            (json!(["*"]), web().method("BREW"), true),
        ],
    );
}

#[test]
fn paths_have_a_case_and_are_compared_to_their_end() {
    let at = |path: &str| web().path(path);
    both(
        "paths",
        "notPaths",
        vec![
            (json!(["/cart"]), web(), true),
            (json!(["/Cart"]), web(), false),
            (json!(["/cart/"]), web(), false),
            (json!(["/cart"]), at("/cart/"), false),
            (json!(["/car"]), web(), false),
            (json!(["/cart*"]), at("/cart/1"), true),
            (json!(["/cart*"]), at("/cartoon"), true),
            (json!(["/cart/*"]), at("/cart"), false),
            (json!(["/cart/*"]), at("/cart/"), true),
            (json!(["*.css"]), at("/a/b.css"), true),
            (json!(["*.css"]), at("/a/b.CSS"), false),
            (json!(["*"]), web(), true),
            (json!(["/*"]), web(), true),
            (json!(["/"]), at("/"), true),
            // CONNECT has no path, OPTIONS may have one that is a star.
            (json!(["/*"]), at(""), false),
            (json!(["/*"]), at("*"), false),
            (json!(["*"]), at("*"), true),
            (json!(["/a", "/cart", "/b*"]), web(), true),
        ],
    );
}

#[test]
fn all_fields_of_an_operation_must_hold_and_one_operation_must() {
    let read = json!({"methods": ["GET", "HEAD"], "notPaths": ["/admin*"]});
    let write = json!({"methods": ["POST"], "paths": ["/cart"], "hosts": ["shop.example.com"]});
    let two = json!({"to": [{"operation": read}, {"operation": write}]});
    check(vec![
        (two.clone(), web(), true),
        (two.clone(), web().method("HEAD"), true),
        (two.clone(), web().path("/admin/users"), false),
        (two.clone(), web().method("POST"), true),
        (two.clone(), web().method("POST").path("/"), false),
        (two.clone(), web().method("POST").host("a"), false),
        (two, web().method("PUT"), false),
        (
            to(json!({"ports": ["8080"], "methods": ["GET"]})),
            web().destination("10.0.0.1:80"),
            false,
        ),
        (
            to(json!({"paths": ["/c*"], "notPaths": ["/cart"]})),
            web(),
            false,
        ),
        (
            to(json!({"paths": ["/c*"], "notPaths": ["/cart"]})),
            web().path("/c"),
            true,
        ),
    ]);
}

#[test]
fn from_and_to_and_when_must_hold() {
    let rule = |namespace: &str, method: &str, port: &str| {
        json!({
            "from": [{"source": {"namespaces": [namespace]}}],
            "to": [{"operation": {"methods": [method]}}],
            "when": [
                {"key": "destination.port", "values": [port]},
                {"key": "source.ip", "notValues": ["192.0.2.0/24"]},
            ],
        })
    };
    check(vec![
        (rule("shop", "GET", "8080"), web(), true),
        (rule("bank", "GET", "8080"), web(), false),
        (rule("shop", "PUT", "8080"), web(), false),
        (rule("shop", "GET", "80"), web(), false),
        (
            rule("shop", "GET", "8080"),
            web().source("192.0.2.9"),
            false,
        ),
        (json!({}), web(), true),
        (json!({}), web().plaintext().without_host(), true),
    ]);
}
