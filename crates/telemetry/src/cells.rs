//! A bounded table of what is counted, by a key that has names in it.
//!
//! Whoever counts keeps the cell that it was given; the table keeps it for the page. A full table
//! gives what is new one cell for all that differ only in their names. A cell that somebody holds
//! is never struck out, since it would come back without its past.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::labels::Labels;

/// What a cell is kept under.
pub(crate) trait Named: Eq + Hash {
    /// The same without names of objects.
    fn nameless(&self) -> Self;
}

impl Named for Labels {
    fn nameless(&self) -> Self {
        Self::nameless(self)
    }
}

/// A bounded table of cells.
pub(crate) struct Cells<K, C> {
    cells: RwLock<HashMap<K, Arc<C>>>,
    most: usize,
}

impl<K: Named, C: Default> Cells<K, C> {
    /// A table of up to so many cells with names.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            cells: RwLock::default(),
            most,
        }
    }

    /// The cell of this key, made if it is new; one without names if there are too many.
    pub(crate) fn of(&self, key: K) -> Arc<C> {
        self.within(self.most, key, K::nameless)
    }

    /// The same where its user says how it is called without names, and how many there may be.
    pub(crate) fn within(&self, most: usize, key: K, nameless: impl FnOnce(&K) -> K) -> Arc<C> {
        if let Some(cell) = self.cells.read().get(&key) {
            return Arc::clone(cell);
        }
        let mut cells = self.cells.write();
        let has_room = cells.len() < most.min(self.most);
        let key = match has_room || cells.contains_key(&key) {
            true => key,
            false => nameless(&key),
        };
        Arc::clone(cells.entry(key).or_default())
    }

    /// False once what is new is counted without names.
    pub(crate) fn has_room(&self) -> bool {
        self.cells.read().len() < self.most
    }

    /// Every cell. Nobody can add one until the answer is dropped.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, HashMap<K, Arc<C>>> {
        self.cells.read()
    }

    /// Keeps everybody else out until the answer is dropped.
    #[cfg(test)]
    pub(crate) fn exclusively(&self) -> impl Drop + '_ {
        self.cells.write()
    }

    /// Strikes out every cell that nobody holds and of which `keep` says no.
    pub(crate) fn retain(&self, keep: impl Fn(&K) -> bool) {
        self.cells
            .write()
            .retain(|key, cell| Arc::strong_count(cell) > 1 || keep(key));
    }
}

impl<K, C> fmt::Debug for Cells<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("cells", &self.cells.read().len())
            .finish()
    }
}
