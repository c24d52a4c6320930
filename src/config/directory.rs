//! The directory source: a folder of YAML files, scanned once and then watched.
//!
//! [`Scanner`] is the part without threads: it knows every file by its stamp and reads only those
//! that changed. [`watch()`] runs one thread around it, fed by inotify and, because inotify can
//! overflow, miss network file systems or be out of watches, by a scan every half minute. The
//! thread ends when the receiver is dropped. A file that is being written is read when it is
//! closed, or when nobody has written to it for a second: half a file is valid YAML with fewer
//! policies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_kit::files::FileError;

use super::Batch;
use super::documents::MAX_FILE_BYTES;
use super::files::FileState;
use super::last_good::LastGood;
use super::objects::Object;
use super::problem::{Cause, Finding, Origin, Problem, Severity};

mod watch;

pub use self::watch::{WatchError, watch};

/// Deepest folder below the root that is read.
const MAX_DEPTH: usize = 16;
/// Files whose last good objects are written in one go: each is forced to disk.
const KEPT_AT_ONCE: usize = 64;
/// Endings of the files that are read.
const ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// Knows the files of a folder as they were last read.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    last_good: Option<LastGood>,
    files: BTreeMap<PathBuf, Known>,
    /// Files whose last good objects are to be written.
    unkept: BTreeSet<PathBuf>,
}

/// A file as it was last read.
#[derive(Debug)]
struct Known {
    /// Its path as messages show it.
    name: Arc<str>,
    kind: KnownKind,
    stamp: Option<Stamp>,
    state: FileState,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownKind {
    File,
    /// A folder that cannot be listed stands for the files that may be in it.
    UnlistedFolder,
}

/// What changes whenever a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn modified_at(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.modified;
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        UNIX_EPOCH + seconds + nanoseconds
    }
}

impl Scanner {
    /// A scanner of a folder, or of a single file, that has read nothing yet.
    pub fn new(root: &Path, last_good: Option<LastGood>) -> Self {
        Self {
            root: root.to_owned(),
            last_good,
            files: BTreeMap::new(),
            unkept: BTreeSet::new(),
        }
    }

    /// Reads every file that changed since it was last read, and notices those that went.
    pub fn scan(&mut self) -> Batch {
        self.scan_unless(|_, _| false)
    }

    /// The same, but leaves out changed files of which the condition (on path and time of the last
    /// change) holds.
    fn scan_unless(&mut self, mut busy: impl FnMut(&Path, SystemTime) -> bool) -> Batch {
        let mut batch = Batch::default();
        let mut found = Found::default();
        found.walk(&self.root, 0);
        let known: Vec<PathBuf> = self.files.keys().cloned().collect();
        for path in known.iter().filter(|path| !found.holds(path)) {
            self.forget(path, &mut batch);
        }
        for (path, stamp) in &found.files {
            let known = self.files.get(path);
            let changed = known.is_none_or(|known| known.stamp != Some(*stamp));
            if changed && !busy(path, stamp.modified_at()) {
                self.read(path, &mut batch);
            }
        }
        for (folder, error) in found.unlisted {
            self.read_unlisted(&folder, &error, &mut batch);
        }
        batch
    }

    /// Reads these files, whether or not they seem to have changed.
    pub fn read_files(&mut self, paths: impl IntoIterator<Item = PathBuf>) -> Batch {
        let mut batch = Batch::default();
        for path in paths {
            self.read(&path, &mut batch);
        }
        batch
    }

    /// Files that are known.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// True for a file that would be read.
    pub fn reads(path: &Path) -> bool {
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default();
        ENDINGS.contains(&ending) && !is_hidden(path)
    }

    /// Writes the last good objects of files that were read, so many at a time that changes do not
    /// wait long; true if there is more to write.
    pub fn keep_last_good(&mut self) -> Result<bool, FileError> {
        let Some(last_good) = &self.last_good else {
            return Ok(false);
        };
        for _ in 0..KEPT_AT_ONCE {
            let Some(path) = self.unkept.pop_first() else {
                return Ok(false);
            };
            let relative = path.strip_prefix(&self.root).unwrap_or(&path);
            match self.files.get(&path) {
                Some(known) => last_good.keep(relative, known.state.good_objects())?,
                None => last_good.forget(relative),
            }
        }
        Ok(!self.unkept.is_empty())
    }

    /// Removes last good objects of files that are no longer there, if that can be told.
    pub fn forget_last_good_of_others(&self) {
        let is_folder = |known: &Known| known.kind == KnownKind::UnlistedFolder;
        if let Some(last_good) = &self.last_good
            && !self.files.values().any(is_folder)
        {
            let relative = |path| Path::strip_prefix(path, &self.root).unwrap_or(path);
            last_good.forget_others(self.files.keys().map(|path| relative(path.as_path())));
        }
    }

    fn read(&mut self, path: &Path, batch: &mut Batch) {
        let (stamp, contents) = match read_bounded(path) {
            Ok((stamp, contents)) => (Some(stamp), Ok(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(path, batch);
                return;
            }
            Err(error) => (None, Err(error.to_string())),
        };
        let known = Known::at(&mut self.files, path, KnownKind::File);
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let last_good = || {
            self.last_good
                .as_ref()
                .map_or_else(Vec::new, |last| last.load(relative))
        };
        known.read(contents.as_deref().map_err(Clone::clone), last_good, batch);
        known.stamp = stamp;
        self.unkept.insert(path.to_owned());
    }

    /// A folder that cannot be listed keeps the files that are known; one that never could be is
    /// like a file that cannot be read: it may hold policies that nobody has seen.
    fn read_unlisted(&mut self, folder: &Path, error: &str, batch: &mut Batch) {
        let below = self.files.range(folder.to_owned()..);
        let mut below = below.take_while(|(path, _)| path.starts_with(folder));
        let listed_before = below.any(|(_, known)| known.kind == KnownKind::File);
        let known = Known::at(&mut self.files, folder, KnownKind::UnlistedFolder);
        if listed_before {
            batch
                .problems
                .push((Arc::clone(&known.name), vec![unlisted(&known.name, error)]));
            return;
        }
        let relative = folder.strip_prefix(&self.root).unwrap_or(folder);
        let last_good = || {
            self.last_good
                .as_ref()
                .map_or_else(Vec::new, |last| last.load_below(relative))
        };
        known.read(
            Err(format!("the folder cannot be listed: {error}")),
            last_good,
            batch,
        );
    }

    fn forget(&mut self, path: &Path, batch: &mut Batch) {
        if let Some(known) = self.files.remove(path) {
            batch.events.extend(known.state.remove(&known.name));
            batch.problems.push((known.name, Vec::new()));
            if known.kind == KnownKind::File {
                self.unkept.insert(path.to_owned());
            }
        }
    }
}

impl Known {
    /// The file of that path, a new one if it is not known.
    fn at<'a>(
        files: &'a mut BTreeMap<PathBuf, Self>,
        path: &Path,
        kind: KnownKind,
    ) -> &'a mut Self {
        files.entry(path.to_owned()).or_insert_with(|| Self {
            name: path.to_string_lossy().into(),
            kind,
            stamp: None,
            state: FileState::default(),
        })
    }

    fn read(
        &mut self,
        contents: Result<&[u8], String>,
        last_good: impl FnOnce() -> Vec<Arc<Object>>,
        batch: &mut Batch,
    ) {
        let reading = self.state.read(&self.name, contents, last_good);
        self.state = reading.state;
        batch.events.extend(reading.events);
        batch
            .problems
            .push((Arc::clone(&self.name), reading.problems));
    }
}

/// Reads a regular file; anything else is not there (opening a pipe would wait for its writer).
///
/// The stamp is taken first: a change during the reading then shows as a change after it.
fn read_bounded(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut contents = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut contents)?;
    Ok((stamp, contents))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn unlisted(folder: &Arc<str>, error: &str) -> Problem {
    let what = format!("cannot be listed: {error}");
    let advice = "make it readable (until then all that it used to hold stays in force)";
    let finding = Finding::new("", what, advice);
    finding.at(
        &Origin::file(folder),
        "",
        Severity::Error,
        Cause::UnreadableFile,
    )
}

/// What a walk through the folder found. Links to files are followed, links to folders are not:
/// they could lead in a circle.
#[derive(Default)]
struct Found {
    files: BTreeMap<PathBuf, Stamp>,
    unlisted: BTreeMap<PathBuf, String>,
}

impl Found {
    /// True for a path that is there, or that a folder which cannot be listed may hide.
    fn holds(&self, path: &Path) -> bool {
        let hides = |folder: &PathBuf| path.starts_with(folder);
        self.files.contains_key(path) || self.unlisted.keys().any(hides)
    }

    fn walk(&mut self, path: &Path, depth: usize) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                if depth == 0 || !path.is_symlink() {
                    self.walk_folder(path, depth);
                }
            }
            Ok(metadata) if metadata.is_file() && (depth == 0 || Scanner::reads(path)) => {
                self.files.insert(path.to_owned(), Stamp::of(&metadata));
            }
            Ok(_) => {}
            // Gone between listing and looking; the root itself must not just vanish.
            Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => {}
            Err(error) => {
                self.unlisted.insert(path.to_owned(), error.to_string());
            }
        }
    }

    fn walk_folder(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            let what = format!("more than {MAX_DEPTH} folders deep");
            self.unlisted.insert(folder.to_owned(), what);
            return;
        }
        match fs::read_dir(folder) {
            Ok(entries) => {
                for path in entries.flatten().map(|entry| entry.path()) {
                    if !is_hidden(&path) {
                        self.walk(&path, depth + 1);
                    }
                }
            }
            Err(error) => {
                self.unlisted.insert(folder.to_owned(), error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests;
