//! Last good objects on disk, so that a file that broke while the control plane was down, or
//! before it was restarted, still has a last good version.
//!
//! One JSON file per source file, mode 0600 in a directory of mode 0700, written aside and moved
//! into place. It is not forced to disk: after a crash of the machine a file may be missing or
//! empty, which reads as "no last good version" and so fails closed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::objects::{self, Object};

/// Why last good objects cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; last good objects will not outlive this process", .path.display())]
pub struct KeepError {
    path: PathBuf,
    source: io::Error,
}

/// The directory of last good objects.
#[derive(Debug)]
pub struct LastGood {
    directory: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    file: PathBuf,
    objects: Vec<Value>,
}

impl LastGood {
    /// Opens the directory `last-good` in the state folder, making it if it is not there.
    pub fn open(state: &Path) -> Result<Self, KeepError> {
        let directory = state.join("last-good");
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made.map_err(|source| KeepError {
            path: directory.clone(),
            source,
        })?;
        Ok(Self { directory })
    }

    /// The last good objects of a file; none if there are none to be read.
    pub fn load(&self, file: &Path) -> Vec<Arc<Object>> {
        let Ok(bytes) = fs::read(self.path_of(file)) else {
            return Vec::new();
        };
        match serde_json::from_slice::<Kept>(&bytes) {
            Ok(kept) if kept.file == file => {
                let objects = kept.objects.into_iter().map(objects::read);
                objects
                    .filter_map(|object| object.ok().map(Arc::new))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Keeps the good objects of a file; writes only if they differ from those kept.
    pub fn keep<'a>(
        &self,
        file: &Path,
        objects: impl Iterator<Item = &'a Arc<Object>>,
    ) -> Result<(), KeepError> {
        let path = self.path_of(file);
        let objects = objects.filter_map(|object| object.document()).collect();
        let kept = Kept {
            file: file.to_owned(),
            objects,
        };
        let written = serde_json::to_vec(&kept)
            .map_err(io::Error::from)
            .and_then(|bytes| {
                if fs::read(&path).is_ok_and(|old| old == bytes) {
                    return Ok(());
                }
                replace(&path, &bytes)
            });
        written.map_err(|source| KeepError { path, source })
    }

    /// Forgets a file that is gone.
    pub fn forget(&self, file: &Path) {
        // Missing is as good as removed; anything else is tried again on the next start.
        fs::remove_file(self.path_of(file)).unwrap_or_default();
    }

    /// Forgets every file but these.
    pub fn forget_others<'a>(&self, files: impl Iterator<Item = &'a PathBuf>) {
        let names: BTreeSet<OsString> = files
            .filter_map(|file| self.path_of(file).file_name().map(Into::into))
            .collect();
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries.filter(|entry| !names.contains(&entry.file_name())) {
            fs::remove_file(entry.path()).unwrap_or_default();
        }
    }

    fn path_of(&self, file: &Path) -> PathBuf {
        let digest = digest(&SHA256, file.as_os_str().as_encoded_bytes());
        let name: String = digest
            .as_ref()
            .iter()
            .take(16)
            .map(|b| format!("{b:02x}"))
            .collect();
        self.directory.join(name).with_extension("json")
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(bytes)?;
    drop(file);
    fs::rename(&aside, path)
}
