use super::*;
use crate::config::fixture::Folder;

const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {from: FILE}}\n";

fn label(folder: &Folder) -> Option<String> {
    let labels = folder.configuration.objects().node_labels("n1")?;
    labels.get("from").map(ToString::to_string)
}

#[test]
fn of_two_files_with_one_name_the_first_by_name_counts_whatever_the_order() {
    for order in [["a.yaml", "b.yaml"], ["b.yaml", "a.yaml"]] {
        let mut folder = Folder::new();
        for file in order {
            folder.write(file, &NODE.replace("FILE", file));
        }
        assert_eq!(label(&folder).as_deref(), Some("a.yaml"));
        assert_eq!(folder.configuration.problems().len(), 1);
        folder.delete("a.yaml");
        assert_eq!(label(&folder).as_deref(), Some("b.yaml"));
        assert!(folder.configuration.problems().is_empty());
        folder.delete("b.yaml");
        assert_eq!(label(&folder), None);
        assert!(folder.configuration.objects().is_empty());
    }
}

#[test]
fn contradictions_name_both_objects() {
    let folder = Folder::of(
        "\
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: shop}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, uid: u}
status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: old, namespace: shop, uid: u, creationTimestamp: '2026-01-01T00:00:00Z'}
status: {podIPs: [{ip: 10.0.0.3}]}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {clusterIP: 10.96.0.1}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: shop}
spec: {clusterIP: 10.96.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: ended, namespace: shop}
status: {phase: Succeeded, podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: shop}
spec: {hostNetwork: true}
status: {podIPs: [{ip: 10.0.0.2}]}
",
    );
    insta::assert_snapshot!(folder.problems());
}

#[test]
fn the_indexes_are_empty_when_the_objects_are() {
    let mut folder = Folder::of(
        "\
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a}}
spec: {nodeName: n}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: a}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, namespace: shop, labels: {kubernetes.io/service-name: a}}
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.1], targetRef: {kind: Pod, name: a}}]
",
    );
    folder.delete("all.yaml");
    let empty = format!("{:?}", Objects::default());
    assert_eq!(format!("{:?}", folder.configuration.objects()), empty);
    assert_eq!(folder.configuration.mesh().workload_count(), 0);
}
