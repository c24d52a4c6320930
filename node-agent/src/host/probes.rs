//! Tells probes of the kubelet from whatever else comes from the node's own addresses: NodePort
//! traffic, pods on the host network and other processes carry them too.
//!
//! A flow is a probe if it goes to a port that the pod's containers are probed on and if a socket
//! that the kubelet holds is its other end. The kubelet is a process of root called `kubelet` that
//! lives in no pod.
//!
//! Probes are many, and so are the questions of whoever can connect by the node's address: all
//! processes of the node are looked through now and then only ([`Kubelets`]).

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_netsys::sock_diag;
use parking_lot::Mutex;

use super::find;
use super::names::PodUid;
use super::state::Host;

/// What the kubelet's program is called.
const KUBELET: &str = "kubelet";
/// How often the kubelet is searched for, unless one that was found has ended.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// Processes that were the kubelet when it was last searched for.
#[derive(Debug, Default)]
pub(crate) struct Kubelets(Mutex<Searched>);

#[derive(Debug, Default)]
struct Searched {
    at: Option<Instant>,
    found: Vec<PathBuf>,
}

/// Whether a flow to a pod is a probe; what cannot be found out is none.
pub(crate) async fn is_probe(
    host: &Arc<Host>,
    uid: &PodUid,
    source: SocketAddr,
    port: u16,
) -> bool {
    let Some(record) = host.roster.record(uid) else {
        return false;
    };
    let is_probed = record.probe_ports.contains(&port);
    if !is_probed || !host.node_ips().contains(&source.ip()) {
        return false;
    }
    let of_family = |ip: &&std::net::IpAddr| ip.is_ipv4() == source.is_ipv4();
    let Some(ip) = record.names.ips.iter().find(of_family).copied() else {
        return false;
    };
    let (host, to) = (Arc::clone(host), SocketAddr::new(ip, port));
    let look = move || is_of_kubelet(&host.kubelets, source, to, clock::now());
    tokio::task::spawn_blocking(look).await.unwrap_or(false)
}

/// Whether the kubelet holds the node's end of a connection.
fn is_of_kubelet(
    kubelets: &Kubelets,
    source: SocketAddr,
    destination: SocketAddr,
    now: Instant,
) -> bool {
    let socket = match sock_diag::tcp_socket(source, destination) {
        // The kubelet is root: the sockets of others are not worth a search.
        Ok(Some(socket)) if socket.inode != 0 && socket.uid == 0 => socket,
        Ok(_) => return false,
        Err(error) => {
            tracing::warn!(%source, %destination, %error, "it cannot be told whose flow this is: refused");
            return false;
        }
    };
    kubelets.hold(socket.inode, now)
}

impl Kubelets {
    /// Whether one of them holds a socket. Looks at one question at a time.
    fn hold(&self, inode: u32, now: Instant) -> bool {
        let mut searched = self.0.lock();
        let known = searched.found.len();
        // Another process may have its number by now.
        searched.found.retain(|process| is_kubelet(process));
        let is_recent = |at: Instant| now.saturating_duration_since(at) < SEARCH_EVERY;
        let is_complete = searched.found.len() == known && searched.at.is_some_and(is_recent);
        let is_held = |found: &[PathBuf]| found.iter().any(|process| holds(process, inode));
        let known_to_hold = is_held(&searched.found);
        if known_to_hold || is_complete {
            return known_to_hold;
        }
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let paths = processes.map(|entry| entry.path());
        *searched = Searched {
            at: Some(now),
            found: paths.filter(|process| is_kubelet(process)).collect(),
        };
        is_held(&searched.found)
    }
}

fn is_kubelet(process: &Path) -> bool {
    let called = fs::read_to_string(process.join("comm"));
    called.is_ok_and(|name| name.trim_end() == KUBELET)
        && fs::metadata(process).is_ok_and(|process| process.uid() == 0)
        && fs::read_to_string(process.join("cgroup"))
            .is_ok_and(|cgroups| find::pod_of(&cgroups).is_none())
}

fn holds(process: &Path, inode: u32) -> bool {
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    let descriptors = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    let mut links = descriptors.map(|entry| fs::read_link(entry.path()));
    links.any(|link| link.is_ok_and(|link| link == socket))
}

#[cfg(test)]
mod tests;
