//! Which lines are written: the part of CEL (Common Expression Language) that users of Istio write in
//! `accessLogging[].filter.expression`.
//!
//! Attributes ([`ATTRIBUTES`]), texts, numbers, `true`, `false` and `duration("1s")`; `==`, `!=`, `<`,
//! `<=`, `>`, `>=`; `&&`, `||`, `!`, parentheses; `in` a list; `startsWith`, `endsWith`, `contains`;
//! `a ? b : c`, `has(x)`, `string(x)`, and `+` between texts. As in CEL, what is asked of an attribute that is not there is neither true nor false: it makes what it is
//! part of so, but for `false && …` and `true || …`. A line is written if the whole is true.
//!
//! Of a text that is put together no more is made than [`LONGEST_JOIN`]: who writes an expression is not who has
//! the memory, and what clients send is as long as it may be. A longer one is as if it were not there.

mod kind;
mod read;
mod tag;
mod words;

use std::borrow::Cow;
use std::time::Duration;

use crate::entry::Entry;
use crate::needs::Needs;

pub use read::FilterError;
pub use tag::Tag;

/// Longest text that is put together to be compared, in bytes.
const LONGEST_JOIN: usize = 4096;

/// An expression, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    root: Expression,
    needs: Needs,
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Constant(Value<'static>),
    Attribute(Attribute),
    Not(Box<Self>),
    /// All of these.
    And(Vec<Self>),
    /// Any of these.
    Or(Vec<Self>),
    Compare(Box<Self>, Comparison, Box<Self>),
    In(Box<Self>, Vec<Self>),
    Text(Box<Self>, Test, Box<str>),
    /// If the first is true the second, or else the third.
    Choice(Box<[Self; 3]>),
    /// Whether it is there.
    Has(Attribute),
    /// A text of something of any kind.
    AsText(Box<Self>),
    /// Texts, one behind the other.
    Join(Vec<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    StartsWith,
    EndsWith,
    Contains,
}

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq)]
enum Value<'e> {
    Truth(bool),
    Number(f64),
    Text(Cow<'e, str>),
    Span(Duration),
}

/// Something that is asked of an entry.
#[derive(Clone, Debug, PartialEq)]
enum Attribute {
    Header(Place, Box<str>),
    Known(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Request,
    Response,
    Trailer,
}

/// Names of the attributes that can be asked for, beside `request.headers['x']`, `response.headers['x']`
/// and `response.trailers['x']`.
pub const ATTRIBUTES: &[&str] = &[
    "connection.mtls",
    "connection.requested_server_name",
    "connection.termination_details",
    "connection.tls_version",
    "connection.uri_san_peer_certificate",
    "destination.address",
    "destination.port",
    "request.duration",
    "request.host",
    "request.id",
    "request.method",
    "request.path",
    "request.protocol",
    "request.query",
    "request.scheme",
    "request.size",
    "request.url_path",
    "request.useragent",
    "response.code",
    "response.code_details",
    "response.flags_long",
    "response.grpc_status",
    "response.size",
    "source.address",
    "source.port",
    "upstream.address",
    "upstream.port",
    "xds.cluster_name",
    "xds.route_name",
];

impl Filter {
    /// Reads an expression.
    pub fn read(text: &str) -> Result<Self, FilterError> {
        let root = read::read(text)?;
        let mut needs = Needs::default();
        root.add_needs(&mut needs);
        Ok(Self { root, needs })
    }

    /// What has to be kept until the end of a request.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Whether the line of this entry is written.
    pub fn passes(&self, entry: &(impl Entry + ?Sized)) -> bool {
        self.root.value(entry) == Some(Value::Truth(true))
    }
}

impl Expression {
    fn add_needs(&self, needs: &mut Needs) {
        match self {
            Self::Constant(_) => {}
            Self::Attribute(attribute) => attribute.add_needs(needs),
            Self::Has(attribute) => attribute.add_needs(needs),
            _ => {
                for part in self.parts() {
                    part.add_needs(needs);
                }
            }
        }
    }

    /// What it is made of, one level down.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Constant(_) | Self::Attribute(_) | Self::Has(_) => Vec::new(),
            Self::Not(of) | Self::Text(of, ..) | Self::AsText(of) => vec![of],
            Self::And(parts) | Self::Or(parts) | Self::Join(parts) => parts.iter().collect(),
            Self::Compare(one, _, other) => vec![one, other],
            Self::In(of, list) => std::iter::once(&**of).chain(list).collect(),
            Self::Choice(of) => of.iter().collect(),
        }
    }

    /// What it comes to; `None` if that cannot be said.
    fn value<'e>(&'e self, entry: &'e (impl Entry + ?Sized)) -> Option<Value<'e>> {
        let truth = |found: bool| Some(Value::Truth(found));
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Attribute(attribute) => attribute.value(entry),
            Self::Not(of) => truth(!of.truth(entry)?),
            Self::And(parts) => all(parts.iter().map(|part| part.truth(entry)), false),
            Self::Or(parts) => all(parts.iter().map(|part| part.truth(entry)), true),
            Self::Compare(one, how, other) => {
                truth(how.holds(&one.value(entry)?, &other.value(entry)?)?)
            }
            Self::In(of, list) => {
                let of = of.value(entry)?;
                let mut list = list.iter();
                truth(list.any(|one| one.value(entry).as_ref() == Some(&of)))
            }
            Self::Text(of, test, with) => match of.value(entry)? {
                Value::Text(of) => truth(match test {
                    Test::StartsWith => of.starts_with(&**with),
                    Test::EndsWith => of.ends_with(&**with),
                    Test::Contains => of.contains(&**with),
                }),
                _ => None,
            },
            Self::Choice(of) => {
                let [first, one, other] = &**of;
                let chosen = if first.truth(entry)? { one } else { other };
                chosen.value(entry)
            }
            Self::Has(attribute) => truth(attribute.value(entry).is_some()),
            Self::AsText(of) => of.value(entry).map(|value| Value::Text(value.into_text())),
            Self::Join(parts) => {
                let mut all = String::new();
                for part in parts {
                    let part = part.value(entry)?.into_text();
                    if all.len() + part.len() > LONGEST_JOIN {
                        return None;
                    }
                    all.push_str(&part);
                }
                Some(Value::Text(all.into()))
            }
        }
    }

    /// The beginning of what it comes to as a text: so many bytes, and what belongs to the last character of
    /// these. No more is put together.
    fn beginning<'e>(
        &'e self,
        entry: &'e (impl Entry + ?Sized),
        most: usize,
    ) -> Option<Cow<'e, str>> {
        Some(match self {
            Self::AsText(of) => of.beginning(entry, most)?,
            Self::Choice(of) => {
                let [first, one, other] = &**of;
                let chosen = if first.truth(entry)? { one } else { other };
                chosen.beginning(entry, most)?
            }
            Self::Join(parts) => {
                let mut all = String::new();
                for part in parts {
                    // Also of what is cut off it is asked whether it is there.
                    all.push_str(&part.beginning(entry, most.saturating_sub(all.len()))?);
                }
                all.into()
            }
            _ => {
                let text = self.value(entry)?.into_text();
                let end = text.ceil_char_boundary(most);
                match text {
                    Cow::Borrowed(text) => text.get(..end).unwrap_or(text).into(),
                    Cow::Owned(mut text) => {
                        text.truncate(end);
                        text.into()
                    }
                }
            }
        })
    }

    fn truth(&self, entry: &(impl Entry + ?Sized)) -> Option<bool> {
        match self.value(entry)? {
            Value::Truth(truth) => Some(truth),
            _ => None,
        }
    }
}

/// `decides` if a part is so, whatever the others are.
fn all(parts: impl Iterator<Item = Option<bool>>, decides: bool) -> Option<Value<'static>> {
    let mut is_known = true;
    for part in parts {
        match part {
            Some(part) if part == decides => return Some(Value::Truth(decides)),
            Some(_) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(Value::Truth(!decides))
}

impl<'e> Value<'e> {
    /// It, as a text.
    fn into_text(self) -> Cow<'e, str> {
        match self {
            Self::Text(text) => text,
            Self::Truth(truth) => (if truth { "true" } else { "false" }).into(),
            Self::Number(number) => number.to_string().into(),
            Self::Span(span) => format!("{}s", span.as_secs_f64()).into(),
        }
    }
}

impl Comparison {
    /// Whether it holds; `None` between values that cannot be compared.
    fn holds(self, one: &Value<'_>, other: &Value<'_>) -> Option<bool> {
        let order = match (one, other) {
            (Value::Number(one), Value::Number(other)) => one.partial_cmp(other)?,
            (Value::Text(one), Value::Text(other)) => one.cmp(other),
            (Value::Span(one), Value::Span(other)) => one.cmp(other),
            (Value::Truth(one), Value::Truth(other)) => one.cmp(other),
            _ => return None,
        };
        Some(match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        })
    }
}

impl Attribute {
    fn add_needs(&self, needs: &mut Needs) {
        match self {
            Self::Header(Place::Request, name) => needs.request_headers.insert(name.clone()),
            Self::Header(Place::Response, name) => needs.response_headers.insert(name.clone()),
            Self::Header(Place::Trailer, name) => needs.response_trailers.insert(name.clone()),
            Self::Known("request.useragent") => needs.request_headers.insert("user-agent".into()),
            Self::Known("connection.requested_server_name") => {
                needs.server_name = true;
                true
            }
            Self::Known(_) => false,
        };
    }

    fn value<'e>(&self, entry: &'e (impl Entry + ?Sized)) -> Option<Value<'e>> {
        match self {
            Self::Header(place, name) => {
                let value = match place {
                    Place::Request => entry.request_header(name),
                    Place::Response => entry.response_header(name),
                    Place::Trailer => entry.response_trailer(name),
                };
                value.map(foreign)
            }
            Self::Known(name) if name.starts_with("request.") => of_request(name, entry),
            Self::Known(name) if name.starts_with("response.") => of_response(name, entry),
            Self::Known(name) => of_connection(name, entry),
        }
    }
}

fn of_request<'e>(name: &str, entry: &'e (impl Entry + ?Sized)) -> Option<Value<'e>> {
    let header = |name| entry.request_header(name).map(foreign);
    let path = || entry.request_header(":path").map(String::from_utf8_lossy);
    Some(match name {
        "request.duration" => Value::Span(entry.duration()),
        "request.host" => header(":authority")?,
        "request.id" => header("x-request-id")?,
        "request.method" => header(":method")?,
        "request.path" => header(":path")?,
        "request.protocol" => Value::Text(entry.protocol()?.into()),
        "request.query" => {
            let path = path()?;
            let query = path.split_once('?').map_or("", |(_, query)| query);
            Value::Text(query.to_owned().into())
        }
        "request.scheme" => header(":scheme")?,
        "request.size" => number(entry.bytes_received()),
        "request.url_path" => {
            let path = path()?;
            let before = path.split('?').next().unwrap_or_default();
            Value::Text(before.to_owned().into())
        }
        "request.useragent" => header("user-agent")?,
        _ => return None,
    })
}

fn of_response<'e>(name: &str, entry: &'e (impl Entry + ?Sized)) -> Option<Value<'e>> {
    Some(match name {
        "response.code" => number(entry.response_code()?.into()),
        "response.code_details" => Value::Text(entry.response_code_details()?.into()),
        "response.flags_long" => {
            let flags = entry.response_flags().iter();
            let flags: Vec<&str> = flags.map(|flag| flag.long()).collect();
            Value::Text(flags.join(",").into())
        }
        "response.grpc_status" => number(entry.grpc_status()?.into()),
        "response.size" => number(entry.bytes_sent()),
        _ => return None,
    })
}

fn of_connection<'e>(name: &str, entry: &'e (impl Entry + ?Sized)) -> Option<Value<'e>> {
    let text = |text: &'e str| Value::Text(text.into());
    let (source, destination) = (
        entry.downstream_remote_address(),
        entry.downstream_local_address(),
    );
    let upstream = entry.upstream_host();
    Some(match name {
        "connection.mtls" => Value::Truth(entry.downstream_peer_uri_san().is_some()),
        "connection.requested_server_name" => foreign(entry.requested_server_name()?),
        "connection.termination_details" => text(entry.connection_termination_details()?),
        "connection.tls_version" => text(entry.downstream_tls_version()?),
        "connection.uri_san_peer_certificate" => text(entry.downstream_peer_uri_san()?),
        "destination.address" => Value::Text(destination?.to_string().into()),
        "destination.port" => number(destination?.port().into()),
        "source.address" => Value::Text(source?.to_string().into()),
        "source.port" => number(source?.port().into()),
        "upstream.address" => Value::Text(upstream?.to_string().into()),
        "upstream.port" => number(upstream?.port().into()),
        "xds.cluster_name" => text(entry.upstream_cluster()?),
        "xds.route_name" => text(entry.route_name()?),
        _ => return None,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes beyond 2^53 are compared with numbers that nobody writes so exactly"
)]
fn number(value: u64) -> Value<'static> {
    Value::Number(value as f64)
}

fn foreign(bytes: &[u8]) -> Value<'_> {
    Value::Text(String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests;
