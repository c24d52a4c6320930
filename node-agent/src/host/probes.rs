//! Tells probes of the kubelet from whatever else comes from the node's own addresses: NodePort
//! traffic, pods on the host network and other processes carry them too.
//!
//! A flow is a probe if it goes to a port that the pod's containers are probed on and if a socket
//! that the kubelet holds is its other end. The kubelet is a process of root called `kubelet` that
//! lives in no pod.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_netsys::sock_diag;

use super::find;
use super::names::PodUid;
use super::state::Host;

/// What the kubelet's program is called.
const KUBELET: &str = "kubelet";

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
    let look = move || is_of_kubelet(source, SocketAddr::new(ip, port));
    tokio::task::spawn_blocking(look).await.unwrap_or(false)
}

/// Whether the kubelet holds the node's end of a connection.
fn is_of_kubelet(source: SocketAddr, destination: SocketAddr) -> bool {
    let socket = match sock_diag::tcp_socket(source, destination) {
        // The kubelet is root: the sockets of others are not worth a search.
        Ok(Some(socket)) if socket.inode != 0 && socket.uid == 0 => socket,
        Ok(_) => return false,
        Err(error) => {
            tracing::warn!(%source, %destination, %error, "it cannot be told whose flow this is: refused");
            return false;
        }
    };
    kubelets().any(|process| holds(&process, socket.inode))
}

/// Processes that are the kubelet.
fn kubelets() -> impl Iterator<Item = PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|entry| entry.path()).filter(|process| {
        let called = fs::read_to_string(process.join("comm"));
        called.is_ok_and(|name| name.trim_end() == KUBELET)
            && fs::metadata(process).is_ok_and(|process| process.uid() == 0)
            && fs::read_to_string(process.join("cgroup"))
                .is_ok_and(|cgroups| find::pod_of(&cgroups).is_none())
    })
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
