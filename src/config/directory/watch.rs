//! The thread around a [`Scanner`]: waits for changes, reads them, passes them on.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::files::FileError;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::warn;

use super::Scanner;
use crate::config::Batch;
use crate::config::last_good::LastGood;

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
    Keep(#[from] FileError),
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
    /// There are last good objects to write.
    more_to_keep: bool,
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
            more_to_keep: true,
        }
    }

    fn run(mut self) {
        // Listening begins before the first scan, so that no change falls between the two.
        let mut notices = self.listen();
        let first = self.scanner.scan();
        if !self.pass_on(first) {
            return;
        }
        self.scanner.forget_last_good_of_others();
        self.rescan_at = clock::now() + self.rescan_every;
        while !self.sender.is_closed() {
            match &notices {
                Some(notices) => self.take_notices(notices),
                None => std::thread::sleep(self.until_next()),
            }
            if notices
                .as_ref()
                .is_some_and(|notices| notices.root != root_of(&self.scanner))
            {
                notices = self.listen();
                self.rescan_at = clock::now();
            }
            if !self.read_due() {
                return;
            }
            self.keep_last_good();
        }
    }

    fn listen(&mut self) -> Option<Notices> {
        let notices = Notices::of(&self.scanner);
        self.rescan_every = match &notices {
            Ok(_) => RESCAN,
            Err(error) => {
                let every = RESCAN_WITHOUT_NOTICES;
                warn!(%error, ?every, "no notices of changed files; scanning instead");
                every
            }
        };
        notices.ok()
    }

    fn until_next(&self) -> Duration {
        if self.more_to_keep {
            return Duration::ZERO;
        }
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
    fn take_notices(&mut self, notices: &Notices) {
        match notices.events.recv_timeout(self.until_next()) {
            Ok(event) => {
                self.note(&event);
                notices
                    .events
                    .try_iter()
                    .take(NOTICES)
                    .for_each(|event| self.note(&event));
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The watcher lives as long as its notices; without it only scans are left.
            Err(RecvTimeoutError::Disconnected) => self.rescan_every = RESCAN_WITHOUT_NOTICES,
        }
        if notices.overflow.swap(false, Ordering::Relaxed) {
            self.rescan_at = clock::now();
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

    fn pass_on(&self, batch: Batch) -> bool {
        self.sender.blocking_send(batch).is_ok()
    }

    fn keep_last_good(&mut self) {
        self.more_to_keep = self.scanner.keep_last_good().unwrap_or_else(|error| {
            warn!(%error, "last good objects will not outlive this process");
            false
        });
    }
}

/// Notices of one watcher, which ends with them.
struct Notices {
    events: Receiver<Event>,
    /// Set when notices were lost.
    overflow: Arc<AtomicBool>,
    /// Device and inode of the folder: another one in its place needs another watcher.
    root: Option<(u64, u64)>,
    _watcher: RecommendedWatcher,
}

impl Notices {
    fn of(scanner: &Scanner) -> notify::Result<Self> {
        let (sender, events) = sync_channel(NOTICES);
        let overflow = Arc::new(AtomicBool::new(false));
        let lost = Arc::clone(&overflow);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let taken =
                event.is_ok_and(|event| !event.need_rescan() && sender.try_send(event).is_ok());
            if !taken {
                lost.store(true, Ordering::Relaxed);
            }
        })?;
        let root = root_of(scanner);
        watcher.watch(&scanner.root, RecursiveMode::Recursive)?;
        Ok(Self {
            events,
            overflow,
            root,
            _watcher: watcher,
        })
    }
}

fn root_of(scanner: &Scanner) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(&scanner.root).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// True for an editor's own files. The links of a mounted ConfigMap begin with two dots and show
/// that its files changed.
fn is_private(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.starts_with(b".") && !name.starts_with(b"..")
}
