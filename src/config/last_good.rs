//! Last good objects on disk, so that a file that broke while the control plane was down, or
//! before it was restarted, still has a last good version.
//!
//! One JSON file per source file in a private directory, whole or absent. One that is missing, or
//! cannot be read, means "no last good version", which fails closed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_kit::files::{self, FileError};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::objects::{self, Object};

/// The directory of last good objects.
#[derive(Debug)]
pub struct LastGood {
    directory: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Path of the source file below the source's root; what is not UTF-8 in it is replaced.
    file: PathBuf,
    objects: Vec<Value>,
}

impl LastGood {
    /// Opens the directory `last-good` in the state folder, making it if it is not there.
    pub fn open(state: &Path) -> Result<Self, FileError> {
        let directory = state.join("last-good");
        files::private_directory(&directory)?;
        Ok(Self { directory })
    }

    /// The last good objects of a file.
    pub fn load(&self, file: &Path) -> Vec<Arc<Object>> {
        read(&self.path_of(file)).map_or_else(Vec::new, |(_, objects)| objects)
    }

    /// The last good objects of all files in a folder and below.
    pub fn load_below(&self, folder: &Path) -> Vec<Arc<Object>> {
        let kept = self.entries().filter_map(|path| read(&path));
        kept.filter(|(file, _)| file.starts_with(folder))
            .flat_map(|(_, objects)| objects)
            .collect()
    }

    /// Keeps the good objects of a file; writes only if they differ from those kept.
    pub fn keep<'a>(
        &self,
        file: &Path,
        objects: impl Iterator<Item = &'a Arc<Object>>,
    ) -> Result<(), FileError> {
        let path = self.path_of(file);
        let objects = objects.filter_map(|object| object.document()).collect();
        let kept = Kept {
            file: file.to_string_lossy().as_ref().into(),
            objects,
        };
        // Texts, numbers, lists and maps with texts as keys: that cannot fail.
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        if files::read_secret(&path).is_ok_and(|old| old.as_deref() == Some(&bytes)) {
            return Ok(());
        }
        files::write_whole(&path, &bytes, files::SECRET)
    }

    /// Forgets a file that is gone.
    pub fn forget(&self, file: &Path) {
        // Missing is as good as removed; anything else is tried again on the next start.
        fs::remove_file(self.path_of(file)).unwrap_or_default();
    }

    /// Forgets every file but these.
    pub fn forget_others<'a>(&self, files: impl Iterator<Item = &'a Path>) {
        let names: BTreeSet<OsString> = files
            .filter_map(|file| self.path_of(file).file_name().map(Into::into))
            .collect();
        let known = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
        for path in self.entries().filter(|path| !known(path)) {
            fs::remove_file(path).unwrap_or_default();
        }
    }

    fn entries(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        entries.map(|entry| entry.path())
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

/// The name of a kept file and its objects.
fn read(path: &Path) -> Option<(PathBuf, Vec<Arc<Object>>)> {
    let bytes = files::read_secret(path)
        .inspect_err(|error| warn!(%error, "last good objects cannot be read"))
        .ok()??;
    let kept: Kept = serde_json::from_slice(&bytes)
        .inspect_err(|error| warn!(%error, ?path, "last good objects cannot be read"))
        .ok()?;
    let objects = kept.objects.into_iter().map(objects::read);
    Some((
        kept.file,
        objects
            .filter_map(|object| object.ok().map(Arc::new))
            .collect(),
    ))
}
