//! The list of enrolled namespaces on the node, by which the CNI plugin tells pods that must wait
//! for their capture from those that need not.
//!
//! It is written anew even if nothing changes: a list that grows old tells the plugin that the
//! agent is gone. Nothing is written before the namespaces are known, so an agent that has not
//! heard from the cluster leaves the list of the one before it to stand or grow stale.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use ambit_cni::namespaces::NamespaceList;
use ambit_kit::clock;
use ambit_kit::files::{self, FileError};
use tokio::sync::watch;
use tokio::time::Instant;
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

/// Keeps the list written until told to stop; `changes` says when to look at what is known.
pub(crate) async fn keep_written(
    path: PathBuf,
    known: impl Fn() -> Option<Namespaces>,
    mut changes: watch::Receiver<()>,
    stop: CancellationToken,
) {
    let mut written = None;
    let mut due = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let changed = tokio::select! {
            changed = changes.changed() => changed,
            () = &mut due => Ok(()),
            () = stop.cancelled() => return,
        };
        if changed.is_err() {
            return;
        }
        let namespaces = known();
        // Most changes are none of the namespaces.
        if namespaces == written && !due.is_elapsed() {
            continue;
        }
        due.as_mut().reset(Instant::now() + REWRITE_EVERY);
        written = put(&path, namespaces).await;
    }
}

/// Writes what is known, if it is; gives what is written now.
async fn put(path: &Path, namespaces: Option<Namespaces>) -> Option<Namespaces> {
    let (target, content) = (path.to_owned(), namespaces.clone()?);
    let write = tokio::task::spawn_blocking(move || write(&target, &content));
    match write.await {
        Ok(Ok(())) => namespaces,
        Ok(Err(error)) => {
            tracing::error!(%error, "new pods will fail to start once the former list is stale");
            None
        }
        Err(_stopping) => None,
    }
}

#[cfg(test)]
mod tests;
