//! Formats of the access log in Envoy's command operators, as users of Istio write them in
//! `accessLogFormat`: read once into a [`Format`], which then writes a line for each [`Entry`].
//!
//! ```text
//!  text or JSON --scan--> operators and what stands between them --> Format
//!                                                                     | needs(): headers to keep
//!                              Entry (getters, nothing copied) --> write() --> one line
//! ```
//!
//! Names and meanings are those of Envoy 1.40. There are three shapes of lines:
//!
//! * **Text** ([`Format::text`]): what is absent is `-`.
//! * **JSON** ([`Format::json`]): an object whose values are texts with operators. Names are sorted.
//!   A value that is one operator and nothing else has its type: `%DURATION%` is a number, what is
//!   absent is `null`. Other values are texts.
//! * **Text that is a JSON object**: a text format that would be a JSON object if each operator in
//!   quotes were a letter, and each outside of them `null`. That is tried when the format is read.
//!   Such a format is written in the order and with the literal texts of the user, but on one line,
//!   whatever line breaks stood between its members. Operators in quotes are texts, numbers too,
//!   with `-` for what is absent; operators outside of quotes have their type, as in JSON. An
//!   operator in the name of a member is written, too: whoever chooses its value chooses the name.
//!   Envoy knows no such shape: it writes text as text, which a client breaks with a quote in a
//!   header.
//!
//! Which lines are written may depend on a [`Filter`]; what a [`Tag`] comes to is a label of a series.
//!
//! # What differs from Envoy
//!
//! * One line stays one line. In text, control characters and bytes that are not UTF-8 are written
//!   as `\x0a`, line and paragraph separators as `\u2028`; Envoy writes them as they came. Quotes
//!   stay as they came, as with Envoy: fields of a text format can be forged by clients, those of
//!   JSON cannot. In JSON the texts mean the same as Envoy's: what is not UTF-8 is read as Latin-1.
//! * What must not be in logs is masked, see [`Redaction`].
//! * A value of a client is cut after [`LONGEST`] bytes unless the format gives a length, and never
//!   within a character.
//! * Errors are told when the format is read: what Envoy writes as it stands, such as an unknown
//!   letter of a time, is refused. So are operators that could tell nothing here.
//! * The local time is UTC. `%ENVIRONMENT(X)%` tells a few variables only, since secrets are kept
//!   in others.

mod defaults;
mod entry;
mod error;
mod escape;
mod filter;
mod flags;
mod format;
mod grpc;
mod json;
mod needs;
mod operator;
mod redact;
mod scan;
mod time;
mod value;

#[cfg(test)]
mod fixtures;

pub use defaults::{ISTIO_JSON, ISTIO_TEXT};
pub use entry::Entry;
pub use error::{Fault, FormatError};
pub use escape::LONGEST;
pub use filter::{ATTRIBUTES, Filter, FilterError, Tag};
pub use flags::Flag;
pub use format::{Format, Shape};
pub use needs::Needs;
pub use operator::{ENVIRONMENT, known};
pub use redact::{REDACTED, Redaction};
