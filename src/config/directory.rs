//! The directory source: a folder of YAML files, scanned once and then watched.
//!
//! [`Scanner`] is the part without threads: it knows every file by its stamp and reads only those
//! that changed. [`watch`] runs one thread around it, fed by inotify and, because inotify can
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

use super::Batch;
use super::documents::MAX_FILE_BYTES;
use super::files::FileState;
use super::last_good::LastGood;
use super::problem::{Cause, Finding, Origin, Problem, Severity};

mod watch;

pub use self::watch::{WatchError, watch};

/// Deepest folder below the root that is read.
const MAX_DEPTH: usize = 16;
/// Endings of the files that are read.
const ENDINGS: &[&str] = &["yaml", "yml", "json"];

/// Knows the files of a folder as they were last read.
#[derive(Debug)]
pub struct Scanner {
    root: PathBuf,
    last_good: Option<LastGood>,
    files: BTreeMap<PathBuf, Known>,
    /// Folders that could not be listed, by path.
    unlisted: BTreeSet<PathBuf>,
    /// Files whose last good objects are to be written.
    unkept: BTreeSet<PathBuf>,
}

/// A file as it was last read.
#[derive(Debug)]
struct Known {
    /// Its path as messages show it.
    name: Arc<str>,
    stamp: Option<Stamp>,
    state: FileState,
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
            unlisted: BTreeSet::new(),
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
        let hidden = |path: &Path| found.unlisted.keys().any(|folder| path.starts_with(folder));
        let gone: Vec<PathBuf> = self
            .files
            .keys()
            .filter(|path| !found.files.contains_key(*path) && !hidden(path))
            .cloned()
            .collect();
        for path in gone {
            self.forget(&path, &mut batch);
        }
        for (path, stamp) in found.files {
            let changed = self
                .files
                .get(&path)
                .is_none_or(|known| known.stamp != Some(stamp));
            if changed && !busy(&path, stamp.modified_at()) {
                self.read(&path, &mut batch);
            }
        }
        let listed_again = self
            .unlisted
            .iter()
            .filter(|path| !found.unlisted.contains_key(*path));
        batch
            .problems
            .extend(listed_again.map(|path| (name_of(path), Vec::new())));
        batch
            .problems
            .extend(found.unlisted.iter().map(|(path, error)| {
                let name = name_of(path);
                (Arc::clone(&name), vec![unlisted_problem(&name, error)])
            }));
        self.unlisted = found.unlisted.into_keys().collect();
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

    /// Writes the last good objects of all files read since the last call; what goes wrong is
    /// returned, one error for all files.
    pub fn keep_last_good(&mut self) -> Result<(), super::last_good::KeepError> {
        let Some(last_good) = &self.last_good else {
            return Ok(());
        };
        for path in std::mem::take(&mut self.unkept) {
            let relative = path.strip_prefix(&self.root).unwrap_or(&path);
            match self.files.get(&path) {
                Some(known) => last_good.keep(relative, known.state.good_objects())?,
                None => last_good.forget(relative),
            }
        }
        Ok(())
    }

    /// Removes last good objects of files that are no longer there.
    pub fn forget_last_good_of_others(&self) {
        if let Some(last_good) = &self.last_good {
            let relative = |path: &PathBuf| {
                path.strip_prefix(&self.root)
                    .map_or_else(|_outside| path.clone(), Path::to_owned)
            };
            let files: Vec<PathBuf> = self.files.keys().map(relative).collect();
            last_good.forget_others(files.iter());
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
        let known = self.files.entry(path.to_owned()).or_insert_with(|| Known {
            name: name_of(path),
            stamp: None,
            state: FileState::default(),
        });
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let last_good = || {
            self.last_good
                .as_ref()
                .map_or_else(Vec::new, |last| last.load(relative))
        };
        let contents = contents.as_deref().map_err(Clone::clone);
        let reading = known.state.read(&known.name, contents, last_good);
        known.state = reading.state;
        known.stamp = stamp;
        batch.events.extend(reading.events);
        batch
            .problems
            .push((Arc::clone(&known.name), reading.problems));
        self.unkept.insert(path.to_owned());
    }

    fn forget(&mut self, path: &Path, batch: &mut Batch) {
        if let Some(known) = self.files.remove(path) {
            batch.events.extend(known.state.remove(&known.name));
            batch.problems.push((known.name, Vec::new()));
            self.unkept.insert(path.to_owned());
        }
    }
}

/// The stamp is taken first: a change during the reading then shows as a change after it.
fn read_bounded(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut contents = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut contents)?;
    Ok((stamp, contents))
}

fn name_of(path: &Path) -> Arc<str> {
    path.to_string_lossy().into()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn unlisted_problem(folder: &Arc<str>, error: &str) -> Problem {
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

/// What a walk through the folder found.
#[derive(Default)]
struct Found {
    files: BTreeMap<PathBuf, Stamp>,
    unlisted: BTreeMap<PathBuf, String>,
}

impl Found {
    fn walk(&mut self, path: &Path, depth: usize) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.walk_folder(path, depth),
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
