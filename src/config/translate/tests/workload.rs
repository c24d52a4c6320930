//! Pods and endpoints as workloads.

use ambit_model::{Health, TunnelProtocol, WorkloadType};
use insta::assert_debug_snapshot;

use super::{names, workload};
use crate::config::fixture::Folder;

fn pod(fields: &str) -> Folder {
    Folder::of(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web-1, namespace: shop}}\n\
         status: {{podIPs: [{{ip: 10.0.0.1}}]}}\n{fields}"
    ))
}

fn pod_with_metadata(metadata: &str) -> Folder {
    Folder::of(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web-1, namespace: shop, {metadata}}}\n\
         status: {{podIPs: [{{ip: 10.0.0.1}}]}}\n"
    ))
}

#[test]
fn a_pod_becomes_a_workload() {
    let mut folder = Folder::of(
        "\
apiVersion: v1
kind: Node
metadata:
  name: n1
  labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-1, topology.istio.io/subzone: rack-7}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-6c5f7d8b9-x2x4z
  namespace: shop
  uid: 5e2f6a3c-7e0b-4a55-9d5a-0c5a5d7a0c11
  labels: {app: web, version: v2, pod-template-hash: 6c5f7d8b9}
  ownerReferences: [{kind: ReplicaSet, name: web-6c5f7d8b9, controller: true}]
spec:
  nodeName: n1
  serviceAccountName: storefront
  containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]
status:
  phase: Running
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]
  conditions: [{type: Ready, status: 'True'}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}, {port: 443}, {port: 53, protocol: UDP}, {port: 90, targetPort: nowhere}]
",
    );
    folder.set_captured("5e2f6a3c-7e0b-4a55-9d5a-0c5a5d7a0c11", true);
    assert_debug_snapshot!(workload(&folder, "shop", "web-6c5f7d8b9-x2x4z"));
}

#[test]
fn hbone_is_advertised_while_the_pod_is_captured_only() {
    let mut folder = pod("");
    let protocol = |folder: &Folder| workload(folder, "shop", "web-1").protocol;
    assert_eq!(protocol(&folder), TunnelProtocol::None);
    assert_eq!(folder.set_captured("shop.web-1", true).len(), 1);
    assert_eq!(protocol(&folder), TunnelProtocol::Hbone);
    assert!(folder.set_captured("shop.web-1", true).is_empty());
    assert_eq!(folder.set_captured("shop.web-1", false).len(), 1);
    assert_eq!(protocol(&folder), TunnelProtocol::None);
    assert!(folder.set_captured("another", true).is_empty());
}

#[test]
fn capture_is_remembered_for_a_pod_that_is_not_known_yet() {
    let mut folder = Folder::new();
    folder.set_captured("shop.web-1", true);
    folder.write("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop}\nstatus: {podIP: 10.0.0.1}\n");
    assert_eq!(
        workload(&folder, "shop", "web-1").protocol,
        TunnelProtocol::Hbone
    );
}

#[test]
fn pods_that_take_no_traffic_are_left_out() {
    for left_out in [
        "status: {phase: Pending}",
        "status: {phase: Succeeded, podIP: 10.0.0.1}",
        "status: {phase: Failed, podIP: 10.0.0.1}",
    ] {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\n{left_out}\n");
        assert_eq!(
            Folder::of(&text).configuration.mesh().workload_count(),
            0,
            "{left_out}"
        );
    }
}

#[test]
fn a_pod_without_an_address_may_have_its_certificate_fetched() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, uid: u1}\n\
                spec: {nodeName: n1, serviceAccountName: w}\nstatus: {phase: Pending}\n";
    let folder = Folder::of(text);
    let pods: Vec<_> = folder.configuration.pods_on_node("n1").collect();
    assert_debug_snapshot!(pods);
    assert_eq!(
        folder.configuration.node_of_pod("u1").as_deref(),
        Some("n1")
    );
    assert_eq!(folder.configuration.pods_on_node("n2").count(), 0);
}

#[test]
fn readiness_is_what_the_pod_says() {
    let cases = [
        ("", Health::Healthy),
        (
            "conditions: [{type: Ready, status: 'True'}]",
            Health::Healthy,
        ),
        (
            "conditions: [{type: Ready, status: 'False'}]",
            Health::Unhealthy,
        ),
        (
            "conditions: [{type: Ready, status: Unknown}]",
            Health::Unhealthy,
        ),
        (
            "conditions: [{type: Initialized, status: 'False'}]",
            Health::Healthy,
        ),
    ];
    for (conditions, health) in cases {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop}}\nstatus: {{podIP: 10.0.0.1, {conditions}}}\n"
        );
        assert_eq!(
            workload(&Folder::of(&text), "shop", "web").health,
            health,
            "{conditions}"
        );
    }
    let ending = pod_with_metadata("deletionTimestamp: '2026-01-01T00:00:00Z'");
    assert_eq!(workload(&ending, "shop", "web-1").health, Health::Unhealthy);
}

#[test]
fn the_maker_of_a_pod_names_its_workload() {
    let owned = |kind: &str, name: &str, hash: &str| {
        let labels = if hash.is_empty() {
            String::new()
        } else {
            format!("pod-template-hash: {hash}")
        };
        let owners = format!("ownerReferences: [{{kind: {kind}, name: {name}}}]");
        let folder = pod_with_metadata(&format!("labels: {{{labels}}}, {owners}"));
        let workload = workload(&folder, "shop", "web-1");
        (workload.workload_name.to_string(), workload.workload_type)
    };
    let cases = [
        (
            ("ReplicaSet", "web-6c5f7d8b9", "6c5f7d8b9"),
            ("web", WorkloadType::Deployment),
        ),
        (
            ("ReplicaSet", "web-6c5f7d8b9", ""),
            ("web", WorkloadType::Deployment),
        ),
        (
            ("ReplicaSet", "web-frontend", ""),
            ("web-frontend", WorkloadType::Deployment),
        ),
        (
            ("ReplicaSet", "web-6c5f7d8b9", "zzz"),
            ("web-6c5f7d8b9", WorkloadType::Deployment),
        ),
        (("StatefulSet", "db", ""), ("db", WorkloadType::Deployment)),
        (("Job", "once", ""), ("once", WorkloadType::Job)),
        (
            ("Job", "nightly-28512345", ""),
            ("nightly", WorkloadType::CronJob),
        ),
    ];
    for ((kind, name, hash), (workload, kind_of)) in cases {
        assert_eq!(
            owned(kind, name, hash),
            (workload.to_owned(), kind_of),
            "{kind} {name}"
        );
    }
    let bare = pod("");
    assert_eq!(&*workload(&bare, "shop", "web-1").workload_name, "web-1");
    assert_eq!(
        workload(&bare, "shop", "web-1").workload_type,
        WorkloadType::Pod
    );
}

#[test]
fn labels_name_the_application() {
    let cases = [
        ("", "web-1", "latest"),
        ("app: a, version: v1", "a", "v1"),
        (
            "app: a, app.kubernetes.io/name: b, app.kubernetes.io/version: v2, version: v1",
            "b",
            "v2",
        ),
        (
            "app: a, service.istio.io/canonical-name: c, service.istio.io/canonical-revision: v3",
            "c",
            "v3",
        ),
    ];
    for (labels, name, revision) in cases {
        let folder = pod_with_metadata(&format!("labels: {{{labels}}}"));
        let workload = workload(&folder, "shop", "web-1");
        assert_eq!(&*workload.canonical_name, name, "{labels}");
        assert_eq!(&*workload.canonical_revision, revision, "{labels}");
    }
}

#[test]
fn labels_of_pod_and_namespace_enrol() {
    let enrolled = |namespace: &str, labels: &str, spec: &str| {
        let folder = Folder::of(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{{namespace}}}}}\n---\n\
             apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop, labels: {{{labels}}}}}\nspec: {{nodeName: n1, {spec}}}\n"
        ));
        let pods: Vec<_> = folder.configuration.pods_on_node("n1").collect();
        pods[0].enrolled
    };
    let (ours, theirs) = ("ambit.mesh/dataplane-mode", "istio.io/dataplane-mode");
    assert!(!enrolled("", "", ""));
    assert!(enrolled(&format!("{ours}: ambient"), "", ""));
    assert!(enrolled(&format!("{theirs}: ambient"), "", ""));
    assert!(enrolled("", &format!("{theirs}: ambient"), ""));
    assert!(!enrolled(
        &format!("{ours}: ambient"),
        &format!("{theirs}: none"),
        ""
    ));
    assert!(!enrolled(
        &format!("{theirs}: ambient, {ours}: none"),
        "",
        ""
    ));
    assert!(enrolled(
        &format!("{ours}: none"),
        &format!("{ours}: ambient"),
        ""
    ));
    for spec in [
        "hostNetwork: true",
        "containers: [{name: app}, {name: istio-proxy}]",
        "initContainers: [{name: linkerd-proxy, restartPolicy: Always}]",
    ] {
        assert!(!enrolled(&format!("{ours}: ambient"), "", spec), "{spec}");
    }
}

#[test]
fn no_label_enrols_in_an_excluded_namespace() {
    let folder = Folder::of(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, labels: {ambit.mesh/dataplane-mode: ambient}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: kube-system, labels: {istio.io/dataplane-mode: ambient}}\nspec: {nodeName: n1}\n",
    );
    assert!(folder.configuration.pods().all(|pod| !pod.enrolled));
    assert!(folder.configuration.enrolled_namespaces().is_empty());
}

#[test]
fn a_pod_on_the_network_of_its_node_is_never_tunnelled_to() {
    let mut folder = pod("spec: {hostNetwork: true}");
    folder.set_captured("shop.web-1", true);
    let workload = workload(&folder, "shop", "web-1");
    assert!(workload.host_network);
    assert_eq!(workload.protocol, TunnelProtocol::None);
}

#[test]
fn slices_say_who_serves_if_there_are_any() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: selected, namespace: shop, labels: {app: web}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: listed, namespace: shop}
status: {podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: by-address, namespace: shop}
status: {podIP: 10.0.0.3}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: admin, port: 81}]}
";
    let slice = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- {addresses: [10.0.0.2], targetRef: {kind: Pod, name: listed}, conditions: {ready: false}}
- {addresses: [10.0.0.3]}
- {addresses: [192.0.2.1]}
- {addresses: [10.0.0.9], targetRef: {kind: Pod, name: gone}}
ports: [{name: http, port: 8080}]
";
    let mut folder = Folder::of(text);
    let ports = |folder: &Folder, namespace: &str, name: &str| {
        let services = &workload(folder, namespace, name).services;
        services
            .values()
            .flatten()
            .map(|m| (m.service_port, m.target_port))
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(&folder, "shop", "selected"), [(80, 80), (81, 81)]);
    assert_eq!(ports(&folder, "shop", "listed"), []);
    folder.write("slice.yaml", slice);
    assert_eq!(ports(&folder, "shop", "selected"), []);
    assert_eq!(ports(&folder, "shop", "listed"), [(80, 8080)]);
    assert_eq!(ports(&folder, "shop", "by-address"), [(80, 8080)]);
    assert_eq!(
        workload(&folder, "shop", "listed").health,
        Health::Unhealthy
    );
    let outside = folder
        .configuration
        .mesh()
        .workloads_at("192.0.2.1".parse().expect("an address"));
    let outside: Vec<_> = outside.collect();
    assert_eq!(outside.len(), 1);
    assert_eq!(
        outside[0].uid.as_str(),
        "Kubernetes/discovery.k8s.io/EndpointSlice/shop/web-1/192.0.2.1"
    );
    assert_eq!(outside[0].protocol, TunnelProtocol::None);
    folder.delete("slice.yaml");
    assert_eq!(ports(&folder, "shop", "selected"), [(80, 80), (81, 81)]);
    assert_eq!(folder.configuration.mesh().workload_count(), 3);
}

/// What leads to a pod decides who may come to it: its own namespace says.
#[test]
fn nobody_makes_a_pod_of_another_namespace_an_endpoint() {
    let pod = "\
apiVersion: v1
kind: Pod
metadata: {name: victim, namespace: bank}
status: {podIP: 10.0.0.3, conditions: [{type: Ready, status: 'True'}]}
";
    let mut folder = Folder::of(
        "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints:
- {addresses: [10.0.0.3]}
- {addresses: [10.0.0.4], targetRef: {kind: Pod, name: victim, namespace: bank}}
ports: [{name: http, port: 8080}]
",
    );
    let address = "10.0.0.3".parse().expect("an address");
    let there = |folder: &Folder| {
        let mesh = folder.configuration.mesh();
        let all = mesh.workloads_at(address);
        all.map(|one| (one.name.to_string(), one.services.len()))
            .collect::<Vec<_>>()
    };
    let said = |folder: &Folder| {
        let problems = folder.configuration.problems();
        problems.iter().map(ToString::to_string).collect::<String>()
    };
    // While no pod has the address it is a server outside; and again when that is gone.
    for _ in 0..2 {
        assert_eq!(there(&folder), [("web-1".to_owned(), 1)]);
        assert_eq!(said(&folder), "");
        folder.write("pod.yaml", pod);
        assert_eq!(there(&folder), [("victim".to_owned(), 0)]);
        let said = said(&folder);
        assert!(said.contains("endpoints[0].addresses"), "{said}");
        folder.delete("pod.yaml");
    }
}

#[test]
fn what_another_has_is_gone_without() {
    let mut folder = Folder::of(
        "\
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: shop}
status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}
",
    );
    let addresses = |folder: &Folder| {
        let of = |workload: &ambit_model::Workload| {
            (workload.name.to_string(), workload.addresses.clone())
        };
        let mut all: Vec<_> = folder
            .configuration
            .mesh()
            .workloads()
            .map(|w| of(w))
            .collect();
        all.sort();
        all
    };
    assert_debug_snapshot!(addresses(&folder));
    folder.write(
        "older.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: old, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}\n\
         status: {podIPs: [{ip: 10.0.0.1}]}\n",
    );
    assert_debug_snapshot!(addresses(&folder));
}

#[test]
fn an_address_is_of_a_pod_in_whose_nodes_range_it_lies() {
    let pod = |name: &str, node: &str, made: u8| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, \
             creationTimestamp: '2026-01-0{made}T00:00:00Z'}}\nspec: {{nodeName: {node}}}\n\
             status: {{podIPs: [{{ip: 10.0.2.1}}]}}\n"
        )
    };
    let node = |range: &str| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: n2}}\nspec: {{podCIDRs: [{range}]}}\n"
        )
    };
    let mut folder = Folder::of(&[pod("liar", "n1", 1), pod("young", "n2", 2)].concat());
    let names = |folder: &Folder| {
        let workloads = folder.configuration.mesh().workloads();
        let with = workloads.filter(|workload| !workload.addresses.is_empty());
        with.map(|workload| workload.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&folder), ["liar"], "the older one");
    folder.write("node.yaml", &node("'nonsense', 10.0.2.0/24"));
    assert_eq!(names(&folder), ["young"]);
    let problem = folder.configuration.problems().pop().unwrap().to_string();
    assert!(problem.contains("shop/young has"), "{problem}");
    folder.write("node.yaml", &node("10.0.3.0/24"));
    assert_eq!(names(&folder), ["liar"]);
}

#[test]
fn every_policy_that_applies_is_listed() {
    let policy = |namespace: &str, name: &str, spec: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
        )
    };
    let mut text =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop, labels: {app: web}}\n\
                    status: {podIP: 10.0.0.1}\n"
            .to_owned();
    text += &policy("ambit-system", "mesh", "");
    text += &policy(
        "istio-system",
        "mesh-web",
        "selector: {matchLabels: {app: web}}",
    );
    text += &policy(
        "istio-system",
        "mesh-db",
        "selector: {matchLabels: {app: db}}",
    );
    text += &policy("shop", "all", "selector: {matchLabels: {}}");
    text += &policy("shop", "web", "selector: {matchLabels: {app: web}}");
    text += &policy("shop", "db", "selector: {matchLabels: {app: db}}");
    text += &policy("shop", "bound", "targetRefs: [{kind: Service, name: web}]");
    text += &policy("shop", "audit", "action: AUDIT");
    text += &policy("shop", "broken", "action: 1");
    text += &policy("other", "all", "");
    let folder = Folder::of(&text);
    let workload = workload(&folder, "shop", "web-1");
    assert_eq!(
        names(&workload.policies),
        ["istio-system/mesh-web", "shop/web"]
    );
    let applicable = workload.applicable_policies.as_deref().expect("listed");
    let all = [
        "ambit-system/mesh",
        "istio-system/mesh-web",
        "shop/all",
        "shop/audit",
        "shop/broken",
        "shop/web",
    ];
    assert_eq!(names(applicable), all);
    for name in applicable {
        assert!(
            folder.configuration.mesh().policy(name).is_some(),
            "{name} is in the mesh"
        );
    }
}
