//! Rules of a GRPCRoute: a call is a request whose path is `/SERVICE/METHOD`.

use std::sync::Arc;

use ambit_model::{HttpMatch, HttpRule, PathMatch};

use super::compile::{Compiler, RankedRule, Rules, Wrong};
use super::expressions::Room;
use super::filters::Place;
use super::http::session;
use super::matches::{any_path, fields};
use super::precedence::Rank;
use crate::config::objects::grpc_route::{GrpcRoute, GrpcRouteMatch, GrpcRouteRule, MethodMatch};

/// One part of a path, whatever it is.
const ANY: &str = "[^/]+";

impl Compiler<'_> {
    pub(super) fn grpc(&mut self, route: &GrpcRoute) -> Rules {
        let rules = route.spec.rules.iter().enumerate();
        Rules::Http(
            rules
                .filter_map(|(index, rule)| self.grpc_rule(index, rule))
                .collect(),
        )
    }

    fn grpc_rule(&mut self, index: usize, rule: &GrpcRouteRule) -> Option<RankedRule> {
        let field = format!("spec.rules[{index}]");
        let place = Place {
            field: &field,
            has_one_prefix: false,
        };
        let matches = grpc_matches(&mut self.room, &field, &rule.matches);
        self.ranked(index, rule.name.as_ref(), matches, |compiler| {
            let action = compiler.action(&place, &rule.filters, &rule.backend_refs)?;
            let session = session(&field, rule.session_persistence.as_ref())?;
            Ok(HttpRule { session, ..action })
        })
    }
}

fn grpc_matches(
    room: &mut Room<'_>,
    rule: &str,
    matches: &[GrpcRouteMatch],
) -> Result<Vec<(Rank, HttpMatch)>, Wrong> {
    let default = [GrpcRouteMatch::default()];
    let matches = if matches.is_empty() {
        &default
    } else {
        matches
    };
    let each = matches.iter().enumerate();
    each.map(|(index, given)| grpc_match(room, &format!("{rule}.matches[{index}]"), given))
        .collect()
}

fn grpc_match(
    room: &mut Room<'_>,
    field: &str,
    given: &GrpcRouteMatch,
) -> Result<(Rank, HttpMatch), Wrong> {
    let method = given.method.clone().unwrap_or_default();
    let headers = given.headers.iter().map(|header| {
        (
            header.name.lower_case(),
            header.kind.as_deref(),
            header.value.shared(),
        )
    });
    let when = HttpMatch {
        path: path(room, &format!("{field}.method"), &method)?,
        headers: fields(room, &format!("{field}.headers"), headers)?,
        ..HttpMatch::default()
    };
    let length = |part: Option<Arc<str>>| part.map_or(0, |part| part.chars().count());
    let rank = Rank::grpc(
        length(method.service.map(|text| text.shared())),
        length(method.method.map(|text| text.shared())),
        when.headers.len(),
    );
    Ok((rank, when))
}

fn path(room: &mut Room<'_>, field: &str, given: &MethodMatch) -> Result<Option<PathMatch>, Wrong> {
    let service = given.service.as_ref().map(|service| service.shared());
    let method = given.method.as_ref().map(|method| method.shared());
    if service.is_none() && method.is_none() {
        return Ok(None);
    }
    let kind = given.kind.as_deref().unwrap_or("Exact");
    if kind == "RegularExpression" {
        return expressions(room, field, service.as_deref(), method.as_deref()).map(Some);
    }
    if kind != "Exact" {
        let what = format!("unknown type `{kind}`");
        let advice = "write Exact or RegularExpression";
        return Err(Wrong::unsupported(format!("{field}.type"), what, advice));
    }
    check(&format!("{field}.service"), service.as_deref(), "_.")?;
    check(&format!("{field}.method"), method.as_deref(), "_")?;
    Ok(match (service, method) {
        (Some(service), Some(method)) => {
            Some(PathMatch::Exact(format!("/{service}/{method}").into()))
        }
        (Some(service), None) => Some(PathMatch::Prefix(format!("/{service}/").into())),
        (None, Some(method)) => {
            let text = format!("/{ANY}/{method}");
            let pattern = room.pattern(field, &text)?;
            Some(pattern.map_or_else(any_path, PathMatch::Regex))
        }
        (None, None) => None,
    })
}

/// Each compiles by itself, so that neither reaches into the other.
fn expressions(
    room: &mut Room<'_>,
    field: &str,
    service: Option<&str>,
    method: Option<&str>,
) -> Result<PathMatch, Wrong> {
    if !room.take() {
        return Ok(any_path());
    }
    let pattern = |field: &str, text: &str| room.judged.pattern(field, text);
    let part = |name: &str, text: Option<&str>| match text {
        Some(text) => pattern(&format!("{field}.{name}"), text).map(|one| format!("(?:{})", one.0)),
        None => Ok(ANY.to_owned()),
    };
    let text = format!("/{}/{}", part("service", service)?, part("method", method)?);
    Ok(PathMatch::Regex(pattern(field, &text)?))
}

/// Letters, digits and what else names of gRPC may have: nothing that an expression would understand
/// otherwise but the dot, which only a service has.
fn check(field: &str, name: Option<&str>, others: &str) -> Result<(), Wrong> {
    let legal = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    if name.is_some_and(|name| !name.chars().all(legal)) {
        let what = "a name that nothing of gRPC has";
        let advice = "write letters, digits and underscores, or type: RegularExpression";
        return Err(Wrong::unsupported(field, what, advice));
    }
    Ok(())
}
