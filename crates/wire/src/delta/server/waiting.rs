//! The names that one client has to be told.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Names to be told, in order of their first untold change.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<(u64, Arc<str>)>,
    names: HashSet<Arc<str>>,
    /// The newest change of any of them, also of one that waited already.
    newest: u64,
}

impl Waiting {
    /// Adds a name, unless it waits already.
    pub(super) fn push(&mut self, sequence: u64, name: Arc<str>) {
        self.newest = self.newest.max(sequence);
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

    /// Takes all of which this is true, in their order.
    pub(super) fn take(&mut self, is_such: impl Fn(&Arc<str>) -> bool) -> Self {
        let all = std::mem::take(self);
        self.newest = all.newest;
        let mut taken = Self {
            newest: all.newest,
            ..Self::default()
        };
        for (sequence, name) in all.queue {
            let to = if is_such(&name) {
                &mut taken
            } else {
                &mut *self
            };
            to.push(sequence, name);
        }
        taken
    }

    /// Puts back what was taken and is not told yet: before what waits, if it is older.
    pub(super) fn put_back(&mut self, taken: Self) {
        let both = taken.queue.into_iter().chain(self.queue.drain(..));
        let mut all: Vec<_> = both.collect();
        all.sort_by_key(|(sequence, _)| *sequence);
        self.names.clear();
        self.newest = self.newest.max(taken.newest);
        for (sequence, name) in all {
            self.push(sequence, name);
        }
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.queue.iter().map(|(_, name)| name)
    }

    /// The change that waits longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.queue.front().map(|(sequence, _)| *sequence)
    }

    /// The newest change, if any name waits.
    pub(super) fn newest(&self) -> Option<u64> {
        (!self.queue.is_empty()).then_some(self.newest)
    }
}
