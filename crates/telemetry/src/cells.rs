//! A bounded table of what is counted, by a key that has names in it.
//!
//! Whoever counts keeps the cell that it was given; the table keeps it for the page. A full table
//! gives what is new one cell for all that differ only in their names. A cell that somebody holds
//! is never struck out, since it would come back without its past.
//!
//! Labels of a user's own making may be a client's words. They get a part of the table only, and beyond it are
//! `other`, so that they take no room from series as they usually are ([`Cells::made`]).

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// How often labels of a user's making found no room.
    folded: AtomicU64,
}

/// What a cell is kept under whose labels a user has made.
#[derive(Debug)]
pub(crate) struct MadeKey<K> {
    /// As they are made.
    pub(crate) own: K,
    /// The same, all that the user has made being `other`.
    pub(crate) other: K,
    /// Without names.
    pub(crate) nameless: K,
    /// Whether they have had their share already, and `own` is `other`.
    pub(crate) is_folded: bool,
}

impl<K: Named, C: Default> Cells<K, C> {
    /// A table of up to so many cells with names.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            cells: RwLock::default(),
            most,
            folded: AtomicU64::new(0),
        }
    }

    /// The cell of this key, made if it is new; one without names if there are too many.
    pub(crate) fn of(&self, key: K) -> Arc<C> {
        if let Some(cell) = self.cells.read().get(&key) {
            return Arc::clone(cell);
        }
        let mut cells = self.cells.write();
        let has_room = cells.len() < self.most;
        let key = match has_room || cells.contains_key(&key) {
            true => key,
            false => key.nameless(),
        };
        Arc::clone(cells.entry(key).or_default())
    }

    /// The cell of labels that a user has made, where they have room up to so many cells: else that of the
    /// others', and if the table is full that without names.
    pub(crate) fn made(&self, most: usize, key: MadeKey<K>) -> Arc<C> {
        let MadeKey {
            own,
            other,
            nameless,
            is_folded,
        } = key;
        if is_folded {
            self.folded.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(cell) = self.cells.read().get(&own) {
            return Arc::clone(cell);
        }
        let mut cells = self.cells.write();
        let has = |key: &K, most: usize| cells.len() < most || cells.contains_key(key);
        // What is as usual, but for labels that are not there, takes the room of that.
        let is_usual = own == other;
        let most = if is_usual {
            self.most
        } else {
            most.min(self.most)
        };
        let key = if has(&own, most) {
            own
        } else {
            if !is_usual {
                self.folded.fetch_add(1, Ordering::Relaxed);
            }
            match has(&other, self.most) {
                true => other,
                false => nameless,
            }
        };
        Arc::clone(cells.entry(key).or_default())
    }

    /// How often labels of a user's making found no room.
    pub(crate) fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// How many cells with names there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
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
