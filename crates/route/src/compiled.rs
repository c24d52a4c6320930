//! The routes of a service, ready for requests.

use std::sync::Arc;

use ambit_model::{HttpMatch, HttpRoutes};
use regex::bytes::Regex;

use crate::asked::{Asked, Names};
use crate::head::Head;
use crate::index::Index;
use crate::matching::{Matching, PathTest};
use crate::path::Covered;
use crate::pattern::Patterns;
use crate::problem::Problem;
use crate::rule::Rule;

mod make;

/// Routes that were checked and made ready. A clone is the same routes.
#[derive(Clone, Debug)]
pub struct Compiled(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    index: Arc<Index>,
    entries: Vec<Entry>,
    /// In the order of [`HttpRoutes::rules`].
    rules: Vec<Kept>,
    names: Names,
    asks_for_source: bool,
}

/// A rule, and what it is known by.
#[derive(Clone, Debug)]
struct Kept {
    /// The address of its model; of one that is to be made anew each time 0.
    model: usize,
    rule: Arc<Rule>,
}

/// A match in its place, and what it is known by. Small, since there may be thousands to be copied.
#[derive(Debug)]
struct Entry {
    /// Position in [`HttpRoutes::matches`].
    position: usize,
    /// The address of its model.
    when: usize,
    ready: Arc<Ready>,
    /// Place of the rule that it leads to.
    rule: usize,
}

/// A match, made ready.
#[derive(Debug)]
struct Ready {
    matching: Matching,
    cookie_path: Arc<str>,
    /// Nothing else has its address as long as this is kept.
    _when: Arc<HttpMatch>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Found<'c> {
    /// The rule.
    pub rule: &'c Arc<Rule>,
    /// Position in [`HttpRoutes::matches`] of the match that led there.
    pub position: usize,
    /// What of the path that match covered.
    pub covered: Covered,
    /// The path that a session's cookie is for.
    pub cookie_path: &'c str,
}

/// What of routes cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A match leads nowhere.
    #[error("match {position} leads to rule {rule}, but there are only {rules} rules")]
    NoSuchRule {
        /// Position in [`HttpRoutes::matches`].
        position: usize,
        /// The index that it names.
        rule: u32,
        /// How many rules there are.
        rules: usize,
    },
    /// A rule, or a match that leads to it, has a value that cannot be used.
    #[error("{rule}: {problem}")]
    Rule {
        /// Name of the rule.
        rule: Arc<str>,
        /// What is wrong.
        #[source]
        problem: Problem,
    },
}

impl Compiled {
    /// Checks routes and makes them ready.
    ///
    /// # Errors
    ///
    /// If one of them cannot be used; the error names the rule.
    pub fn new(routes: &HttpRoutes) -> Result<Self, CompileError> {
        let (made, problems) = Self::rule_by_rule(routes, &mut Patterns::default());
        problems.into_iter().next().map_or(Ok(made), Err)
    }

    /// Makes ready what can be used, and says what cannot.
    ///
    /// A rule of which a value or a match cannot be used is [broken](Rule::broken): what its other
    /// matches lead to it is answered with 500. A match that cannot be used matches nothing, as where
    /// the control plane leaves it out.
    pub fn rule_by_rule(routes: &HttpRoutes, patterns: &mut Patterns) -> (Self, Vec<CompileError>) {
        Self::after(None, routes, patterns)
    }

    /// The same, given the routes before them: a rule or a match that is the very object that it was
    /// is as it was made then, wherever in the order it stands.
    pub fn after(
        before: Option<&Self>,
        routes: &HttpRoutes,
        patterns: &mut Patterns,
    ) -> (Self, Vec<CompileError>) {
        let before = before.map(|before| &*before.0);
        let (made, problems) = make::make(routes, before, patterns);
        (Self(Arc::new(made)), problems)
    }

    /// Every rule that some match leads to; one that several lead to comes as often.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let entries = self.0.entries.iter();
        entries.filter_map(|entry| Some(&*self.0.rules.get(entry.rule)?.rule))
    }

    /// Whether some match depends on who the client is.
    pub fn asks_for_source(&self) -> bool {
        self.0.asks_for_source
    }

    /// The expressions of its matches.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Arc<Regex>> {
        let entries = self.0.entries.iter();
        entries.flat_map(|entry| entry.ready.matching.expressions())
    }

    /// The first match that a request meets; `None` if it meets none.
    pub fn find<'c>(&'c self, head: &Head<'_>) -> Option<Found<'c>> {
        let inner = &*self.0;
        let asked = Asked::new(head, &inner.names);
        let mut first: Option<(usize, Found<'c>)> = None;
        for places in inner.index.candidates(head.path) {
            let bound = first.map_or(usize::MAX, |(place, _)| place);
            let earlier = places.iter().take_while(|place| **place < bound);
            let found = earlier.copied().find_map(|place| {
                let entry = inner.entries.get(place)?;
                let covered = entry.ready.matching.covers(&asked)?;
                let rule = &inner.rules.get(entry.rule)?.rule;
                Some((place, entry.found(rule, covered)))
            });
            first = found.or(first);
        }
        first.map(|(_, found)| found)
    }
}

impl Entry {
    /// What it asks of paths.
    fn path(&self) -> &PathTest {
        &self.ready.matching.path
    }

    fn found<'c>(&'c self, rule: &'c Arc<Rule>, covered: Covered) -> Found<'c> {
        Found {
            rule,
            position: self.position,
            covered,
            cookie_path: &self.ready.cookie_path,
        }
    }
}

#[cfg(test)]
mod tests;
