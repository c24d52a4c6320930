//! State files: directories that only we can enter, files that are whole or absent.
//!
//! A file is written beside its place, synced and renamed over it, so that a crash at any moment
//! leaves the old content or the new, never half of one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Mode of a file with secrets.
pub const SECRET: u32 = 0o600;
/// Mode of a file for everybody.
pub const PUBLIC: u32 = 0o644;
/// Permission bits that nobody but the owner may have on secrets.
const OTHERS: u32 = 0o077;

/// Why a state directory or file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A system call failed.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that is no directory, or a link to one, is in its place.
    #[error("{0} is not a directory (links are not followed): move it away")]
    NotADirectory(PathBuf),
    /// Others can get at it.
    #[error("{path} is open to others (mode {mode:o}): run `chmod go-rwx {path}`")]
    Open {
        /// Which file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to uid {owner}, this process runs as uid {us}: chown or move it")]
    Foreign {
        /// Which file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        us: u32,
    },
}

impl FileError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Makes a directory that only we can enter, its parents with the usual mode; one that is there
/// already must be ours and closed to others.
pub fn private_directory(path: &Path) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(FileError::io("make the directory", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(FileError::io("make the directory", path)(error));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(FileError::io("look at", path))?;
    if !found.is_dir() {
        return Err(FileError::NotADirectory(path.to_owned()));
    }
    closed_to_others(path, &found)
}

/// Reads a file of secrets, which must be ours and closed to others; `None` if there is none.
pub fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::io("open", path)(error)),
    };
    // The descriptor is what is checked and read: the path may be renamed in between.
    let found = file.metadata().map_err(FileError::io("look at", path))?;
    closed_to_others(path, &found)?;
    let mut content = Vec::new();
    io::Read::read_to_end(&mut file, &mut content).map_err(FileError::io("read", path))?;
    Ok(Some(content))
}

/// Writes a file as a whole: after a crash there is the old content or the new.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let beside = beside(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::io("remove the left-over", &beside)(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .map_err(FileError::io("create", &beside))?;
    file.write_all(content)
        .map_err(FileError::io("write", &beside))?;
    file.sync_all().map_err(FileError::io("sync", &beside))?;
    fs::rename(&beside, path).map_err(FileError::io("rename into place", path))?;
    if let Some(directory) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        let directory = File::open(directory).map_err(FileError::io("open", directory))?;
        directory
            .sync_all()
            .map_err(FileError::io("sync the directory of", path))?;
    }
    Ok(())
}

/// The hidden neighbour that a file is written to first.
fn beside(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.new"))
}

fn closed_to_others(path: &Path, found: &fs::Metadata) -> Result<(), FileError> {
    let us = nix::unistd::geteuid().as_raw();
    if found.uid() != us {
        return Err(FileError::Foreign {
            path: path.to_owned(),
            owner: found.uid(),
            us,
        });
    }
    if found.mode() & OTHERS != 0 {
        return Err(FileError::Open {
            path: path.to_owned(),
            mode: found.mode() & 0o7777,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
