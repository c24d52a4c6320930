//! The list of enrolled namespaces on the node, by which the CNI plugin tells pods that must wait
//! for their capture from those that need not.
//!
//! It is written anew even if nothing changes: a list that grows old tells the plugin that the
//! agent is gone. Nothing is written before the namespaces are known, so an agent that has not
//! heard from the cluster leaves the list of the one before it to stand or grow stale.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ambit_cni::namespaces::NamespaceList;
use ambit_kit::clock;
use ambit_kit::files::{self, FileError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it is written if nothing changes; the plugin relies on it thirty times as long.
const REWRITE_EVERY: Duration = Duration::from_secs(30);

/// What the list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    /// Pods of these wait until they are captured.
    pub(crate) enrolled: BTreeSet<String>,
    /// Pods of these never wait.
    pub(crate) system: BTreeSet<String>,
}

/// The text of the list at a time of day.
pub(crate) fn content(namespaces: &Namespaces, now: SystemTime) -> Vec<u8> {
    let Namespaces { enrolled, system } = namespaces.clone();
    let list = NamespaceList::new(enrolled, system, clock::unix_seconds(now));
    // Nothing in it is what JSON could not hold; no text at all would be read as no list.
    serde_json::to_vec(&list).unwrap_or_default()
}

/// Writes the list as a whole.
pub(crate) fn write(path: &Path, namespaces: &Namespaces) -> Result<(), FileError> {
    files::write_whole(path, &content(namespaces, clock::wall()), files::PUBLIC)
}

/// What a list that can be relied on says.
pub(crate) fn read(path: &Path) -> Option<Namespaces> {
    let now = clock::unix_seconds(clock::wall());
    match NamespaceList::read(path, now) {
        Ok(NamespaceList {
            enrolled, system, ..
        }) => Some(Namespaces { enrolled, system }),
        Err(error) => {
            tracing::debug!(%error, "no list of a former role");
            None
        }
    }
}

/// Keeps the list written until told to stop, or until nobody knows the namespaces any more.
pub(crate) async fn keep_written(
    path: PathBuf,
    mut known: watch::Receiver<Option<Namespaces>>,
    stop: CancellationToken,
) {
    loop {
        let namespaces = known.borrow_and_update().clone();
        if let Some(namespaces) = namespaces {
            let target = path.clone();
            let write = tokio::task::spawn_blocking(move || write(&target, &namespaces));
            if let Ok(Err(error)) = write.await {
                tracing::error!(%error, "new pods will fail to start once the former list is stale");
            }
        }
        tokio::select! {
            changed = known.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(REWRITE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests;
