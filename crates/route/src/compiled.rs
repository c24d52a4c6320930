//! The routes of a service, ready for requests.

use std::sync::Arc;

use ambit_model::HttpRoutes;

use crate::asked::{Asked, Names};
use crate::cookie_path::cookie_path;
use crate::head::Head;
use crate::index::Index;
use crate::matching::Matching;
use crate::path::Covered;
use crate::pattern::Patterns;
use crate::problem::Problem;
use crate::rule::Rule;

/// Routes that were checked and made ready. A clone is the same routes.
#[derive(Clone, Debug)]
pub struct Compiled(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    index: Index,
    entries: Vec<Entry>,
    names: Names,
}

#[derive(Debug)]
struct Entry {
    /// Position in [`HttpRoutes::matches`].
    position: usize,
    matching: Matching,
    rule: Arc<Rule>,
    cookie_path: Box<str>,
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
        let mut problems = Vec::new();
        let mut rules: Vec<Arc<Rule>> = Vec::with_capacity(routes.rules.len());
        for model in &routes.rules {
            rules.push(Arc::new(Rule::new(model).unwrap_or_else(|problem| {
                problems.push(of(&model.name, problem.clone()));
                Rule::broken(model, problem)
            })));
        }
        let (mut names, mut matchings) = (Names::default(), Vec::new());
        for (position, routed) in routes.matches.iter().enumerate() {
            let index = usize::try_from(routed.rule).unwrap_or(usize::MAX);
            let count = rules.len();
            let Some(rule) = rules.get_mut(index) else {
                problems.push(CompileError::NoSuchRule {
                    position,
                    rule: routed.rule,
                    rules: count,
                });
                continue;
            };
            match Matching::new(&routed.when, &mut names, patterns) {
                Ok(matching) => matchings.push((position, index, matching)),
                Err(problem) => {
                    problems.push(of(&rule.model.name, problem.clone()));
                    *rule = Arc::new(Rule::broken(&rule.model, problem));
                }
            }
        }
        let entry = |(position, index, matching): (usize, usize, Matching)| {
            let when = &routes.matches.get(position)?.when;
            Some(Entry {
                position,
                matching,
                rule: Arc::clone(rules.get(index)?),
                cookie_path: cookie_path(when.path.as_ref()).into(),
            })
        };
        let entries: Vec<Entry> = matchings.into_iter().filter_map(entry).collect();
        let index = Index::new(entries.iter().map(|entry| &entry.matching.path));
        let inner = Inner {
            index,
            entries,
            names,
        };
        (Self(Arc::new(inner)), problems)
    }

    /// Every rule that some match leads to; one that several lead to comes as often.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.0.entries.iter().map(|entry| &*entry.rule)
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
                let covered = entry.matching.covers(&asked)?;
                Some((place, entry.found(covered)))
            });
            first = found.or(first);
        }
        first.map(|(_, found)| found)
    }
}

impl Entry {
    fn found(&self, covered: Covered) -> Found<'_> {
        Found {
            rule: &self.rule,
            position: self.position,
            covered,
            cookie_path: &self.cookie_path,
        }
    }
}

fn of(rule: &Arc<str>, problem: Problem) -> CompileError {
    CompileError::Rule {
        rule: Arc::clone(rule),
        problem,
    }
}

#[cfg(test)]
mod tests;
