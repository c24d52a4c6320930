//! Pods that were deleted without a release: their network namespace is nowhere any more.
//!
//! The role's own descriptors keep such a namespace alive, so the kernel does not tell. A
//! namespace is gone when it is mounted nowhere and no process lives in it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::counters::Count;
use super::names::PodUid;
use super::pods::{NamespaceId, PodState};
use super::release;
use super::state::Host;

/// How often captured pods are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The namespaces that processes of this machine live in, or that are mounted somewhere.
///
/// An error means that nothing can be said, as without descriptors or memory: nobody is gone then.
pub(crate) fn existing() -> io::Result<HashSet<NamespaceId>> {
    let mut found = HashSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            // A process may have ended since it was listed.
            found.extend(at_path(&entry.path().join("ns/net")));
        }
    }
    let device = fs::metadata("/proc/self/ns/net")?.dev();
    for (table, _) in mount_tables()? {
        found.extend(mounted(&table).map(|(inode, _)| NamespaceId { device, inode }));
    }
    Ok(found)
}

/// Where this process sees the files of the machine's first one: in a container, those of the node.
const NODE_ROOT: &str = "/proc/1/root";

/// What is mounted, as this process and as the machine's first one see it, each with what leads to
/// its paths. The container runtime mounts pods' namespaces where the latter sees them.
fn mount_tables() -> io::Result<Vec<(String, &'static str)>> {
    let own = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let mut tables = vec![(own, "")];
    if let Ok(of_node) = fs::read_to_string("/proc/1/mountinfo") {
        tables.push((of_node, NODE_ROOT));
    }
    Ok(tables)
}

/// The path by which this process finds a namespace that somebody on the node found at `path`.
pub(crate) fn path_here(namespace: NamespaceId, path: &str) -> Option<String> {
    let candidates = [path.to_owned(), format!("{NODE_ROOT}{path}")];
    let mut leading = candidates.into_iter();
    leading.find(|path| at_path(Path::new(path)) == Some(namespace))
}

/// Paths that lead to a namespace now: where it is mounted, and processes that live in it.
pub(crate) fn paths_to(namespace: NamespaceId) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lived_in = processes.map(|entry| entry.path().join("ns/net"));
    let mounted = Mounts::read()
        .paths_to(namespace)
        .map(PathBuf::from)
        .collect::<Vec<_>>();
    let lived_in = lived_in.filter(|path| at_path(path) == Some(namespace));
    mounted.into_iter().chain(lived_in).collect()
}

/// Where network namespaces are mounted.
#[derive(Debug)]
pub(crate) struct Mounts(Vec<(u64, PathBuf)>);

impl Mounts {
    /// As it is now; empty if that cannot be read.
    pub(crate) fn read() -> Self {
        let tables = mount_tables().unwrap_or_default();
        let mounts = tables.iter().flat_map(|(table, root)| {
            mounted(table).map(move |(inode, place)| (inode, format!("{root}{place}").into()))
        });
        Self(mounts.collect())
    }

    /// Paths at which a namespace is mounted and still found.
    pub(crate) fn paths_to(&self, namespace: NamespaceId) -> impl Iterator<Item = &Path> {
        let named = self
            .0
            .iter()
            .filter(move |(inode, _)| *inode == namespace.inode);
        let paths = named.map(|(_, path)| path.as_path());
        paths.filter(move |path| at_path(path) == Some(namespace))
    }
}

/// Network namespaces in the text of a `mountinfo` and where they are mounted: the field before
/// the place, the root of the mount, is `net:[INODE]`.
fn mounted(mounts: &str) -> impl Iterator<Item = (u64, &str)> {
    mounts.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let inode = fields
            .next()?
            .strip_prefix("net:[")?
            .strip_suffix(']')?
            .parse()
            .ok()?;
        Some((inode, fields.next()?))
    })
}

/// Which namespace a path leads to.
pub(crate) fn at_path(path: &Path) -> Option<NamespaceId> {
    let metadata = fs::metadata(path).ok()?;
    Some(NamespaceId {
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

/// Whether a namespace is neither mounted nor lived in.
pub(crate) async fn is_gone(namespace: NamespaceId, path: Option<String>) -> bool {
    let look = move || {
        let mounted = path.is_some_and(|path| at_path(Path::new(&path)) == Some(namespace));
        !mounted && existing().is_ok_and(|found| !found.contains(&namespace))
    };
    tokio::task::spawn_blocking(look).await.unwrap_or(false)
}

/// Finds captured pods that were deleted, for ever.
pub(crate) async fn watch(host: Arc<Host>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for (uid, epoch) in gone_pods(&host).await {
            tracing::warn!(pod = %uid, "the pod's network namespace is gone: released");
            host.counters.count(Count::PodsVanished);
            let _standing_still = host.changes.read().await;
            let _turn = host.turn(&uid).await;
            release::finish_gone(&host, &uid, epoch).await;
        }
    }
}

/// Captured pods whose namespace is gone. The machine is searched only if some path leads nowhere.
async fn gone_pods(host: &Host) -> Vec<(PodUid, u64)> {
    let places: Vec<_> = host
        .pods
        .lock()
        .iter()
        .filter(|pod| pod.state == PodState::Captured)
        .map(|pod| {
            (
                pod.names.uid.clone(),
                pod.epoch,
                pod.namespace,
                pod.path.clone(),
            )
        })
        .collect();
    let look = move || {
        let unmounted: Vec<_> = places
            .into_iter()
            .filter(|(_, _, namespace, path)| {
                path.as_ref()
                    .is_none_or(|path| at_path(Path::new(path)) != Some(*namespace))
            })
            .collect();
        if unmounted.is_empty() {
            return Vec::new();
        }
        let existing = match existing() {
            Ok(existing) => existing,
            Err(error) => {
                tracing::warn!(%error, "cannot look for pods that were deleted");
                return Vec::new();
            }
        };
        unmounted
            .into_iter()
            .filter(|(_, _, namespace, _)| !existing.contains(namespace))
            .map(|(uid, epoch, _, _)| (uid, epoch))
            .collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

#[cfg(test)]
mod tests;
