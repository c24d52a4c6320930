//! Rules of an HTTPRoute.

use ambit_model::{
    HttpBackend, HttpFilters, HttpRule, PathChange, Retry, RetryOn, SessionCarrier,
    SessionPersistence,
};
use ambit_route::Session;

use super::compile::{Compiler, RankedRule, Rules, Wrong};
use super::filters::{CORRECT, Place};
use super::matches::{has_one_prefix, http_matches};
use crate::config::objects::http_route::{HttpRoute, HttpRouteRule, RouteRetry};
use crate::config::objects::route_filters::Filter;
use crate::config::objects::route_parts::{BackendReference, SessionPersistence as GivenSession};

/// Tries after the first where a route asks for retries without a number.
const ATTEMPTS: u32 = 2;
/// Cookie or header of a session that has no name.
const SESSION: &str = "ambit-session";

impl Compiler<'_> {
    pub(super) fn http(&mut self, route: &HttpRoute) -> Rules {
        // The definition of the API gives a route without rules this one.
        let default = [HttpRouteRule::default()];
        let rules = match &*route.spec.rules {
            [] => &default,
            rules => rules,
        };
        let rules = rules.iter().enumerate();
        Rules::Http(
            rules
                .filter_map(|(index, rule)| self.http_rule(index, rule))
                .collect(),
        )
    }

    fn http_rule(&mut self, index: usize, rule: &HttpRouteRule) -> Option<RankedRule> {
        let field = format!("spec.rules[{index}]");
        let place = Place {
            field: &field,
            has_one_prefix: has_one_prefix(&rule.matches),
        };
        let matches = http_matches(&mut self.room, &field, &rule.matches);
        self.ranked(index, rule.name.as_ref(), matches, |compiler| {
            let action = compiler.action(&place, &rule.filters, &rule.backend_refs)?;
            with_options(&field, action, rule)
        })
    }

    /// Filters and destinations.
    pub(super) fn action(
        &mut self,
        place: &Place<'_>,
        filters: &[Filter],
        backends: &[BackendReference],
    ) -> Result<HttpRule, Wrong> {
        let filters = self.filters(place, filters)?;
        if filters.redirect.is_some() && !backends.is_empty() {
            let what = "beside a RequestRedirect, which answers itself";
            let field = format!("{}.backendRefs", place.field);
            return Err(Wrong::incompatible(field, what, "remove one of the two"));
        }
        let mut destinations = Vec::with_capacity(backends.len());
        for (index, reference) in backends.iter().enumerate() {
            let field = format!("{}.backendRefs[{index}]", place.field);
            let backend = self.backend(&field, reference);
            let place = Place {
                field: &field,
                ..*place
            };
            let own = self.filters(&place, &reference.filters)?;
            if changes_path(&filters) && replaces_prefix(&own) {
                let what = "ReplacePrefixMatch after the rule's own change of the path";
                let field = format!("{field}.filters");
                return Err(Wrong::incompatible(field, what, "remove one of the two"));
            }
            destinations.push(HttpBackend {
                backend,
                filters: own,
            });
        }
        Ok(HttpRule {
            filters,
            backends: destinations,
            ..HttpRule::default()
        })
    }
}

fn changes_path(filters: &HttpFilters) -> bool {
    let rewrite = filters.rewrite.as_ref();
    rewrite.is_some_and(|rewrite| rewrite.path.is_some())
}

/// What a match covered of a path is known of the path that the client asked for only.
fn replaces_prefix(filters: &HttpFilters) -> bool {
    let rewrite = filters.rewrite.as_ref().map(|rewrite| &rewrite.path);
    let redirect = filters.redirect.as_ref().map(|redirect| &redirect.path);
    let mut paths = rewrite.into_iter().chain(redirect);
    paths.any(|path| matches!(path, Some(PathChange::Prefix(_))))
}

fn with_options(field: &str, action: HttpRule, rule: &HttpRouteRule) -> Result<HttpRule, Wrong> {
    let timeouts = rule.timeouts;
    Ok(HttpRule {
        timeout: timeouts.and_then(|timeouts| timeouts.request?.limit()),
        try_timeout: timeouts.and_then(|timeouts| timeouts.backend_request?.limit()),
        retry: rule.retry.as_ref().map(retry),
        session: session(field, rule.session_persistence.as_ref())?,
        ..action
    })
}

/// Whoever asks for retries has them where no answer came, too.
fn retry(given: &RouteRetry) -> Retry {
    Retry {
        attempts: given.attempts.unwrap_or(ATTEMPTS),
        backoff: given.backoff.map(|backoff| backoff.length()),
        on: RetryOn {
            connect_failure: true,
            refused_stream: true,
            reset: true,
            statuses: given.codes.clone(),
            ..RetryOn::default()
        },
    }
}

pub(super) fn session(
    rule: &str,
    given: Option<&GivenSession>,
) -> Result<Option<SessionPersistence>, Wrong> {
    let Some(given) = given else { return Ok(None) };
    let field = format!("{rule}.sessionPersistence");
    let lifetime = given.cookie_config.as_ref();
    let lifetime = lifetime.map(|cookie| cookie.lifetime_type.as_deref().unwrap_or("Session"));
    let by = match (given.kind.as_deref().unwrap_or("Cookie"), lifetime) {
        ("Header", None) => SessionCarrier::Header,
        ("Cookie", None | Some("Session")) => SessionCarrier::SessionCookie,
        ("Cookie", Some("Permanent")) if given.absolute_timeout.is_some() => {
            SessionCarrier::PermanentCookie
        }
        ("Cookie", Some("Permanent")) => {
            let what = "a permanent cookie without absoluteTimeout";
            return Err(Wrong::unsupported(field, what, "say when it ends"));
        }
        ("Header", Some(_)) => {
            let what = "cookieConfig beside type Header";
            return Err(Wrong::unsupported(field, what, "remove one of the two"));
        }
        _ => {
            let what = "an unknown type";
            let advice = "write Cookie or Header, and Session or Permanent for a cookie";
            return Err(Wrong::unsupported(field, what, advice));
        }
    };
    let name = given.session_name.as_ref();
    let session = SessionPersistence {
        name: name.map_or_else(|| SESSION.into(), |name| name.shared()),
        by,
        absolute_timeout: given.absolute_timeout.and_then(|timeout| timeout.limit()),
    };
    match Session::new(&session) {
        Ok(_) => Ok(Some(session)),
        Err(problem) => Err(Wrong::unsupported(field, problem.to_string(), CORRECT)),
    }
}
