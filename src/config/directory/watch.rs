//! The thread around a [`Scanner`]: waits for changes, reads them, passes them on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use ambit_kit::clock;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind};
use notify::{Event, EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::warn;

use super::Scanner;
use crate::config::Batch;
use crate::config::last_good::{KeepError, LastGood};

/// Batches that may wait for the receiver: it is one task that is quick, so hardly any do.
const BATCHES: usize = 4;
/// Notices of inotify that may wait; beyond, the whole folder is scanned instead.
const NOTICES: usize = 4096;
/// How long after a file was closed it is read, so that files written together come together.
const SETTLE: Duration = Duration::from_millis(20);
/// How long a file that is written but not closed must have been left alone.
const QUIET: Duration = Duration::from_secs(1);
/// How often the whole folder is scanned while inotify works.
const RESCAN: Duration = Duration::from_secs(30);
/// How often it is scanned while inotify does not.
const RESCAN_WITHOUT_NOTICES: Duration = Duration::from_secs(2);
/// How often the thread looks whether its receiver is still there.
const TICK: Duration = Duration::from_secs(1);

/// Why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It cannot be read.
    #[error("cannot read {}: {source}; name a folder of YAML files", .path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Last good objects cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// No thread could be started.
    #[error("cannot start the thread that watches {}: {source}", .path.display())]
    Thread {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Watches a folder; the first batch holds all that is in it, even if that is nothing.
///
/// With a state folder, last good objects are kept there and found again on the next start.
pub fn watch(root: &Path, state: Option<&Path>) -> Result<mpsc::Receiver<Batch>, WatchError> {
    let path = root.to_owned();
    std::fs::metadata(root).map_err(|source| WatchError::Root {
        path: path.clone(),
        source,
    })?;
    let last_good = state.map(LastGood::open).transpose()?;
    let scanner = Scanner::new(root, last_good);
    let (sender, receiver) = mpsc::channel(BATCHES);
    std::thread::Builder::new()
        .name("directory".to_owned())
        .spawn(move || Watching::new(scanner, sender).run())
        .map_err(|source| WatchError::Thread { path, source })?;
    Ok(receiver)
}

/// What is to be looked at, and when.
struct Watching {
    scanner: Scanner,
    sender: mpsc::Sender<Batch>,
    /// Files to read, once they have been left alone until then.
    due: BTreeMap<PathBuf, Instant>,
    rescan_at: Instant,
    rescan_every: Duration,
}

impl Watching {
    fn new(scanner: Scanner, sender: mpsc::Sender<Batch>) -> Self {
        let rescan_every = RESCAN;
        Self {
            scanner,
            sender,
            due: BTreeMap::new(),
            rescan_at: clock::now(),
            rescan_every,
        }
    }

    fn run(mut self) {
        let overflow = Arc::new(AtomicBool::new(false));
        // Kept until the thread ends: dropping it ends the notices. It is there before the first
        // scan, so that no change falls between the two.
        let (notices, watcher) = match self.listen(Arc::clone(&overflow)) {
            Ok((notices, watcher)) => (notices, Some(watcher)),
            Err(error) => {
                let every = RESCAN_WITHOUT_NOTICES;
                warn!(%error, ?every, "no notices of changed files; scanning instead");
                self.rescan_every = every;
                (sync_channel(1).1, None)
            }
        };
        let first = self.scanner.scan();
        if !self.pass_on(first) {
            return;
        }
        self.scanner.forget_last_good_of_others();
        self.rescan_at = clock::now() + self.rescan_every;
        while !self.sender.is_closed() {
            if watcher.is_some() {
                self.take_notices(&notices);
            } else {
                std::thread::sleep(self.until_next());
            }
            if overflow.swap(false, Ordering::Relaxed) {
                self.rescan_at = clock::now();
            }
            if !self.read_due() {
                return;
            }
        }
    }

    fn listen(
        &self,
        overflow: Arc<AtomicBool>,
    ) -> notify::Result<(Receiver<Event>, notify::RecommendedWatcher)> {
        let (sender, notices) = sync_channel(NOTICES);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let lost = match event {
                Ok(event) if event.need_rescan() => true,
                Ok(event) => sender.try_send(event).is_err(),
                Err(_) => true,
            };
            if lost {
                overflow.store(true, Ordering::Relaxed);
            }
        })?;
        watcher.watch(&self.scanner.root, RecursiveMode::Recursive)?;
        Ok((notices, watcher))
    }

    fn until_next(&self) -> Duration {
        let next = self
            .due
            .values()
            .min()
            .copied()
            .unwrap_or(self.rescan_at)
            .min(self.rescan_at);
        next.saturating_duration_since(clock::now()).min(TICK)
    }

    /// Waits for notices until something is due.
    fn take_notices(&mut self, notices: &Receiver<Event>) {
        match notices.recv_timeout(self.until_next()) {
            Ok(event) => {
                self.note(&event);
                notices
                    .try_iter()
                    .take(NOTICES)
                    .for_each(|event| self.note(&event));
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The watcher lives as long as this thread; without it only scans are left.
            Err(RecvTimeoutError::Disconnected) => self.rescan_every = RESCAN_WITHOUT_NOTICES,
        }
    }

    fn note(&mut self, event: &Event) {
        let now = clock::now();
        let wait = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(RemoveKind::File) => SETTLE,
            EventKind::Create(CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => QUIET,
            EventKind::Access(_) => return,
            // Folders, links and what a kernel may add later.
            _ => {
                if !event.paths.iter().all(|path| is_private(path)) {
                    self.rescan_at = self.rescan_at.min(now + SETTLE);
                }
                return;
            }
        };
        for path in event.paths.iter().filter(|path| !is_private(path)) {
            if Scanner::reads(path) && !path.is_dir() {
                self.due.insert(path.clone(), now + wait);
            } else {
                self.rescan_at = self.rescan_at.min(now + SETTLE);
            }
        }
    }

    /// Reads what is due; false once nobody listens.
    fn read_due(&mut self) -> bool {
        let now = clock::now();
        let mut batch = Batch::default();
        if self.rescan_at <= now {
            self.rescan_at = now + self.rescan_every;
            batch = self.scan_quiet(now);
        }
        let due: Vec<PathBuf> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(path, _)| path.clone())
            .collect();
        self.due.retain(|_, at| *at > now);
        let read = self.scanner.read_files(due);
        batch.events.extend(read.events);
        batch.problems.extend(read.problems);
        (batch.events.is_empty() && batch.problems.is_empty()) || self.pass_on(batch)
    }

    /// Scans the folder; files written to a moment ago are read once they have been left alone.
    fn scan_quiet(&mut self, now: Instant) -> Batch {
        let wall = clock::wall();
        let due = &mut self.due;
        self.scanner.scan_unless(|path, modified| {
            let age = wall.duration_since(modified).unwrap_or(QUIET);
            let busy = due.contains_key(path) || age < QUIET;
            if busy {
                due.entry(path.to_owned()).or_insert(now + QUIET);
            }
            busy
        })
    }

    fn pass_on(&mut self, batch: Batch) -> bool {
        let heard = self.sender.blocking_send(batch).is_ok();
        if let Err(error) = self.scanner.keep_last_good() {
            warn!(%error, "cannot keep last good objects");
        }
        heard
    }
}

/// True for an editor's own files. The links of a mounted ConfigMap begin with two dots and show
/// that its files changed.
fn is_private(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && !name.starts_with(b"..")
}
