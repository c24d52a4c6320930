//! Filters of HTTPRoute and GRPCRoute: what is done to requests and responses on the way.
//!
//! Which field belongs to which type is checked in `translate/routes/filters.rs`, as are combinations: what
//! is wrong there is wrong in its rule only.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::or_default;
use super::route_parts::BackendReference;
use super::route_values::{FieldContent, FieldName, RoutePort, Text, at_most};

/// One filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the fields are Gateway API's, documented there"
)]
pub struct Filter {
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderModifier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderModifier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<RequestRedirect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<UrlRewrite>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<Box<RequestMirror>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
}

/// Changes of headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderModifier {
    /// Replaces what there is.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub set: Vec<Header>,
    /// Beside what there is.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub add: Vec<Header>,
    /// Takes away.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub remove: Vec<FieldName>,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: FieldName,
    /// Its value.
    pub value: FieldContent,
}

/// A redirect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRedirect {
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Option<Arc<str>>,
    /// Host name.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// Path.
    #[serde(default)]
    pub path: Option<PathModifier>,
    /// Port.
    #[serde(default)]
    pub port: Option<RoutePort>,
    /// 302 if absent.
    #[serde(default)]
    pub status_code: Option<u16>,
}

/// A rewrite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlRewrite {
    /// Host name.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// Path.
    #[serde(default)]
    pub path: Option<PathModifier>,
}

/// A change of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// `ReplaceFullPath` or `ReplacePrefixMatch`.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// For the first.
    #[serde(default)]
    pub replace_full_path: Option<Arc<str>>,
    /// For the second.
    #[serde(default)]
    pub replace_prefix_match: Option<Arc<str>>,
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirror {
    /// Where it goes.
    pub backend_ref: BackendReference,
    /// How many of a hundred are copied.
    #[serde(default)]
    pub percent: Option<u32>,
    /// How many of how many are copied.
    #[serde(default)]
    pub fraction: Option<Fraction>,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fraction {
    /// The part.
    pub numerator: u32,
    /// The whole; 100 if absent.
    #[serde(default)]
    pub denominator: Option<u32>,
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Origins that may.
    #[serde(default, deserialize_with = "at_most::<64, _, _>")]
    pub allow_origins: Vec<Text<253>>,
    /// Whether requests may carry credentials.
    #[serde(default, deserialize_with = "or_default")]
    pub allow_credentials: bool,
    /// Methods that are allowed.
    #[serde(default, deserialize_with = "at_most::<9, _, _>")]
    pub allow_methods: Vec<Arc<str>>,
    /// Request headers that are allowed.
    #[serde(default, deserialize_with = "at_most::<64, _, _>")]
    pub allow_headers: Vec<FieldName>,
    /// Response headers that scripts may read.
    #[serde(default, deserialize_with = "at_most::<64, _, _>")]
    pub expose_headers: Vec<FieldName>,
    /// How many seconds a browser may remember the answer; 5 if absent.
    #[serde(default)]
    pub max_age: Option<u32>,
}
