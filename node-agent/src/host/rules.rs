//! The packet rules of a captured pod, as text and data: what to load, never how.
//!
//! Everything here is a pure function of its arguments. `firewall.rs` carries the result into the
//! pod's network namespace. A second packet filter back end is one more variant of [`Rules`].
//!
//! Invariants of every text produced here:
//! - only a connection's first packet is redirected, so that connections older than the capture
//!   live on (a packet in mid-stream is NEW to a fresh conntrack and would be reset);
//! - a first packet that escaped redirection goes nowhere;
//! - a packet of a marked socket with a foreign source address leaves by `lo` or not at all;
//! - the proxy's leg to the application is not tracked, so it may share the client's own port;
//! - a text replaces the whole table in one transaction and may be loaded any number of times.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ambit_netsys::sockets::{APP_MARK, WORLD_MARK};

use crate::ports;

/// Name of our table in the pod's namespace.
const TABLE: &str = "inet ambit";
/// Matches the first packet of a TCP connection.
const FIRST_PACKET: &str = "tcp flags & (fin|syn|rst|ack) == syn";
/// Seconds that a connection which is closed one way may be silent.
const HALF_CLOSED: u32 = 12 * 60 * 60;
/// Backlog that a pod's listeners ask for; connections of a proxy's restart wait in it.
pub(crate) const BACKLOG: u16 = 4096;

/// A packet filter back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// nftables, loaded by `nft -f -`.
    Nft,
}

/// What the rules of a pod depend on: addresses of the node it runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuleInput {
    node4: BTreeSet<Ipv4Addr>,
    node6: BTreeSet<Ipv6Addr>,
}

impl RuleInput {
    /// Sorts the node's addresses by family.
    pub(crate) fn new(node_ips: &[IpAddr]) -> Self {
        let mut input = Self::default();
        for ip in node_ips {
            match ip {
                IpAddr::V4(ip) => drop(input.node4.insert(*ip)),
                IpAddr::V6(ip) => drop(input.node6.insert(*ip)),
            }
        }
        input
    }
}

impl Rules {
    /// The command that reads this back end's text on its standard input.
    pub(crate) fn command(self) -> (&'static str, &'static str) {
        match self {
            Self::Nft => ("nft", "-f -"),
        }
    }

    /// Captures the pod's traffic.
    pub(crate) fn capture(self, input: &RuleInput) -> String {
        let Self::Nft = self;
        let mut body = String::new();
        push_set(&mut body, "node4", "ipv4_addr", &input.node4);
        push_set(&mut body, "node6", "ipv6_addr", &input.node6);
        body.push_str(&marked_chains());
        body.push_str(&outbound_chain());
        body.push_str(&inbound_chain());
        body.push_str(&seal());
        replace_table(&body)
    }

    /// Captures nothing new and keeps what was redirected alive.
    ///
    /// Deleting the table would reset live connections: the last rule that uses conntrack takes
    /// the hooks along that undo the redirection. One nat chain with one `ct` rule keeps them.
    pub(crate) fn drain(self) -> String {
        let Self::Nft = self;
        let mut body = marked_chains();
        body.push_str(
            " chain out {\n  type nat hook output priority -100;\n  ct state invalid return\n }\n",
        );
        replace_table(&body)
    }

    /// Removes everything.
    pub(crate) fn nothing(self) -> String {
        let Self::Nft = self;
        format!("add table {TABLE}\ndelete table {TABLE}\n")
    }
}

/// One change of a pod's namespace beside the packet filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Arguments of iproute2, separated by spaces.
    Ip(&'static str),
    /// A kernel setting below `/proc/sys`.
    Sysctl(Setting),
}

/// A kernel setting: how it is to be, and whether the namespace may lack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Path below `/proc/sys`.
    pub(crate) path: &'static str,
    /// The value that it must have.
    pub(crate) value: u32,
    /// Whether a larger value that is already there is fine.
    pub(crate) at_least: bool,
    /// Whether the capture works without it.
    pub(crate) optional: bool,
}

/// Ways back for the application's replies to the proxy, and settings the capture rests on.
///
/// The rules have a place of their own (between the local table and the main one): without it,
/// every repetition would add one more.
pub(crate) fn routing(ipv6: bool) -> Vec<Step> {
    let mut steps = vec![
        Step::Ip("link set lo up"),
        Step::Ip("-4 rule add pref 15001 fwmark 0x539 lookup 100"),
        Step::Ip("-4 route replace local default dev lo table 100"),
        required("net/ipv4/tcp_fwmark_accept"),
        required("net/ipv4/fwmark_reflect"),
    ];
    if ipv6 {
        steps.extend([
            Step::Ip("-6 rule add pref 15001 fwmark 0x539 lookup 100"),
            Step::Ip("-6 route replace local default dev lo table 100"),
            required("net/ipv6/fwmark_reflect"),
        ]);
    }
    steps
}

/// How connections are tracked, to be set once rules have been loaded that track any: before the
/// first ones on a node the kernel may not have the settings.
///
/// Without `loose` a packet in mid-stream makes no entry. It could make one without redirection,
/// which a first packet with the same ports would then be taken to belong to ([`seal`]).
pub(crate) fn tracking() -> Vec<Step> {
    let timeout = |path, value, at_least| {
        Step::Sysctl(Setting {
            path,
            value,
            at_least,
            optional: true,
        })
    };
    vec![
        Step::Sysctl(Setting {
            path: "net/netfilter/nf_conntrack_tcp_loose",
            value: 0,
            at_least: false,
            optional: false,
        }),
        // TIME_WAIT entries of 120 s would fill the table at about 2,000 short connections per
        // second and pod.
        timeout(
            "net/netfilter/nf_conntrack_tcp_timeout_time_wait",
            10,
            false,
        ),
        timeout("net/netfilter/nf_conntrack_tcp_timeout_last_ack", 10, false),
        // An entry that expires loses its address translation: a connection that is closed one
        // way may be silent for long. `established` is 5 days as it is.
        timeout(
            "net/netfilter/nf_conntrack_tcp_timeout_fin_wait",
            HALF_CLOSED,
            true,
        ),
        timeout(
            "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
            HALF_CLOSED,
            true,
        ),
    ]
}

/// The setting that caps a listener's queue. It must hold before the listeners are opened.
pub(crate) fn queue_limit() -> Setting {
    Setting {
        path: "net/core/somaxconn",
        value: u32::from(BACKLOG),
        at_least: true,
        optional: false,
    }
}

/// Undoes the commands of [`routing`]; each may fail because there is nothing to undo.
pub(crate) fn unrouting(ipv6: bool) -> Vec<Step> {
    let mut steps = vec![
        Step::Ip("-4 rule del pref 15001"),
        Step::Ip("-4 route flush table 100"),
    ];
    if ipv6 {
        steps.extend([
            Step::Ip("-6 rule del pref 15001"),
            Step::Ip("-6 route flush table 100"),
        ]);
    }
    steps
}

fn required(path: &'static str) -> Step {
    Step::Sysctl(Setting {
        path,
        value: 1,
        at_least: false,
        optional: false,
    })
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

/// What holds for the proxy's own sockets, during capture and while draining.
fn marked_chains() -> String {
    format!(
        " chain raw {{
  type filter hook output priority -300;
  meta mark {APP_MARK:#x} notrack
 }}
 chain guard {{
  type filter hook output priority 0;
  meta mark {{ {APP_MARK:#x}, {WORLD_MARK:#x} }} oifname != \"lo\" fib saddr type != local drop
 }}
"
    )
}

fn outbound_chain() -> String {
    format!(
        " chain out {{
  type nat hook output priority -100;
  meta mark {{ {APP_MARK:#x}, {WORLD_MARK:#x} }} return
  fib daddr type local return
  {FIRST_PACKET} redirect to :{}
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
/// another packet before.
fn seal() -> String {
    format!(
        " chain seal_in {{
  type filter hook input priority 0;
  iifname \"lo\" return
  tcp dport {{ {}, {} }} return
  ip saddr @node4 return
  ip6 saddr @node6 return
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
