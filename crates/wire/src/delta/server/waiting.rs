//! The names that one client has to be told.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Names to be told, in order of their first untold change.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<(u64, Arc<str>)>,
    names: HashSet<Arc<str>>,
}

impl Waiting {
    /// Adds a name, unless it waits already.
    pub(super) fn push(&mut self, sequence: u64, name: Arc<str>) {
        if self.names.insert(Arc::clone(&name)) {
            self.queue.push_back((sequence, name));
        }
    }

    /// Takes the one that waits longest.
    pub(super) fn pop(&mut self) -> Option<(u64, Arc<str>)> {
        let (sequence, name) = self.queue.pop_front()?;
        self.names.remove(&name);
        Some((sequence, name))
    }

    /// The change that waits longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.queue.front().map(|(sequence, _)| *sequence)
    }
}
