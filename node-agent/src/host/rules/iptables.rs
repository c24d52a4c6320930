//! The rules as iptables, of either flavour: chains of our own, jumped to from the built-in ones.
//!
//! Other people's rules in the pod are left alone, so nothing is flushed but our chains. A restore
//! cannot say "jump, unless there is a jump": the text is made from what `save` printed, and takes
//! away as many jumps as there are before it adds one.
//!
//! IPv4 and IPv6 are two commands and each table is a transaction of its own, so the order counts:
//! - capture goes raw, nat, filter. What exempts and guards the proxy's own packets is there before
//!   anything is redirected, and the seal after: it would drop what is not redirected yet;
//! - everything else goes the other way round, so that no first packet meets the seal alone, and
//!   the untracked legs to the application last as long as the redirections they belong to;
//! - the families do not depend on each other. A pod counts as captured when both have been loaded,
//!   and a repeated load replaces redirecting chains with redirecting ones, each at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ambit_netsys::sockets::{APP_MARK, WORLD_MARK};

use super::{Duty, Loader, Program, RuleInput};
use crate::ports;

/// What the names of all our chains begin with.
const OURS: &str = "AMBIT_";
/// Matches the first packet of a TCP connection.
const FIRST_PACKET: &str = "-p tcp --syn";
/// Tables in the order in which a capture needs them.
const TABLES: [&str; 3] = ["raw", "nat", "filter"];

/// The flavour that writes nftables.
pub(super) const NFT: [Loader; 2] = [
    loader("iptables-nft-save", "iptables-nft-restore", ipv4, false),
    loader("ip6tables-nft-save", "ip6tables-nft-restore", ipv6, true),
];

/// The flavour with tables of its own.
pub(super) const LEGACY: [Loader; 2] = [
    loader(
        "iptables-legacy-save",
        "iptables-legacy-restore",
        ipv4,
        false,
    ),
    loader(
        "ip6tables-legacy-save",
        "ip6tables-legacy-restore",
        ipv6,
        true,
    ),
];

/// A chain of ours.
struct Chain {
    table: &'static str,
    name: &'static str,
    /// The built-in chain that jumps to it, if one does.
    hook: Option<&'static str>,
    rules: Vec<String>,
}

/// What there is of ours in a table.
#[derive(Default)]
struct Found<'a> {
    chains: BTreeSet<&'a str>,
    /// Built-in chain and chain of ours, once for each jump.
    jumps: Vec<(&'a str, &'a str)>,
}

const fn loader(
    save: &'static str,
    restore: &'static str,
    text: fn(&Duty, &str) -> String,
    ipv6_only: bool,
) -> Loader {
    Loader {
        look: Some(Program {
            name: save,
            arguments: "",
        }),
        load: Program {
            name: restore,
            // Waits for whoever else changes rules on the node; the newer flavour needs no lock.
            arguments: "--noflush -w 5",
        },
        text,
        ipv6_only,
    }
}

fn ipv4(duty: &Duty, saved: &str) -> String {
    let addresses = |input: &RuleInput| [strings(&input.node4), strings(&input.dns4)];
    text(&chains(duty, addresses), duty, saved)
}

fn ipv6(duty: &Duty, saved: &str) -> String {
    let addresses = |input: &RuleInput| [strings(&input.node6), strings(&input.dns6)];
    text(&chains(duty, addresses), duty, saved)
}

fn strings<T: ToString>(addresses: &BTreeSet<T>) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// All chains of ours that are to be, by the node's addresses of one family and the resolvers'.
fn chains(duty: &Duty, addresses: impl Fn(&RuleInput) -> [Vec<String>; 2]) -> Vec<Chain> {
    match duty {
        Duty::Capture(input) => {
            let [node, resolvers] = addresses(input);
            let (inbound, from_node) = inbound(&node);
            let [seal_in, seal_out] = seals(&node);
            let mut chains = vec![marked(&resolvers)];
            chains.extend((!resolvers.is_empty()).then(|| zone_of_answers(&resolvers)));
            let outbound = outbound(&resolvers);
            chains.extend([outbound, inbound, from_node, seal_in, seal_out]);
            chains
        }
        Duty::Drain => vec![marked(&[]), kept_alive()],
        Duty::Nothing => Vec::new(),
    }
}

/// What holds for the proxy's own sockets, during capture and while draining.
fn marked(resolvers: &[String]) -> Chain {
    let guard = |mark: u32| {
        format!("-m mark --mark {mark:#x} ! -o lo -m addrtype ! --src-type LOCAL -j DROP")
    };
    let mut rules = vec![
        guard(APP_MARK),
        guard(WORLD_MARK),
        format!("-m mark --mark {APP_MARK:#x} -j CT --notrack"),
    ];
    rules.extend(resolvers.iter().map(|ip| {
        format!("-d {ip} -p udp --dport 53 -m mark --mark {WORLD_MARK:#x} -j CT --zone 1")
    }));
    Chain {
        table: "raw",
        name: "AMBIT_MARKED",
        hook: Some("OUTPUT"),
        rules,
    }
}

/// Answers to the proxy's own questions are tracked where the questions are.
fn zone_of_answers(resolvers: &[String]) -> Chain {
    let zone = |ip| format!("-s {ip} -p udp --sport 53 -j CT --zone 1");
    Chain {
        table: "raw",
        name: "AMBIT_ANSWERS",
        hook: Some("PREROUTING"),
        rules: resolvers.iter().map(zone).collect(),
    }
}

/// Nothing out of the proxy's own sockets or to the pod itself; then what `rest` says.
fn from_application(rest: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rules = vec![
        format!("-m mark --mark {APP_MARK:#x} -j RETURN"),
        format!("-m mark --mark {WORLD_MARK:#x} -j RETURN"),
        "-m addrtype --dst-type LOCAL -j RETURN".to_owned(),
    ];
    rules.extend(rest);
    rules
}

fn outbound(resolvers: &[String]) -> Chain {
    let redirect = |port: u16| format!("-j REDIRECT --to-ports {port}");
    let names = resolvers.iter().flat_map(|ip| {
        ["-p udp", FIRST_PACKET]
            .map(|packet| format!("-d {ip} {packet} --dport 53 {}", redirect(ports::DNS)))
    });
    let all = format!("{FIRST_PACKET} {}", redirect(ports::OUTBOUND));
    Chain {
        table: "nat",
        name: "AMBIT_OUT",
        hook: Some("OUTPUT"),
        rules: from_application(names.chain([all])),
    }
}

/// A flow from the node is redirected only where something listens: a probe of a dead application
/// must fail as it does without a mesh, and 15006 would accept it. Without `--nowildcard` the match
/// would not see an application that listens on all addresses.
fn inbound(node: &[String]) -> (Chain, Chain) {
    let redirect = format!("-j REDIRECT --to-ports {}", ports::PLAINTEXT);
    let mut rules = vec![
        "-i lo -j RETURN".to_owned(),
        format!("-p tcp --dport {} -j RETURN", ports::HBONE),
    ];
    // By `goto` a flow of the node does not come back to be redirected all the same.
    rules.extend(node.iter().map(|ip| format!("-s {ip} -g AMBIT_NODE")));
    rules.push(format!("{FIRST_PACKET} {redirect}"));
    let inbound = Chain {
        table: "nat",
        name: "AMBIT_IN",
        hook: Some("PREROUTING"),
        rules,
    };
    let from_node = Chain {
        table: "nat",
        name: "AMBIT_NODE",
        hook: None,
        rules: vec![format!("{FIRST_PACKET} -m socket --nowildcard {redirect}")],
    };
    (inbound, from_node)
}

/// First packets that were not redirected although they should have been: address translation
/// looks at the first packet of a conntrack entry only, and somebody may have made an entry with
/// another packet before. Those of the node are answered as where nothing listens: that is why they
/// were not redirected, and the application may have begun to listen since.
fn seals(node: &[String]) -> [Chain; 2] {
    let drop = format!("{FIRST_PACKET} -j DROP");
    let ours = [ports::PLAINTEXT, ports::HBONE];
    let mut rules = vec!["-i lo -j RETURN".to_owned()];
    rules.extend(ours.map(|port| format!("-p tcp --dport {port} -j RETURN")));
    let refuse = format!("{FIRST_PACKET} -j REJECT --reject-with tcp-reset");
    rules.extend(node.iter().map(|ip| format!("-s {ip} {refuse}")));
    rules.push(drop.clone());
    let seal_in = Chain {
        table: "filter",
        name: "AMBIT_SEAL_IN",
        hook: Some("INPUT"),
        rules,
    };
    let seal_out = Chain {
        table: "filter",
        name: "AMBIT_SEAL_OUT",
        hook: Some("OUTPUT"),
        rules: from_application([drop]),
    };
    [seal_in, seal_out]
}

/// A rule that no packet meets: address translation is not asked about invalid ones.
fn kept_alive() -> Chain {
    Chain {
        table: "nat",
        name: "AMBIT_OUT",
        hook: Some("OUTPUT"),
        rules: vec!["-m conntrack --ctstate INVALID -j RETURN".to_owned()],
    }
}

/// What turns the rules that were found into these.
fn text(wanted: &[Chain], duty: &Duty, saved: &str) -> String {
    let found = found(saved);
    let nothing = Found::default();
    let mut tables = TABLES;
    if !matches!(duty, Duty::Capture(_)) {
        tables.reverse();
    }
    let mut text = String::new();
    for table in tables {
        let wanted: Vec<&Chain> = wanted.iter().filter(|c| c.table == table).collect();
        let found = found.get(table).unwrap_or(&nothing);
        if !wanted.is_empty() || !found.chains.is_empty() {
            push_table(&mut text, table, &wanted, found);
        }
    }
    text
}

/// One transaction. Writing into a String cannot fail.
fn push_table(text: &mut String, table: &str, wanted: &[&Chain], found: &Found<'_>) {
    let _ = writeln!(text, "*{table}");
    for chain in wanted {
        // Makes it, or empties it.
        let _ = writeln!(text, ":{} - [0:0]", chain.name);
    }
    for (hook, chain) in &found.jumps {
        let _ = writeln!(text, "-D {hook} -j {chain}");
    }
    for chain in wanted {
        if let Some(hook) = chain.hook {
            let _ = writeln!(text, "-I {hook} -j {}", chain.name);
        }
        for rule in &chain.rules {
            let _ = writeln!(text, "-A {} {rule}", chain.name);
        }
    }
    let is_wanted = |name: &str| wanted.iter().any(|chain| chain.name == name);
    let stale = || found.chains.iter().filter(|name| !is_wanted(name));
    for verb in ["-F", "-X"] {
        for name in stale() {
            let _ = writeln!(text, "{verb} {name}");
        }
    }
    text.push_str("COMMIT\n");
}

/// What is ours in the output of `save`, by table.
///
/// The pod may have the power to write there whatever it likes: names are taken over only in the
/// very shape that we write.
fn found(saved: &str) -> BTreeMap<&str, Found<'_>> {
    let mut found: BTreeMap<&str, Found<'_>> = BTreeMap::new();
    let mut table = "";
    for line in saved.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim_end();
        } else if let Some(name) = words.first().and_then(|word| word.strip_prefix(':')) {
            if is_ours(name) {
                found.entry(table).or_default().chains.insert(name);
            }
        } else if let ["-A", hook, "-j", chain] = words.as_slice()
            && is_name(hook)
            && !is_ours(hook)
            && is_ours(chain)
        {
            found.entry(table).or_default().jumps.push((hook, chain));
        }
    }
    found
}

fn is_ours(name: &str) -> bool {
    name.starts_with(OURS) && is_name(name)
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

#[cfg(test)]
mod tests;
