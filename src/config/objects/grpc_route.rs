//! Gateway API's `GRPCRoute`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::http_route::check_matches;
use super::route_filters::Filter;
use super::route_parts::{BackendReference, FieldMatch, RouteObject, RuleName, SessionPersistence};
use super::route_values::{FieldName, Text, at_most};
use crate::config::problem::Finding;

/// A `GRPCRoute`.
pub type GrpcRoute = RouteObject<GrpcRouteRule>;

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// Its name.
    #[serde(default)]
    pub name: Option<RuleName>,
    /// Any of these; none means every call.
    #[serde(default, deserialize_with = "at_most::<64, _, _>")]
    pub matches: Vec<GrpcRouteMatch>,
    /// What is done on the way.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub filters: Vec<Filter>,
    /// Where calls go.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub backend_refs: Vec<BackendReference>,
    /// Calls of one session go to one endpoint.
    #[serde(default)]
    pub session_persistence: Option<SessionPersistence>,
}

/// What a call must be like: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcRouteMatch {
    /// What it calls; absent means anything.
    #[serde(default)]
    pub method: Option<MethodMatch>,
    /// Its metadata.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub headers: Vec<FieldMatch<FieldName, Text<4096>>>,
}

/// What is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodMatch {
    /// `Exact` if absent, or `RegularExpression`.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// The service; absent means any.
    #[serde(default)]
    pub service: Option<Text<1024>>,
    /// The method; absent means any.
    #[serde(default)]
    pub method: Option<Text<1024>>,
}

impl GrpcRoute {
    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub(super) fn check(&self) -> Result<(), Finding> {
        check_matches(self.spec.rules.iter().map(|rule| rule.matches.len()))
    }
}
