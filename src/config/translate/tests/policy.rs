//! Authorization policies in the form that node agents evaluate.

use ambit_model::{Action, Condition, Rule, Scope, StringMatch};
use insta::{assert_debug_snapshot, assert_snapshot};

use super::policy;
use crate::config::Settings;
use crate::config::fixture::Folder;

/// Service `web`, behind a waypoint.
const BOUND: &str = "\
apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: w}}
spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: w, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";

fn folder(namespace: &str, metadata: &str, spec: &str) -> Folder {
    Folder::of(&format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: p, namespace: {namespace}, {metadata}}}\nspec: {{{spec}}}\n"
    ))
}

fn rules(spec: &str) -> String {
    let folder = folder("shop", "", spec);
    let policy = policy(&folder, "shop", "p").expect("a policy");
    format!("{:?} {}", policy.action, in_words(&policy.rules))
}

/// Rules in one line.
pub(super) fn in_words(rules: &[Rule]) -> String {
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| {
            let clauses = rule.clauses.iter().map(|clause| {
                let matches = clause
                    .matches
                    .iter()
                    .map(|one| named_fields(&format!("{one:?}")));
                format!("({})", matches.collect::<Vec<_>>().join(" OR "))
            });
            format!("[{}]", clauses.collect::<Vec<_>>().join(" AND "))
        })
        .collect();
    rules.join(" OR ")
}

/// A match without the fields that it does not name.
fn named_fields(text: &str) -> String {
    let inner = text.trim_start_matches("Match { ").trim_end_matches(" }");
    let empty = |field: &&str| !field.ends_with(": []") && !field.ends_with("false");
    let mut fields = Vec::new();
    let mut rest = inner;
    while let Some((field, after)) = rest.split_once("], ") {
        fields.push(format!("{field}]"));
        rest = after;
    }
    fields.push(rest.to_owned());
    fields
        .iter()
        .map(String::as_str)
        .filter(empty)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn scope_and_action() {
    let selector = "selector: {matchLabels: {app: web}}";
    let cases = [
        ("shop", "", Scope::Namespace),
        ("shop", selector, Scope::Workload),
        ("shop", "selector: {}", Scope::Namespace),
        ("ambit-system", "", Scope::Global),
        ("istio-system", "", Scope::Global),
        ("istio-system", selector, Scope::Workload),
    ];
    for (namespace, spec, scope) in cases {
        let folder = folder(namespace, "", spec);
        let policy = policy(&folder, namespace, "p").expect("a policy");
        assert_eq!(
            (policy.scope, policy.action),
            (scope, Action::Allow),
            "{namespace} {spec}"
        );
        assert!(policy.rules.is_empty() && !policy.dry_run);
    }
    let deny = folder(
        "shop",
        "annotations: {istio.io/dry-run: 'true'}",
        "action: DENY, rules: [{}]",
    );
    let deny = policy(&deny, "shop", "p").expect("a policy");
    assert_eq!(
        (deny.action, deny.rules.len(), deny.dry_run),
        (Action::Deny, 1, true)
    );
}

#[test]
fn rules_become_clauses() {
    let cases = [
        "rules: [{}]",
        "rules: [{}, {to: [{operation: {ports: ['80', '443'], notPorts: ['81']}}]}]",
        "rules: [{from: [{source: {principals: ['*', 'cluster.local/*', '*/sa/web', 'cluster.local/ns/a/sa/b', 'spiffe://x/ns/a/sa/b']}}]}]",
        "rules: [{from: [{source: {namespaces: [a], notNamespaces: [b*], serviceAccounts: [web, other/web], notServiceAccounts: [x]}}]}]",
        "rules: [{from: [{source: {ipBlocks: [10.1.2.3, 10.1.2.3/8, '2001:db8::/32'], notIpBlocks: ['::1']}}, {source: {notPrincipals: [x]}}]}]",
        "rules: [{from: [{source: {namespaces: [a]}}], to: [{operation: {ports: ['80']}}], when: [{key: source.ip, values: [10.0.0.0/8], notValues: [10.1.0.0/16]}, {key: destination.port, values: ['81']}]}]",
        "rules: [{when: [{key: source.namespace, values: [a]}]}, {when: [{key: source.principal, notValues: [b]}]}, {when: [{key: source.serviceAccount, values: [c]}]}, {when: [{key: destination.ip, values: [::1]}]}]",
    ];
    let all: Vec<String> = cases
        .iter()
        .map(|spec| format!("{spec}\n  {}", rules(spec)))
        .collect();
    assert_snapshot!(all.join("\n"));
}

#[test]
fn conditions_hold_for_values_and_not_for_others() {
    for (key, values, expected) in [
        (
            "source.ip",
            ["10.0.0.0/8", "10.0.0.1"],
            "source_ips: [10.0.0.0/8] not_source_ips: [10.0.0.1/32]",
        ),
        (
            "source.namespace",
            ["a", "b"],
            "namespaces: [Exact(\"a\")] not_namespaces: [Exact(\"b\")]",
        ),
        (
            "source.principal",
            ["a", "b"],
            "principals: [Exact(\"a\")] not_principals: [Exact(\"b\")]",
        ),
        (
            "destination.ip",
            ["10.0.0.0/8", "10.0.0.1"],
            "destination_ips: [10.0.0.0/8] not_destination_ips: [10.0.0.1/32]",
        ),
        (
            "destination.port",
            ["80", "81"],
            "destination_ports: [80] not_destination_ports: [81]",
        ),
    ] {
        let [yes, no] = values;
        let spec =
            format!("rules: [{{when: [{{key: {key}, values: ['{yes}'], notValues: ['{no}']}}]}}]");
        assert_eq!(rules(&spec), format!("Allow [({expected})]"));
    }
    let accounts = rules(
        "rules: [{when: [{key: source.serviceAccount, values: [web], notValues: [other/db]}]}]",
    );
    let (yes, no) = accounts.split_once("not_service_accounts").unwrap();
    assert!(yes.contains("web") && yes.contains("shop"), "{accounts}");
    assert!(no.contains("db") && no.contains("other"), "{accounts}");
}

#[test]
fn what_needs_http_never_opens_a_door() {
    let cases = [
        "action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}]}]",
        "action: ALLOW, rules: [{to: [{operation: {methods: [GET]}}, {operation: {ports: ['80']}}]}]",
        "action: ALLOW, rules: [{from: [{source: {requestPrincipals: ['*']}}]}, {from: [{source: {namespaces: [a]}}]}]",
        "action: ALLOW, rules: [{from: [{source: {namespaces: [a]}}], when: [{key: 'request.headers[x]', values: [z]}]}]",
        "action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]",
        "action: DENY, rules: [{to: [{operation: {paths: [/admin], ports: ['80']}}]}]",
        "action: DENY, rules: [{to: [{operation: {paths: [/admin]}}, {operation: {ports: ['80']}}], from: [{source: {namespaces: [a]}}]}]",
        "action: DENY, rules: [{from: [{source: {remoteIpBlocks: [1.2.3.4], namespaces: [a]}}]}]",
        "action: DENY, rules: [{from: [{source: {namespaces: [a]}}], when: [{key: 'request.auth.claims[x]', values: [z]}]}]",
        "action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {ports: ['80'], paths: [/x]}}]}]",
    ];
    let all: Vec<String> = cases
        .iter()
        .map(|spec| {
            format!(
                "{spec}\n  {}\n{}",
                rules(spec),
                folder("shop", "", spec).problems()
            )
        })
        .collect();
    assert_snapshot!(all.join("\n"));
}

/// Most policies are written for a mesh that is called so.
#[test]
fn the_word_for_the_meshs_trust_domain_is_whatever_the_mesh_is_called() {
    let translated = |trust_domain: &str, written: &str| {
        let mut folder = Folder::in_mesh(&Settings {
            trust_domain: trust_domain.into(),
            ..Settings::default()
        });
        let text = format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\n\
             spec: {{action: DENY, rules: [{{from: [{{source: {{principals: [\"{written}\"]}}}}, \
             {{source: {{notPrincipals: [\"{written}\"]}}}}], \
             when: [{{key: source.principal, values: [\"{written}\"], notValues: [\"{written}\"]}}]}}]}}\n"
        );
        folder.write("p.yaml", &text);
        let policy = policy(&folder, "shop", "p").expect("a policy");
        let matches = policy.rules[0].clauses.iter().flat_map(|one| &one.matches);
        let of_agents = matches.flat_map(|one| [&one.principals, &one.not_principals]);
        let requests = policy.requests.as_ref().expect("one of requests");
        let rule = &requests.policy.rules[0];
        let of_conditions = rule.when.iter().map(|condition| match condition {
            Condition::SourcePrincipal(values) => values,
            other => panic!("{other:?}"),
        });
        let of_waypoints = rule.from.iter().map(|source| &source.principals);
        let of_waypoints = of_waypoints.chain(of_conditions);
        let of_waypoints = of_waypoints.flat_map(|values| [&values.any, &values.none]);
        let said: Vec<StringMatch> = of_agents.chain(of_waypoints).flatten().cloned().collect();
        assert_eq!(said.len(), 8, "{said:?}");
        assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
        let warnings = folder.problems().matches("trust domain").count();
        (said[0].clone(), warnings)
    };
    let exact = |text: &str| StringMatch::Exact(text.into());
    let prefix = |text: &str| StringMatch::Prefix(text.into());
    for (mesh, written, wanted, warnings) in [
        (
            "prod",
            "cluster.local/ns/a/sa/b",
            exact("prod/ns/a/sa/b"),
            0,
        ),
        ("prod", "cluster.local/ns/a/*", prefix("prod/ns/a/"), 0),
        (
            "prod",
            "spiffe://cluster.local/ns/a/*",
            prefix("prod/ns/a/"),
            0,
        ),
        ("prod", "prod/ns/a/sa/b", exact("prod/ns/a/sa/b"), 0),
        (
            "prod",
            "*/ns/a/sa/b",
            StringMatch::Suffix("/ns/a/sa/b".into()),
            0,
        ),
        ("prod", "*", StringMatch::Presence, 0),
        (
            "prod",
            "cluster.locals/ns/a/*",
            prefix("cluster.locals/ns/a/"),
            4,
        ),
        ("cluster.local", "old/ns/a/sa/b", exact("old/ns/a/sa/b"), 4),
        (
            "cluster.local",
            "cluster.local/ns/a/*",
            prefix("cluster.local/ns/a/"),
            0,
        ),
    ] {
        assert_eq!(
            translated(mesh, written),
            (wanted, warnings),
            "{mesh} {written}"
        );
    }
}

#[test]
fn paths_that_no_request_has_are_told_with_the_form_that_it_has() {
    for (written, wanted) in [
        ("/caf\u{e9}", Some("`/caf%C3%A9`")),
        ("/%61dmin", Some("`/admin`")),
        ("/%61dmin/*", Some("`/admin/*`")),
        ("*/%61dmin", Some("`*/admin`")),
        ("/a/../b", Some("`/b`")),
        ("/a/./*", Some("`/a/*`")),
        ("*/../b", Some("without `.` and `..`")),
        ("/a/..", Some("`/`")),
        ("/a/.*", None),
        ("/a/.well-known/*", None),
        ("/a//b", None),
        ("/a%2Fb", None),
        ("/a", None),
        ("*.php", None),
        ("*", None),
        ("/a/{*}/b", None),
    ] {
        let spec = format!(
            "action: DENY, targetRefs: [{{kind: Service, name: web}}], \
             rules: [{{to: [{{operation: {{paths: ['{written}']}}}}, {{operation: {{notPaths: ['{written}']}}}}]}}]"
        );
        let text = format!(
            "{BOUND}---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: p, namespace: shop}}\nspec: {{{spec}}}\n"
        );
        let problems = Folder::of(&text).problems();
        let lines = problems
            .lines()
            .filter(|line| line.contains("is never met"));
        let told = wanted.map_or(0, |_| 2);
        assert_eq!(lines.clone().count(), told, "{written}: {problems}");
        let wanted = wanted.unwrap_or_default();
        assert!(
            lines.clone().all(|line| line.contains(wanted)),
            "{written}: {problems}"
        );
    }
}

#[test]
fn what_nothing_enforces_is_reported() {
    let cases = [
        "action: AUDIT, rules: [{}]",
        "targetRefs: [{kind: Service, name: web}], action: DENY, rules: [{}]",
        "targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: w}",
        "action: DENY",
    ];
    let all: Vec<String> = cases
        .iter()
        .map(|spec| {
            let folder = folder("shop", "", spec);
            format!(
                "{:?} {}",
                policy(&folder, "shop", "p").is_some(),
                folder.problems()
            )
        })
        .collect();
    assert_snapshot!(all.join(""));
}

#[test]
fn an_unreadable_policy_refuses_its_scope() {
    let broken = folder("shop", "", "action: DENI");
    assert_debug_snapshot!(policy(&broken, "shop", "p").expect("a policy"));
    let global = folder("istio-system", "", "action: DENI");
    assert_eq!(
        policy(&global, "istio-system", "p")
            .expect("a policy")
            .scope,
        Scope::Global
    );
}
