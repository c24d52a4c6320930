//! Keeps the CNI plugin in the node's network configuration, whoever rewrites it.
//!
//! A pod that starts while the plugin is out of it is captured late, so a change of the directory
//! wakes the keeper at once. Because notices can be lost, and the directory itself replaced, it
//! looks every few seconds all the same; with nothing to do, a look reads one small file.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambit_cni::keeper::{KeepError, Keeper, Kept};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often the directory is looked at without a notice.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long after a notice it is looked at: a file may be written in several steps, and whoever
/// else keeps itself in it must not make two keepers chase each other at full speed.
const SETTLE: Duration = Duration::from_millis(50);

/// Keeps the plugin's entry in place until told to stop; it stays in place then.
pub(crate) async fn keep_installed(keeper: Keeper, stop: CancellationToken) {
    keep(&keeper, LOOK_EVERY, &stop).await;
}

/// Looks until told to stop. It ends between two looks: whoever takes the entry out after that can
/// rely on nobody putting it back.
async fn keep(keeper: &Keeper, look_every: Duration, stop: &CancellationToken) {
    let woken = Arc::new(Notify::new());
    let mut notices = None;
    let mut said = String::new();
    loop {
        // Before the look, or a change between the two would go unseen until the next one.
        notices = Notices::renewed(notices, keeper.directory(), &woken);
        let looker = keeper.clone();
        let Ok(kept) = tokio::task::spawn_blocking(move || looker.keep()).await else {
            return;
        };
        say(&mut said, &kept);
        tokio::select! {
            () = woken.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(look_every) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Logs what has happened, unless it was said the last time.
fn say(said: &mut String, kept: &Result<Kept, KeepError>) {
    let text = match kept {
        Ok(Kept::Unchanged) => String::new(),
        Ok(Kept::Inserted(path)) => format!("put into {}", path.display()),
        Ok(Kept::NoConfiguration) => "this node has no network configuration yet".to_owned(),
        Err(error) => error.to_string(),
    };
    if text == *said {
        return;
    }
    match kept {
        Ok(Kept::Unchanged) => tracing::debug!("the CNI plugin is in its place"),
        Ok(_) => tracing::info!("the CNI plugin: {text}"),
        Err(_) => tracing::error!("the CNI plugin is not in its place: {text}"),
    }
    *said = text;
}

/// Notices of changes in one directory, which end with this.
#[derive(Debug)]
struct Notices {
    /// Device and inode: another directory in its place needs another watcher.
    directory: (u64, u64),
    _watcher: RecommendedWatcher,
}

impl Notices {
    /// The same ones if they are still of this directory; `None` while there cannot be any.
    fn renewed(former: Option<Self>, directory: &Path, woken: &Arc<Notify>) -> Option<Self> {
        let found = std::fs::metadata(directory).ok()?;
        let identity = (found.dev(), found.ino());
        if former.as_ref().is_some_and(|it| it.directory == identity) {
            return former;
        }
        let watcher = watch(directory, Arc::clone(woken));
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "changes are noticed late"))
            .ok()?;
        Some(Self {
            directory: identity,
            _watcher: watcher,
        })
    }
}

fn watch(directory: &Path, woken: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Its own reading is no reason to read again.
        let is_change = event.is_ok_and(|event| match event.kind {
            EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
            _ => true,
        });
        if is_change {
            woken.notify_one();
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

#[cfg(test)]
mod tests;
