//! Which packet filter is used: the one asked for, or the best one that this kernel has.
//!
//! A filter is tried by loading real rules into a network namespace that nobody uses: programs may
//! be installed that the kernel cannot serve. The node's own rules are never touched.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_netsys::NetNs;

use super::firewall::{self, FirewallError};
use super::rules::{Duty, RuleInput, Rules};

/// What rules may be written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// nftables if it works, else iptables.
    Auto,
    /// nftables.
    Nft,
    /// iptables, in the flavour that works and that the node uses.
    Iptables,
    /// iptables that writes nftables.
    IptablesNft,
    /// iptables with tables of its own.
    IptablesLegacy,
}

/// Nothing that was asked for works.
#[derive(Debug)]
pub(crate) struct NoFilter {
    asked: Choice,
    failed: Vec<(Rules, TrialError)>,
}

/// Why one does not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    /// No namespace to try it in.
    #[error("cannot make a network namespace to try it in: {0}")]
    Namespace(#[source] io::Error),
    /// It refused.
    #[error(transparent)]
    Load(#[from] FirewallError),
}

impl Choice {
    /// The filters to try, best first.
    fn candidates(self, legacy_in_use: bool) -> Vec<Rules> {
        let mut iptables = vec![Rules::IptablesNft, Rules::IptablesLegacy];
        if legacy_in_use {
            iptables.reverse();
        }
        match self {
            Self::Auto => [vec![Rules::Nft], iptables].concat(),
            Self::Nft => vec![Rules::Nft],
            Self::Iptables => iptables,
            Self::IptablesNft => vec![Rules::IptablesNft],
            Self::IptablesLegacy => vec![Rules::IptablesLegacy],
        }
    }
}

impl fmt::Display for NoFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no packet filter that may be used works on this node")?;
        for (rules, error) in &self.failed {
            write!(f, "; {rules}: {error}")?;
        }
        f.write_str(match self.asked {
            Choice::Auto => "; the kernel needs nf_tables, or ip_tables and ip6_tables",
            _ => "; --firewall=auto takes whichever works",
        })
    }
}

impl std::error::Error for NoFilter {}

/// Chooses the packet filter for this node and logs the choice; with `dns` it must be able to redirect
/// questions about names, too.
pub(crate) async fn choose(choice: Choice, dns: bool) -> Result<Rules, NoFilter> {
    let works = async |rules| try_out(rules, dns).await;
    first_that_works(choice, legacy_in_use(), works).await
}

async fn first_that_works(
    asked: Choice,
    legacy_in_use: bool,
    works: impl AsyncFn(Rules) -> Result<(), TrialError>,
) -> Result<Rules, NoFilter> {
    let mut failed = Vec::new();
    for rules in asked.candidates(legacy_in_use) {
        match works(rules).await {
            Ok(()) => {
                tracing::info!(firewall = %rules, "packet filter of the pods' rules");
                return Ok(rules);
            }
            Err(error) => {
                tracing::debug!(firewall = %rules, %error, "a packet filter does not work");
                failed.push((rules, error));
            }
        }
    }
    Err(NoFilter { asked, failed })
}

/// Whether anybody on the node uses the older flavour of iptables: the kernel makes a table once
/// it is used.
fn legacy_in_use() -> bool {
    let tables = ["ip_tables_names", "ip6_tables_names"];
    tables.iter().any(|names| {
        fs::read_to_string(format!("/proc/thread-self/net/{names}"))
            .is_ok_and(|names| !names.trim().is_empty())
    })
}

/// Loads rules as a pod's into a namespace that ends with this call.
async fn try_out(rules: Rules, dns: bool) -> Result<(), TrialError> {
    let made = tokio::task::spawn_blocking(NetNs::fresh).await;
    let netns = made
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(TrialError::Namespace)?;
    let netns = Arc::new(netns);
    let node_ips = [
        IpAddr::from([192, 0, 2, 1]),
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    ];
    let resolvers = if dns { &node_ips[..] } else { &[] };
    let capture = RuleInput::new(&node_ips).with_dns(resolvers);
    for duty in [&Duty::Capture(capture), &Duty::Drain] {
        firewall::load(&netns, rules, duty).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
