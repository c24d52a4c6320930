//! What the texts leave in a namespace, as the packet filters' own programs show it.

use super::*;
use crate::host::rules::RuleInput;

with_every_filter! {
    every_text_is_accepted_by_a_kernel_and_may_be_loaded_again
    each_built_in_chain_jumps_once
    rules_of_others_stay
}

fn capture() -> Duty {
    let node = ["10.244.1.1", "fd00:244:1::1"].map(|ip| ip.parse().unwrap());
    Duty::Capture(RuleInput::new(&node).with_dns(&node))
}

/// All rules of a namespace in the words of these rules' own program, without counters.
fn shown(namespace: &Namespace, rules: Rules) -> String {
    match rules {
        Rules::Nft => namespace.shell("nft list ruleset"),
        Rules::IptablesNft => saved(namespace, "nft"),
        Rules::IptablesLegacy => saved(namespace, "legacy"),
    }
}

fn saved(namespace: &Namespace, flavour: &str) -> String {
    namespace.shell(&format!(
        "(iptables-{flavour}-save; ip6tables-{flavour}-save) | grep -v '^#' || true"
    ))
}

/// What is left of ours, in whatever words.
fn ours(namespace: &Namespace) -> String {
    namespace.shell(
        "(nft list ruleset; iptables-legacy-save; ip6tables-legacy-save) 2>&1 \
         | grep -i ambit || true",
    )
}

async fn every_text_is_accepted_by_a_kernel_and_may_be_loaded_again(rules: Rules) {
    let namespace = Namespace::make("texts");
    let netns = namespace.open();
    let duties = [
        Duty::Nothing,
        Duty::Drain,
        capture(),
        capture(),
        Duty::Capture(RuleInput::default()),
        Duty::Drain,
        Duty::Drain,
    ];
    for duty in &duties {
        load(&netns, rules, duty).await.unwrap();
    }
    let loaded = shown(&namespace, rules).to_lowercase();
    assert!(loaded.contains("invalid"), "{loaded}");
    assert!(
        !loaded.contains("redirect") && !loaded.contains("seal"),
        "{loaded}"
    );
    for _ in 0..2 {
        load(&netns, rules, &Duty::Nothing).await.unwrap();
        assert_eq!(ours(&namespace), "");
    }
}

async fn each_built_in_chain_jumps_once(rules: Rules) {
    let namespace = Namespace::make("jumps");
    let netns = namespace.open();
    load(&netns, rules, &capture()).await.unwrap();
    let first = shown(&namespace, rules);
    for duty in [capture(), Duty::Drain, capture(), capture()] {
        load(&netns, rules, &duty).await.unwrap();
    }
    assert_eq!(shown(&namespace, rules), first);
    let jumps = first.lines().filter(|line| line.contains("-j AMBIT_"));
    let expected = if rules == Rules::Nft { 0 } else { 12 };
    assert_eq!(jumps.count(), expected, "{first}");
}

async fn rules_of_others_stay(rules: Rules) {
    let namespace = Namespace::make("others");
    let netns = namespace.open();
    let tool = match rules {
        Rules::IptablesLegacy => "iptables-legacy",
        Rules::Nft | Rules::IptablesNft => "iptables-nft",
    };
    // The tables are made first: they stay, empty, whoever asked for them.
    load(&netns, rules, &capture()).await.unwrap();
    load(&netns, rules, &Duty::Nothing).await.unwrap();
    namespace.shell(&format!(
        "{tool} -t nat -N OTHERS; {tool} -t nat -A OUTPUT -p udp -j OTHERS; \
         {tool} -A INPUT -p tcp --dport 23 -j DROP; {tool} -t mangle -A OUTPUT -p tcp -j ACCEPT"
    ));
    let before = shown(&namespace, rules);
    for duty in [capture(), Duty::Drain, capture(), Duty::Nothing] {
        load(&netns, rules, &duty).await.unwrap();
        let now = shown(&namespace, rules);
        let (mut kept, mut now) = (before.lines(), now.lines());
        assert!(kept.all(|line| now.any(|there| there == line)), "{duty:?}");
    }
    assert_eq!(shown(&namespace, rules), before);
}
