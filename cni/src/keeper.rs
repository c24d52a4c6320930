//! Keeps our entry in the node's network configuration while others rewrite it.
//!
//! The container runtime takes the first file of a directory, by name; whoever makes the node's
//! network owns that file and may write it anew, or another before it, at any time. So nothing is
//! remembered here: [`Keeper::keep`] looks at what is there now and can be asked again any time.
//! A file that cannot be understood is never touched. Keepers of two agents, as during an upgrade,
//! take turns by a lock on the directory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::conflist::{self, ConflistError, Removed};
use crate::replace::{Owner, UNFINISHED, remove_if_there, replace};
use crate::spec::{Entry, PLUGIN};

/// What runtimes take for a network configuration, by the end of its name.
const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];
/// The one for lists of plugins.
const LIST: &str = "conflist";
/// How long another keeper may take.
const LOCK_TIME: Duration = Duration::from_secs(2);
/// How often the lock is tried.
const LOCK_TRY: Duration = Duration::from_millis(5);

/// Looks after one directory of network configurations.
#[derive(Clone, Debug)]
pub struct Keeper {
    directory: PathBuf,
    entry: Entry,
}

/// How the node's configuration was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Our entry is in the file that counts.
    Unchanged,
    /// It was not, and is now, in this file.
    Inserted(PathBuf),
    /// There is no file that counts; no pod with a network can start.
    NoConfiguration,
}

/// Why our entry is not where it should be, or still there.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A system call failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file that counts is none that can be edited.
    #[error(
        "{} is left as it is: {source}; pods start without waiting for their capture until \
         that is repaired",
        path.display()
    )]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConflistError,
    },
    /// The list that a single plugin's file would become is somebody else's.
    #[error("{} is in the way of a list made of {}: move one of the two away", list.display(), single.display())]
    InTheWay {
        /// The list.
        list: PathBuf,
        /// The single plugin's file.
        single: PathBuf,
    },
    /// Its owner was faster.
    #[error("{} was changed in the middle of our change, which is tried again", .0.display())]
    Changed(PathBuf),
}

impl KeepError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

impl Keeper {
    /// A keeper of this entry; the directory need not exist yet.
    pub fn new(directory: impl Into<PathBuf>, entry: Entry) -> Self {
        Self {
            directory: directory.into(),
            entry,
        }
    }

    /// The directory that is looked after.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts our entry into the configuration that counts, if it is not there.
    pub fn keep(&self) -> Result<Kept, KeepError> {
        let Some(_turn) = self.take_turn()? else {
            return Ok(Kept::NoConfiguration);
        };
        let Some(path) = self.files()?.into_iter().find(|path| is_read(path)) else {
            return Ok(Kept::NoConfiguration);
        };
        let text = read(&path)?;
        if is_list(&path) {
            let wanted = conflist::add_plugin(&text, &self.entry);
            let wanted = wanted.map_err(|source| unusable(&path, source))?;
            if wanted == text {
                return Ok(Kept::Unchanged);
            }
            put(&path, (&path, &text), &wanted)?;
            return Ok(Kept::Inserted(path));
        }
        let wanted = conflist::list_of(&text, &self.entry);
        let wanted = wanted.map_err(|source| unusable(&path, source))?;
        let list = path.with_extension(LIST);
        if list.exists() && !conflist::was_conf(&read(&list)?) {
            return Err(KeepError::InTheWay { list, single: path });
        }
        // The single one counts as long as both are there: no moment is without a network.
        put(&list, (&path, &text), &wanted)?;
        remove_if_there(&path).map_err(KeepError::io("remove", &path))?;
        Ok(Kept::Inserted(list))
    }

    /// Takes our entry out of every file; goes on after a failure and reports the first.
    ///
    /// Answers in how many files it was.
    pub fn remove(&self) -> Result<usize, KeepError> {
        let Some(_turn) = self.take_turn()? else {
            return Ok(0);
        };
        let mut removed = 0;
        let mut result = Ok(());
        for path in self.files()?.iter().filter(|path| is_read(path)) {
            match remove_from(path) {
                Ok(was_there) => removed += usize::from(was_there),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| removed)
    }

    /// Waits for other keepers, and sweeps up what one that was killed has left; `None` without a
    /// directory.
    fn take_turn(&self) -> Result<Option<Flock<File>>, KeepError> {
        let directory = match File::open(&self.directory) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeepError::io("open", &self.directory)(error)),
        };
        let lock = lock(directory).map_err(KeepError::io("lock", &self.directory))?;
        for path in self.files()? {
            if path.to_string_lossy().ends_with(UNFINISHED) {
                remove_if_there(&path).map_err(KeepError::io("remove", &path))?;
            }
        }
        Ok(Some(lock))
    }

    /// All files of the directory in the order of their names.
    fn files(&self) -> Result<Vec<PathBuf>, KeepError> {
        let failed = || KeepError::io("list", &self.directory);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            if !entry.file_type().map_err(failed())?.is_dir() {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Locks for the moment that a look takes; a keeper that hangs is not waited for.
fn lock(mut directory: File) -> io::Result<Flock<File>> {
    let deadline = Instant::now() + LOCK_TIME;
    loop {
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, error)) if Instant::now() > deadline => return Err(error.into()),
            Err((again, _)) => directory = again,
        }
        thread::sleep(LOCK_TRY);
    }
}

fn remove_from(path: &Path) -> Result<bool, KeepError> {
    let text = read(path)?;
    // What cannot be understood is somebody else's unless it names us.
    if !text.contains(PLUGIN) {
        return Ok(false);
    }
    let left = conflist::remove_plugin(&text).map_err(|source| unusable(path, source))?;
    match left {
        Removed::Unchanged => return Ok(false),
        Removed::List(wanted) => put(path, (path, &text), &wanted)?,
        Removed::Single(wanted) => {
            let single = path.with_extension("conf");
            // One that its owner has written meanwhile is newer than the one we kept.
            if !single.exists() {
                put(&single, (path, &text), &wanted)?;
            }
            remove_if_there(path).map_err(KeepError::io("remove", path))?;
        }
    }
    Ok(true)
}

/// Writes `wanted` to a file, made of what another (or the same) held, and with its owner.
fn put(target: &Path, (source, text): (&Path, &str), wanted: &str) -> Result<(), KeepError> {
    // A link stays one: it is the file behind it that is replaced.
    let target = fs::canonicalize(target).unwrap_or_else(|_new| target.to_owned());
    let found = fs::metadata(source).map_err(KeepError::io("look at", source))?;
    let owner = Owner {
        mode: found.mode() & 0o7777,
        ids: Some((found.uid(), found.gid())),
    };
    if read(source)? != text {
        return Err(KeepError::Changed(source.to_owned()));
    }
    replace(&target, wanted.as_bytes(), owner).map_err(KeepError::io("replace", &target))
}

fn read(path: &Path) -> Result<String, KeepError> {
    fs::read_to_string(path).map_err(KeepError::io("read", path))
}

fn unusable(path: &Path, source: ConflistError) -> KeepError {
    KeepError::Configuration {
        path: path.to_owned(),
        source,
    }
}

fn is_read(path: &Path) -> bool {
    let extension = path.extension();
    EXTENSIONS
        .iter()
        .any(|known| extension == Some((*known).as_ref()))
}

fn is_list(path: &Path) -> bool {
    path.extension() == Some(LIST.as_ref())
}

#[cfg(test)]
mod tests;
