//! The folder of objects that the control plane watches.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A folder of YAML files.
#[derive(Debug)]
pub struct Configuration {
    dir: PathBuf,
    staging: PathBuf,
}

impl Configuration {
    /// Makes the folder.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let staging = dir.with_extension("staging");
        Ok(Self {
            dir: super::folder(dir)?,
            staging: super::folder(&staging)?,
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes or replaces `NAME.yaml`, whole, as `kubectl apply` and editors that rename do.
    pub fn apply(&self, name: &str, text: &str) -> Result<()> {
        let staged = self.staging.join(name);
        fs::write(&staged, text).with_context(|| format!("writing {}", staged.display()))?;
        fs::rename(&staged, self.file(name)).with_context(|| format!("applying {name}"))
    }

    /// Changes `NAME.yaml`.
    pub fn edit(&self, name: &str, change: impl FnOnce(&str) -> String) -> Result<()> {
        let file = self.file(name);
        let text = fs::read_to_string(&file);
        let text = text.with_context(|| format!("reading {}", file.display()))?;
        self.apply(name, &change(&text))
    }

    /// Removes `NAME.yaml`.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.file(name)).with_context(|| format!("removing {name}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.yaml"))
    }
}
