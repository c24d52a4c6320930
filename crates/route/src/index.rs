//! Finds the few matches that a path can meet among thousands.
//!
//! Exact paths lie in a hash map. Prefixes lie in one sorted list, be they of whole segments, of
//! bytes, or the plain beginnings of expressions, each with a link to the longest other one that it
//! begins with. The last text that is not greater than a path begins with every prefix of the path
//! that is in the list, so one binary search and its chain of links meet all of them.
//!
//! The index only narrows: whoever asks still applies every test of a match.

use std::collections::HashMap;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use crate::matching::PathTest;

/// The new position of a match that is gone.
pub(crate) const GONE: usize = usize::MAX;

/// Positions of matches by their paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    exact: HashMap<Arc<str>, Range<usize>>,
    prefixes: Vec<Prefix>,
    /// The lists of all texts, one after the other, each in ascending order.
    positions: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Prefix {
    text: Arc<str>,
    /// The longest other prefix that `text` begins with.
    shorter: Option<usize>,
    positions: Range<usize>,
}

/// A text, and the position of one of its matches.
type Placed<'t> = (&'t Arc<str>, usize);

impl Index {
    /// An index of tests, whose positions are their places in the order.
    pub(crate) fn new<'t>(paths: impl IntoIterator<Item = &'t PathTest>) -> Self {
        let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
        for (position, path) in paths.into_iter().enumerate() {
            match path {
                PathTest::Exact(_) => exact.push((path.begins(), position)),
                PathTest::Segments(_)
                | PathTest::Prefix(_)
                | PathTest::Regex { .. }
                | PathTest::Folded { .. } => {
                    prefixes.push((path.begins(), position));
                }
            }
        }
        let mut positions = Vec::with_capacity(exact.len() + prefixes.len());
        let exact = lists(&mut exact, &mut positions);
        let exact = exact.map(|(text, list)| (Arc::clone(text), list)).collect();
        let prefixes = linked(lists(&mut prefixes, &mut positions));
        Self {
            exact,
            prefixes,
            positions,
        }
    }

    /// The index after a change: where each match of before is now, in the order that they were in, and those
    /// that were not there. Texts are compared with their neighbours only.
    pub(crate) fn changed<'t>(
        &self,
        moved: &[usize],
        added: impl Iterator<Item = (usize, &'t PathTest)>,
    ) -> Self {
        let mut positions = Vec::with_capacity(self.positions.len());
        let mut list = |old: &Range<usize>| {
            let old = self.positions.get(old.clone()).unwrap_or_default();
            let now = old.iter().filter_map(|position| moved.get(*position));
            let start = positions.len();
            positions.extend(now.filter(|now| **now != GONE));
            start..positions.len()
        };
        let mut exact = self.exact.clone();
        exact.retain(|_text, old| {
            *old = list(old);
            old.start < old.end
        });
        let prefixes = self.prefixes.iter().map(|p| (&p.text, list(&p.positions)));
        let mut prefixes: Vec<_> = prefixes.filter(|(_, list)| !list.is_empty()).collect();
        for (position, path) in added {
            let text = path.begins();
            match path {
                PathTest::Exact(_) => {
                    let known = exact.entry(Arc::clone(text)).or_default();
                    *known = with(position, known, &mut positions);
                }
                PathTest::Segments(_)
                | PathTest::Prefix(_)
                | PathTest::Regex { .. }
                | PathTest::Folded { .. } => {
                    let place = match prefixes.binary_search_by_key(&text, |(text, _)| *text) {
                        Ok(place) => place,
                        Err(place) => {
                            prefixes.insert(place, (text, 0..0));
                            place
                        }
                    };
                    if let Some((_, known)) = prefixes.get_mut(place) {
                        *known = with(position, known, &mut positions);
                    }
                }
            }
        }
        Self {
            exact,
            prefixes: linked(prefixes.into_iter()),
            positions,
        }
    }

    /// Lists of the positions that a path can meet; those that name more of it come first.
    pub(crate) fn candidates<'i>(&'i self, path: &str) -> impl Iterator<Item = &'i [usize]> {
        let exact = self.exact.get(path);
        let after = self.prefixes.partition_point(|p| *p.text <= *path);
        let last = after.checked_sub(1).and_then(|at| self.prefixes.get(at));
        let chain = iter::successors(last, |p| self.prefixes.get(p.shorter?));
        let prefixes = chain.skip_while(|p| !path.starts_with(&*p.text));
        let lists = exact.into_iter().chain(prefixes.map(|p| &p.positions));
        lists.filter_map(|list| self.positions.get(list.clone()))
    }
}

/// Texts in their order, and where in `positions` the list of each is put.
fn lists<'t, 'l>(
    placed: &'l mut [Placed<'t>],
    positions: &'l mut Vec<usize>,
) -> impl Iterator<Item = (&'t Arc<str>, Range<usize>)> + use<'t, 'l> {
    placed.sort_unstable();
    let lists = placed.chunk_by(|(text, _), (next, _)| text == next);
    lists.filter_map(|list| {
        let start = positions.len();
        positions.extend(list.iter().map(|(_, position)| *position));
        let (text, _) = list.first()?;
        Some((*text, start..positions.len()))
    })
}

/// A list with one more position. It is put behind all others; what it was is left where it is, until the
/// next change.
fn with(position: usize, list: &Range<usize>, positions: &mut Vec<usize>) -> Range<usize> {
    let known = positions.get(list.clone()).unwrap_or_default();
    let mut all = [known, &[position]].concat();
    all.sort_unstable();
    let start = positions.len();
    positions.append(&mut all);
    start..positions.len()
}

/// Links sorted texts to the longest others that they begin with.
fn linked<'t>(sorted: impl Iterator<Item = (&'t Arc<str>, Range<usize>)>) -> Vec<Prefix> {
    let mut prefixes: Vec<Prefix> = Vec::new();
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
            text: Arc::clone(text),
            shorter,
            positions,
        });
    }
    prefixes
}

#[cfg(test)]
mod tests;
