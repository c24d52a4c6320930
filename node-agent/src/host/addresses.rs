//! The node's own addresses: probes come from them, and packet rules know them. They change: the
//! first pod of a node may bring a bridge with an address of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::names::PodUid;
use super::pods::PodState;
use super::restore;
use super::state::Host;

/// Most addresses of a node: more do not fit the message that gives a proxy a pod.
const MOST: usize = 40;
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The addresses given, and others on the node's interfaces that somebody else can reach.
pub(crate) fn of_node(given: &[IpAddr]) -> Vec<IpAddr> {
    together(given, restore::addresses())
}

fn together(given: &[IpAddr], found: BTreeSet<IpAddr>) -> Vec<IpAddr> {
    let reachable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let others = found
        .into_iter()
        .filter(|ip| reachable(ip) && !given.contains(ip));
    // Those given come first: the first one names the node to the control plane.
    let all = given.iter().copied().chain(others);
    all.take(MOST).collect()
}

/// Has rules and proxies know new addresses, until a successor has taken over.
pub(crate) async fn follow(host: Arc<Host>) {
    // Addresses that were there at the start stay known: they were given, or come back.
    let first = host.node_ips();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = host.retired.cancelled() => return,
        }
        let found = tokio::task::spawn_blocking(restore::addresses).await;
        let Ok(found) = found else { return };
        let now = together(&first, found);
        if host.set_node_ips(now) {
            tracing::info!(node_ips = ?host.node_ips(), "the node has other addresses");
            tell(&host).await;
        }
    }
}

/// Loads the rules of captured pods again and gives them to the proxies anew.
async fn tell(host: &Host) {
    if let Err(error) = restore::load_rules_again(host).await {
        tracing::error!(%error, "rules do not know the node's new addresses");
    }
    let captured: Vec<PodUid> = {
        let pods = host.pods.lock();
        let captured = pods.iter().filter(|pod| pod.state == PodState::Captured);
        captured.map(|pod| pod.names.uid.clone()).collect()
    };
    for uid in captured {
        host.attach(&uid);
    }
}

#[cfg(test)]
mod tests;
