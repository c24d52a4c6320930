//! What a rule for requests does: destinations, answers of its own, changes on the way, retries, faults.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::values::{Percentage, Span};
use super::{Destination, StringMatch};
use crate::config::objects::route_values::{FieldName, RoutePort};

/// Where requests go, by weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedDestination {
    /// Where.
    pub destination: Destination,
    /// Its share; needed where there are several.
    #[serde(default)]
    pub weight: u32,
    /// Changes of headers for this destination.
    #[serde(default)]
    pub headers: Option<Headers>,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Headers {
    pub request: Option<HeaderOperations>,
    pub response: Option<HeaderOperations>,
}

/// Changes of the headers of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct HeaderOperations {
    pub set: BTreeMap<Arc<str>, Arc<str>>,
    pub add: BTreeMap<Arc<str>, Arc<str>>,
    pub remove: Vec<Arc<str>>,
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Redirect {
    pub uri: Option<Arc<str>>,
    pub uri_prefix: Option<Arc<str>>,
    pub authority: Option<Arc<str>>,
    pub port: Option<RoutePort>,
    pub derive_port: Option<DerivePort>,
    pub scheme: Option<Arc<str>>,
    pub redirect_code: Option<u16>,
}

/// Where the port of a redirect comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are Istio's, documented there")]
pub enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}

/// An answer of the rule's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectResponse {
    /// Its status.
    pub status: u16,
    /// What it says.
    #[serde(default)]
    pub body: Option<Body>,
}

/// What an answer says: one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Body {
    pub string: Option<Arc<str>>,
    pub bytes: Option<Arc<str>>,
}

/// A rewrite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Rewrite {
    pub uri: Option<Arc<str>>,
    pub authority: Option<Arc<str>>,
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// A rewrite of all that an expression matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegexRewrite {
    /// The expression.
    #[serde(rename = "match")]
    pub matches: Arc<str>,
    /// What stands in its place.
    #[serde(default)]
    pub rewrite: Arc<str>,
}

/// When a request is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Retries {
    pub attempts: Option<u32>,
    pub per_try_timeout: Option<Span>,
    pub retry_on: Option<Arc<str>>,
    pub retry_remote_localities: Option<bool>,
    pub retry_ignore_previous_hosts: Option<bool>,
    pub backoff: Option<Span>,
}

/// Errors that are made on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Fault {
    pub delay: Option<Delay>,
    pub abort: Option<Abort>,
}

/// Requests wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Delay {
    pub fixed_delay: Option<Span>,
    pub exponential_delay: Option<Span>,
    pub percentage: Option<Percentage>,
    pub percent: Option<u32>,
}

/// Requests are answered with an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Abort {
    pub http_status: Option<u16>,
    pub grpc_status: Option<Arc<str>>,
    pub http2_error: Option<Arc<str>>,
    pub percentage: Option<Percentage>,
    pub percent: Option<u32>,
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct CorsPolicy {
    pub allow_origin: Vec<Arc<str>>,
    pub allow_origins: Vec<StringMatch>,
    pub allow_methods: Vec<Arc<str>>,
    pub allow_headers: Vec<FieldName>,
    pub expose_headers: Vec<FieldName>,
    pub max_age: Option<Span>,
    pub allow_credentials: Option<bool>,
    pub unmatched_preflights: Option<Preflights>,
}

/// What becomes of preflights of origins that may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the words are Istio's, documented there")]
pub enum Preflights {
    Unspecified,
    Forward,
    Ignore,
}
