//! Parameters of a query, as `application/x-www-form-urlencoded` has them.
//!
//! Names and values are percent-decoded, `+` is a space, a `%` without two hexadecimal digits stays
//! as it is. Of several parameters with one name the first counts; one without `=` has an empty
//! value. A query is read once for a request, whatever the number of routes that ask for it, and
//! only when one does.

use std::borrow::Cow;
use std::collections::HashMap;

/// Names of the parameters that routes ask for; each has a slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryNames(HashMap<Box<[u8]>, usize>);

/// Values of a query by slot.
#[derive(Debug)]
pub(crate) struct QueryValues<'q>(Vec<Option<Cow<'q, [u8]>>>);

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
            let slot = self.0.get(decode(name).as_ref());
            let place = slot.and_then(|slot| values.get_mut(*slot));
            if let Some(empty @ None) = place {
                *empty = Some(decode(value));
            }
        }
        QueryValues(values)
    }
}

impl QueryValues<'_> {
    /// The value of a slot, if the query has the parameter.
    pub(crate) fn get(&self, slot: usize) -> Option<&[u8]> {
        self.0.get(slot)?.as_deref()
    }
}

/// Decodes a name or value; copies it only if there is something to decode.
pub(crate) fn decode(text: &str) -> Cow<'_, [u8]> {
    let mut rest = text.as_bytes();
    if !rest.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(rest);
    }
    let mut decoded = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let (byte, left) = match (first, after) {
            (b'%', [high, low, left @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, left),
                _ => (b'%', after),
            },
            (b'+', _) => (b' ', after),
            _ => (*first, after),
        };
        decoded.push(byte);
        rest = left;
    }
    Cow::Owned(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
