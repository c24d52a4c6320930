//! Finds the few matches that a path can meet among thousands.
//!
//! Exact paths lie in a hash map. Prefixes lie in one sorted list, be they of whole segments, of
//! bytes, or the plain beginnings of expressions, each with a link to the longest other one that it
//! begins with. The last text that is not greater than a path begins with every prefix of the path
//! that is in the list, so one binary search and its chain of links meet all of them.
//!
//! The index only narrows: whoever asks still applies every test of a match.

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::sync::Arc;

use crate::matching::PathTest;

/// Positions of matches by their paths. Every list is in ascending order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    exact: HashMap<Arc<str>, Vec<usize>>,
    prefixes: Vec<Prefix>,
}

#[derive(Clone, Debug)]
struct Prefix {
    text: Arc<str>,
    /// The longest other prefix that `text` begins with.
    shorter: Option<usize>,
    positions: Vec<usize>,
}

impl Index {
    /// An index of tests, whose positions are their places in the order.
    pub(crate) fn new<'t>(paths: impl IntoIterator<Item = &'t PathTest>) -> Self {
        let mut index = Self::default();
        let mut prefixes: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        for (position, path) in paths.into_iter().enumerate() {
            let list = match path {
                PathTest::Exact(text) => index.exact.entry(Arc::clone(text)).or_default(),
                PathTest::Segments(text)
                | PathTest::Prefix(text)
                | PathTest::Regex { begins: text, .. } => {
                    prefixes.entry(Arc::clone(text)).or_default()
                }
            };
            list.push(position);
        }
        index.prefixes = linked(prefixes);
        index
    }

    /// Lists of the positions that a path can meet; those that name more of it come first.
    pub(crate) fn candidates<'i>(&'i self, path: &str) -> impl Iterator<Item = &'i [usize]> {
        let exact = self.exact.get(path).map(Vec::as_slice);
        let after = self.prefixes.partition_point(|p| *p.text <= *path);
        let last = after.checked_sub(1).and_then(|at| self.prefixes.get(at));
        let chain = iter::successors(last, |p| self.prefixes.get(p.shorter?));
        let prefixes = chain.skip_while(|p| !path.starts_with(&*p.text));
        let prefixes = prefixes.map(|p| p.positions.as_slice());
        exact.into_iter().chain(prefixes)
    }
}

/// Links sorted texts to the longest others that they begin with.
fn linked(sorted: BTreeMap<Arc<str>, Vec<usize>>) -> Vec<Prefix> {
    let mut prefixes: Vec<Prefix> = Vec::with_capacity(sorted.len());
    for (text, positions) in sorted {
        // The text before this one begins with all prefixes of this one, or is the longest itself.
        let mut shorter = prefixes.len().checked_sub(1);
        while let Some(other) = shorter.and_then(|at| prefixes.get(at)) {
            if text.starts_with(&*other.text) {
                break;
            }
            shorter = other.shorter;
        }
        prefixes.push(Prefix {
            text,
            shorter,
            positions,
        });
    }
    prefixes
}

#[cfg(test)]
mod tests;
