//! NetworkPolicies that keep the mesh's port closed are told.

use crate::config::fixture::Folder;

const ENROLLED: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {ambit.mesh/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: out, namespace: elsewhere, labels: {app: web}}
spec: {nodeName: n1}
status: {phase: Running, podIP: 10.0.0.2}
";

fn policy(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// Which policies are told of, with the field.
fn told(policies: &[String]) -> Vec<String> {
    let folder = Folder::of(&format!("{ENROLLED}{}", policies.concat()));
    let problems = folder.configuration.problems();
    let told = problems.iter().map(|p| format!("{} {}", p.object, p.field));
    told.collect()
}

#[test]
fn a_policy_that_opens_ports_but_not_the_tunnels_is_told() {
    let web = "{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 8080}]}]}";
    let narrow = policy("narrow", "shop", web);
    assert_eq!(
        told(std::slice::from_ref(&narrow)),
        ["NetworkPolicy shop/narrow spec.ingress"]
    );
    let both = "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 80}]}], \
                egress: [{ports: [{port: 80}]}]}";
    let both = policy("both", "shop", both);
    assert_eq!(
        told(&[both]),
        [
            "NetworkPolicy shop/both spec.egress",
            "NetworkPolicy shop/both spec.ingress"
        ]
    );
    let opening = "{podSelector: {}, ingress: [{ports: [{port: 15008}]}]}";
    assert_eq!(told(&[narrow, policy("opening", "shop", opening)]), [""; 0]);
}

#[test]
fn what_closes_everything_or_concerns_nobody_enrolled_is_not() {
    let of_nobody = "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 8080}]}]}";
    let narrow = "{podSelector: {}, ingress: [{ports: [{port: 8080}]}]}";
    for policy in [
        policy("all", "shop", "{podSelector: {}}"),
        policy("open", "shop", "{podSelector: {}, ingress: [{}]}"),
        policy(
            "dns",
            "shop",
            "{podSelector: {}, ingress: [{ports: [{port: 53, protocol: UDP}]}]}",
        ),
        policy("of-nobody", "shop", of_nobody),
        policy("not-enrolled", "elsewhere", narrow),
    ] {
        assert_eq!(told(std::slice::from_ref(&policy)), [""; 0], "{policy}");
    }
}
