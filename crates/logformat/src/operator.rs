//! The operators: their names and arguments.

use std::cmp::Reverse;

use crate::error::Fault;
use crate::grpc::Form;
use crate::needs::Needs;
use crate::redact::{Redaction, Treatment};
use crate::time::TimeFormat;

mod arguments;
mod table;

pub use arguments::ENVIRONMENT;
pub(crate) use table::{Address, Field, Span};
use table::{Kind, OPERATORS, UNSUPPORTED};

/// Where a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Request,
    Response,
    Trailer,
}

/// A header and what is done with it.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// In small letters; empty if there is none.
    pub(crate) name: Box<str>,
    pub(crate) treatment: Treatment,
}

/// The value of the first of two headers that is there.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    pub(crate) source: Source,
    pub(crate) main: Header,
    pub(crate) other: Header,
    /// False to leave out what is after a question mark.
    pub(crate) with_query: bool,
    pub(crate) length: Option<usize>,
}

/// What of an address is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Ip,
    /// That many bits of it.
    Network(u8),
    Port,
}

/// Something that is written for each line.
#[derive(Clone, Debug)]
pub(crate) enum Operator {
    Field(Field),
    Span(Span),
    Headers(Headers),
    /// A header if there is no server name, or if there is.
    ServerName {
        host_first: bool,
        host: Headers,
    },
    Start(TimeFormat),
    /// True to keep white space.
    Details(bool),
    Grpc(Form),
    Address(Address, Part),
    /// Known when the format is read.
    Constant(Box<str>),
}

impl Operator {
    /// Adds what this one writes of what is gone at the end.
    pub(crate) fn add_needs(&self, needs: &mut Needs) {
        needs.server_name |= matches!(
            self,
            Self::Field(Field::ServerName) | Self::ServerName { .. }
        );
        if let Self::Headers(headers) | Self::ServerName { host: headers, .. } = self {
            let names = match headers.source {
                Source::Request => &mut needs.request_headers,
                Source::Response => &mut needs.response_headers,
                Source::Trailer => &mut needs.response_trailers,
            };
            let both = [&headers.main, &headers.other].map(|header| header.name.clone());
            names.extend(both.into_iter().filter(|name| !name.is_empty()));
        }
    }

    /// Masks what is to be masked.
    pub(crate) fn redact(&mut self, redaction: &Redaction) {
        if let Self::Headers(headers) | Self::ServerName { host: headers, .. } = self {
            for header in [&mut headers.main, &mut headers.other] {
                header.treatment = redaction.of_header(&header.name);
            }
        }
    }
}

/// Names of the operators that can be used.
pub fn known() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|(name, _)| *name)
}

/// An error if there is no operator of this name, or none that tells anything here.
pub(crate) fn is_usable(name: &str) -> Result<(), Fault> {
    find(name).map(drop)
}

/// Reads an operator from its words.
pub(crate) fn read(
    name: &str,
    argument: Option<&str>,
    length: Option<&str>,
) -> Result<Operator, Fault> {
    let (name, kind) = find(name)?;
    arguments::read(name, kind, argument.unwrap_or_default(), length)
}

fn find(name: &str) -> Result<(&'static str, Kind), Fault> {
    if let Some((name, kind)) = OPERATORS.iter().find(|(known, _)| *known == name) {
        return Ok((name, *kind));
    }
    if let Some((names, instead)) = UNSUPPORTED.iter().find(|(all, _)| all.contains(&name))
        && let Some(name) = names.iter().find(|known| **known == name)
    {
        return Err(Fault::Unsupported { name, instead });
    }
    // No operator is nearly as long.
    let name: String = name.chars().take(60).collect();
    let similar = similar(&name);
    Err(Fault::Unknown { name, similar })
}

/// The operators that are written most like this; all of them if none is.
fn similar(name: &str) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = known().filter(|known| likeness(name, known) > 0).collect();
    if all.is_empty() {
        return known().collect();
    }
    all.sort_by_cached_key(|known| Reverse(likeness(name, known)));
    all.truncate(3);
    all
}

/// How much of two names is the same: pairs of letters that both have, of all that they have.
fn likeness(one: &str, other: &str) -> usize {
    let pairs = |name: &str| -> Vec<[u8; 2]> {
        name.as_bytes()
            .windows(2)
            .filter_map(|pair| pair.try_into().ok())
            .collect()
    };
    let (one, mut other) = (pairs(one), pairs(other));
    let all = one.len() + other.len();
    let mut common = 0;
    for pair in one {
        if let Some(at) = other.iter().position(|its| *its == pair) {
            other.swap_remove(at);
            common += 1;
        }
    }
    2000 * common / all.max(1)
}

#[cfg(test)]
mod tests;
