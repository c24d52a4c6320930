//! A folder of files in memory, for tests: what is written or deleted goes through the same reading
//! and translation as with files on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::Change;

use super::files::FileState;
use super::{Batch, Configuration, Settings};

/// Files in memory and the configuration that they make.
#[derive(Debug)]
pub(crate) struct Folder {
    files: BTreeMap<Arc<str>, FileState>,
    pub(crate) configuration: Configuration,
}

impl Folder {
    /// Nothing in it.
    pub(crate) fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            configuration: Configuration::new(Settings::default()),
        }
    }

    /// One file, `all.yaml`.
    pub(crate) fn of(text: &str) -> Self {
        let mut folder = Self::new();
        folder.write("all.yaml", text);
        folder
    }

    /// Writes a file.
    pub(crate) fn write(&mut self, file: &str, text: &str) -> Vec<Change> {
        let name: Arc<str> = file.into();
        let state = self.files.entry(Arc::clone(&name)).or_default();
        let reading = state.read(&name, Ok(text.as_bytes()), Vec::new);
        *state = reading.state;
        let problems = vec![(name, reading.problems)];
        self.configuration.apply(Batch {
            events: reading.events,
            problems,
        })
    }

    /// Deletes a file.
    pub(crate) fn delete(&mut self, file: &str) -> Vec<Change> {
        let name: Arc<str> = file.into();
        let state = self.files.remove(&name).unwrap_or_default();
        let events = state.remove(&name);
        self.configuration.apply(Batch {
            events,
            problems: vec![(name, Vec::new())],
        })
    }

    /// All that the files provide, in one batch.
    pub(crate) fn everything(&self) -> Batch {
        let all = |(name, state): (&Arc<str>, &FileState)| state.provide(name);
        let events = self.files.iter().flat_map(all).collect();
        Batch {
            events,
            problems: Vec::new(),
        }
    }

    /// All that is wrong, one line each.
    pub(crate) fn problems(&self) -> String {
        let problems = self.configuration.problems();
        problems
            .iter()
            .map(|p| format!("{:?} {p}\n", p.severity))
            .collect()
    }
}
