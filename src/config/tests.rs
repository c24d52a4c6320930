use ambit_model::Change;

use super::fixture::Folder;
use super::{Batch, Configuration};

fn pod(name: usize, label: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\n\
         metadata: {{name: p{name}, namespace: shop, labels: {{app: a{}{label}}}}}\n\
         spec: {{nodeName: n1}}\nstatus: {{podIP: 10.0.{}.{}}}\n",
        name / 10,
        name / 250,
        name % 250
    )
}

fn service(name: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{name}, namespace: shop}}\n\
         spec: {{selector: {{app: a{name}}}, clusterIP: 10.96.0.{name}, ports: [{{port: 80}}]}}\n"
    )
}

fn policy(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {name}, namespace: shop}}\nspec: {{action: DENY, rules: {rules}}}\n"
    )
}

/// A namespace of 300 pods behind 30 services.
fn crowd() -> Folder {
    let mut folder = Folder::new();
    folder.write(
        "services.yaml",
        &(0..30).map(service).collect::<Vec<_>>().join("---\n"),
    );
    let pods: Vec<String> = (0..300).map(|name| pod(name, "")).collect();
    folder.write("pods.yaml", &pods.join("---\n"));
    folder
}

#[test]
fn one_changed_object_changes_what_depends_on_it_only() {
    let mut folder = crowd();
    assert_eq!(
        folder.write("one.yaml", &pod(300, "")).len(),
        1,
        "a new pod"
    );
    assert_eq!(
        folder.write("one.yaml", &pod(300, ", version: v2")).len(),
        1,
        "a changed pod"
    );
    assert_eq!(folder.delete("one.yaml").len(), 1, "a pod that went");
    let moved = service(30).replace("a30", "a7");
    assert_eq!(
        folder.write("one.yaml", &moved).len(),
        11,
        "a new service and its ten pods"
    );
    assert_eq!(
        folder.write("two.yaml", &policy("p", "[]")).len(),
        301,
        "every pod lists it"
    );
    assert_eq!(
        folder.write("two.yaml", &policy("p", "[{}]")).len(),
        1,
        "only its rules changed"
    );
}

#[test]
fn policies_come_before_the_workloads_that_list_them_and_go_after() {
    let mut folder = crowd();
    let changes = folder.write("policy.yaml", &policy("p", "[{}]"));
    assert!(matches!(changes.first(), Some(Change::PutPolicy(_))));
    let changes = folder.delete("policy.yaml");
    assert!(matches!(changes.last(), Some(Change::RemovePolicy(_))));
}

#[test]
fn nodes_and_their_pods_are_known() {
    let mut folder = crowd();
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n";
    folder.write("node.yaml", node);
    let configuration = &folder.configuration;
    assert_eq!(
        configuration
            .nodes()
            .map(AsRef::as_ref)
            .collect::<Vec<&str>>(),
        ["n1"]
    );
    assert_eq!(configuration.pods_on_node("n1").count(), 300);
    assert_eq!(configuration.pods().count(), 300);
    assert_eq!(configuration.node_of_pod("shop.p7").as_deref(), Some("n1"));
    assert_eq!(configuration.node_of_pod("shop.p300"), None);
}

#[test]
fn problems_of_a_file_go_when_it_is_corrected() {
    let mut folder = Folder::of("a: [");
    assert_eq!(folder.configuration.problems().len(), 1);
    folder.write("all.yaml", &pod(1, ""));
    assert!(folder.configuration.problems().is_empty());
}

#[test]
fn an_empty_batch_changes_nothing() {
    let mut configuration = Configuration::default();
    assert!(configuration.apply(Batch::default()).is_empty());
}
