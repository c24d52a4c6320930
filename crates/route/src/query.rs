//! Parameters of a query, between `&`, by names before `=`.
//!
//! Names and values are compared as they stand, without decoding, as Envoy does. Of several parameters with one
//! name the first counts; one without `=` has an empty value. A query is read once for a request, whatever the number of routes that ask for it, and
//! only when one does.

use std::collections::HashMap;

/// Names of the parameters that routes ask for; each has a slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryNames(HashMap<Box<[u8]>, usize>);

/// Values of a query by slot.
#[derive(Debug)]
pub(crate) struct QueryValues<'q>(Vec<Option<&'q [u8]>>);

impl QueryNames {
    /// The slot of a name, made if there is none.
    pub(crate) fn slot(&mut self, name: &str) -> usize {
        let next = self.0.len();
        *self.0.entry(name.as_bytes().into()).or_insert(next)
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads the parameters that have a slot.
    pub(crate) fn read<'q>(&self, query: &'q str) -> QueryValues<'q> {
        let mut values = vec![None; self.0.len()];
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = self.0.get(name.as_bytes());
            let place = slot.and_then(|slot| values.get_mut(*slot));
            if let Some(empty @ None) = place {
                *empty = Some(value.as_bytes());
            }
        }
        QueryValues(values)
    }
}

impl QueryValues<'_> {
    /// The value of a slot, if the query has the parameter.
    pub(crate) fn get(&self, slot: usize) -> Option<&[u8]> {
        *self.0.get(slot)?
    }
}

#[cfg(test)]
mod tests;
