//! Whatever is told to waypoints, they can use; and what they cannot use opens no port.

use std::cell::RefCell;

use ambit_model::{PathMatch, TextMatch};
use ambit_route::Compiled;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::*;
use crate::config::translate::routes::{MOST_OF_NAMESPACE, MOST_OF_ROUTE};

/// All lists of requests of a service.
fn lists<'a>(folder: &'a Folder, service: &str) -> Vec<&'a ambit_model::HttpRoutes> {
    let ports = routes(folder, service)
        .into_iter()
        .flat_map(|all| &all.ports);
    let lists = ports.flat_map(|(_, port)| port.producer.iter().chain(port.consumers.values()));
    let http = lists.filter_map(|list| match list {
        RouteList::Http(http) => Some(http),
        _ => None,
    });
    http.collect()
}

#[test]
fn what_a_waypoint_would_not_take_is_answered_with_500_and_said() {
    let filter = |kind: &str, field: &str, value: &str| {
        format!(
            "filters: [{{type: {kind}, {field}: {value}}}], backendRefs: [{{name: b, port: 80}}]"
        )
    };
    let request = |value| filter("RequestHeaderModifier", "requestHeaderModifier", value);
    let path = |value| {
        filter(
            "URLRewrite",
            "urlRewrite",
            &format!("{{path: {{{value}}}}}"),
        )
    };
    let cases = [
        (
            request("{remove: [Connection]}"),
            "filters: request header \"connection\"",
        ),
        (request("{remove: [TE]}"), "filters: request header \"te\""),
        (
            request("{remove: [Host]}"),
            "filters: request header \"host\": can only be set",
        ),
        (
            request("{add: [{name: Host, value: x}]}"),
            "filters: request header \"host\"",
        ),
        (
            path("type: ReplaceFullPath, replaceFullPath: a"),
            "begins with a slash",
        ),
        (
            path("type: ReplaceFullPath, replaceFullPath: '/a<b>'"),
            "percent-encode",
        ),
        (
            path("type: ReplacePrefixMatch, replacePrefixMatch: a"),
            "begins with a slash",
        ),
        (
            "sessionPersistence: {sessionName: my session}".into(),
            "sessionPersistence: session name",
        ),
        (
            "sessionPersistence: {sessionName: te}".into(),
            "sessionPersistence: session name",
        ),
    ];
    for (rule, said) in cases {
        let folder = folder(&[http("shop/r", &format!("{{{rule}}}"))]);
        assert!(
            folder.problems().contains(said),
            "{rule}: {}",
            folder.problems()
        );
        let lists = lists(&folder, "shop/a");
        assert_eq!(lists.len(), 2, "{rule}");
        for list in lists {
            assert!(
                list.rules[0].backends.is_empty() && list.matches.len() == 1,
                "{rule}"
            );
        }
    }
}

#[test]
fn a_rewrite_of_a_backend_after_the_rules_own_is_refused() {
    let rewrite = |kind: &str, field: &str| {
        format!(
            "filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: {kind}, {field}: /x}}}}}}]"
        )
    };
    let full = rewrite("ReplaceFullPath", "replaceFullPath");
    let prefix = rewrite("ReplacePrefixMatch", "replacePrefixMatch");
    for (rule, backend, is_right) in [
        (&*full, &*prefix, false),
        (&prefix, &prefix, false),
        (&prefix, &full, true),
        ("filters: []", &prefix, true),
    ] {
        let text = format!("{{{rule}, backendRefs: [{{name: b, port: 80, {backend}}}]}}");
        let folder = folder(&[http("shop/r", &text)]);
        assert_eq!(folder.problems().is_empty(), is_right, "{text}");
        let list = lists(&folder, "shop/a")[0];
        assert_eq!(!list.rules[0].backends.is_empty(), is_right, "{text}");
    }
}

#[test]
fn routes_of_which_nothing_is_left_leave_no_port_open() {
    let typo = "{matches: [{path: {type: RegularExpression, value: '('}}], backendRefs: [{name: b, port: 80}]}";
    let wrong = folder(&[http("shop/r", typo)]);
    assert_eq!(lists(&wrong, "shop/a").len(), 2, "both ports");
    assert!(
        lists(&wrong, "shop/a")
            .iter()
            .all(|list| list.matches.is_empty())
    );
    let beside = folder(&[
        http("shop/good", "{matches: [{path: {value: /x}}]}"),
        http("shop/r", typo),
    ]);
    assert!(
        lists(&beside, "shop/a")
            .iter()
            .all(|list| list.matches.len() == 1)
    );
    let consumer = folder(&[http("team/r", typo)]);
    let ports = &routes(&consumer, "shop/a").expect("routes").ports;
    assert!(ports[&80].producer.is_none() && ports[&80].consumers.contains_key("team"));
    let spec = format!(
        "parentRefs: [{A}], hostnames: [10.0.0.1], rules: [{{backendRefs: [{{name: b, port: 80}}]}}]"
    );
    let tls = folder(&[route("TLSRoute", "shop/r", &spec)]);
    let ports = &routes(&tls, "shop/a").expect("routes").ports;
    assert_eq!(ports[&80].producer, Some(RouteList::Tls(Vec::new())));
}

/// A rule with so many expressions in its headers, no two of them the same.
fn rule_with(expressions: usize, mark: &str) -> String {
    let header = |name: &str, n: usize| {
        format!("{{name: {name}, type: RegularExpression, value: '{mark}{name}{n}'}}")
    };
    let matches = (0..expressions / 2)
        .map(|n| format!("{{headers: [{}, {}]}}", header("x-a", n), header("x-b", n)));
    let matches: Vec<String> = matches.collect();
    let matches = matches.join(", ");
    format!("{{matches: [{matches}], backendRefs: [{{name: b, port: 80}}]}}")
}

/// For each rule whether it is answered with 500.
fn answered(folder: &Folder) -> Vec<bool> {
    let rules = &lists(folder, "shop/a")[0].rules;
    rules.iter().map(|rule| rule.backends.is_empty()).collect()
}

#[test]
fn expressions_of_one_route_are_bounded() {
    let half = MOST_OF_ROUTE / 2;
    let rules = [rule_with(half, "a"), rule_with(half, "b")].join(", ");
    let within = folder(&[http("shop/r", &rules)]);
    assert_eq!(
        (answered(&within), within.problems()),
        (vec![false, false], String::new())
    );

    let mut last =
        String::from("{matches: [{path: {type: RegularExpression, value: /x}, headers: ");
    last +=
        "[{name: x-c, type: RegularExpression, value: z}]}], backendRefs: [{name: b, port: 80}]}";
    let beyond = folder(&[http("shop/r", &[rules, last].join(", "))]);
    assert_eq!(answered(&beyond), [false, false, true]);
    assert!(
        beyond
            .problems()
            .contains("spec.rules[2].matches: more than 128 regular expressions")
    );
    let list = lists(&beyond, "shop/a")[0];
    let widened = list
        .matches
        .iter()
        .find(|one| one.rule == 2)
        .expect("its match");
    assert_eq!(widened.when.path, Some(PathMatch::Prefix("".into())));
    assert_eq!(widened.when.headers[0].value, TextMatch::Present);
}

#[test]
fn expressions_of_one_namespace_for_one_service_are_bounded() {
    let half = MOST_OF_ROUTE / 2;
    let full =
        |mark: &str| [rule_with(half, mark), rule_with(half, &format!("{mark}z"))].join(", ");
    let count = MOST_OF_NAMESPACE / MOST_OF_ROUTE;
    let mut given: Vec<String> = (0..count)
        .map(|n| http(&format!("shop/r{n}"), &full(&format!("m{n}x"))))
        .collect();
    given.push(http("shop/younger", &rule_with(2, "more")));
    given.push(http("team/other", &rule_with(2, "other")));
    let folder = folder(&given);
    let mut expected = vec![false; 2 * count];
    expected.push(true);
    assert_eq!(answered(&folder), expected);
    let errors = folder.problems().matches("Error").count();
    assert_eq!(errors, 1, "{}", folder.problems());
    let team = &routes(&folder, "shop/a").expect("routes").ports[&80].consumers["team"];
    assert!(matches!(team, RouteList::Http(http) if !http.rules[0].backends.is_empty()));
}

const EXPRESSIONS: [&str; 12] = [
    "/a.*",
    "(?i)b",
    "(?x)a # b",
    "(?u)a",
    "(",
    "a)(b",
    "(a{1000}){1000}",
    "(a{50}){40}",
    "[(]",
    r"\d",
    "(?P<n>a)",
    "\u{e4}",
];
const NAMES: [&str; 10] = [
    "X-A",
    "Connection",
    "TE",
    "Host",
    "Keep-Alive",
    "Trailer",
    "b",
    "a~b",
    "Content-Length",
    "Upgrade",
];
const PATHS: [&str; 10] = [
    "", "/", "/x", "x", "/a<b>", "/a?b", "/a#b", "/%zz", "//x", "/\u{e4}",
];
const HOSTS: [&str; 7] = [
    "x.org", "*.x.org", "10.0.0.1", "x_y", "X.org", "[::1]", "a:80",
];
const ORIGINS: [&str; 8] = [
    "*",
    "http://x.org",
    "https://*.x.org:8443",
    "http://[::1]",
    "http://x:0",
    "ftp://x",
    "http://a_b",
    "http://-",
];
const SESSIONS: [&str; 6] = ["my session", "te", "ok", "X-B", "a=b", "\u{e4}"];

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    select(texts)
}

fn filter() -> impl Strategy<Value = Value> {
    let modifier = |kind: &'static str, field: &'static str| {
        (one_of(&NAMES), one_of(&NAMES), one_of(&NAMES)).prop_map(move |(set, add, remove)| {
            json!({"type": kind, field: {
                "set": [{"name": set, "value": "v"}], "add": [{"name": add, "value": "v"}], "remove": [remove],
            }})
        })
    };
    let path = (any::<bool>(), one_of(&PATHS)).prop_map(|(is_full, path)| match is_full {
        true => json!({"type": "ReplaceFullPath", "replaceFullPath": path}),
        false => json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": path}),
    });
    let path = path.boxed();
    let rewrite = (one_of(&HOSTS), path.clone()).prop_map(|(host, path)| {
        json!({"type": "URLRewrite", "urlRewrite": {"hostname": host, "path": path}})
    });
    let status = select(&[200_u16, 301, 302, 303, 304, 307, 308]);
    let redirect = (one_of(&HOSTS), path, status).prop_map(|(host, path, status)| {
        json!({"type": "RequestRedirect", "requestRedirect":
            {"hostname": host, "path": path, "statusCode": status}})
    });
    let cors = (
        one_of(&ORIGINS),
        one_of(&["GET", "*", "BREW", "a b", ""]),
        one_of(&NAMES),
    );
    let cors = cors.prop_map(|(origin, method, name)| {
        json!({"type": "CORS", "cors": {"allowOrigins": [origin], "allowMethods": [method],
            "allowHeaders": [name], "exposeHeaders": [name]}})
    });
    prop_oneof![
        modifier("RequestHeaderModifier", "requestHeaderModifier"),
        modifier("ResponseHeaderModifier", "responseHeaderModifier"),
        rewrite,
        redirect,
        cors,
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    let path =
        one_of(&EXPRESSIONS).prop_map(|value| json!({"type": "RegularExpression", "value": value}));
    let plain = one_of(&PATHS).prop_map(|value| json!({"value": format!("/{value}")}));
    let field = (one_of(&NAMES), one_of(&EXPRESSIONS)).prop_map(
        |(name, value)| json!([{"name": name, "value": value, "type": "RegularExpression"}]),
    );
    let fields = prop_oneof![3 => Just(json!([])), 1 => field].boxed();
    let matches = (prop_oneof![path, plain], fields.clone(), fields).prop_map(
        |(path, headers, query)| json!([{"path": path, "headers": headers, "queryParams": query}]),
    );
    let filters = || prop::collection::vec(filter(), 0..2);
    let session = prop::option::of(one_of(&SESSIONS));
    (matches, filters(), filters(), session).prop_map(|(matches, own, of_backend, session)| {
        let backend = json!({"name": "b", "port": 80, "filters": of_backend});
        json!({
            "matches": matches, "filters": own, "backendRefs": [backend],
            "sessionPersistence": session.map(|name| json!({"sessionName": name})),
        })
    })
}

#[test]
fn waypoints_can_use_whatever_they_are_told() {
    let folder = RefCell::new(Folder::of(SERVICES));
    let mut runner = TestRunner::new(Config::with_cases(400));
    let counts = RefCell::new((0, 0));
    let told = runner.run(&rule(), |rule| {
        let spec = json!({
            "parentRefs": [{"group": "", "kind": "Service", "name": "a"}], "rules": [rule],
        });
        let object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "r", "namespace": "shop"}, "spec": spec,
        });
        let mut folder = folder.borrow_mut();
        folder.delete("routes.yaml");
        folder.write("routes.yaml", &object.to_string());
        let lists = lists(&folder, "shop/a");
        for list in &lists {
            let made = Compiled::new(list);
            prop_assert!(made.is_ok(), "{}: {:?}", object, made);
            let mut counts = counts.borrow_mut();
            counts.1 += 1;
            counts.0 += usize::from(list.rules.iter().any(|rule| !rule.backends.is_empty()));
        }
        Ok(())
    });
    told.expect("only what can be used");
    let (usable, read) = counts.into_inner();
    assert!(usable > 3 && read > usable, "{usable} of {read}");
}
