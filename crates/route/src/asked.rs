//! A request while it is compared with matches.
//!
//! Every header and query parameter that some match asks for has a slot. What a request has for the
//! slots is read once, when the first match asks, so that a thousand matches about one header cost a
//! thousand comparisons and no more.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use http::HeaderMap;
use http::header::{HOST, HeaderName};

use crate::head::Head;
use crate::query::{QueryNames, QueryValues};

/// Names that matches ask for, by slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    headers: HashMap<HeaderName, usize>,
    query: QueryNames,
}

/// Which names some match asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Uses {
    headers: Vec<bool>,
    query: Vec<bool>,
}

/// A request with what it has for the slots.
pub(crate) struct Asked<'h> {
    pub(crate) head: &'h Head<'h>,
    names: &'h Names,
    headers: OnceCell<Vec<Option<Cow<'h, [u8]>>>>,
    query: OnceCell<QueryValues<'h>>,
}

impl Names {
    /// The slot of a header, made if there is none.
    pub(crate) fn header(&mut self, name: HeaderName) -> usize {
        let next = self.headers.len();
        *self.headers.entry(name).or_insert(next)
    }

    /// The slot of a query parameter, made if there is none.
    pub(crate) fn parameter(&mut self, name: &str) -> usize {
        self.query.slot(name)
    }

    /// True if there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.len() == 0
    }

    /// Nothing noted yet of which are asked for.
    pub(crate) fn uses(&self) -> Uses {
        Uses {
            headers: vec![false; self.headers.len()],
            query: vec![false; self.query.len()],
        }
    }
}

impl Uses {
    /// Somebody asks for the header of this slot.
    pub(crate) fn header(&mut self, slot: usize) {
        self.headers
            .get_mut(slot)
            .into_iter()
            .for_each(|used| *used = true);
    }

    /// Somebody asks for the query parameter of this slot.
    pub(crate) fn parameter(&mut self, slot: usize) {
        self.query
            .get_mut(slot)
            .into_iter()
            .for_each(|used| *used = true);
    }

    /// True if there is a name that nobody asks for.
    pub(crate) fn has_idle(&self) -> bool {
        self.headers.iter().chain(&self.query).any(|used| !used)
    }
}

impl<'h> Asked<'h> {
    pub(crate) fn new(head: &'h Head<'h>, names: &'h Names) -> Self {
        Self {
            head,
            names,
            headers: OnceCell::new(),
            query: OnceCell::new(),
        }
    }

    /// The value of a header, if the request has it; that of `host` is the authority that was asked
    /// for, in HTTP/2 too.
    pub(crate) fn header(&self, slot: usize) -> Option<&[u8]> {
        let headers = self.headers.get_or_init(|| self.read_headers());
        headers.get(slot)?.as_deref()
    }

    /// The value of a query parameter, if the request has it.
    pub(crate) fn parameter(&self, slot: usize) -> Option<&[u8]> {
        let read = || self.names.query.read(self.head.query.unwrap_or_default());
        self.query.get_or_init(read).get(slot)
    }

    fn read_headers(&self) -> Vec<Option<Cow<'h, [u8]>>> {
        let mut values = vec![None; self.names.headers.len()];
        for (name, slot) in &self.names.headers {
            if let Some(value) = values.get_mut(*slot) {
                *value = match (name, self.head.authority) {
                    (&HOST, authority) => authority.map(|host| host.as_bytes().into()),
                    _ => joined(self.head.headers, name),
                };
            }
        }
        values
    }
}

/// The lines of a header as one text, with commas between them; `None` if there is no line.
pub(crate) fn joined<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, [u8]>> {
    let lines = headers.get_all(name);
    let mut values = lines.iter().map(|value| value.as_bytes());
    match (values.next(), values.next()) {
        (None, _) => None,
        (Some(only), None) => Some(only.into()),
        (Some(_), Some(_)) => {
            let lines: Vec<&[u8]> = lines.iter().map(|value| value.as_bytes()).collect();
            Some(lines.join(&b',').into())
        }
    }
}
