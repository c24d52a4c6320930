use ambit_cni::conflist;
use ambit_cni::keeper::Keeper;
use ambit_cni::namespaces::NamespaceList;
use ambit_cni::spec::{Entry, PLUGIN};
use ambit_netsys::NetNs;
use ambit_wire::node::{Leave, NodePod, RosterUpdate};

use super::*;
use crate::host::enrol;
use crate::host::testing::fakes::PATIENCE;
use crate::host::testing::{Ground, Namespace, Node, names};

const KUBE: &str = r#"{"cniVersion":"1.0.0","name":"kube","plugins":[{"type":"bridge"}]}"#;

async fn captured(node: &Node, uid: &str, pod: &Namespace) {
    let netns = NetNs::open(pod.path()).unwrap();
    let enrolled = enrol::enrol(&node.host, names(uid), netns, Some(pod.path())).await;
    assert_eq!(enrolled.unwrap(), PodState::Captured);
}

/// Runs the task, and asks.
fn ask(node: &Node) -> JoinHandle<()> {
    let leaving = run(Arc::clone(&node.host), CancellationToken::new(), Vec::new());
    let task = node.host.tasks.spawn("leave", leaving);
    node.host.departure.asked.cancel();
    node.host.note_change();
    task
}

async fn left(node: &Node) {
    let left = tokio::time::timeout(PATIENCE, node.host.departure.done.cancelled());
    left.await.expect("it does not leave");
}

fn told_left(node: &Node) -> usize {
    let is_left = |told: &ToControl| matches!(told, ToControl::Left(_));
    node.fakes.told_control(is_left)
}

#[tokio::test]
async fn every_pod_is_released_none_is_captured_and_it_is_told() {
    let (ground, pods) = (Ground::make(), [Namespace::make("a"), Namespace::make("b")]);
    let node = ground.run(true);
    captured(&node, "a", &pods[0]).await;
    captured(&node, "b", &pods[1]).await;
    assert_eq!(told_left(&node), 0);
    ask(&node);
    left(&node).await;
    for pod in &pods {
        assert!(!pod.shell("nft list ruleset").contains("redirect"));
    }
    node.fakes.until(|| told_left(&node) == 1).await;
    let netns = NetNs::open(pods[0].path()).unwrap();
    let refused = enrol::enrol(&node.host, names("c"), netns, None).await;
    assert_eq!(refused.unwrap_err().reason(), "leaving");
    // A new control role hears of it first of all.
    node.fakes.kill_control();
    node.fakes.until(|| told_left(&node) == 2).await;
}

#[tokio::test]
async fn an_agent_that_ends_after_that_leaves_no_rule_though_connections_are_open() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    let before = pod.shell("nft list ruleset; ip rule list; ip route show table all");
    captured(&node, "a", &pod).await;
    node.fakes.hold_connections(true);
    ask(&node);
    left(&node).await;
    assert_eq!(node.host.pod_views()[0].state, "draining");
    conclude(&node.host, async {}).await.unwrap();
    let after = pod.shell("nft list ruleset; ip rule list; ip route show table all");
    assert_eq!(after, before);
    assert!(node.host.pod_views().is_empty());
}

#[tokio::test]
async fn an_agent_that_cannot_remove_rules_says_of_which_pod() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    captured(&node, "a", &pod).await;
    node.fakes.hold_connections(true);
    ask(&node);
    left(&node).await;
    let _fixed = pod.with_fixed_rules();
    let left = conclude(&node.host, async {}).await.unwrap_err();
    assert!(left.to_string().contains("pod a: nft"), "{left}");
    // For the next agent.
    assert_eq!(node.host.kept.load().unwrap().0.len(), 1);
}

#[tokio::test]
async fn the_mesh_has_not_left_before_every_pod_is_direct() {
    let (ground, pod) = (Ground::make(), Namespace::make("pod"));
    let node = ground.run(true);
    captured(&node, "a", &pod).await;
    let fixed = pod.with_fixed_rules();
    ask(&node);
    // It goes on asking for the withdrawal, but does not say that it has left.
    let withdraw = |told: &ToControl| matches!(told, ToControl::Withdraw(_));
    let twice = || node.fakes.told_control(withdraw) == 2;
    node.fakes.until(twice).await;
    assert_eq!(told_left(&node), 0);
    drop(fixed);
    left(&node).await;
}

#[tokio::test]
async fn the_plugin_goes_with_its_configuration_and_its_list() {
    let ground = Ground::make();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (configuration, list) = (path("10-kube.conflist"), path("list.json"));
    fs::write(&configuration, KUBE).unwrap();
    fs::write(path(PLUGIN), "program").unwrap();
    let keeper = Keeper::new(folder.path(), Entry::default());
    keeper.keep().unwrap();
    let namespaces = NamespaceList::new(["shop".to_owned()].into(), [].into(), 0);
    fs::write(&list, serde_json::to_vec(&namespaces).unwrap()).unwrap();
    assert!(conflist::is_present(
        &fs::read_to_string(&configuration).unwrap()
    ));
    let cni = Cni {
        keeper,
        list: list.clone(),
        bin_dir: Some(folder.path().to_owned()),
    };
    take_back(&cni).unwrap();
    assert_eq!(fs::read_to_string(&configuration).unwrap(), KUBE);
    assert!(!list.exists() && !path(PLUGIN).exists());
    take_back(&cni).expect("twice is once");
    drop(ground);
}

#[tokio::test]
async fn what_the_control_plane_asks_reaches_the_role() {
    let node = Ground::make().run(true);
    let update = RosterUpdate {
        leave: Some(Leave {}),
        pods: vec![NodePod::default()],
        ..RosterUpdate::default()
    };
    crate::host::control::take_roster(&node.host, update);
    assert!(node.host.departure.asked.is_cancelled());
}

#[tokio::test]
async fn folders_are_swept_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("host/pods")).unwrap();
    fs::write(folder.path().join("host/pods/a.json"), "{}").unwrap();
    fs::write(folder.path().join("host.lock"), "").unwrap();
    sweep(&[folder.path()]).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
