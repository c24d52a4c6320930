//! Annotations for sidecars are told, once for each workload.

use crate::config::fixture::Folder;

fn namespace(name: &str, mode: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Namespace\n\
         metadata: {{name: {name}, labels: {{ambit.mesh/dataplane-mode: {mode}}}}}\n"
    )
}

/// A pod of a Deployment, with these annotations and the rest of its `spec`.
fn pod(namespace: &str, deployment: &str, number: u8, annotations: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\n\
         metadata:\n  name: {deployment}-5d4f-{number}\n  namespace: {namespace}\n  \
         labels: {{pod-template-hash: 5d4f}}\n  annotations: {{{annotations}}}\n  \
         ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: {deployment}-5d4f, controller: true}}]\n\
         spec: {{nodeName: n1{spec}}}\nstatus: {{phase: Running, podIP: 10.0.0.{number}}}\n"
    )
}

fn service(namespace: &str, name: &str, export_to: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}, \
         annotations: {{networking.istio.io/exportTo: '{export_to}'}}}}\nspec: {{ports: [{{port: 80}}]}}\n"
    )
}

/// What is told of, as `OBJECT FIELD`.
fn told(objects: &[String]) -> Vec<String> {
    let folder = Folder::of(&objects.concat());
    let problems = folder.problems();
    assert!(!problems.contains("Error"), "{problems}");
    let problems = folder.configuration.problems();
    let told = problems.iter().map(|p| format!("{} {}", p.object, p.field));
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

#[test]
fn every_annotation_for_a_sidecar_is_told_with_what_to_do() {
    for (name, what, advice) in [
        (
            "traffic.sidecar.istio.io/excludeInboundPorts",
            "all ports",
            "portLevelMtls",
        ),
        (
            "traffic.sidecar.istio.io/includeInboundPorts",
            "all ports",
            "portLevelMtls",
        ),
        (
            "traffic.sidecar.istio.io/excludeOutboundPorts",
            "whatever their port",
            "ServiceEntry",
        ),
        (
            "traffic.sidecar.istio.io/includeOutboundPorts",
            "whatever their port",
            "ServiceEntry",
        ),
        (
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
            "and address",
            "ServiceEntry",
        ),
        (
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            "and address",
            "ServiceEntry",
        ),
        (
            "traffic.sidecar.istio.io/excludeInterfaces",
            "interfaces",
            "opt the pod out",
        ),
        (
            "traffic.sidecar.istio.io/kubevirtInterfaces",
            "interfaces",
            "opt the pod out",
        ),
        ("proxy.istio.io/config", "for a sidecar", "Telemetry"),
    ] {
        let pod = pod("shop", "web", 1, &format!("{name}: 'x'"), "");
        let problems = Folder::of(&[namespace("shop", "ambient"), pod].concat()).problems();
        assert_eq!(problems.lines().count(), 1, "{problems}");
        for word in [
            "Warning",
            &format!("metadata.annotations[{name}]"),
            what,
            advice,
        ] {
            assert!(problems.contains(word), "{word} in {problems}");
        }
    }
    let others = "sidecar.istio.io/inject: 'false', prometheus.io/port: '80'";
    let pod = pod("shop", "web", 1, others, "");
    assert_eq!(told(&[namespace("shop", "ambient"), pod]), [""; 0]);
}

#[test]
fn a_workload_is_told_once_and_only_where_it_is_captured() {
    let port = "traffic.sidecar.istio.io/excludeInboundPorts: '80'";
    let both = format!("{port}, proxy.istio.io/config: '{{}}'");
    let injected = format!("{port}, sidecar.istio.io/status: '{{}}'");
    assert_eq!(
        told(&[
            namespace("shop", "ambient"),
            namespace("other", "none"),
            pod("shop", "web", 1, &both, ""),
            pod("shop", "web", 2, &both, ""),
            pod("shop", "api", 3, port, ""),
            pod("shop", "host", 4, port, ", hostNetwork: true"),
            pod("shop", "old", 5, &injected, ""),
            pod("other", "web", 6, port, ""),
        ]),
        [
            "Pod shop/api-5d4f-3 metadata.annotations[traffic.sidecar.istio.io/excludeInboundPorts]",
            "Pod shop/web-5d4f-1 metadata.annotations[proxy.istio.io/config]",
            "Pod shop/web-5d4f-1 metadata.annotations[traffic.sidecar.istio.io/excludeInboundPorts]",
        ]
    );
}

#[test]
fn however_many_workloads_there_are_no_more_than_so_many_are_told() {
    let config = "proxy.istio.io/config: '{}'";
    let many = (1..=200).map(|n| pod("shop", &format!("w{n}"), n, config, ""));
    let all: Vec<String> = std::iter::once(namespace("shop", "ambient"))
        .chain(many)
        .collect();
    assert_eq!(told(&all).len(), 128);
}

#[test]
fn a_service_that_is_exported_to_some_is_told_in_enrolled_namespaces() {
    let field = "metadata.annotations[networking.istio.io/exportTo]";
    assert_eq!(
        told(&[
            namespace("shop", "ambient"),
            namespace("other", "none"),
            service("shop", "own", "."),
            service("shop", "some", "shop, other"),
            service("shop", "all", "., *"),
            service("shop", "nobody", "~"),
            service("shop", "empty", ""),
            service("other", "own", "."),
        ]),
        ["nobody", "own", "some"].map(|name| format!("Service shop/{name} {field}"))
    );
}
