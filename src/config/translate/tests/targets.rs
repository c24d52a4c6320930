//! What a policy applies to that is bound to a waypoint or a service.

use super::{names, workload};
use crate::config::fixture::Folder;

/// A waypoint `w`, the services `web`, which is bound to it, and `db`, which is not, and their pods.
fn folder(labels: &str, targets: &str) -> Folder {
    Folder::of(&(gateway("shop", "HBONE") + &rest(labels, targets)))
}

fn gateway(namespace: &str, protocol: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: w, namespace: {namespace}}}\n\
         spec: {{gatewayClassName: ambit-waypoint, listeners: [{{name: mesh, port: 15008, protocol: {protocol}}}]}}\n"
    )
}

fn rest(labels: &str, targets: &str) -> String {
    let mut text = String::new();
    for (name, ip, labels) in [("web", "10.0.0.1", labels), ("db", "10.0.0.2", "")] {
        text += &format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n\
             ---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n\
             status: {{podIPs: [{{ip: {ip}}}]}}\n"
        );
    }
    text += &format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\n\
         spec: {{targetRefs: [{targets}], action: DENY, rules: [{{}}]}}\n"
    );
    text
}

const BOUND: &str = "ambit.mesh/use-waypoint: w";
const GATEWAY: &str = "{kind: Gateway, group: gateway.networking.k8s.io, name: w}";

#[test]
fn what_a_target_leads_to_is_kept_to_its_waypoint_and_has_the_policy() {
    for targets in [
        "{kind: Service, name: web}",
        "{kind: Service, name: web, namespace: shop}",
        "{kind: Service, name: web, namespace: ''}",
        GATEWAY,
    ] {
        let folder = folder(BOUND, targets);
        let web = workload(&folder, "shop", "web");
        assert_eq!(names(&web.policies), ["shop/p"], "{targets}");
        assert_eq!(
            names(web.applicable_policies.as_deref().unwrap()),
            ["shop/p"]
        );
        assert!(web.waypoint_only && web.waypoint.is_some(), "{web:?}");
        let mesh = folder.configuration.mesh();
        assert!(mesh.policy(&web.policies[0]).is_some());
        let db = workload(&folder, "shop", "db");
        assert!(db.policies.is_empty() && !db.waypoint_only && db.waypoint.is_none());
        assert_eq!(folder.problems(), "");
    }
}

#[test]
fn where_no_waypoint_stands_the_policy_applies_to_nothing_and_that_is_said() {
    for (labels, targets) in [
        ("", "{kind: Service, name: web}"),
        (BOUND, "{kind: Service, name: db}"),
        (BOUND, "{kind: Service, name: web, namespace: other}"),
        (BOUND, "{kind: Gateway, name: x}"),
        (BOUND, "{kind: GatewayClass, name: ambit-waypoint}"),
    ] {
        let folder = folder(labels, targets);
        let web = workload(&folder, "shop", "web");
        assert!(web.policies.is_empty() && !web.waypoint_only, "{targets}");
        assert!(
            folder.problems().contains("spec.targetRefs[0]"),
            "{targets}"
        );
    }
}

#[test]
fn a_waypoint_that_goes_or_admits_no_longer_leaves_its_policies_and_nobody_is_served() {
    let far = "ambit.mesh/use-waypoint: w, ambit.mesh/use-waypoint-namespace: other";
    let service = "{kind: Service, name: web}";
    for (gateway, labels, targets, why) in [
        ("", BOUND, service, "there is no such Gateway"),
        ("", BOUND, GATEWAY, "there is no such Gateway"),
        (&*gateway("shop", "HTTP"), BOUND, service, "no listener"),
        (&*gateway("shop", "HTTP"), BOUND, GATEWAY, "no listener"),
        (&*gateway("other", "HBONE"), far, service, "does not admit"),
    ] {
        let folder = Folder::of(&(gateway.to_owned() + &rest(labels, targets)));
        let web = workload(&folder, "shop", "web");
        let case = format!("{gateway} {targets}");
        assert_eq!(names(&web.policies), ["shop/p"], "{case}");
        assert!(web.waypoint_only && web.waypoint.is_some(), "{case}");
        let mesh = folder.configuration.mesh();
        assert!(mesh.policy(&web.policies[0]).is_some(), "{case}");
        // No waypoint that is there is taken for the pod's own.
        let bound = |namespace: &str| {
            let hostname = format!("w.{namespace}.svc.cluster.local");
            let name = ambit_model::ServiceName::new(namespace, hostname);
            mesh.bound_workloads(&name).count()
        };
        assert_eq!(bound("other"), 0, "{case}");
        let db = workload(&folder, "shop", "db");
        assert!(db.policies.is_empty() && !db.waypoint_only, "{case}");
        let problems = folder.problems();
        assert!(
            problems.contains("spec.targetRefs[0]") && problems.contains(why),
            "{problems}"
        );
    }
}
