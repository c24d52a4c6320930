//! The packet rules of a captured pod, as text and data: what to load, never how.
//!
//! Everything here is a pure function of its arguments. `firewall.rs` carries the result into the
//! pod's network namespace. Each back end is a file of its own below; the same functional tests
//! hold for all of them (`firewall/tests`).
//!
//! Invariants of every text produced here:
//! - only a connection's first packet is redirected, so that connections older than the capture
//!   live on (a packet in mid-stream is NEW to a fresh conntrack and would be reset);
//! - a first packet that escaped redirection goes nowhere, whoever sent it;
//! - a packet of a marked socket with a foreign source address leaves by `lo` or not at all;
//! - the proxy's leg to the application is not tracked, so it may share the client's own port;
//! - questions about names are redirected that go to the resolvers which the proxy stands in for; those
//!   to other servers are none of the mesh's;
//! - where questions about names are redirected, the proxy's own ones are tracked apart (conntrack
//!   zone 1): one from a port that a client used a moment ago would be taken for the client's, and
//!   come back to the proxy;
//! - a text may be loaded any number of times and replaces all that an earlier one of ours did; no
//!   step of it leaves a captured pod direct.

mod iptables;
mod nft;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Seconds that a connection which is closed one way may be silent.
const HALF_CLOSED: u32 = 12 * 60 * 60;
/// Backlog that a pod's listeners ask for; connections of a proxy's restart wait in it.
pub(crate) const BACKLOG: u16 = 4096;

/// A packet filter back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rules {
    /// nftables, loaded by `nft`: one table of our own for both families.
    Nft,
    /// iptables in its newer flavour, which writes nftables.
    IptablesNft,
    /// iptables in its older flavour, with tables of its own in the kernel.
    IptablesLegacy,
}

/// What the rules of a pod are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// They redirect new connections.
    Capture(RuleInput),
    /// They redirect nothing new and keep what was redirected alive.
    ///
    /// Without any rule that uses conntrack the hooks go that undo a redirection, and live
    /// connections would be reset.
    Drain,
    /// There are none.
    Nothing,
}

/// What the rules of a pod depend on: addresses of the node it runs on, and of the resolvers questions to
/// which are redirected too. Without any, none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuleInput {
    dns4: BTreeSet<Ipv4Addr>,
    dns6: BTreeSet<Ipv6Addr>,
    node4: BTreeSet<Ipv4Addr>,
    node6: BTreeSet<Ipv6Addr>,
}

/// A program and its arguments, separated by spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its arguments.
    pub(crate) arguments: &'static str,
}

/// One program's share in loading the rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loader {
    /// Prints the rules there are, for the text to build on.
    pub(crate) look: Option<Program>,
    /// Reads the text on its standard input.
    pub(crate) load: Program,
    /// The text, by what is to be and what was printed; empty if nothing is to be done.
    pub(crate) text: fn(&Duty, &str) -> String,
    /// Whether a namespace that does not speak IPv6 can do without.
    pub(crate) ipv6_only: bool,
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

    /// The same, with questions about names redirected that go to these resolvers.
    pub(crate) fn with_dns(mut self, resolvers: &[IpAddr]) -> Self {
        for ip in resolvers {
            match ip.to_canonical() {
                IpAddr::V4(ip) => drop(self.dns4.insert(ip)),
                IpAddr::V6(ip) => drop(self.dns6.insert(ip)),
            }
        }
        self
    }

    /// Whether any question is redirected.
    fn has_dns(&self) -> bool {
        !self.dns4.is_empty() || !self.dns6.is_empty()
    }
}

impl Rules {
    /// The programs that load its rules, in this order.
    pub(crate) fn loaders(self) -> &'static [Loader] {
        match self {
            Self::Nft => &nft::LOADERS,
            Self::IptablesNft => &iptables::NFT,
            Self::IptablesLegacy => &iptables::LEGACY,
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nft => "nft",
            Self::IptablesNft => "iptables-nft",
            Self::IptablesLegacy => "iptables-legacy",
        })
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
/// which a first packet with the same ports would then be taken to belong to (`seal`).
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

#[cfg(test)]
mod tests;
