use serde_json::json;

use super::*;

fn agent(node: Option<&str>) -> Pod {
    serde_json::from_value(json!({"spec": {"containers": [], "nodeName": node}})).unwrap()
}

fn node(name: &str, ready: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "status": {"conditions": [
            {"type": "MemoryPressure", "status": "False"},
            {"type": "Ready", "status": ready},
        ]},
    }))
    .unwrap()
}

fn request(left: &[&str]) -> ConfigMap {
    let data: serde_json::Map<String, serde_json::Value> = left
        .iter()
        .map(|&node| (node.to_owned(), "left".into()))
        .collect();
    serde_json::from_value(json!({"data": data})).unwrap()
}

#[test]
fn only_nodes_with_an_agent_that_can_be_reached_are_waited_for() {
    let agents = [
        agent(Some("n1")),
        agent(Some("n2")),
        agent(Some("n3")),
        agent(None),
    ];
    let nodes = [
        node("n1", "True"),
        node("n2", "True"),
        node("n3", "Unknown"),
        node("n4", "True"),
    ];
    let progress = Progress::of(&request(&["n1"]), &agents, &nodes);
    assert_eq!(progress.to_string(), "left 1 of 2 nodes; waiting for n2");
    assert_eq!(progress.unreachable, BTreeSet::from(["n3".to_owned()]));
    let done = Progress::of(&request(&["n1", "n2"]), &agents, &nodes);
    assert_eq!(done.to_string(), "left 2 of 2 nodes");
    assert!(done.waiting.is_empty());
}

#[test]
fn two_agents_of_one_node_are_one_node_and_few_names_are_said() {
    let agents: Vec<Pod> = (0..20)
        .map(|number| agent(Some(&format!("n{:02}", number / 2))))
        .collect();
    let nodes: Vec<Node> = (0..10)
        .map(|number| node(&format!("n{number:02}"), "True"))
        .collect();
    assert_eq!(
        Progress::of(&request(&[]), &agents, &nodes).to_string(),
        "left 0 of 10 nodes; waiting for n00, n01, n02, n03, n04, n05, n06, n07 and 2 more"
    );
}
