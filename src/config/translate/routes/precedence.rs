//! In which order matches are tried.
//!
//! HTTPRoute, as its definition says: exact paths; longer prefixes; a method; more headers; more
//! parameters of the query. Where regular expressions stand is left open; as with most other
//! implementations they come between exact paths and prefixes, the longer ones first. GRPCRoute:
//! longer names of services, longer names of methods, more headers; expressions count by their length.
//! On ties the older route, then the name that comes first, then the order within the route.

use std::cmp::Reverse;
use std::sync::Arc;

use ambit_model::{HttpRoutes, HttpRule, RoutedMatch};

use super::compile::{Compiled, Rules};

/// How early a match is tried: the least one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank([Reverse<usize>; 5]);

/// What a path is compared with, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathRank {
    Exact,
    Regex(usize),
    Prefix(usize),
}

impl Rank {
    /// Of a match of an HTTPRoute.
    pub(super) fn http(path: PathRank, has_method: bool, headers: usize, query: usize) -> Self {
        let (class, length) = match path {
            PathRank::Exact => (2, 0),
            PathRank::Regex(length) => (1, length),
            PathRank::Prefix(length) => (0, length),
        };
        Self([class, length, usize::from(has_method), headers, query].map(Reverse))
    }

    /// Of a match of a GRPCRoute.
    pub(super) fn grpc(service: usize, method: usize, headers: usize) -> Self {
        Self([service, method, headers, 0, 0].map(Reverse))
    }
}

/// All rules of routes that are given in the order of their age.
pub(super) fn merged(routes: &[&Compiled]) -> HttpRoutes {
    let mut rules: Vec<Arc<HttpRule>> = Vec::new();
    let mut ranked = Vec::new();
    let all = routes.iter().filter_map(|compiled| match &compiled.rules {
        Rules::Http(rules) => Some(rules),
        _ => None,
    });
    for given in all.flatten() {
        // Routes of one namespace have fewer rules than that.
        let rule = u32::try_from(rules.len()).unwrap_or(u32::MAX);
        rules.push(Arc::clone(&given.rule));
        let matches = given.matches.iter();
        ranked.extend(matches.map(|(rank, when)| {
            let when = Arc::clone(when);
            (*rank, RoutedMatch { when, rule })
        }));
    }
    // Stable: what ties stays in the order of routes, rules and matches.
    ranked.sort_by_key(|(rank, _)| *rank);
    HttpRoutes {
        matches: ranked.into_iter().map(|(_, routed)| routed).collect(),
        rules,
    }
}
