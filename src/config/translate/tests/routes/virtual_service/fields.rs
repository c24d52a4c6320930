//! Field by field: what a rule of a VirtualService becomes.

use serde_json::{Value, json};

use super::*;

/// The list of requests for port 80 of service `a` that this rule makes, and what is said of it.
pub(super) fn list(rule: &str) -> (Value, String) {
    let spec = format!("hosts: [a], http: [{{{rule}}}]");
    let folder = folder(&[virtual_service("shop/v", &spec)]);
    let all = routes(&folder, "shop/a").unwrap();
    let list = serde_json::to_value(&all.ports[&80].producer).unwrap();
    (list["Http"].clone(), folder.problems())
}

pub(super) const TO: &str = "route: [{destination: {host: b}}]";

/// A rule with a destination, which must be followed as it is written.
pub(super) fn rule(more: &str) -> Value {
    let (list, problems) = list(&format!("{TO}, {more}"));
    let said: Vec<&str> = problems
        .lines()
        .filter(|line| line.starts_with("Error"))
        .collect();
    assert!(said.is_empty(), "{more}: {problems}");
    list["rules"][0].clone()
}

/// What a match becomes.
pub(super) fn when(one: &str) -> Value {
    let (list, problems) = list(&format!("match: [{{{one}}}], {TO}"));
    assert!(!problems.contains("Error"), "{one}: {problems}");
    list["matches"][0]["when"].clone()
}

#[test]
fn matches() {
    let table = [
        ("uri: {exact: /a}", json!({"path": {"Exact": "/a"}})),
        ("uri: {prefix: /a}", json!({"path": {"Prefix": "/a"}})),
        ("uri: {regex: '/a.*'}", json!({"path": {"Regex": "/a.*"}})),
        (
            "uri: {exact: /a}, ignoreUriCase: true",
            json!({"path": {"Exact": "/a"}, "ignore_case": true}),
        ),
        (
            "scheme: {exact: https}",
            json!({"scheme": {"Exact": "https"}}),
        ),
        (
            "method: {regex: 'P.*'}",
            json!({"method": {"Regex": "P.*"}}),
        ),
        (
            "authority: {prefix: shop}",
            json!({"authority": {"Prefix": "shop"}}),
        ),
        (
            "headers: {X-A: {exact: '1'}, x-b: {}}",
            json!({"headers": [
                {"name": "x-a", "value": {"Exact": "1"}, "invert": false},
                {"name": "x-b", "value": "Present", "invert": false},
            ]}),
        ),
        (
            "withoutHeaders: {x-a: {prefix: b}, x-b: {}}",
            json!({"headers": [
                {"name": "x-a", "value": {"Prefix": "b"}, "invert": true},
                {"name": "x-b", "value": "Present", "invert": true},
            ]}),
        ),
        (
            "queryParams: {Q: {exact: '1'}}",
            json!({"query": [{"name": "Q", "value": {"Exact": "1"}, "invert": false}]}),
        ),
        ("port: 80", json!({})),
        (
            "sourceLabels: {app: web}, sourceNamespace: shop",
            json!({"source": {"namespace": "shop", "labels": {"app": "web"}}}),
        ),
        ("gateways: [mesh, edge]", json!({})),
    ];
    for (given, expected) in table {
        assert_eq!(when(given), expected, "{given}");
    }
}

#[test]
fn actions() {
    let headers = "headers: {\
        request: {set: {':authority': new, X-A: '100%%'}, add: {x-b: b, x-r: r}, remove: [x-c, X-R]}, \
        response: {remove: [x-d]}}";
    let table = [
        (
            "timeout: 10s",
            json!({"timeout": {"secs": 10, "nanos": 0}, "timed_from_end": true}),
        ),
        ("timeout: 0s", json!({})),
        (
            "rewrite: {uri: /new, authority: other}",
            json!({"filters": {"rewrite": {"host": "other", "path": {"Prefix": "/new"}}}}),
        ),
        (
            "rewrite: {uriRegexRewrite: {match: '^/a(.*)', rewrite: '/b\\1'}}",
            json!({"filters": {"rewrite": {"host": null, "path":
                {"Regex": {"pattern": "^/a(.*)", "replacement": "/b\\1"}}}}}),
        ),
        (
            headers,
            json!({"filters": {
                "request_headers": {
                    "set": [["host", "new"], ["x-a", "100%"], ["x-r", "r"]],
                    "add": [["x-b", "b"]],
                    "remove": ["x-c"],
                },
                "response_headers": {"remove": ["x-d"]},
            }}),
        ),
        (
            "mirror: {host: b}, mirrorPercentage: {value: 0.5}",
            json!({"filters": {"mirrors": [{
                "target": {"Service": {"name": "shop/b.shop.svc.cluster.local", "port": 80}},
                "share": 5000, "of": 1_000_000, "shadow": true,
            }]}}),
        ),
        (
            "mirrors: [{destination: {host: b}}]",
            json!({"filters": {"mirrors": [{
                "target": {"Service": {"name": "shop/b.shop.svc.cluster.local", "port": 80}},
                "share": 1_000_000, "of": 1_000_000, "shadow": true,
            }]}}),
        ),
        (
            "corsPolicy: {allowOrigins: [{exact: '*'}, {prefix: 'https://a'}], allowMethods: [GET], \
             allowHeaders: [X-A], exposeHeaders: [x-b], maxAge: 1m, allowCredentials: true}",
            json!({"filters": {"cors": {
                "allow_origins": ["*"], "origin_matches": [{"Prefix": "https://a"}],
                "passes_others": true, "allow_credentials": true, "allow_methods": ["GET"],
                "allow_headers": ["x-a"], "expose_headers": ["x-b"],
                "max_age": {"secs": 60, "nanos": 0},
            }}}),
        ),
        (
            "fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}, abort: {httpStatus: 400, percent: 50}}",
            json!({"faults": {
                "delay": {"of": {"share": 1000, "of": 1_000_000}, "fixed": {"secs": 5, "nanos": 0}},
                "abort": {"of": {"share": 50, "of": 100}, "with": {"Http": 400}},
            }}),
        ),
        (
            "fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}",
            json!({"faults": {"abort": {
                "of": {"share": 1_000_000, "of": 1_000_000}, "with": {"Grpc": 14},
            }}}),
        ),
    ];
    for (given, expected) in table {
        let mut rule = rule(given);
        let fields = rule.as_object_mut().unwrap();
        for field in ["name", "backends", "retry"] {
            assert!(fields.remove(field).is_some(), "{given}");
        }
        assert_eq!(rule, expected, "{given}");
    }
}

#[test]
fn retries() {
    let on = |more: Value| {
        let mut on = json!({
            "connect_failure": false, "refused_stream": false, "reset": false,
            "gateway_error": false, "server_error": false, "retriable_4xx": false,
            "statuses": [], "grpc": [],
        });
        on.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        on
    };
    let default = on(json!({
        "connect_failure": true, "refused_stream": true, "grpc": [14, 1],
    }));
    let m12 = on(json!({
        "server_error": true, "reset": true, "connect_failure": true, "retriable_4xx": true,
    }));
    let table = [
        (
            "timeout: 1s",
            json!({"attempts": 2, "backoff": null, "on": default}),
            Value::Null,
        ),
        (
            "retries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx,reset,connect-failure,retriable-4xx'}",
            json!({"attempts": 3, "backoff": null, "on": m12}),
            json!({"secs": 2, "nanos": 0}),
        ),
        (
            "retries: {attempts: 1, retryOn: 'gateway-error, 429,internal', backoff: 100ms}",
            json!({"attempts": 1, "backoff": {"secs": 0, "nanos": 100_000_000}, "on": on(json!({
                "gateway_error": true, "statuses": [429], "grpc": [13],
            }))}),
            Value::Null,
        ),
        (
            "retries: {attempts: 0}",
            json!({"attempts": 0, "backoff": null, "on": on(json!({}))}),
            Value::Null,
        ),
    ];
    for (given, retry, try_timeout) in table {
        let rule = rule(given);
        assert_eq!(rule["retry"], retry, "{given}");
        assert_eq!(rule["try_timeout"], try_timeout, "{given}");
        let is_timed = given.contains("imeout");
        assert_eq!(rule["timed_from_end"] == true, is_timed, "{given}");
    }
}

#[test]
fn answers_of_its_own() {
    let table = [
        (
            "redirect: {uri: /new, authority: other}",
            json!({"scheme": null, "host": "other", "path": {"Full": "/new"}, "port": null, "status": 301, "as_asked": true}),
        ),
        (
            "redirect: {authority: 'other:8080', redirectCode: 307}",
            json!({"scheme": null, "host": "other", "path": null, "port": 8080, "status": 307, "as_asked": true}),
        ),
        (
            "redirect: {uriPrefix: /new, scheme: https, port: 8443}",
            json!({"scheme": "https", "host": null, "path": {"Prefix": "/new"}, "port": 8443, "status": 301, "as_asked": true}),
        ),
        (
            "redirect: {authority: other, derivePort: FROM_REQUEST_PORT}",
            json!({"scheme": null, "host": "other", "path": null, "port": 80, "status": 301, "as_asked": true}),
        ),
        (
            "redirect: {uri: /new}",
            json!({"scheme": null, "host": null, "path": {"Full": "/new"}, "port": null, "status": 301, "as_asked": true}),
        ),
    ];
    for (given, expected) in table {
        let (list, problems) = list(given);
        assert_eq!(
            list["rules"][0]["filters"]["redirect"], expected,
            "{given}: {problems}"
        );
    }
    for (given, expected) in [
        (
            "{status: 503, body: {string: closed}}",
            json!({"status": 503, "body": {"Text": "closed"}}),
        ),
        (
            "{status: 200, body: {bytes: AAA=}}",
            json!({"status": 200, "body": {"Base64": "AAA="}}),
        ),
        ("{status: 204}", json!({"status": 204})),
    ] {
        let (list, problems) = list(&format!("directResponse: {given}"));
        assert_eq!(list["rules"][0]["direct_response"], expected, "{problems}");
    }
}

#[test]
fn destinations() {
    let backends = |route: &str| {
        let (list, problems) = list(&format!("route: [{route}]"));
        let shown = list["rules"][0]["backends"].as_array().map(|backends| {
            let shown = backends.iter().map(|one| {
                let to = &one["backend"]["target"];
                let service = &to["Service"];
                let to = match service["name"].as_str() {
                    Some(name) => format!("{name}:{} {}", service["port"], service["subset"]),
                    None => to["Invalid"]["why"].as_str().unwrap().to_owned(),
                };
                format!("{} {to}", one["backend"]["weight"])
            });
            shown.collect::<Vec<_>>()
        });
        (shown.unwrap_or_default(), problems)
    };
    for (route, expected) in [
        (
            "{destination: {host: b}}",
            vec!["1 shop/b.shop.svc.cluster.local:80 null"],
        ),
        // The port that was asked for, of a service that has several.
        (
            "{destination: {host: a}}",
            vec!["1 shop/a.shop.svc.cluster.local:80 null"],
        ),
        (
            "{destination: {host: a, port: {number: 81}}, weight: 90}, {destination: {host: d.other.svc.cluster.local, subset: v2}, weight: 10}",
            vec![
                "90 shop/a.shop.svc.cluster.local:81 null",
                "10 other/d.other.svc.cluster.local:80 \"v2\"",
            ],
        ),
        (
            "{destination: {host: nobody}}",
            vec!["1 Service shop/nobody is not there"],
        ),
        (
            "{destination: {host: b, port: {number: 9}}}",
            vec!["1 Service shop/b has no TCP port 9"],
        ),
        (
            "{destination: {host: example.com}}",
            vec!["1 `example.com` is no service of the cluster"],
        ),
        (
            "{destination: {host: e}}",
            vec!["1 Service shop/e stands for a name outside of the cluster"],
        ),
    ] {
        assert_eq!(backends(route).0, expected, "{route}");
    }
    let (_, problems) = backends("{destination: {host: b, subset: v1}}");
    assert!(
        problems.contains("spec.http[0].route[0].destination.subset: nothing defines"),
        "{problems}"
    );
    let (none, problems) = backends("{destination: {host: b}}, {destination: {host: a}}");
    assert!(
        none.is_empty() && problems.contains("no destination with a weight"),
        "{problems}"
    );
}

#[test]
fn headers_of_a_destination_stay_as_they_are_beside_those_of_the_rule() {
    let (list, _) = list(
        "headers: {request: {set: {x-a: rule}}}, \
         route: [{destination: {host: b}, headers: {request: {set: {x-a: own, x-b: own}}, response: {add: {x-c: c}}}}]",
    );
    assert_eq!(
        list["rules"][0]["backends"][0]["filters"],
        json!({
            "request_headers": {"set": [["x-a", "own"], ["x-b", "own"]]},
            "response_headers": {"add": [["x-c", "c"]]},
        })
    );
}

/// A value that cannot be followed: the rule is answered with 500, and the field is named.
#[test]
fn what_cannot_be_followed_is_refused_and_named() {
    for (given, field) in [
        (
            format!("{TO}, rewrite: {{uri: /a, uriRegexRewrite: {{match: a}}}}"),
            "rewrite",
        ),
        (
            format!("{TO}, rewrite: {{uriRegexRewrite: {{match: '('}}}}"),
            "rewrite.uriRegexRewrite.match",
        ),
        (
            format!("{TO}, rewrite: {{uriRegexRewrite: {{match: a, rewrite: '\\1'}}}}"),
            "",
        ),
        (
            "redirect: {redirectCode: 300}".to_owned(),
            "redirect.redirectCode",
        ),
        ("redirect: {uri: 'no path'}".to_owned(), ""),
        (
            "redirect: {authority: 'a:b'}".to_owned(),
            "redirect.authority",
        ),
        (
            "redirect: {port: 80, derivePort: FROM_REQUEST_PORT}".to_owned(),
            "redirect.derivePort",
        ),
        ("directResponse: {status: 99}".to_owned(), "directResponse"),
        (
            format!("{TO}, headers: {{request: {{set: {{x: '%REQ(a)%'}}}}}}"),
            "headers.request.set.x",
        ),
        (
            format!("{TO}, headers: {{response: {{add: {{x: '50%'}}}}}}"),
            "headers.response.add.x",
        ),
        (
            format!("{TO}, headers: {{request: {{set: {{connection: x}}}}}}"),
            "",
        ),
        (
            format!("{TO}, headers: {{request: {{remove: [':path']}}}}"),
            "",
        ),
        (
            format!("{TO}, fault: {{abort: {{percentage: {{value: 1}}}}}}"),
            "fault.abort",
        ),
        (
            format!("{TO}, fault: {{abort: {{httpStatus: 99}}}}"),
            "fault.abort.httpStatus",
        ),
        (
            format!("{TO}, fault: {{abort: {{grpcStatus: NOPE}}}}"),
            "fault.abort.grpcStatus",
        ),
        (
            format!("{TO}, fault: {{abort: {{http2Error: x}}}}"),
            "fault.abort.http2Error",
        ),
        (
            format!("{TO}, fault: {{delay: {{percent: 1}}}}"),
            "fault.delay.fixedDelay",
        ),
        (
            format!("{TO}, fault: {{delay: {{fixedDelay: 1s, percent: 101}}}}"),
            "fault.delay.percent",
        ),
        (
            format!("{TO}, fault: {{delay: {{exponentialDelay: 1s}}}}"),
            "fault.delay.exponentialDelay",
        ),
        (
            format!("{TO}, retries: {{attempts: 1, retryOn: 'never'}}"),
            "retries.retryOn",
        ),
        (
            format!("{TO}, mirror: {{host: b}}, mirrors: [{{destination: {{host: b}}}}]"),
            "mirrors",
        ),
        (
            format!("{TO}, mirror: {{host: b}}, mirrorPercent: 101"),
            "mirrorPercent",
        ),
        (
            format!("{TO}, corsPolicy: {{allowOrigins: [{{}}]}}"),
            "corsPolicy.allowOrigins[0]",
        ),
        (
            format!("{TO}, corsPolicy: {{allowOrigins: [{{regex: '('}}]}}"),
            "corsPolicy.allowOrigins[0].regex",
        ),
    ] {
        let (list, problems) = list(&given);
        let field = match field {
            "" => "spec.http[0]".to_owned(),
            field => format!("spec.http[0].{field}"),
        };
        assert!(
            problems.contains(&format!("{field}: ")),
            "{given}: {problems}"
        );
        assert!(problems.contains("Error"), "{given}: {problems}");
        assert_eq!(
            list["rules"][0],
            json!({"name": "VirtualService/shop/v/0"}),
            "{given}"
        );
        assert_eq!(list["matches"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_match_that_cannot_be_followed_leaves_its_rule_out() {
    for (given, field) in [
        ("uri: {regex: '('}", "uri.regex"),
        ("headers: {uri: {exact: a}}", "headers.uri"),
    ] {
        let spec =
            format!("hosts: [a], http: [{{match: [{{{given}}}], {TO}}}, {{name: last, {TO}}}]");
        let folder = folder(&[virtual_service("shop/v", &spec)]);
        assert_eq!(
            lists(&folder, "shop/a")[0],
            "80 all: VirtualService/shop/v/last"
        );
        let problems = folder.problems();
        assert!(
            problems.contains(&format!("spec.http[0].match[0].{field}: ")),
            "{problems}"
        );
    }
}

#[test]
fn what_has_no_effect_is_said() {
    for (given, said) in [
        ("retries: {perTryTimeout: 1s}", "retries.attempts: missing"),
        (
            "retries: {attempts: 1, retryRemoteLocalities: false}",
            "retries.retryRemoteLocalities: not followed",
        ),
        (
            "retries: {attempts: 1, retryOn: 'envoy-ratelimited'}",
            "retries.retryOn: `envoy-ratelimited`",
        ),
        (
            "fault: {delay: {fixedDelay: 1s}}",
            "fault.delay.percentage: missing",
        ),
        (
            "mirror: {host: b}, mirrorPercent: 1",
            "mirrorPercent: an old form",
        ),
        (
            "mirror: {host: b}, mirror_percent: 1",
            "mirrorPercent: an old form",
        ),
        (
            "match: [{statPrefix: x}]",
            "match[0].statPrefix: not followed",
        ),
    ] {
        let (_, problems) = list(&format!("{TO}, {given}"));
        assert!(problems.contains(&format!("Warning routes.yaml: document 1 (line 1): VirtualService shop/v: spec.http[0].{said}")), "{problems}");
    }
}

/// Both spellings of the old share of copies, which gives way to the new one.
#[test]
fn the_old_share_of_copies_counts_where_there_is_no_new_one() {
    for (given, expected) in [
        ("mirrorPercent: 40", 400_000),
        ("mirror_percent: 40", 400_000),
        ("mirror_percent: 40, mirrorPercentage: {value: 3}", 30_000),
    ] {
        let rule = rule(&format!("mirror: {{host: b}}, {given}"));
        let share = &rule["filters"]["mirrors"][0]["share"];
        assert_eq!(share, &json!(expected), "{given}");
    }
}

/// A rule has one name in logs: with that of its matches on the port, if they have one.
#[test]
fn a_rule_is_named_with_its_matches() {
    let not_told = "Warning routes.yaml: document 1 (line 1): VirtualService shop/v: spec.http[0].match[0].name: \
                    not told in logs";
    for (given, expected, is_told) in [
        ("name: r, match: [{name: m}]", "r.m", true),
        ("match: [{name: m}]", "0.m", true),
        (
            "name: r, match: [{name: m, method: {exact: GET}}, {name: m, method: {exact: PUT}}]",
            "r.m",
            true,
        ),
        (
            "name: r, match: [{name: m, port: 80}, {name: other, port: 81}]",
            "r.m",
            true,
        ),
        (
            "name: r, match: [{name: m, method: {exact: GET}}, {name: other}]",
            "r",
            false,
        ),
        (
            "name: r, match: [{name: m, method: {exact: GET}}, {}]",
            "r",
            false,
        ),
        ("name: r, match: [{}]", "r", true),
        ("name: r", "r", true),
    ] {
        let (list, problems) = list(&format!("{TO}, {given}"));
        let expected = format!("VirtualService/shop/v/{expected}");
        assert_eq!(list["rules"][0]["name"], json!(expected), "{given}");
        assert_eq!(!problems.contains(not_told), is_told, "{given}: {problems}");
    }
}

/// A match that is for gateways alone.
#[test]
fn matches_that_are_for_no_client_of_the_mesh_are_said() {
    let tls =
        "tls: [{match: [{sniHosts: [a.example]}, {sniHosts: [b.example], gateways: [edge]}], ";
    for (spec, said) in [
        (
            format!("http: [{{{TO}, match: [{{gateways: [edge]}}]}}]"),
            Some("http[0].match[0]"),
        ),
        (
            format!("http: [{{{TO}, match: [{{}}, {{gateways: [edge]}}]}}]"),
            Some("http[0].match[1]"),
        ),
        (format!("{tls}{TO}}}]"), Some("tls[0].match[1]")),
        (
            format!("tcp: [{{{TO}, match: [{{gateways: [edge]}}]}}]"),
            Some("tcp[0].match[0]"),
        ),
        (
            format!("http: [{{{TO}, match: [{{gateways: [mesh]}}]}}]"),
            None,
        ),
        (
            format!("http: [{{{TO}, match: [{{gateways: [mesh, edge]}}]}}]"),
            None,
        ),
        (
            format!("gateways: [edge], http: [{{{TO}, match: [{{gateways: [edge]}}]}}]"),
            None,
        ),
    ] {
        let folder = folder(&[virtual_service("shop/v", &format!("hosts: [a], {spec}"))]);
        let problems = folder.problems();
        let what = ".gateways: without `mesh`: the match is for no client of the mesh";
        match said {
            Some(field) => {
                let line = format!("VirtualService shop/v: spec.{field}{what}");
                let mut warned = problems.lines().filter(|line| line.starts_with("Warning "));
                assert!(warned.any(|one| one.contains(&line)), "{spec}: {problems}");
            }
            None => assert!(!problems.contains(what), "{spec}: {problems}"),
        }
    }
}

#[test]
fn where_all_rules_of_a_port_are_left_out_nothing_passes() {
    for (service, rules) in [
        // A port that speaks HTTP.
        (
            "a",
            format!("http: [{{match: [{{port: 80, uri: {{regex: '('}}}}], {TO}}}]"),
        ),
        // One that does not say what it speaks.
        ("b", format!("tls: [{{{TO}}}]")),
        (
            "b",
            format!("http: [{{match: [{{port: 81}}], {TO}}}], tls: [{{{TO}}}]"),
        ),
    ] {
        let spec = format!("hosts: [{service}], {rules}");
        let folder = folder(&[virtual_service("shop/v", &spec)]);
        let lists = lists(&folder, &format!("shop/{service}"));
        assert_eq!(lists, ["80 all: "], "{rules}");
        assert!(folder.problems().contains("Error"), "{rules}");
    }
}

#[test]
fn rules_for_requests_of_other_ports_do_not_take_a_port_from_others() {
    let spec = format!("hosts: [b], http: [{{match: [{{port: 81}}], {TO}}}], tcp: [{{{TO}}}]");
    let folder = folder(&[virtual_service("shop/v", &spec)]);
    assert_eq!(
        lists(&folder, "shop/b"),
        ["80 all: VirtualService/shop/v/tcp/0"]
    );
}

#[test]
fn a_rule_whose_action_has_too_many_expressions_is_refused_and_no_other() {
    let headers: Vec<String> = (0..128).map(|n| format!("x-{n}: {{regex: a}}")).collect();
    let spec = format!(
        "match: [{{headers: {{{}}}}}], rewrite: {{uriRegexRewrite: {{match: a, rewrite: b}}}}, {TO}}}, \
         {{name: next, {TO}",
        headers.join(", ")
    );
    let (list, problems) = list(&spec);
    let backends = |index: usize| list["rules"][index]["backends"].as_array().map(Vec::len);
    assert_eq!((backends(0), backends(1)), (None, Some(1)), "{problems}");
    assert!(problems.contains("regular expressions"), "{problems}");
}

#[test]
fn a_replacement_is_bounded() {
    let long = "a".repeat(1025);
    let (list, problems) = list(&format!(
        "{TO}, rewrite: {{uriRegexRewrite: {{match: ., rewrite: {long}}}}}"
    ));
    assert_eq!(list["rules"][0]["backends"], Value::Null, "{problems}");
}

#[test]
fn copies_go_where_the_one_says_who_asks_for_them() {
    let root = "hosts: [a], http: [{mirror: {host: b}, rewrite: {uri: /x}, \
                match: [{uri: {prefix: /v}}], delegate: {name: d, namespace: other}}]";
    let rules = "http: [{match: [{uri: {prefix: /v/1}, ignoreUriCase: true}], \
                 route: [{destination: {host: d}}]}, {redirect: {uri: /y}}]";
    let folder = folder(&[
        virtual_service("shop/root", root),
        virtual_service("other/d", rules),
    ]);
    let all = routes(&folder, "shop/a").unwrap();
    let list = serde_json::to_value(&all.ports[&80].producer).unwrap();
    let (list, problems) = (&list["Http"], folder.problems());
    let mirrors = list["rules"][0]["filters"]["mirrors"].to_string();
    assert!(mirrors.contains("b.shop"), "{mirrors} {problems}");
    let backends = list["rules"][0]["backends"].to_string();
    assert!(backends.contains("d.other"), "{backends}");
    // What the root lets pass in one case only, the delegate cannot let pass in any.
    assert_eq!(
        list["matches"][0]["when"]["ignore_case"],
        Value::Null,
        "{list}"
    );
    assert!(
        list["rules"][1]["filters"]["redirect"].is_object(),
        "{problems}"
    );
}

#[test]
fn what_matches_of_two_objects_make_together_is_bounded() {
    let many: Vec<String> = (0..80)
        .map(|n| format!("{{uri: {{prefix: /v/{n}}}}}"))
        .collect();
    let many = many.join(", ");
    let root = format!("hosts: [a], http: [{{match: [{many}], delegate: {{name: d}}}}]");
    let rules = format!("http: [{{match: [{many}], {TO}}}]");
    let folder = folder(&[
        virtual_service("shop/root", &root),
        virtual_service("shop/d", &rules),
    ]);
    let all = routes(&folder, "shop/a").unwrap();
    let list = serde_json::to_value(&all.ports[&80].producer).unwrap();
    assert_eq!(list["Http"]["rules"][0]["backends"], Value::Null);
    let problems = folder.problems();
    assert!(problems.contains("more than 4096 matches"), "{problems}");
}
