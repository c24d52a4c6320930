//! The rules as nftables: one table of our own for both families, replaced in one transaction.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ambit_netsys::sockets::{APP_MARK, WORLD_MARK};

use super::{Duty, Loader, Program, RuleInput};
use crate::ports;

/// Name of our table in the pod's namespace.
const TABLE: &str = "inet ambit";
/// Matches the first packet of a TCP connection.
const FIRST_PACKET: &str = "tcp flags & (fin|syn|rst|ack) == syn";

/// One program for both families.
pub(super) const LOADERS: [Loader; 1] = [Loader {
    look: None,
    load: Program {
        name: "nft",
        arguments: "-f -",
    },
    text: |duty, _found| text(duty),
    ipv6_only: false,
}];

/// What the pod's table is replaced with.
fn text(duty: &Duty) -> String {
    match duty {
        Duty::Capture(input) => replace_table(&capture(input)),
        Duty::Drain => replace_table(&drain()),
        Duty::Nothing => format!("add table {TABLE}\ndelete table {TABLE}\n"),
    }
}

fn capture(input: &RuleInput) -> String {
    let mut body = String::new();
    push_set(&mut body, "node4", "ipv4_addr", &input.node4);
    push_set(&mut body, "node6", "ipv6_addr", &input.node6);
    let dns = input.has_dns();
    if dns {
        push_set(&mut body, "dns4", "ipv4_addr", &input.dns4);
        push_set(&mut body, "dns6", "ipv6_addr", &input.dns6);
    }
    body.push_str(&marked_chains(dns));
    if dns {
        body.push_str(ZONE_OF_ANSWERS);
    }
    body.push_str(&outbound_chain(dns));
    body.push_str(&inbound_chain());
    body.push_str(&seal());
    body
}

/// One nat chain with one `ct` rule keeps the hooks.
fn drain() -> String {
    let mut body = marked_chains(false);
    body.push_str(
        " chain out {\n  type nat hook output priority -100;\n  ct state invalid return\n }\n",
    );
    body
}

/// `add` before `delete` makes the deletion succeed on a namespace that has no such table yet.
fn replace_table(body: &str) -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{body}}}\n")
}

fn push_set<T: ToString>(body: &mut String, name: &str, kind: &str, members: &BTreeSet<T>) {
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    // Writing into a String cannot fail; an empty `elements` would be a syntax error.
    let _ = if members.is_empty() {
        writeln!(body, " set {name} {{ type {kind}; }}")
    } else {
        writeln!(
            body,
            " set {name} {{ type {kind}; elements = {{ {} }}; }}",
            members.join(", ")
        )
    };
}

/// Answers to the proxy's own questions are tracked where the questions are.
const ZONE_OF_ANSWERS: &str = " chain answers {
  type filter hook prerouting priority -300;
  ip saddr @dns4 udp sport 53 ct zone set 1
  ip6 saddr @dns6 udp sport 53 ct zone set 1
 }
";

/// What holds for the proxy's own sockets, during capture and while draining.
fn marked_chains(dns: bool) -> String {
    let zone = if dns {
        let question = format!("  meta mark {WORLD_MARK:#x}");
        format!(
            "{question} ip daddr @dns4 udp dport 53 ct zone set 1\n\
             {question} ip6 daddr @dns6 udp dport 53 ct zone set 1\n"
        )
    } else {
        String::new()
    };
    format!(
        " chain raw {{
  type filter hook output priority -300;
  meta mark {APP_MARK:#x} notrack
{zone} }}
 chain guard {{
  type filter hook output priority 0;
  meta mark {{ {APP_MARK:#x}, {WORLD_MARK:#x} }} oifname != \"lo\" fib saddr type != local drop
 }}
"
    )
}

fn outbound_chain(dns: bool) -> String {
    let port = ports::DNS;
    let names = if dns {
        let of = |to: &str| {
            format!(
                "  {to} udp dport 53 redirect to :{port}\n  \
                 {to} tcp dport 53 {FIRST_PACKET} redirect to :{port}\n"
            )
        };
        ["ip daddr @dns4", "ip6 daddr @dns6"].map(of).concat()
    } else {
        String::new()
    };
    format!(
        " chain out {{
  type nat hook output priority -100;
  meta mark {{ {APP_MARK:#x}, {WORLD_MARK:#x} }} return
  fib daddr type local return
{names}  {FIRST_PACKET} redirect to :{}
 }}
",
        ports::OUTBOUND
    )
}

/// A flow from the node is redirected only where something listens: a probe of a dead application
/// must fail as it does without a mesh, and 15006 would accept it.
fn inbound_chain() -> String {
    let plaintext = ports::PLAINTEXT;
    format!(
        " chain pre {{
  type nat hook prerouting priority -100;
  iifname \"lo\" return
  tcp dport {} return
  ip saddr @node4 {FIRST_PACKET} socket transparent {{ 0, 1 }} redirect to :{plaintext}
  ip6 saddr @node6 {FIRST_PACKET} socket transparent {{ 0, 1 }} redirect to :{plaintext}
  ip saddr @node4 return
  ip6 saddr @node6 return
  {FIRST_PACKET} redirect to :{plaintext}
 }}
",
        ports::HBONE
    )
}

/// First packets that were not redirected although they should have been: address translation
/// looks at the first packet of a conntrack entry only, and somebody may have made an entry with
/// another packet before. Those of the node are answered as where nothing listens: that is why they
/// were not redirected, and the application may have begun to listen since.
fn seal() -> String {
    format!(
        " chain seal_in {{
  type filter hook input priority 0;
  iifname \"lo\" return
  tcp dport {{ {}, {} }} return
  ip saddr @node4 {FIRST_PACKET} reject with tcp reset
  ip6 saddr @node6 {FIRST_PACKET} reject with tcp reset
  {FIRST_PACKET} drop
 }}
 chain seal_out {{
  type filter hook output priority 0;
  meta mark {{ {APP_MARK:#x}, {WORLD_MARK:#x} }} return
  fib daddr type local return
  {FIRST_PACKET} drop
 }}
",
        ports::PLAINTEXT,
        ports::HBONE
    )
}

#[cfg(test)]
mod tests;
