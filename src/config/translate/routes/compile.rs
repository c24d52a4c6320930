//! One route as it is for one of its parents: what can be followed, and what is wrong with the rest.

use std::sync::Arc;

use ambit_model::{HttpMatch, HttpRule, TcpRoute};

use super::expressions::Room;
use super::precedence::Rank;
use super::stream::RankedTls;
use crate::config::objects::ObjectKey;
use crate::config::objects::route_parts::{Route, RuleName};
use crate::config::problem::Finding;
use crate::config::translate::Inputs;

/// A route as it is for one parent.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) rules: Rules,
    /// Rules that are not in force as they are written; one finding each.
    pub(super) wrong: Vec<WrongRule>,
    /// References that lead nowhere.
    pub(super) unresolved: Vec<Unresolved>,
    /// How many rules it has.
    pub(super) count: usize,
    /// How many regular expressions it has, as far as there was room.
    pub(super) expressions: usize,
}

/// What can be followed of a route.
#[derive(Debug)]
pub(super) enum Rules {
    Http(Vec<RankedRule>),
    Tls(Vec<RankedTls>),
    Tcp(TcpRoute),
    None,
}

/// A rule, and what leads to it.
#[derive(Debug)]
pub(super) struct RankedRule {
    pub(super) rule: Arc<HttpRule>,
    pub(super) matches: Vec<(Rank, Arc<HttpMatch>)>,
}

/// A rule that is not in force as it is written.
#[derive(Clone, Debug)]
pub(super) struct WrongRule {
    pub(super) index: usize,
    pub(super) wrong: Wrong,
    /// What it matches is answered with 500; otherwise it is left out.
    pub(super) is_answered: bool,
}

/// What is wrong with a rule.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    /// The word in the status.
    pub(super) reason: &'static str,
    pub(super) finding: Finding,
}

/// A reference that leads nowhere.
#[derive(Clone, Debug)]
pub(super) struct Unresolved {
    /// The word in the status.
    pub(super) reason: &'static str,
    pub(super) finding: Finding,
}

impl Wrong {
    /// Something that we do not know, or not yet.
    pub(super) fn unsupported(
        field: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            reason: "UnsupportedValue",
            finding: Finding::new(field, what, advice),
        }
    }

    /// Filters that contradict each other or their rule.
    pub(super) fn incompatible(
        field: impl Into<String>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            reason: "IncompatibleFilters",
            finding: Finding::new(field, what, advice),
        }
    }
}

/// Reads a route rule by rule, noting what is wrong.
#[derive(Debug)]
pub(super) struct Compiler<'a> {
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) key: &'a ObjectKey,
    pub(super) parent: &'a ObjectKey,
    pub(super) room: Room<'a>,
    pub(super) wrong: Vec<WrongRule>,
    pub(super) unresolved: Vec<Unresolved>,
}

/// Reads a route for one parent, where other routes of its namespace have left so many regular
/// expressions.
pub(super) fn compile(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    route: Route<'_>,
    parent: &ObjectKey,
    left: usize,
) -> Compiled {
    let mut compiler = Compiler {
        inputs,
        key,
        parent,
        room: Room::new(inputs.judged, left),
        wrong: Vec::new(),
        unresolved: Vec::new(),
    };
    let (rules, count) = match route {
        Route::Http(route) => (compiler.http(route), route.spec.rules.len().max(1)),
        Route::Grpc(route) => (compiler.grpc(route), route.spec.rules.len()),
        Route::Tls(route) => (compiler.tls(route), route.spec.rules.len()),
        Route::Tcp(route) => (compiler.tcp(route), route.spec.rules.len()),
    };
    Compiled {
        rules,
        wrong: compiler.wrong,
        unresolved: compiler.unresolved,
        count,
        expressions: compiler.room.taken(),
    }
}

impl Compiler<'_> {
    /// Notes what is wrong with a rule.
    pub(super) fn note(&mut self, index: usize, wrong: Wrong, is_answered: bool) {
        self.wrong.push(WrongRule {
            index,
            wrong,
            is_answered,
        });
    }

    /// A rule of requests: left out if its matches are wrong, answered with 500 if the rest of it is, or
    /// if they are too many.
    pub(super) fn ranked(
        &mut self,
        index: usize,
        name: Option<&RuleName>,
        matches: Result<Vec<(Rank, HttpMatch)>, Wrong>,
        follow: impl FnOnce(&mut Self) -> Result<HttpRule, Wrong>,
    ) -> Option<RankedRule> {
        let bounded = self.room.check(&format!("spec.rules[{index}]"));
        let matches = match matches {
            Ok(matches) => matches,
            Err(wrong) => {
                self.note(index, wrong, false);
                return None;
            }
        };
        let rule = bounded.and_then(|()| follow(self)).unwrap_or_else(|wrong| {
            self.note(index, wrong, true);
            HttpRule::default()
        });
        let name = self.rule_name(name.map(|name| &**name), index);
        let matches = matches.into_iter();
        Some(RankedRule {
            rule: Arc::new(HttpRule { name, ..rule }),
            matches: matches.map(|(rank, when)| (rank, when.into())).collect(),
        })
    }

    /// How logs name a rule.
    pub(super) fn rule_name(&self, name: Option<&str>, index: usize) -> Arc<str> {
        let ObjectKey {
            kind,
            namespace,
            name: route,
        } = self.key;
        let kind = kind.name();
        match name {
            Some(name) => format!("{kind}/{namespace}/{route}/{name}").into(),
            None => format!("{kind}/{namespace}/{route}/{index}").into(),
        }
    }
}
