//! The routes of a service, ready for requests.

use std::sync::Arc;

use ambit_model::{HttpRoutes, RoutedMatch};

use crate::asked::{Asked, Names};
use crate::cookie_path::cookie_path;
use crate::head::Head;
use crate::index::Index;
use crate::matching::Matching;
use crate::path::Covered;
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

/// Why routes cannot be used: none of them is.
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
        let rules: Vec<Arc<Rule>> = routes
            .rules
            .iter()
            .map(|rule| Rule::new(rule).map(Arc::new).map_err(|p| of(&rule.name, p)))
            .collect::<Result<_, _>>()?;
        let mut names = Names::default();
        let entries: Vec<Entry> = routes
            .matches
            .iter()
            .enumerate()
            .map(|(position, routed)| Entry::new(position, routed, &rules, &mut names))
            .collect::<Result<_, _>>()?;
        let index = Index::new(entries.iter().map(|entry| &entry.matching.path));
        Ok(Self(Arc::new(Inner {
            index,
            entries,
            names,
        })))
    }

    /// Every rule that some match leads to; one that several lead to comes as often.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.0.entries.iter().map(|entry| &*entry.rule)
    }

    /// The first match that a request meets; `None` if it meets none.
    pub fn find<'c>(&'c self, head: &Head<'_>) -> Option<Found<'c>> {
        let inner = &*self.0;
        let asked = Asked::new(head, &inner.names);
        let mut first: Option<Found<'c>> = None;
        for positions in inner.index.candidates(head.path) {
            let bound = first.map_or(usize::MAX, |found| found.position);
            let earlier = positions.iter().take_while(|position| **position < bound);
            let found = earlier.copied().find_map(|position| {
                let entry = inner.entries.get(position)?;
                let covered = entry.matching.covers(&asked)?;
                Some(entry.found(position, covered))
            });
            first = found.or(first);
        }
        first
    }
}

impl Entry {
    fn new(
        position: usize,
        routed: &RoutedMatch,
        rules: &[Arc<Rule>],
        names: &mut Names,
    ) -> Result<Self, CompileError> {
        let index = usize::try_from(routed.rule).unwrap_or(usize::MAX);
        let rule = rules.get(index).ok_or(CompileError::NoSuchRule {
            position,
            rule: routed.rule,
            rules: rules.len(),
        })?;
        let matching = Matching::new(&routed.when, names);
        Ok(Self {
            matching: matching.map_err(|problem| of(&rule.model.name, problem))?,
            rule: Arc::clone(rule),
            cookie_path: cookie_path(routed.when.path.as_ref()).into(),
        })
    }

    fn found(&self, position: usize, covered: Covered) -> Found<'_> {
        Found {
            rule: &self.rule,
            position,
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
