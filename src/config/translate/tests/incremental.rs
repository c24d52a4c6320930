//! However the objects came, the model is the one that they make all at once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ambit_model::Mesh;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config::fixture::Folder;

/// One step of a story: a file is written or, without a text, deleted; a pod is captured or not.
#[derive(Clone, Debug)]
enum Step {
    File(&'static str, Option<String>),
    Capture(&'static str, bool),
}

const PODS: &[&str] = &["a.p", "a.q", "b.p"];

fn document() -> impl Strategy<Value = String> {
    let namespace = select(vec!["a", "b", "istio-system"]);
    let name = select(vec!["p", "q"]);
    let label = select(vec!["", "app: x", "app: y", "app: x, tier: z"]);
    prop_oneof![
        3 => pod(),
        2 => service(),
        3 => route(),
        3 => virtual_service(),
        1 => grant(),
        3 => service_entry(),
        1 => workload_entry(),
        2 => destination_rule(),
        1 => slice(),
        1 => (select(vec!["a", "b"]), select(USES.to_vec())).prop_map(|(name, labels)| {
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n")
        }),
        1 => (select(vec!["n", "m"]), select(vec!["", "topology.kubernetes.io/zone: z"]), select(vec!["", "10.0.0.0/31", "10.0.0.2/31"])).prop_map(|(name, labels, range)| {
            format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: {{podCIDRs: ['{range}']}}\n")
        }),
        2 => (namespace.clone(), name.clone(), label.clone(), select(TARGETS.to_vec()), select(vec!["ALLOW", "DENY", "AUDIT", "BROKEN"]))
            .prop_map(|(namespace, name, labels, targets, action)| {
                let selector = format!("selector: {{matchLabels: {{{labels}}}}}");
                let reach = if targets.is_empty() { &selector } else { targets };
                format!(
                    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                     spec: {{{reach}, action: {action}, rules: [{{}}]}}\n"
                )
            }),
        2 => gateway(),
        1 => (select(vec!["ambit.mesh/waypoint-controller", "example.com/other"]), select(SCOPES.to_vec())).prop_map(|(controller, labels)| {
            format!("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: ambit-waypoint, labels: {{{labels}}}}}\nspec: {{controllerName: {controller}}}\n")
        }),
        2 => (namespace, name, label, select(vec!["STRICT", "PERMISSIVE", "UNSET", "BROKEN"]), any::<bool>())
            .prop_map(|(namespace, name, labels, mode, ports)| {
                let ports = if ports && !labels.is_empty() { ", portLevelMtls: {80: {mode: STRICT}, 81: {mode: PERMISSIVE}}" } else { "" };
                format!(
                    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                     spec: {{selector: {{matchLabels: {{{labels}}}}}, mtls: {{mode: {mode}}}{ports}}}\n"
                )
            }),
    ]
}

/// Labels that have to do with waypoints.
const USES: &[&str] = &[
    "",
    "istio.io/use-waypoint: p",
    "istio.io/use-waypoint: none",
    "ambit.mesh/use-waypoint: p, ambit.mesh/use-waypoint-namespace: a",
    "gateway.networking.k8s.io/gateway-name: p",
    "gateway.networking.k8s.io/gateway-name: p, istio.io/use-waypoint: q",
];
const TARGETS: &[&str] = &[
    "",
    "",
    "targetRefs: [{kind: Service, name: p}]",
    "targetRefs: [{kind: Gateway, name: p}]",
    "targetRefs: [{kind: Gateway, name: q}, {kind: Service, name: q}]",
];
const SCOPES: &[&str] = &[
    "",
    "istio.io/waypoint-for: all",
    "ambit.mesh/waypoint-for: workload",
    "istio.io/waypoint-for: none",
];

fn gateway() -> impl Strategy<Value = String> {
    (
        select(vec!["a", "b"]),
        select(vec!["p", "q"]),
        select(vec!["ambit-waypoint", "other"]),
        select(SCOPES.to_vec()),
        select(vec!["HBONE", "HTTP"]),
        select(vec!["Same", "All", "Selector", "None"]),
    )
        .prop_map(|(namespace, name, class, labels, protocol, from)| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n\
                 spec: {{gatewayClassName: {class}, listeners: [{{name: mesh, port: 15008, protocol: {protocol}, allowedRoutes: {{namespaces: {{from: {from}, selector: {{matchLabels: {{istio.io/use-waypoint: p}}}}}}}}}}]}}\n"
            )
        })
}

fn pod() -> impl Strategy<Value = String> {
    (
        select(vec!["a", "b"]),
        select(vec!["p", "q"]),
        select(vec!["app: x", "app: y", "app: x, tier: z"]),
        select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        select(vec!["", "uid: u, ", "creationTimestamp: '2026-01-01T00:00:00Z', "]),
        select(vec!["Running", "Succeeded"]),
        any::<bool>(),
        (select(vec!["n", "m"]), select(USES.to_vec()), select(vec!["p", "q"])),
    )
        .prop_map(|(namespace, name, labels, ip, extra, phase, host, (node, uses, account))| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, {extra}labels: {{{labels}, {uses}}}}}\n\
                 spec: {{nodeName: {node}, serviceAccountName: {account}, hostNetwork: {host}}}\nstatus: {{phase: {phase}, podIP: {ip}}}\n"
            )
        })
}

fn service() -> impl Strategy<Value = String> {
    (
        select(vec!["a", "b"]),
        select(vec!["p", "q"]),
        select(vec!["", "app: x", "tier: z", "app: x, tier: z"]),
        select(vec!["10.96.0.1", "10.96.0.2", "None"]),
        select(vec!["ClusterIP", "ExternalName"]),
        select(USES.to_vec()),
    )
        .prop_map(|(namespace, name, selector, ip, kind, uses)| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{uses}}}}}\n\
                 spec: {{type: {kind}, selector: {{{selector}}}, clusterIP: {ip}, ports: [{{name: http, port: 80}}]}}\n"
            )
        })
}

fn route() -> impl Strategy<Value = String> {
    let namespace = || select(vec!["a", "b"]);
    let name = || select(vec!["p", "q"]);
    (
        select(vec!["HTTPRoute", "GRPCRoute", "TCPRoute"]),
        (namespace(), name()),
        (namespace(), name(), select(vec!["", ", port: 80", ", port: 81"])),
        (namespace(), name(), select(vec!["80", "81", "BROKEN"])),
        select(vec!["", ", filters: [{type: Unknown}]"]),
    )
        .prop_map(|(kind, own, parent, backend, filters)| {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {}, namespace: {}}}\n\
                 spec: {{parentRefs: [{{group: '', kind: Service, namespace: {}, name: {}{}}}], \
                 rules: [{{backendRefs: [{{namespace: {}, name: {}, port: {}}}]{filters}}}]}}\n",
                own.1, own.0, parent.0, parent.1, parent.2, backend.0, backend.1, backend.2,
            )
        })
}

fn virtual_service() -> impl Strategy<Value = String> {
    let namespace = || select(vec!["a", "b", "istio-system"]);
    let name = || select(vec!["p", "q", "r"]);
    let hosts = vec![
        "[p]",
        "[q, p]",
        "[p.a.svc.cluster.local]",
        "['*.a.svc.cluster.local']",
        "['*']",
        "[]",
        "[p.a.svc.elsewhere]",
        "[x.example.com]",
        "['*.example.com', p]",
    ];
    let labels = vec!["{}", "{app: x}", "{tier: z}", "{app: y, tier: z}"];
    let export = vec![
        "",
        ", exportTo: [.]",
        ", exportTo: [b]",
        ", exportTo: ['~']",
    ];
    let to = vec!["p", "q.b.svc.cluster.local", "nobody", "x.example.com"];
    (
        (namespace(), name()),
        (select(hosts), select(export)),
        select(labels),
        (select(to), select(vec!["", ", port: {number: 80}"])),
        (any::<bool>(), select(vec!["a", "b"]), name()),
    )
        .prop_map(|(own, (hosts, export), labels, to, (delegates, namespace, name))| {
            let then = match delegates && hosts != "[]" {
                true => format!("delegate: {{name: {name}, namespace: {namespace}}}"),
                false => format!("route: [{{destination: {{host: {}{}}}}}]", to.0, to.1),
            };
            format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {}, namespace: {}}}\n\
                 spec: {{hosts: {hosts}{export}, http: [{{match: [{{sourceLabels: {labels}}}], {then}}}]}}\n",
                own.1, own.0,
            )
        })
}

fn grant() -> impl Strategy<Value = String> {
    let namespace = || select(vec!["a", "b"]);
    (namespace(), namespace(), select(vec!["", ", name: p"])).prop_map(|(own, from, to)| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {{name: g, namespace: {own}}}\n\
             spec: {{from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}], to: [{{group: '', kind: Service{to}}}]}}\n"
        )
    })
}

fn service_entry() -> impl Strategy<Value = String> {
    let hosts = vec![
        "[x.example.com]",
        "[y.example.com, x.example.com]",
        "['*.example.com']",
        "[p.a.svc.cluster.local, x.example.com]",
    ];
    let ways = vec![
        "resolution: NONE",
        "resolution: NONE, addresses: [10.0.0.1, 192.0.2.0/24]",
        "resolution: STATIC, endpoints: [{address: 10.0.0.1, labels: {app: x, tier: z}}, {address: 192.0.2.1}]",
        "resolution: STATIC, workloadSelector: {labels: {app: x}}",
        "resolution: DNS, endpoints: [{address: e.example.com}, {address: 10.0.0.2}]",
    ];
    (
        (select(vec!["a", "b"]), select(vec!["p", "q", "x.example.com"])),
        (select(hosts), select(ways)),
        select(vec!["", ", exportTo: [.]", ", exportTo: [b]"]),
        (select(USES.to_vec()), select(vec!["", "creationTimestamp: '2026-01-01T00:00:00Z', "])),
    )
        .prop_map(|(own, (hosts, way), export, (uses, since))| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {}, namespace: {}, {since}labels: {{{uses}}}}}\n\
                 spec: {{hosts: {hosts}, ports: [{{number: 80, name: http, protocol: HTTP}}], {way}{export}}}\n",
                own.1, own.0,
            )
        })
}

fn workload_entry() -> impl Strategy<Value = String> {
    (
        select(vec!["a", "b"]),
        select(vec!["p", "q"]),
        select(vec!["app: x", "app: y", "app: x, tier: z"]),
        select(vec!["10.0.0.1", "192.0.2.1", "vm.example.com"]),
    )
        .prop_map(|(namespace, name, labels, address)| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{address: {address}, labels: {{{labels}}}}}\n"
            )
        })
}

fn destination_rule() -> impl Strategy<Value = String> {
    (
        select(vec!["a", "b", "istio-system"]),
        select(vec!["p", "q"]),
        select(vec!["p", "x.example.com", "'*.example.com'", "p.a.svc.cluster.local"]),
        select(vec!["app", "tier"]),
    )
        .prop_map(|(namespace, name, host, label)| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{host: {host}, subsets: [{{name: s, labels: {{{label}: x}}}}]}}\n"
            )
        })
}

fn slice() -> impl Strategy<Value = String> {
    (
        select(vec!["a", "b"]),
        select(vec!["p", "q"]),
        select(vec!["p", "q"]),
        select(vec!["10.0.0.1", "10.0.0.2", "192.0.2.1"]),
        select(vec!["", ", targetRef: {kind: Pod, name: p}"]),
        any::<bool>(),
    )
        .prop_map(|(namespace, name, service, ip, target, ready)| {
            format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{name: {name}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {service}}}}}\n\
                 endpoints: [{{addresses: [{ip}], conditions: {{ready: {ready}}}{target}}}]\nports: [{{name: http, port: 8080}}]\n"
            )
        })
}

fn step() -> impl Strategy<Value = Step> {
    let file = select(vec!["1", "2", "3", "4", "5", "6", "7", "8"]);
    let text = prop_oneof![4 => document().prop_map(Some), 1 => Just(None)];
    prop_oneof![
        6 => (file, text).prop_map(|(file, text)| Step::File(file, text)),
        1 => (select(PODS.to_vec()), any::<bool>()).prop_map(|(pod, on)| Step::Capture(pod, on)),
    ]
}

/// The model in an order of its own.
fn contents(mesh: &Mesh) -> BTreeMap<String, String> {
    let workloads = mesh
        .workloads()
        .map(|w| (format!("workload {}", w.uid), format!("{w:#?}")));
    let services = mesh
        .services()
        .map(|s| (format!("service {}", s.name), format!("{s:#?}")));
    let policies = mesh
        .policies()
        .map(|p| (format!("policy {}", p.name), format!("{p:#?}")));
    let routes = mesh
        .all_routes()
        .map(|r| (format!("routes {}", r.service), format!("{r:#?}")));
    workloads
        .chain(services)
        .chain(policies)
        .chain(routes)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn change_by_change_is_the_same_as_all_at_once(steps in proptest::collection::vec(step(), 1..40)) {
        let mut folder = Folder::new();
        let mut replica = Mesh::default();
        let mut captured = HashSet::new();
        for step in steps {
            let changes = match step {
                Step::File(file, Some(text)) => folder.write(file, &text),
                Step::File(file, None) => folder.delete(file),
                Step::Capture(pod, on) => {
                    if on { captured.insert(pod); } else { captured.remove(pod); }
                    folder.set_captured(pod, on)
                }
            };
            for change in changes {
                replica.apply(change);
            }
        }
        let mut fresh = Folder::new();
        for pod in captured {
            fresh.configuration.set_captured(pod, true);
        }
        fresh.configuration.apply(folder.everything());
        let wanted = contents(fresh.configuration.mesh());
        prop_assert_eq!(contents(folder.configuration.mesh()), wanted.clone());
        prop_assert_eq!(contents(&replica), wanted);
        let said = |folder: &Folder| {
            let of_virtual = folder.configuration.virtual_findings();
            format!("{:#?} {of_virtual:#?}", folder.configuration.route_findings())
        };
        prop_assert_eq!(said(&folder), said(&fresh));
    }
}

#[test]
fn nothing_is_passed_on_that_did_not_change() {
    let pod =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a}\nstatus: {podIP: 10.0.0.1}\n";
    let mut folder = Folder::of(pod);
    assert!(
        folder
            .write("all.yaml", &format!("# a comment\n---\n{pod}"))
            .is_empty()
    );
    let same = folder.write(
        "all.yaml",
        &pod.replace("{podIP", "{hostIP: 1.2.3.4, podIP"),
    );
    assert!(same.is_empty(), "{same:?}");
    let before: Vec<_> = folder
        .configuration
        .mesh()
        .workloads()
        .map(Arc::clone)
        .collect();
    folder.write(
        "node.yaml",
        "apiVersion: v1\nkind: Node\nmetadata: {name: other}\n",
    );
    let after: Vec<_> = folder
        .configuration
        .mesh()
        .workloads()
        .map(Arc::clone)
        .collect();
    assert!(Arc::ptr_eq(&before[0], &after[0]));
}
