//! Where tokens are looked for, and what is found there.
//!
//! A place that several rules name is one place. Of several prefixes of one header the longest that
//! fits counts.

use std::borrow::Cow;
use std::fmt;

use ambit_model::JwtRule;
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, InvalidHeaderName};

use crate::head::Head;
use crate::query;

/// Where RFC 6750 (sections 2.1 and 2.3) has tokens.
const BEARER: &str = "Bearer ";
const ACCESS_TOKEN: &str = "access_token";
/// How many tokens are looked at. Nobody has use for more than two or three.
const MAX_TOKENS: usize = 8;

/// A place that a token may stand in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A header, after a prefix.
    Header(HeaderName),
    /// A parameter of the query.
    Parameter(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Parameter(name) => write!(f, "parameter {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

/// A token that was found, and where. Not to be printed: whoever has it is believed.
pub(crate) struct Found<'r> {
    /// Index of its place.
    pub(crate) place: usize,
    /// The token, or whatever stands in its place.
    pub(crate) token: Cow<'r, [u8]>,
}

/// More tokens than are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

/// All places that rules look in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    all: Vec<Place>,
    headers: Vec<(HeaderName, Vec<Prefixed>)>,
    parameters: Vec<usize>,
    cookies: Vec<usize>,
}

/// A prefix in a header.
#[derive(Clone, Debug)]
struct Prefixed {
    /// Without spaces at its end.
    prefix: Box<str>,
    /// Whether there must be one.
    spaced: bool,
    /// Index of the place.
    place: usize,
}

impl Places {
    /// Adds the places of a rule; their indexes.
    pub(crate) fn add(&mut self, rule: &JwtRule) -> Result<Vec<usize>, InvalidHeaderName> {
        let mut places = Vec::new();
        for header in &rule.from_headers {
            let name = HeaderName::from_bytes(header.name.as_bytes())?;
            places.push(self.header(name, &header.prefix));
        }
        for name in &rule.from_params {
            places.push(self.parameter(name));
        }
        for name in &rule.from_cookies {
            places.push(self.cookie(name));
        }
        if rule.names_no_place() {
            places.push(self.header(AUTHORIZATION, BEARER));
            places.push(self.parameter(ACCESS_TOKEN));
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// The place of that index.
    pub(crate) fn get(&self, index: usize) -> Option<&Place> {
        self.all.get(index)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    fn header(&mut self, name: HeaderName, prefix: &str) -> usize {
        let short = prefix.trim_end_matches(' ');
        let spaced = short.len() < prefix.len();
        let next = self.all.len();
        let of_name = match self.headers.iter().position(|(known, _)| *known == name) {
            Some(known) => known,
            None => {
                self.headers.push((name.clone(), Vec::new()));
                self.headers.len() - 1
            }
        };
        let Some((_, prefixes)) = self.headers.get_mut(of_name) else {
            return next;
        };
        let known = prefixes
            .iter_mut()
            .find(|known| known.prefix.eq_ignore_ascii_case(short));
        if let Some(known) = known {
            known.spaced &= spaced;
            return known.place;
        }
        prefixes.push(Prefixed {
            prefix: short.into(),
            spaced,
            place: next,
        });
        prefixes.sort_by_key(|known| std::cmp::Reverse(known.prefix.len()));
        self.all.push(Place::Header(name));
        next
    }

    /// The headers that tokens stand in.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.headers.iter().map(|(name, _)| name)
    }

    fn parameter(&mut self, name: &str) -> usize {
        let place = Place::Parameter(name.into());
        let index = known(&mut self.all, place);
        if !self.parameters.contains(&index) {
            self.parameters.push(index);
        }
        index
    }

    fn cookie(&mut self, name: &str) -> usize {
        let place = Place::Cookie(name.into());
        let index = known(&mut self.all, place);
        if !self.cookies.contains(&index) {
            self.cookies.push(index);
        }
        index
    }

    /// What stands in them: first of headers, then of the query, then of cookies.
    pub(crate) fn find<'r>(&self, head: &Head<'r>) -> Result<Vec<Found<'r>>, TooMany> {
        // Without a token nothing is allocated.
        let mut found = Vec::new();
        let mut add = |place, token| {
            found.push(Found { place, token });
            if found.len() > MAX_TOKENS {
                return Err(TooMany);
            }
            Ok(())
        };
        for (name, prefixes) in &self.headers {
            for value in head.headers.get_all(name) {
                let after = |known: &Prefixed| Some((known.place, known.after(value.as_bytes())?));
                if let Some((place, token)) = prefixes.iter().find_map(after) {
                    add(place, Cow::Borrowed(token))?;
                }
            }
        }
        if let Some(query) = head.query.filter(|_| !self.parameters.is_empty()) {
            for (name, value) in query::parameters(query) {
                let named = |place: &&usize| matches!(self.all.get(**place), Some(Place::Parameter(known)) if known.as_bytes() == &*name);
                if let Some(place) = self.parameters.iter().find(named) {
                    add(*place, value)?;
                }
            }
        }
        if !self.cookies.is_empty() {
            for (name, value) in cookies(head) {
                let named = |place: &&usize| matches!(self.all.get(**place), Some(Place::Cookie(known)) if known.as_bytes() == name);
                if let Some(place) = self.cookies.iter().find(named) {
                    add(*place, Cow::Borrowed(value))?;
                }
            }
        }
        Ok(found)
    }
}

/// The index of a place, added if it is not known.
fn known(all: &mut Vec<Place>, place: Place) -> usize {
    let known = all.iter().position(|known| *known == place);
    known.unwrap_or_else(|| {
        all.push(place);
        all.len() - 1
    })
}

impl Prefixed {
    /// What follows it, without the spaces around; `None` if the value does not begin with it.
    fn after<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        let (begin, rest) = value.split_at_checked(self.prefix.len())?;
        let fits = begin.eq_ignore_ascii_case(self.prefix.as_bytes());
        let spaced = !self.spaced || matches!(rest, [b' ' | b'\t', ..]);
        (fits && spaced).then(|| rest.trim_ascii())
    }
}

/// Cookies of a request (RFC 6265, section 4.2.1), without the quotes that a value may have.
fn cookies<'r>(head: &Head<'r>) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
    let lines = head.headers.get_all(COOKIE).into_iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(equals)?;
        let value = value.split_first()?.1.trim_ascii();
        let bare = value.strip_prefix(b"\"");
        let bare = bare.and_then(|value| value.strip_suffix(b"\""));
        Some((name.trim_ascii(), bare.unwrap_or(value)))
    })
}

#[cfg(test)]
mod tests;
