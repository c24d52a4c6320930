//! The ends of ranges, what is absent, and which of two fields counts.

use serde_json::{Value, json};

use super::fields::{TO, list, rule, when};
use super::*;

#[test]
fn numbers_are_taken_to_their_ends_and_no_further() {
    for (fault, expected) in [
        (
            "abort: {httpStatus: 200, percent: 0}",
            Some(json!({"Http": 200})),
        ),
        (
            "abort: {httpStatus: 599, percent: 100}",
            Some(json!({"Http": 599})),
        ),
        ("abort: {httpStatus: 600, percent: 1}", None),
        ("abort: {httpStatus: 199, percent: 1}", None),
        ("abort: {httpStatus: 500, percent: 101}", None),
        (
            "abort: {grpcStatus: '16', percent: 1}",
            Some(json!({"Grpc": 16})),
        ),
        ("abort: {grpcStatus: '17', percent: 1}", None),
        (
            "abort: {httpStatus: 500, grpcStatus: '1', percent: 1}",
            None,
        ),
    ] {
        let (list, problems) = list(&format!("{TO}, fault: {{{fault}}}"));
        let with = list["rules"][0].pointer("/faults/abort/with").cloned();
        assert_eq!(with, expected, "{fault}: {problems}");
        assert_eq!(problems.contains("Error"), expected.is_none(), "{problems}");
    }
    for (words, is_taken) in [("100", true), ("599", true), ("600", false), ("99", false)] {
        let (_, problems) = list(&format!(
            "{TO}, retries: {{attempts: 1, retryOn: '{words}'}}"
        ));
        assert_eq!(!problems.contains("Error"), is_taken, "{words}: {problems}");
    }
    for (authority, is_taken) in [("a:65535", true), ("a:65536", false), ("a:0", false)] {
        let (_, problems) = list(&format!("redirect: {{authority: '{authority}'}}"));
        assert_eq!(
            !problems.contains("Error"),
            is_taken,
            "{authority}: {problems}"
        );
    }
}

/// They are kept once for each service, of which `*` names all.
#[test]
fn rules_of_another_namespace_have_little_room_and_what_is_beyond_lets_nothing_pass() {
    let body = |bytes: usize| {
        format!(
            "directResponse: {{status: 200, body: {{string: {}}}}}",
            "x".repeat(bytes)
        )
    };
    let with = |namespace: &str, hosts: &str, sizes: &[usize]| {
        let rules = sizes
            .iter()
            .map(|bytes| format!("{{match: [{{uri: {{prefix: /a}}}}], {}}}", body(*bytes)));
        let rules: Vec<String> = rules.collect();
        let spec = format!("hosts: [{hosts}], http: [{}]", rules.join(", "));
        folder(&[virtual_service(&format!("{namespace}/v"), &spec)])
    };
    let rules = |folder: &Folder, consumer: Option<&str>| {
        let ports = &routes(folder, "shop/a").unwrap().ports;
        let of_port = &ports[&80];
        let list = match consumer {
            None => of_port.producer.as_ref(),
            Some(namespace) => of_port.consumers.get(namespace),
        };
        let Some(RouteList::Http(list)) = list else {
            panic!("no list")
        };
        let answers = list.rules.iter().map(|rule| rule.direct_response.is_some());
        (
            answers.collect::<Vec<bool>>(),
            list.matches.last().unwrap().when.path.is_none(),
        )
    };
    for hosts in ["'*'", "a.shop.svc.cluster.local"] {
        let small = with("team", hosts, &[30_000, 30_000]);
        assert_eq!(rules(&small, Some("team")), (vec![true, true], false));
        assert!(
            !small.problems().contains("bytes of rules"),
            "{}",
            small.problems()
        );
        let large = with("team", hosts, &[30_000, 36_000, 10]);
        assert_eq!(rules(&large, Some("team")), (vec![true, false], true));
        let problems = large.problems();
        assert!(
            problems.contains("spec.http: more than 65536 bytes of rules of namespace team"),
            "{problems}"
        );
        assert!(problems.contains("rule 1 of this object"), "{problems}");
    }
    let own = with("shop", "a", &[1_000_000, 1_000_000]);
    assert_eq!(rules(&own, None), (vec![true, true], false));
    let own = with("shop", "a", &[1_000_000, 1_000_000, 200_000]);
    assert_eq!(rules(&own, None), (vec![true, true, false], true));
}

#[test]
fn what_is_answered_at_once_is_not_tried_again() {
    for answer in ["redirect: {uri: /a}", "directResponse: {status: 503}"] {
        let (list, problems) = list(&format!(
            "{answer}, retries: {{attempts: 3, perTryTimeout: 1s}}"
        ));
        let rule = &list["rules"][0];
        assert_eq!(rule["retry"], Value::Null, "{answer}: {problems}");
        assert_eq!(rule["try_timeout"], Value::Null, "{answer}");
        assert_eq!(rule["timed_from_end"], Value::Null, "{answer}");
    }
}

#[test]
fn words_for_what_no_endpoint_has_seen() {
    let on = |words: &str| {
        let rule = rule(&format!("retries: {{attempts: 1, retryOn: '{words}'}}"));
        let on = &rule["retry"]["on"];
        (on["connect_failure"] == true, on["refused_stream"] == true)
    };
    assert_eq!(on("reset-before-request"), (true, true));
    assert_eq!(on("connect-failure"), (true, false));
    assert_eq!(on("refused-stream"), (false, true));
    // What says nothing is the default.
    assert_eq!(on("  "), (true, true));
    assert_eq!(on("retriable-status-codes, 404"), (false, false));
}

#[test]
fn the_port_of_a_redirect() {
    for (fields, port) in [
        ("authority: 'a:8080', port: 90", json!(90)),
        (
            "authority: 'a:8080', derivePort: FROM_REQUEST_PORT",
            json!(80),
        ),
        (
            "authority: 'a:8080', derivePort: FROM_PROTOCOL_DEFAULT",
            json!(8080),
        ),
        (
            "authority: '[::1]', derivePort: FROM_PROTOCOL_DEFAULT",
            Value::Null,
        ),
        ("authority: '[::1]:81'", json!(81)),
    ] {
        let (list, problems) = list(&format!("redirect: {{{fields}}}"));
        let redirect = &list["rules"][0]["filters"]["redirect"];
        assert!(redirect.is_object(), "{fields}: {problems}");
        assert_eq!(redirect["port"], port, "{fields}");
    }
}

#[test]
fn preflights_that_are_not_matched() {
    for (field, passes) in [
        ("", json!(true)),
        (", unmatchedPreflights: FORWARD", json!(true)),
        (", unmatchedPreflights: UNSPECIFIED", json!(true)),
        (", unmatchedPreflights: IGNORE", Value::Null),
    ] {
        let rule = rule(&format!("corsPolicy: {{allowMethods: [GET]{field}}}"));
        let cors = &rule["filters"]["cors"];
        assert_eq!(cors["passes_others"], passes, "{field}: {cors}");
    }
}

#[test]
fn a_rule_that_changes_the_beginning_of_paths_is_for_all_that_have_one() {
    let slash = json!({"path": {"Prefix": "/"}});
    for action in [
        "redirect: {uriPrefix: /new}".to_owned(),
        format!("{TO}, rewrite: {{uri: /new}}"),
    ] {
        for (given, expected) in [
            ("", &slash),
            ("match: [{port: 80}], ", &slash),
            (
                "match: [{uri: {prefix: /a}}], ",
                &json!({"path": {"Prefix": "/a"}}),
            ),
        ] {
            let (list, problems) = list(&format!("{given}{action}"));
            assert_eq!(
                list["matches"][0]["when"], *expected,
                "{given}{action}: {problems}"
            );
        }
    }
    // Without a path there is no case to be ignored.
    assert_eq!(when("ignoreUriCase: true"), json!({}));
}

#[test]
fn what_comes_after_a_rule_for_all_is_never_reached() {
    for (one, is_for_all) in [
        ("", true),
        ("match: [{uri: {prefix: /}}], ", true),
        ("match: [{uri: {prefix: /}, ignoreUriCase: true}], ", true),
        ("match: [{uri: {exact: /a}}, {uri: {prefix: /}}], ", true),
        ("match: [{uri: {prefix: /a}}], ", false),
        ("match: [{uri: {exact: /}}], ", false),
        ("match: [{uri: {prefix: /}, method: {exact: GET}}], ", false),
    ] {
        let spec = format!("hosts: [a], http: [{{{one}{TO}}}]");
        let folder = folder(&[
            of_year(2020, "shop/old", &spec),
            of_year(2026, "shop/young", &to_b("a")),
        ]);
        let problems = folder.problems();
        let never = "never reached on port 80: VirtualService shop/old comes first";
        assert_eq!(problems.contains(never), is_for_all, "{one}: {problems}");
    }
}

#[test]
fn the_port_of_a_destination_that_names_none() {
    let services = "\
apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}
spec: {clusterIP: 10.96.0.8, ports: [{name: http, port: 80}, {name: http-a, port: 90}]}
---\napiVersion: v1\nkind: Service\nmetadata: {name: several, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}, {name: http-a, port: 81}]}
";
    let mut folder = Folder::of(services);
    let spec = "hosts: [s], http: [{route: [{destination: {host: several}}]}]";
    folder.write("v.yaml", &virtual_service("shop/v", spec));
    let all = routes(&folder, "shop/s").unwrap();
    let target = |port: u16| {
        let list = serde_json::to_value(&all.ports[&port].producer).unwrap();
        list["Http"]["rules"][0]["backends"][0]["backend"]["target"].clone()
    };
    assert_eq!(target(80)["Service"]["port"], 80);
    assert_eq!(
        target(90)["Invalid"]["why"],
        "Service shop/several has no TCP port 90"
    );
}

#[test]
fn expressions_of_one_namespace_are_bounded_and_others_have_their_own() {
    let many = |mark: &str| {
        let headers: Vec<String> = (0..128)
            .map(|n| format!("x-{n}: {{regex: {mark}{n}}}"))
            .collect();
        let headers = headers.join(", ");
        format!(
            "hosts: [a.shop.svc.cluster.local], http: [{{match: [{{headers: {{{headers}}}}}], {TO}}}]"
        )
    };
    let folder = folder(&[
        of_year(2021, "shop/one", &many("a")),
        of_year(2022, "shop/two", &many("b")),
        of_year(2023, "shop/three", &many("c")),
        of_year(2024, "istio-system/four", &many("d")),
    ]);
    let all = routes(&folder, "shop/a").unwrap();
    let list = serde_json::to_value(&all.ports[&80].producer).unwrap();
    let rules = list["Http"]["rules"].as_array().unwrap();
    let usable = rules.iter().map(|rule| rule["backends"].is_array());
    assert_eq!(
        usable.collect::<Vec<_>>(),
        [true, true, false, true],
        "{}",
        folder.problems()
    );
}

#[test]
fn a_host_of_the_own_namespace_is_meant_before_anybody_elses() {
    let entry = |namespace: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: e, namespace: {namespace}}}\n\
             spec: {{hosts: [out.example], resolution: DNS, ports: [{{number: 80, name: http, protocol: HTTP}}]}}\n"
        )
    };
    let to = "hosts: [a], http: [{route: [{destination: {host: out.example}}]}]";
    let meant = |entries: &[String]| {
        let rest = [virtual_service("shop/v", to)];
        let folder = folder(&[entries, &rest].concat());
        let all = routes(&folder, "shop/a").unwrap();
        let list = serde_json::to_value(&all.ports[&80].producer).unwrap();
        let target = &list["Http"]["rules"][0]["backends"][0]["backend"]["target"];
        target["Service"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(meant(&[entry("zoo"), entry("bank")]), "bank/out.example");
    assert_eq!(
        meant(&[entry("bank"), entry("shop"), entry("zoo")]),
        "shop/out.example"
    );
}
