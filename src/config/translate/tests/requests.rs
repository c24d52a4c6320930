//! What policies say of requests, for waypoints and for the agents behind them.

use super::policy::in_words;
use super::{names, policy, workload};
use crate::config::fixture::Folder;

/// The service `web`, its pod, and a policy with this spec.
fn folder(namespace_labels: &str, service_labels: &str, spec: &str) -> Folder {
    of_namespace("shop", namespace_labels, service_labels, spec)
}

fn of_namespace(
    namespace: &str,
    namespace_labels: &str,
    service_labels: &str,
    spec: &str,
) -> Folder {
    Folder::of(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{{namespace_labels}}}}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop, labels: {{{service_labels}}}}}\n\
         spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n\
         ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop, labels: {{app: web}}}}\n\
         status: {{podIPs: [{{ip: 10.0.0.1}}]}}\n\
         ---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\n\
         spec: {{{spec}}}\n"
    ))
}

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: w, namespace: shop}\n\
     spec: {gatewayClassName: ambit-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}\n";
const BOUND: &str = "ambit.mesh/use-waypoint: w";
const GET: &str = "rules: [{to: [{operation: {methods: [GET]}}]}]";

#[test]
fn what_is_left_of_a_policy_behind_its_waypoint_is_of_the_destination() {
    let none = "nothing";
    let all = "[]";
    for (spec, left) in [
        ("rules: [{to: [{operation: {methods: [GET]}}]}]", all),
        (
            "rules: [{to: [{operation: {methods: [GET], ports: ['80']}}]}]",
            "[(destination_ports: [80])]",
        ),
        (
            "rules: [{to: [{operation: {paths: [/a]}}, {operation: {ports: ['80']}}]}]",
            all,
        ),
        (
            "rules: [{from: [{source: {requestPrincipals: ['*']}}], to: [{operation: {notPorts: ['80']}}]}]",
            "[(not_destination_ports: [80])]",
        ),
        (
            "rules: [{when: [{key: 'request.headers[a]', values: [b]}, {key: destination.port, values: ['81']}]}]",
            "[(destination_ports: [81])]",
        ),
        (
            "rules: [{when: [{key: 'request.headers[a]', values: [b]}, {key: destination.ip, values: [10.0.0.0/8], notValues: [10.0.0.1]}]}]",
            "[(destination_ips: [10.0.0.0/8] not_destination_ips: [10.0.0.1/32])]",
        ),
        (
            "rules: [{when: [{key: 'request.headers[:path]', values: [b]}]}]",
            none,
        ),
        (
            "action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]",
            none,
        ),
        (
            "action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ['80']}}, {operation: {ports: ['81']}}]}]",
            "[(destination_ports: [81])]",
        ),
        (
            "action: DENY, rules: [{from: [{source: {remoteIpBlocks: [10.0.0.1]}}], to: [{operation: {ports: ['81']}}]}]",
            none,
        ),
        (
            "action: DENY, rules: [{when: [{key: 'request.headers[a]', values: [b]}, {key: destination.port, values: ['81']}]}]",
            none,
        ),
        (
            "action: DENY, rules: [{when: [{key: 'request.headers[:path]', values: [b]}]}]",
            all,
        ),
        (
            "action: DENY, rules: [{when: [{key: 'request.headers[a]', values: [b]}]}, {}]",
            all,
        ),
        (
            "action: AUDIT, rules: [{to: [{operation: {methods: [GET]}}]}]",
            none,
        ),
    ] {
        let folder = folder("", "", spec);
        let policy = policy(&folder, "shop", "p").unwrap();
        let behind = policy.behind.as_deref().unwrap();
        let said = match behind {
            [] => none.to_owned(),
            rules => in_words(rules),
        };
        assert_eq!(said, left, "{spec}");
        assert!(policy.requests.is_some(), "{spec}");
    }
    // What is bound speaks of what was asked for: all of it is judged before.
    for (action, left) in [("ALLOW", "[]"), ("DENY", "")] {
        let spec = format!(
            "targetRefs: [{{kind: Service, group: '', name: web}}], action: {action}, \
             rules: [{{to: [{{operation: {{ports: ['80']}}}}]}}]"
        );
        let mut folder = folder("", BOUND, &spec);
        folder.write("gateway.yaml", GATEWAY);
        let policy = policy(&folder, "shop", "p").unwrap();
        assert_eq!(
            in_words(policy.behind.as_deref().unwrap()),
            left,
            "{action}"
        );
    }
    // What is about connections alone says so by itself.
    let folder = folder("", "", "rules: [{from: [{source: {namespaces: [a]}}]}]");
    let policy = policy(&folder, "shop", "p").unwrap();
    assert!(policy.behind.is_none() && policy.requests.is_some());
}

#[test]
fn where_a_waypoint_stands_what_it_judges_is_no_finding() {
    for (namespace, namespace_labels, service_labels, more, is_fine) in [
        ("shop", "", "", "", false),
        ("shop", "", BOUND, "", true),
        ("shop", BOUND, "", "", true),
        (
            "shop",
            "",
            BOUND,
            "selector: {matchLabels: {app: web}}, ",
            true,
        ),
        (
            "shop",
            "",
            BOUND,
            "selector: {matchLabels: {app: db}}, ",
            false,
        ),
        (
            "shop",
            BOUND,
            "",
            "selector: {matchLabels: {app: db}}, ",
            true,
        ),
        ("other", BOUND, BOUND, "", false),
        ("istio-system", "", "", "", true),
    ] {
        let spec = format!("{more}{GET}");
        let mut folder = of_namespace(namespace, namespace_labels, service_labels, &spec);
        let case = format!("{namespace} {namespace_labels} {service_labels} {more}");
        folder.write("gateway.yaml", GATEWAY);
        let problems = folder.problems();
        assert_eq!(problems.is_empty(), is_fine, "{case}: {problems}");
        // It is said as soon as the last one goes.
        folder.write("gateway.yaml", "");
        let problems = folder.problems();
        if namespace == "istio-system" {
            assert!(problems.contains("bind a waypoint"), "{problems}");
        }
    }
    let audit = folder("", "", "action: AUDIT, rules: [{}]");
    assert!(audit.problems().contains("only a waypoint tells"));
    let mut audit = folder("", BOUND, "action: AUDIT, rules: [{}]");
    audit.write("gateway.yaml", GATEWAY);
    assert_eq!(audit.problems(), "");
    let policy = policy(&audit, "shop", "p").unwrap();
    assert!(policy.is_audit() && policy.dry_run && policy.rules.is_empty());
}

#[test]
fn a_binding_that_comes_later_takes_the_finding_away() {
    let mut folder = folder("", "", GET);
    folder.write("gateway.yaml", GATEWAY);
    assert!(folder.problems().contains("bind a waypoint"));
    let bound = "apiVersion: v1\nkind: Service\nmetadata: {name: more, namespace: shop, labels: {ambit.mesh/use-waypoint: w}}\n\
         spec: {selector: {app: web}, ports: [{port: 80}]}\n";
    folder.write("more.yaml", bound);
    assert_eq!(folder.problems(), "");
    folder.delete("more.yaml");
    assert!(folder.problems().contains("bind a waypoint"));
}

#[test]
fn a_class_stands_for_all_its_gateways_in_policies_of_the_root_namespace() {
    let class = "targetRefs: [{kind: GatewayClass, group: gateway.networking.k8s.io, name: ambit-waypoint}], action: DENY, rules: [{}]";
    let targets = |folder: &Folder| -> Vec<String> {
        let policy = policy(folder, "istio-system", "p").unwrap();
        assert_eq!(policy.behind.as_deref(), Some(&[][..]));
        let requests = policy.requests.as_ref().unwrap();
        let targets = requests.targets.iter();
        targets.map(ToString::to_string).collect()
    };
    let mut folder = of_namespace("istio-system", "", BOUND, class);
    assert!(targets(&folder).is_empty());
    folder.write("gateway.yaml", GATEWAY);
    assert_eq!(targets(&folder), ["shop/w.shop.svc.cluster.local"]);
    let web = workload(&folder, "shop", "web");
    assert_eq!(names(&web.policies), ["istio-system/p"]);
    assert!(web.waypoint_only);
    assert_eq!(folder.problems(), "");
    folder.delete("gateway.yaml");
    assert!(targets(&folder).is_empty());

    let folder = of_namespace("shop", "", BOUND, class);
    assert!(folder.problems().contains("of the root namespace"));
    assert!(policy(&folder, "shop", "p").is_none());
}
