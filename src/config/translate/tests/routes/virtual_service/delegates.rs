//! Field by field: what a delegate's rule takes over from the rule that delegates to it.

use serde_json::{Value, json};

use super::*;

/// What these fields of a rule and of the one that it delegates to come to, for port 80 of service `a`.
fn list(root: &str, theirs: &str) -> Value {
    let root = format!("hosts: [a], http: [{{delegate: {{name: d}}, {root}}}]");
    let theirs = format!("http: [{{route: [{{destination: {{host: b}}}}], {theirs}}}]");
    let folder = folder(&[
        virtual_service("shop/root", &root),
        virtual_service("shop/d", &theirs),
    ]);
    let all = routes(&folder, "shop/a").unwrap_or_else(|| panic!("{}", folder.problems()));
    let list = serde_json::to_value(&all.ports[&80].producer).unwrap();
    list["Http"].clone()
}

#[test]
fn what_the_delegate_says_goes_before_what_the_root_says() {
    let header = |name: &str| format!("headers: {{request: {{set: {{{name}: a}}}}}}");
    let delay = |length: &str| format!("fault: {{delay: {{fixedDelay: {length}, percent: 1}}}}");
    for (root, theirs, place) in [
        (
            "timeout: 3s".to_owned(),
            "timeout: 4s".to_owned(),
            "/timeout/secs",
        ),
        (
            "retries: {attempts: 3}".to_owned(),
            "retries: {attempts: 4}".to_owned(),
            "/retry/attempts",
        ),
        (delay("3s"), delay("4s"), "/faults/delay/fixed/secs"),
        (
            "corsPolicy: {maxAge: 3s}".to_owned(),
            "corsPolicy: {maxAge: 4s}".to_owned(),
            "/filters/cors/max_age/secs",
        ),
        (
            header("x3"),
            header("x4"),
            "/filters/request_headers/set/0/0",
        ),
        (
            "rewrite: {authority: x3}".to_owned(),
            "rewrite: {authority: x4}".to_owned(),
            "/filters/rewrite/host",
        ),
    ] {
        let found = |theirs: &str| {
            let list = list(&root, theirs);
            list["rules"][0].pointer(place).cloned()
        };
        let is = |found: Option<Value>, number: u32| {
            found == Some(json!(number)) || found == Some(json!(format!("x{number}")))
        };
        assert!(
            is(found("name: own"), 3),
            "{root}: {:?}",
            found("name: own")
        );
        assert!(is(found(&theirs), 4), "{theirs}: {:?}", found(&theirs));
    }
}

#[test]
fn the_names_of_both_matches_are_told() {
    for (root, theirs, expected) in [
        ("{name: ours}", "{name: theirs}", "0.ours-theirs"),
        ("{name: ours}", "{}", "0.ours"),
        ("{}", "{name: theirs}", "0.theirs"),
    ] {
        let list = list(&format!("match: [{root}]"), &format!("match: [{theirs}]"));
        let expected = format!("VirtualService/shop/d/{expected}");
        assert_eq!(list["rules"][0]["name"], json!(expected), "{root} {theirs}");
    }
}

#[test]
fn a_request_has_to_meet_both_matches() {
    let when = |ours: &str, theirs: &str| {
        let list = list(
            &format!("match: [{{{ours}}}]"),
            &format!("match: [{{{theirs}}}]"),
        );
        let matches = list["matches"].as_array().cloned().unwrap_or_default();
        let mut matches = matches.into_iter().map(|one| one["when"].clone());
        (matches.next(), matches.next())
    };
    let prefix = |path: &str| json!({"path": {"Prefix": path}});
    for (ours, theirs, expected) in [
        (
            "uri: {prefix: /a}",
            "uri: {prefix: /a/b}",
            Some(prefix("/a/b")),
        ),
        (
            "uri: {prefix: /a/b}",
            "uri: {prefix: /a}",
            Some(prefix("/a/b")),
        ),
        (
            "uri: {exact: /a/b}",
            "uri: {prefix: /a}",
            Some(json!({"path": {"Exact": "/a/b"}})),
        ),
        ("uri: {prefix: /a}", "uri: {prefix: /b}", None),
        ("uri: {exact: /a}", "uri: {prefix: /a/b}", None),
        (
            "uri: {regex: '/a.*'}",
            "uri: {regex: '/a.*'}",
            Some(json!({"path": {"Regex": "/a.*"}})),
        ),
        ("uri: {regex: '/a.*'}", "uri: {exact: /ab}", None),
        (
            "uri: {prefix: /a}",
            "method: {exact: GET}",
            Some(json!({"path": {"Prefix": "/a"}, "method": {"Exact": "GET"}})),
        ),
        ("method: {exact: GET}", "method: {exact: PUT}", None),
        ("scheme: {exact: http}", "scheme: {exact: https}", None),
        ("authority: {exact: a}", "authority: {exact: b}", None),
        ("port: 80", "port: 81", None),
        ("headers: {x: {exact: a}}", "headers: {x: {exact: b}}", None),
        (
            "withoutHeaders: {x: {exact: a}}",
            "withoutHeaders: {x: {exact: b}}",
            None,
        ),
        (
            "queryParams: {q: {exact: a}}",
            "queryParams: {q: {exact: b}}",
            None,
        ),
        ("sourceLabels: {app: a}", "sourceLabels: {app: b}", None),
        ("sourceNamespace: a", "sourceNamespace: b", None),
        (
            "sourceLabels: {app: a}",
            "sourceLabels: {tier: b}, sourceNamespace: ns",
            Some(json!({"source": {"namespace": "ns", "labels": {"app": "a", "tier": "b"}}})),
        ),
        (
            "headers: {x: {prefix: eu-}}",
            "headers: {x: {exact: eu-1}}",
            Some(json!({"headers": [{"name": "x", "value": {"Exact": "eu-1"}, "invert": false}]})),
        ),
        (
            "headers: {x: {regex: a}}",
            "headers: {x: {}}",
            Some(json!({"headers": [{"name": "x", "value": {"Regex": "a"}, "invert": false}]})),
        ),
        (
            "queryParams: {q: {exact: ab}}",
            "queryParams: {q: {prefix: a}}",
            Some(json!({"query": [{"name": "q", "value": {"Exact": "ab"}, "invert": false}]})),
        ),
        (
            "authority: {prefix: a}",
            "authority: {exact: ab}",
            Some(json!({"authority": {"Exact": "ab"}})),
        ),
        (
            "withoutHeaders: {x: {exact: ab}}",
            "withoutHeaders: {x: {prefix: a}}",
            Some(json!({"headers": [{"name": "x", "value": {"Prefix": "a"}, "invert": true}]})),
        ),
        (
            "queryParams: {q: {exact: a}}",
            "withoutHeaders: {x: {}}",
            Some(json!({
                "query": [{"name": "q", "value": {"Exact": "a"}, "invert": false}],
                "headers": [{"name": "x", "value": "Present", "invert": true}],
            })),
        ),
    ] {
        assert_eq!(when(ours, theirs), (expected, None), "{ours} {theirs}");
    }
}

#[test]
fn where_no_rule_of_a_delegate_can_hold_nothing_passes() {
    let lists_with = |port: &str, beside: &str| {
        let root = format!(
            "hosts: [a], http: [{{match: [{{uri: {{prefix: /a}}{port}}}], delegate: {{name: d}}}}]"
        );
        let theirs = format!(
            "http: [{{match: [{{uri: {{prefix: /b}}}}], route: [{{destination: {{host: b}}}}]}}{beside}]"
        );
        let folder = folder(&[
            virtual_service("shop/root", &root),
            virtual_service("shop/d", &theirs),
        ]);
        assert!(folder.problems().contains("never holds together"));
        lists(&folder, "shop/a")
    };
    assert_eq!(lists_with("", ""), ["80 all: ", "81 all: "]);
    assert_eq!(lists_with(", port: 81", ""), ["81 all: "]);
    // One that holds on another port opens none.
    let beside = ", {match: [{uri: {prefix: /a/x}, port: 81}], route: [{destination: {host: b}}]}";
    assert_eq!(
        lists_with("", beside),
        ["80 all: ", "81 all: VirtualService/shop/d/1"]
    );
}
