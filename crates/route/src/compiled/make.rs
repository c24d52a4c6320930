//! Routes made ready. What they have in common with those before them is taken over as it is: of a
//! thousand rules of which one has changed, one is made anew.
//!
//! Rules and matches are the same if they are the very objects: whoever reads routes keeps those that
//! have not changed. A rule that is broken is always looked at again, since a match may be why.

use std::sync::Arc;

use ambit_model::{HttpMatch, HttpRoutes, HttpRule, Same};

use super::{CompileError, Entry, Inner};
use crate::asked::Names;
use crate::cookie_path::cookie_path;
use crate::index::Index;
use crate::matching::Matching;
use crate::pattern::Patterns;
use crate::problem::Problem;
use crate::rule::Rule;

/// Makes routes ready, given those before them.
pub(super) fn make(
    routes: &HttpRoutes,
    before: Option<&Inner>,
    patterns: &mut Patterns,
) -> (Inner, Vec<CompileError>) {
    let mut problems = Vec::new();
    let known = before.map_or(&[][..], |before| &before.rules);
    let mut rules = make_rules(&routes.rules, known, &mut problems);
    let Matches { ready, names } = Matches::new(routes, before, patterns);
    let mut matching = Vec::with_capacity(ready.len());
    for (position, (routed, ready)) in routes.matches.iter().zip(ready).enumerate() {
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
        match ready {
            Ok(ready) => matching.push((position, index, ready)),
            Err(problem) => {
                problems.push(of(&rule.model.name, problem.clone()));
                *rule = Arc::new(Rule::broken(&rule.model, problem));
            }
        }
    }
    let entry = |(position, index, ready): (usize, usize, Ready)| {
        Some(Entry {
            position,
            when: Arc::clone(&routes.matches.get(position)?.when),
            matching: ready.matching,
            rule: Arc::clone(rules.get(index)?),
            cookie_path: ready.cookie_path,
        })
    };
    let entries: Vec<Entry> = matching.into_iter().filter_map(entry).collect();
    let inner = Inner {
        index: make_index(&entries, before),
        entries,
        rules,
        names,
    };
    (inner, problems)
}

fn make_rules(
    models: &[Arc<HttpRule>],
    known: &[Arc<Rule>],
    problems: &mut Vec<CompileError>,
) -> Vec<Arc<Rule>> {
    let mut known = Same::new(known, |rule| Arc::as_ptr(&rule.model));
    let mut make = |model: &Arc<HttpRule>| {
        let same = known.find(&Arc::as_ptr(model));
        if let Some(rule) = same.filter(|rule| rule.broken.is_none()) {
            return Arc::clone(rule);
        }
        Arc::new(Rule::new(model).unwrap_or_else(|problem| {
            problems.push(of(&model.name, problem.clone()));
            Rule::broken(model, problem)
        }))
    };
    models.iter().map(&mut make).collect()
}

/// A match, made ready.
struct Ready {
    matching: Matching,
    cookie_path: Arc<str>,
}

/// The matches of a list in their order, and the names that they ask for.
struct Matches {
    ready: Vec<Result<Ready, Problem>>,
    names: Names,
}

impl Matches {
    fn new(routes: &HttpRoutes, before: Option<&Inner>, patterns: &mut Patterns) -> Self {
        let Some(before) = before else {
            return Self::after(routes, &[], Names::default(), patterns);
        };
        let made = Self::after(routes, &before.entries, before.names.clone(), patterns);
        if !made.has_idle_names() {
            return made;
        }
        // Every request would be read for a name that nothing asks for any more.
        Self::after(routes, &[], Names::default(), patterns)
    }

    /// What is taken over has its names among `names`.
    fn after(
        routes: &HttpRoutes,
        known: &[Entry],
        mut names: Names,
        patterns: &mut Patterns,
    ) -> Self {
        let mut known = Same::new(known, |entry| Arc::as_ptr(&entry.when));
        let ready = |when: &Arc<HttpMatch>| match known.find(&Arc::as_ptr(when)) {
            Some(entry) => Ok(Ready {
                matching: entry.matching.clone(),
                cookie_path: Arc::clone(&entry.cookie_path),
            }),
            None => Ok(Ready {
                matching: Matching::new(when, &mut names, patterns)?,
                cookie_path: cookie_path(when.path.as_ref()).into(),
            }),
        };
        let matches = routes.matches.iter().map(|routed| &routed.when);
        let ready = matches.map(ready).collect();
        Self { ready, names }
    }

    fn has_idle_names(&self) -> bool {
        let mut uses = self.names.uses();
        let ready = self.ready.iter().flatten();
        ready.for_each(|ready| ready.matching.note_names(&mut uses));
        uses.has_idle()
    }
}

/// The index of before, if what is asked of paths is the same.
fn make_index(entries: &[Entry], before: Option<&Inner>) -> Arc<Index> {
    let paths = || entries.iter().map(|entry| &entry.matching.path);
    let same = before.filter(|before| {
        let known = before.entries.iter().map(|entry| &entry.matching.path);
        entries.len() == before.entries.len() && paths().zip(known).all(|(a, b)| a.is_found_as(b))
    });
    same.map_or_else(
        || Arc::new(Index::new(paths())),
        |before| Arc::clone(&before.index),
    )
}

fn of(rule: &Arc<str>, problem: Problem) -> CompileError {
    CompileError::Rule {
        rule: Arc::clone(rule),
        problem,
    }
}
