//! `PeerAuthentication` as DENY policies.

use insta::{assert_debug_snapshot, assert_snapshot};

use super::{names, policy, workload};
use crate::config::fixture::Folder;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\n\
                   status: {podIP: 10.0.0.1}\n";

fn object(namespace: &str, metadata: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {{namespace: {namespace}, {metadata}}}\nspec: {{{spec}}}\n"
    )
}

/// Policies that the pod lists, with the rules of those that are not static.
fn listed(objects: &[String]) -> String {
    let folder = Folder::of(&format!("{POD}{}", objects.concat()));
    let listed = &workload(&folder, "shop", "web").policies;
    let with_rules = listed.iter().map(|name| {
        let policy = policy(&folder, &name.namespace, &name.name).expect("known");
        let ports = |list: &[u16]| {
            list.iter()
                .map(u16::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let matches = policy
            .rules
            .iter()
            .flat_map(|rule| &rule.clauses)
            .flat_map(|c| &c.matches);
        let text =
            matches.map(
                |one| match (&one.destination_ports[..], &one.not_destination_ports[..]) {
                    ([], []) => "plaintext".to_owned(),
                    (on, []) => format!("on {}", ports(on)),
                    (_, except) => format!("except {}", ports(except)),
                },
            );
        format!("{name}: {}", text.collect::<Vec<_>>().join(" "))
    });
    with_rules.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_narrowest_scope_that_sets_a_mode_counts() {
    let mesh = |mode: &str| {
        object(
            "istio-system",
            "name: mesh",
            &format!("mtls: {{mode: {mode}}}"),
        )
    };
    let namespace = |mode: &str| object("shop", "name: ns", &format!("mtls: {{mode: {mode}}}"));
    let web = |mode: &str| {
        object(
            "shop",
            "name: web",
            &format!("selector: {{matchLabels: {{app: web}}}}, mtls: {{mode: {mode}}}"),
        )
    };
    let strict = "ambit-system/istio_converted_static_strict: plaintext";
    let cases: &[(&[String], &str)] = &[
        (&[], ""),
        (&[mesh("PERMISSIVE")], ""),
        (&[mesh("STRICT")], strict),
        (
            &[object("ambit-system", "name: mesh", "mtls: {mode: STRICT}")],
            strict,
        ),
        (&[mesh("STRICT"), namespace("UNSET")], strict),
        (&[mesh("STRICT"), namespace("PERMISSIVE")], ""),
        (&[mesh("STRICT"), namespace("DISABLE")], ""),
        (&[mesh("PERMISSIVE"), namespace("STRICT")], strict),
        (&[namespace("STRICT"), web("PERMISSIVE")], ""),
        (&[namespace("STRICT"), web("UNSET")], strict),
        (&[namespace("PERMISSIVE"), web("STRICT")], strict),
        (&[object("other", "name: ns", "mtls: {mode: STRICT}")], ""),
        (
            &[object(
                "istio-system",
                "name: s",
                "selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}",
            )],
            "",
        ),
        (
            &[object(
                "shop",
                "name: s",
                "selector: {matchLabels: {app: db}}, mtls: {mode: STRICT}",
            )],
            "",
        ),
    ];
    for (objects, policies) in cases {
        assert_eq!(listed(objects), *policies, "{objects:?}");
    }
}

#[test]
fn of_one_scope_the_oldest_counts() {
    let at = |name: &str, time: &str, mode: &str| {
        let metadata = match time {
            "" => format!("name: {name}"),
            time => format!("name: {name}, creationTimestamp: '{time}'"),
        };
        object("shop", &metadata, &format!("mtls: {{mode: {mode}}}"))
    };
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    let is_strict = |objects: &[String]| !listed(objects).is_empty();
    assert!(is_strict(&[
        at("a", late, "PERMISSIVE"),
        at("b", early, "STRICT")
    ]));
    assert!(!is_strict(&[
        at("a", early, "PERMISSIVE"),
        at("b", late, "STRICT")
    ]));
    assert!(is_strict(&[
        at("a", "", "STRICT"),
        at("b", "", "PERMISSIVE")
    ]));
    assert!(is_strict(&[
        at("a", "", "PERMISSIVE"),
        at("b", late, "STRICT")
    ]));
}

#[test]
fn ports_that_differ_make_a_policy_of_their_own() {
    let web = |mode: &str, ports: &str| {
        object(
            "shop",
            "name: web",
            &format!(
                "selector: {{matchLabels: {{app: web}}}}, mtls: {{mode: {mode}}}, portLevelMtls: {{{ports}}}"
            ),
        )
    };
    let namespace = object("shop", "name: ns", "mtls: {mode: STRICT}");
    let cases = [
        listed(&[web(
            "STRICT",
            "8080: {mode: PERMISSIVE}, 9090: {mode: DISABLE}",
        )]),
        listed(&[web("STRICT", "8080: {mode: STRICT}")]),
        listed(&[web("STRICT", "8080: {mode: UNSET}")]),
        listed(&[web(
            "PERMISSIVE",
            "8080: {mode: STRICT}, 9090: {mode: PERMISSIVE}",
        )]),
        listed(&[web("PERMISSIVE", "8080: {mode: PERMISSIVE}")]),
        listed(&[web("UNSET", "8080: {mode: STRICT}")]),
        listed(&[namespace.clone(), web("UNSET", "8080: {mode: PERMISSIVE}")]),
        listed(&[namespace, web("UNSET", "8080: {mode: STRICT}")]),
    ];
    assert_snapshot!(cases.join("\n"));
}

#[test]
fn a_parent_that_changes_changes_the_ports_policy() {
    let web = object(
        "shop",
        "name: web",
        "selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: PERMISSIVE}}",
    );
    let mut folder = Folder::of(&format!("{POD}{web}"));
    let listed = |folder: &Folder| names(&workload(folder, "shop", "web").policies);
    assert!(listed(&folder).is_empty());
    folder.write(
        "mesh.yaml",
        &object("istio-system", "name: mesh", "mtls: {mode: STRICT}"),
    );
    assert_eq!(listed(&folder), ["shop/converted_peer_authentication_web"]);
    assert!(policy(&folder, "shop", "converted_peer_authentication_web").is_some());
    folder.delete("mesh.yaml");
    assert!(listed(&folder).is_empty());
    assert!(policy(&folder, "shop", "converted_peer_authentication_web").is_none());
}

#[test]
fn the_static_policy_refuses_peers_without_identity() {
    let mut folder = Folder::of(&object("shop", "name: ns", "mtls: {mode: STRICT}"));
    let name = "istio_converted_static_strict";
    assert_debug_snapshot!(policy(&folder, "ambit-system", name).expect("known"));
    folder.delete("all.yaml");
    assert!(policy(&folder, "ambit-system", name).is_none());
}

#[test]
fn disable_is_reported() {
    let folder = Folder::of(&object(
        "shop",
        "name: web",
        "selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}, portLevelMtls: {8080: {mode: DISABLE}}",
    ));
    assert_snapshot!(folder.problems());
}

#[test]
fn an_unreadable_one_refuses_its_namespace() {
    let folder = Folder::of(&format!(
        "{POD}{}",
        object("shop", "name: web", "mtls: {mode: STRIKT}")
    ));
    let name = "converted_peer_authentication_web";
    assert_debug_snapshot!(policy(&folder, "shop", name).expect("known"));
    let applicable = workload(&folder, "shop", "web")
        .applicable_policies
        .clone()
        .expect("listed");
    assert_eq!(names(&applicable), [format!("shop/{name}")]);
}
