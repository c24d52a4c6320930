//! Gateway API's `HTTPRoute`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::route_filters::Filter;
use super::route_parts::{BackendReference, FieldMatch, RouteObject, RuleName, SessionPersistence};
use super::route_values::{FieldContent, FieldName, RouteDuration, Text, at_most};
use crate::config::problem::Finding;

/// An `HTTPRoute`.
pub type HttpRoute = RouteObject<HttpRouteRule>;

/// Most matches of all rules of a route.
const MAX_MATCHES: usize = 128;

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// Its name.
    #[serde(default)]
    pub name: Option<RuleName>,
    /// Any of these; none means every request.
    #[serde(default, deserialize_with = "at_most::<64, _, _>")]
    pub matches: Vec<HttpRouteMatch>,
    /// What is done on the way.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub filters: Vec<Filter>,
    /// Where requests go.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub backend_refs: Vec<BackendReference>,
    /// How long it may take.
    #[serde(default)]
    pub timeouts: Option<Timeouts>,
    /// When it is tried again.
    #[serde(default)]
    pub retry: Option<RouteRetry>,
    /// Requests of one session go to one endpoint.
    #[serde(default)]
    pub session_persistence: Option<SessionPersistence>,
}

/// What a request must be like: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteMatch {
    /// Its path; absent means a prefix of `/`.
    #[serde(default)]
    pub path: Option<PathMatch>,
    /// Its headers.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub headers: Vec<FieldMatch<FieldName, FieldContent>>,
    /// Its query.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub query_params: Vec<FieldMatch<FieldName, Text<1024>>>,
    /// Its method.
    #[serde(default)]
    pub method: Option<Arc<str>>,
}

/// What a path is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    /// `PathPrefix` if absent, `Exact` or `RegularExpression`.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// `/` if absent.
    #[serde(default)]
    pub value: Option<Text<1024>>,
}

/// How long an exchange may take; zero means as long as it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// All of it.
    #[serde(default)]
    pub request: Option<RouteDuration>,
    /// One try.
    #[serde(default)]
    pub backend_request: Option<RouteDuration>,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRetry {
    /// Statuses that are worth it.
    #[serde(default, deserialize_with = "at_most::<200, _, _>")]
    pub codes: Vec<u16>,
    /// Tries after the first.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// Time before the next try, at the least.
    #[serde(default)]
    pub backoff: Option<RouteDuration>,
}

impl HttpRoute {
    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub(super) fn check(&self) -> Result<(), Finding> {
        check_matches(self.spec.rules.iter().map(|rule| rule.matches.len()))?;
        let mut rules = self.spec.rules.iter().enumerate();
        rules.try_for_each(|(index, rule)| {
            let wrong = rule.check();
            wrong.map_err(|(field, what, advice)| {
                Finding::new(format!("spec.rules[{index}].{field}"), what, advice)
            })
        })
    }
}

/// There are not too many matches in all rules together.
pub(super) fn check_matches(matches: impl Iterator<Item = usize>) -> Result<(), Finding> {
    let count: usize = matches.sum();
    if count > MAX_MATCHES {
        let what =
            format!("{count} matches in all rules together, of which {MAX_MATCHES} are allowed");
        return Err(Finding::new("spec.rules", what, "cut the route in two"));
    }
    Ok(())
}

impl HttpRouteRule {
    fn check(&self) -> Result<(), (&'static str, &'static str, &'static str)> {
        if let Some(Timeouts {
            request: Some(request),
            backend_request: Some(one),
        }) = self.timeouts
            && request.limit().is_some()
            && one > request
        {
            let what = "longer than timeouts.request";
            return Err(("timeouts.backendRequest", what, "give one try less time"));
        }
        if let Some(retry) = &self.retry {
            if retry.codes.iter().any(|code| !(400..600).contains(code)) {
                let what = "a status that is not from 400 to 599";
                return Err(("retry.codes", what, "name statuses of errors"));
            }
            if retry.attempts == Some(0) {
                return Err((
                    "retry.attempts",
                    "less than 1",
                    "leave retry out to try once",
                ));
            }
        }
        Ok(())
    }
}
