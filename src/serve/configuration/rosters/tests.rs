use super::*;
use crate::config::Settings;
use crate::config::fixture::Folder;

const SHOP: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {ambit.mesh/dataplane-mode: ambient}}\n";

fn pod(name: &str, node: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, uid: {name}}}\nspec: {{nodeName: {node}}}\n"
    )
}

/// Applies what a folder holds, as the task does.
fn apply(rosters: &Rosters, configuration: &mut Configuration, text: &str) -> Touched {
    let batch = Folder::of(text).everything();
    let touched = Touched::by(&batch, configuration);
    drop(configuration.apply(batch));
    rosters.refresh(&touched, configuration);
    touched
}

#[test]
fn an_agent_hears_of_its_own_node_only() {
    let (mut rosters, mut configuration) =
        (Rosters::default(), Configuration::new(Settings::default()));
    apply(&rosters, &mut configuration, SHOP);
    let mut one = rosters.subscribe("n1".into(), &configuration);
    let mut two = rosters.subscribe("n2".into(), &configuration);
    assert!(one.borrow_and_update().enrolled.contains("shop"));
    two.borrow_and_update();
    let touched = apply(&rosters, &mut configuration, &pod("web", "n1"));
    assert_eq!(touched, Touched::Nodes(BTreeSet::from(["n1".into()])));
    assert!(one.has_changed().unwrap() && !two.has_changed().unwrap());
    assert!(one.borrow_and_update().pods["web"].enrolled);
    apply(&rosters, &mut configuration, &pod("web", "n2"));
    assert!(one.borrow_and_update().pods.is_empty());
    assert_eq!(two.borrow_and_update().pods.len(), 1);
}

#[test]
fn a_label_on_the_namespace_reaches_every_node() {
    let (mut rosters, mut configuration) =
        (Rosters::default(), Configuration::new(Settings::default()));
    apply(
        &rosters,
        &mut configuration,
        &format!("{SHOP}---\n{}", pod("web", "n1")),
    );
    let mut one = rosters.subscribe("n1".into(), &configuration);
    let mut enrolled = rosters.enrolled();
    assert!(one.borrow_and_update().pods["web"].enrolled);
    enrolled.borrow_and_update();
    apply(
        &rosters,
        &mut configuration,
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    );
    assert!(!one.borrow_and_update().pods["web"].enrolled);
    assert!(enrolled.has_changed().unwrap());
    assert!(enrolled.borrow().as_ref().unwrap().is_empty());
}

#[test]
fn pods_on_the_network_of_the_node_are_not_told() {
    let (mut rosters, mut configuration) =
        (Rosters::default(), Configuration::new(Settings::default()));
    let text = pod("web", "n1").replace("{nodeName: n1}", "{nodeName: n1, hostNetwork: true}");
    apply(&rosters, &mut configuration, &text);
    let roster = rosters.subscribe("n1".into(), &configuration);
    assert!(roster.borrow().pods.is_empty());
}
