//! What a new list has of an old one.
//!
//! Most of it, and in the same order, if the lists are those before and after a change: so the two are
//! walked in step. Where they part, the old one is searched; where they do so often, a table of it is made.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Searches that cost less than a table.
const SEARCHES: usize = 16;

/// Looks for the items of a new list in an old one.
#[derive(Debug)]
pub struct Same<'o, T, K> {
    old: &'o [T],
    key: fn(&'o T) -> K,
    /// Where the next one should be.
    next: usize,
    searches: usize,
    places: Option<HashMap<K, usize>>,
}

impl<'o, T, K: Eq + Hash> Same<'o, T, K> {
    /// In this list. What has the same key is the same.
    pub fn new(old: &'o [T], key: fn(&'o T) -> K) -> Self {
        Self {
            old,
            key,
            next: 0,
            searches: 0,
            places: None,
        }
    }

    /// The place of the old item with this key, quickly if it stands behind the one that was found last.
    pub fn find<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let here = self.old.get(self.next);
        let in_step = here.filter(|old| (self.key)(old).borrow() == key);
        let place = match in_step {
            Some(_) => self.next,
            None => self.search(key)?,
        };
        self.next = place + 1;
        Some(place)
    }

    fn search<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let mut keys = self.old.iter().map(self.key);
        if self.searches < SEARCHES {
            self.searches += 1;
            return keys.position(|old| old.borrow() == key);
        }
        let places = self.places.get_or_insert_with(|| keys.zip(0..).collect());
        places.get(key).copied()
    }
}

#[cfg(test)]
mod tests;
