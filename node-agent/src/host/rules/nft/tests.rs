use super::*;

const GOLDEN_CAPTURE: &str = r#"add table inet ambit
delete table inet ambit
table inet ambit {
 set node4 { type ipv4_addr; elements = { 10.244.1.1, 172.18.0.2 }; }
 set node6 { type ipv6_addr; elements = { fd00:244:1::1 }; }
 chain raw {
  type filter hook output priority -300;
  meta mark 0x539 notrack
 }
 chain guard {
  type filter hook output priority 0;
  meta mark { 0x539, 0x53a } oifname != "lo" fib saddr type != local drop
 }
 chain out {
  type nat hook output priority -100;
  meta mark { 0x539, 0x53a } return
  fib daddr type local return
  tcp flags & (fin|syn|rst|ack) == syn redirect to :15001
 }
 chain pre {
  type nat hook prerouting priority -100;
  iifname "lo" return
  tcp dport 15008 return
  ip saddr @node4 tcp flags & (fin|syn|rst|ack) == syn socket transparent { 0, 1 } redirect to :15006
  ip6 saddr @node6 tcp flags & (fin|syn|rst|ack) == syn socket transparent { 0, 1 } redirect to :15006
  ip saddr @node4 return
  ip6 saddr @node6 return
  tcp flags & (fin|syn|rst|ack) == syn redirect to :15006
 }
 chain seal_in {
  type filter hook input priority 0;
  iifname "lo" return
  tcp dport { 15006, 15008 } return
  ip saddr @node4 tcp flags & (fin|syn|rst|ack) == syn reject with tcp reset
  ip6 saddr @node6 tcp flags & (fin|syn|rst|ack) == syn reject with tcp reset
  tcp flags & (fin|syn|rst|ack) == syn drop
 }
 chain seal_out {
  type filter hook output priority 0;
  meta mark { 0x539, 0x53a } return
  fib daddr type local return
  tcp flags & (fin|syn|rst|ack) == syn drop
 }
}
"#;

const GOLDEN_DRAIN: &str = r#"add table inet ambit
delete table inet ambit
table inet ambit {
 chain raw {
  type filter hook output priority -300;
  meta mark 0x539 notrack
 }
 chain guard {
  type filter hook output priority 0;
  meta mark { 0x539, 0x53a } oifname != "lo" fib saddr type != local drop
 }
 chain out {
  type nat hook output priority -100;
  ct state invalid return
 }
}
"#;

fn dual_stack() -> Duty {
    Duty::Capture(RuleInput::new(&[
        "172.18.0.2".parse().unwrap(),
        "fd00:244:1::1".parse().unwrap(),
        "10.244.1.1".parse().unwrap(),
        "10.244.1.1".parse().unwrap(),
    ]))
}

#[test]
fn the_capture_text_is_the_one_that_was_tried_on_a_kernel() {
    assert_eq!(text(&dual_stack()), GOLDEN_CAPTURE);
}

#[test]
fn the_drain_text_keeps_the_nat_hooks_and_redirects_nothing() {
    assert_eq!(text(&Duty::Drain), GOLDEN_DRAIN);
    assert!(!text(&Duty::Drain).contains("redirect"));
}

#[test]
fn a_node_without_addresses_of_a_family_gives_an_empty_set() {
    let text = text(&Duty::Capture(RuleInput::default()));
    assert!(text.contains(" set node4 { type ipv4_addr; }\n"), "{text}");
    assert!(text.contains(" set node6 { type ipv6_addr; }\n"), "{text}");
}

#[test]
fn every_chain_ends_on_a_line_of_its_own() {
    // nft 1.0.6 rejects a closing brace on the line of a chain's last rule.
    for text in [text(&dual_stack()), text(&Duty::Drain)] {
        for (before, _) in text.match_indices('}').map(|(at, _)| text.split_at(at)) {
            let line = before.rsplit('\n').next().unwrap_or("");
            let closes_inline = line.contains('{');
            assert!(closes_inline || line.trim().is_empty(), "{line:?}");
        }
    }
}
