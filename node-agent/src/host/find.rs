//! Finds the network namespaces of running pods by the processes that live in them: no container
//! runtime is asked.
//!
//! The kubelet puts every process of a pod below a cgroup that has the pod's uid in its name. A
//! process of a pod may have left for a namespace of its own, so a namespace counts only if it
//! holds an address of the pod.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ambit_netsys::NetNs;

use super::names::{PodNames, PodUid};
use super::pods::NamespaceId;
use super::vanished::Mounts;
use super::{restore, vanished};

/// Largest cgroup file that is read.
const LONGEST: usize = 64 << 10;

/// A pod's network namespace and a path that leads to it.
#[derive(Debug)]
pub(crate) struct Found {
    /// The namespace.
    pub(crate) netns: NetNs,
    /// Where it is mounted, if it is.
    pub(crate) path: Option<String>,
}

/// Looks for the namespaces of these pods; those that are not found are left out.
///
/// # Errors
/// If the processes of the node cannot be listed.
pub(crate) fn namespaces_of(wanted: &[PodNames]) -> io::Result<HashMap<PodUid, Found>> {
    let by_uid: HashMap<&str, &PodNames> = wanted
        .iter()
        .map(|names| (names.uid.as_str(), names))
        .collect();
    let mut candidates: HashMap<&PodUid, HashMap<NamespaceId, PathBuf>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // What is not a process has no such file, and a process may end at any time.
        let Ok(cgroups) = fs::read_to_string(process.join("cgroup")) else {
            continue;
        };
        let cgroups = cgroups.get(..LONGEST).unwrap_or(&cgroups);
        let Some(names) = pod_of(cgroups).and_then(|uid| by_uid.get(uid.as_str())) else {
            continue;
        };
        let path = process.join("ns/net");
        if let Some(namespace) = vanished::at_path(&path) {
            candidates
                .entry(&names.uid)
                .or_default()
                .entry(namespace)
                .or_insert(path);
        }
    }
    let mounts = Mounts::read();
    let mut found = HashMap::new();
    for names in wanted {
        let paths = candidates.remove(&names.uid).unwrap_or_default();
        let open = paths
            .into_iter()
            .filter_map(|(namespace, path)| open(names, namespace, &path, &mounts));
        let own = the_pods(names, open.collect());
        found.extend(own.map(|own| (names.uid.clone(), own)));
    }
    Ok(found)
}

/// The pod's own among namespaces of its processes. Each of them may make some, with any address in
/// them; but only the container runtime mounts one where the node sees it.
fn the_pods(names: &PodNames, mut all: Vec<Found>) -> Option<Found> {
    if let Some(mounted) = all.iter().position(|found| found.path.is_some()) {
        return Some(all.swap_remove(mounted));
    }
    if all.len() > 1 {
        tracing::error!(
            pod = %names.uid, namespaces = all.len(),
            "not captured: it has several network namespaces with its address, and none is mounted"
        );
        return None;
    }
    all.pop()
}

/// The namespace at a path, if it still is that one and holds an address of the pod.
fn open(names: &PodNames, namespace: NamespaceId, path: &Path, mounts: &Mounts) -> Option<Found> {
    let netns = NetNs::open(path).ok()?;
    let is_same = NamespaceId::of(&netns) == namespace;
    if !is_same || !restore::has_address_of(&netns, names) {
        return None;
    }
    let mounted = mounts.paths_to(namespace).next();
    let path = mounted.and_then(|path| Some(path.to_str()?.to_owned()));
    Some(Found { netns, path })
}

/// The uid of the pod that a process with these cgroups belongs to.
///
/// Its cgroup is called `podUID` by one driver of the kubelet and `…-podUID.slice`, with `_` for
/// `-`, by the other.
pub(crate) fn pod_of(cgroups: &str) -> Option<String> {
    let paths = cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2));
    let mut parts = paths.flat_map(|path| path.split('/'));
    parts.find_map(|part| {
        let part = part.strip_suffix(".slice").unwrap_or(part);
        let (before, uid) = part.rsplit_once("pod")?;
        let is_uid = uid.len() >= 32
            && uid
                .bytes()
                .all(|b| b.is_ascii_hexdigit() || b"-_".contains(&b));
        let is_pods = before.is_empty() || before.ends_with('-');
        (is_uid && is_pods).then(|| uid.replace('_', "-"))
    })
}

#[cfg(test)]
mod tests;
