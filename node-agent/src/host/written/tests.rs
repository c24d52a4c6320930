use ambit_netsys::NetNs;

use super::*;
use crate::host::enrol;
use crate::host::kept::KeptPod;
use crate::host::release;
use crate::host::restore;
use crate::host::testing::fakes::{Fakes, PATIENCE};
use crate::host::testing::{Ground, Namespace, Node, names, start_children};

const ALL: [Rules; 3] = [Rules::Nft, Rules::IptablesNft, Rules::IptablesLegacy];

/// Packet filters that have something of ours in a namespace.
fn found(pod: &Namespace) -> Vec<Rules> {
    let has = |line: &str, word: &str| pod.shell(line).contains(word);
    let mut found = Vec::new();
    if has("nft list tables", "inet ambit") {
        found.push(Rules::Nft);
    }
    for (flavour, rules) in [
        ("nft", Rules::IptablesNft),
        ("legacy", Rules::IptablesLegacy),
    ] {
        let line = format!("iptables-{flavour}-save 2>&1; ip6tables-{flavour}-save 2>&1");
        if has(&line, "AMBIT_") {
            found.push(rules);
        }
    }
    found
}

async fn running(ground: &Ground, rules: Rules) -> Node {
    let fakes = Fakes::new(true);
    let host = ground.role_with(&fakes, rules);
    restore::restore(&host).await;
    start_children(&host);
    Node { host, fakes }
}

async fn killed(node: Node) {
    let end = Duration::from_secs(5);
    node.host.tasks.finish(end).await.unwrap();
    node.fakes.until(|| node.fakes.all_dead()).await;
}

async fn captured(node: &Node, pod: &Namespace) {
    let netns = NetNs::open(pod.path()).unwrap();
    enrol::enrol(&node.host, names("a"), netns, Some(pod.path()))
        .await
        .unwrap();
}

fn pod() -> Namespace {
    let pod = Namespace::make("pod");
    pod.shell("ip addr add 10.0.0.2/32 dev lo");
    pod
}

async fn gone(node: &Node) {
    release::release(&node.host, &names("a").uid).await.unwrap();
    let gone = || node.host.pod_views().is_empty();
    assert!(node.host.wait_until(PATIENCE, gone).await);
}

#[tokio::test]
async fn a_role_with_another_filter_leaves_only_its_own_rules_in_a_pod() {
    let (ground, pod) = (Ground::make(), pod());
    let mut node = running(&ground, Rules::Nft).await;
    captured(&node, &pod).await;
    for rules in ALL.into_iter().rev() {
        killed(node).await;
        node = running(&ground, rules).await;
        restore::load_rules_again(&node.host).await.unwrap();
        assert_eq!(found(&pod), [rules]);
        let kept: Vec<KeptPod> = node.host.kept.load().unwrap().0;
        assert_eq!(kept[0].written, BTreeSet::from([rules]));
    }
    gone(&node).await;
    assert_eq!(found(&pod), []);
}

#[tokio::test]
async fn a_role_that_died_between_two_filters_leaves_no_rules_forgotten() {
    let (ground, pod) = (Ground::make(), pod());
    let node = running(&ground, Rules::Nft).await;
    captured(&node, &pod).await;
    killed(node).await;
    let between = ground.role_with(&Fakes::new(true), Rules::IptablesLegacy);
    let record = between.kept.load().unwrap().0.remove(0);
    let written = BTreeSet::from([Rules::Nft, Rules::IptablesLegacy]);
    between.kept.save(&KeptPod { written, ..record }).unwrap();
    let duty = between.capture(false);
    firewall::load(&pod.open(), Rules::IptablesLegacy, &duty)
        .await
        .unwrap();

    let node = running(&ground, Rules::Nft).await;
    restore::load_rules_again(&node.host).await.unwrap();
    assert_eq!(found(&pod), [Rules::Nft]);
    gone(&node).await;
    assert_eq!(found(&pod), []);
}

#[tokio::test]
async fn a_pod_released_by_another_filter_is_direct() {
    let (ground, pod) = (Ground::make(), pod());
    let node = running(&ground, Rules::IptablesNft).await;
    captured(&node, &pod).await;
    killed(node).await;
    let node = running(&ground, Rules::IptablesLegacy).await;
    node.fakes.hold_connections(true);
    release::release(&node.host, &names("a").uid).await.unwrap();
    assert_eq!(found(&pod), [Rules::IptablesLegacy]);
    let rules = pod.shell("iptables-legacy-save; ip6tables-legacy-save");
    assert!(!rules.contains("REDIRECT"), "{rules}");
}

#[tokio::test]
async fn a_pod_that_could_not_be_restored_is_enrolled_anew_without_the_old_rules() {
    let (ground, pod) = (Ground::make(), pod());
    let node = running(&ground, Rules::IptablesLegacy).await;
    captured(&node, &pod).await;
    killed(node).await;
    let host = ground.role_with(&Fakes::new(true), Rules::Nft);
    assert!(host.pod_views().is_empty(), "not restored");
    start_children(&host);
    let node = Node {
        host,
        fakes: Fakes::new(true),
    };
    captured(&node, &pod).await;
    assert_eq!(found(&pod), [Rules::Nft]);
}

#[tokio::test]
async fn a_role_goes_on_after_a_successor_that_had_another_filter() {
    let (ground, pod) = (Ground::make(), pod());
    let old = running(&ground, Rules::Nft).await;
    captured(&old, &pod).await;
    let new = ground.role_with(&Fakes::new(true), Rules::IptablesNft);
    let kept = new.kept.load().unwrap().0.remove(0);
    let netns = NetNs::open(pod.path()).unwrap();
    restore::adopt(&new, kept, netns, Vec::new()).unwrap();
    restore::load_rules_again(&new).await.unwrap();
    assert_eq!(found(&pod), [Rules::IptablesNft]);

    restore::regain(&old.host).await;
    assert_eq!(found(&pod), [Rules::Nft]);
    gone(&old).await;
    assert_eq!(found(&pod), []);
}
