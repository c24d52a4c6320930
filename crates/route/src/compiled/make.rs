//! Routes made ready. What they have in common with those before them is taken over as it is: of a
//! thousand rules of which one has changed, one is made anew. What is left for each of the others is to
//! be counted once more by its owner: nothing that it says is looked at.
//!
//! Rules and matches are the same if they are the very objects: whoever reads routes keeps those that
//! have not changed. A rule that is broken is always looked at again, since a match may be why.

use std::sync::Arc;

use ambit_model::{HttpMatch, HttpRoutes, HttpRule, Same};

use super::{CompileError, Entry, Inner, Kept, Ready};
use crate::asked::Names;
use crate::cookie_path::cookie_path;
use crate::index::{GONE, Index};
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
    let (made, before) = Matches::new(routes, before, patterns);
    for fault in made.faults {
        let Some(kept) = rules.get_mut(fault.rule) else {
            continue;
        };
        let model = &kept.rule.model;
        problems.push(of(&model.name, fault.problem.clone()));
        *kept = Kept {
            model: 0,
            rule: Arc::new(Rule::broken(model, fault.problem)),
        };
    }
    problems.extend(made.astray);
    let inner = Inner {
        index: make_index(&made.entries, before, &made.took),
        asks_for_source: asks_for_source(&made.entries, before, &made.took),
        entries: made.entries,
        rules,
        names: made.names,
    };
    (inner, problems)
}

fn make_rules(
    models: &[Arc<HttpRule>],
    known: &[Kept],
    problems: &mut Vec<CompileError>,
) -> Vec<Kept> {
    let mut same = Same::new(known, |kept| kept.model);
    let mut make = |model: &Arc<HttpRule>| {
        let address = address_of(model);
        if let Some(kept) = same.find(&address).and_then(|place| known.get(place)) {
            return kept.clone();
        }
        match Rule::new(model) {
            Ok(rule) => Kept {
                model: address,
                rule: Arc::new(rule),
            },
            Err(problem) => {
                problems.push(of(&model.name, problem.clone()));
                Kept {
                    model: 0,
                    rule: Arc::new(Rule::broken(model, problem)),
                }
            }
        }
    };
    models.iter().map(&mut make).collect()
}

/// What tells an object from all others, as long as somebody has it.
fn address_of<T>(object: &Arc<T>) -> usize {
    Arc::as_ptr(object).addr()
}

/// The matches of a list in their order, and the names that they ask for.
struct Matches {
    entries: Vec<Entry>,
    names: Names,
    took: Took,
    faults: Vec<Fault>,
    /// Of matches that lead nowhere.
    astray: Vec<CompileError>,
}

/// A match that cannot be used.
struct Fault {
    /// The place of the rule that it leads to.
    rule: usize,
    problem: Problem,
}

/// What was taken over.
struct Took {
    /// Where each entry of before is now, or [`GONE`].
    moved: Vec<usize>,
    /// The places of those that were not there before.
    added: Vec<usize>,
    /// True if those that were are in the order that they were in.
    in_order: bool,
}

impl Matches {
    /// With what of before could be taken over from.
    fn new<'i>(
        routes: &HttpRoutes,
        before: Option<&'i Inner>,
        patterns: &mut Patterns,
    ) -> (Self, Option<&'i Inner>) {
        if let Some(before) = before {
            let made = Self::after(routes, &before.entries, before.names.clone(), patterns);
            if !made.has_idle_names() {
                return (made, Some(before));
            }
            // Every request would be read for a name that nothing asks for any more.
        }
        let made = Self::after(routes, &[], Names::default(), patterns);
        (made, None)
    }

    /// What is taken over has its names among `names`.
    fn after(routes: &HttpRoutes, known: &[Entry], names: Names, patterns: &mut Patterns) -> Self {
        let mut same = Same::new(known, |entry| entry.when);
        let mut made = Self {
            entries: Vec::with_capacity(routes.matches.len()),
            names,
            took: Took {
                moved: vec![GONE; known.len()],
                added: Vec::new(),
                in_order: true,
            },
            faults: Vec::new(),
            astray: Vec::new(),
        };
        let mut behind = 0;
        for (position, routed) in routes.matches.iter().enumerate() {
            let rule = usize::try_from(routed.rule).unwrap_or(usize::MAX);
            if rule >= routes.rules.len() {
                made.astray.push(CompileError::NoSuchRule {
                    position,
                    rule: routed.rule,
                    rules: routes.rules.len(),
                });
                continue;
            }
            let when = address_of(&routed.when);
            let old = same.find(&when);
            let old = old.and_then(|place| Some((place, known.get(place)?)));
            let ready = match old {
                Some((place, entry)) => {
                    made.took.in_order &= place >= behind;
                    behind = place + 1;
                    if let Some(moved) = made.took.moved.get_mut(place) {
                        *moved = made.entries.len();
                    }
                    Arc::clone(&entry.ready)
                }
                None => match Ready::new(&routed.when, &mut made.names, patterns) {
                    Ok(ready) => {
                        made.took.added.push(made.entries.len());
                        Arc::new(ready)
                    }
                    Err(problem) => {
                        made.faults.push(Fault { rule, problem });
                        continue;
                    }
                },
            };
            made.entries.push(Entry {
                position,
                when,
                ready,
                rule,
            });
        }
        made
    }

    fn has_idle_names(&self) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let mut uses = self.names.uses();
        let entries = self.entries.iter();
        entries.for_each(|entry| entry.ready.matching.note_names(&mut uses));
        uses.has_idle()
    }
}

impl Ready {
    fn new(
        when: &Arc<HttpMatch>,
        names: &mut Names,
        patterns: &mut Patterns,
    ) -> Result<Self, Problem> {
        Ok(Self {
            matching: Matching::new(when, names, patterns)?,
            cookie_path: cookie_path(when.path.as_ref()).into(),
            _when: Arc::clone(when),
        })
    }
}

/// Whether some match depends on who the client is. Where none did, only those are looked at that are
/// new.
fn asks_for_source(entries: &[Entry], before: Option<&Inner>, took: &Took) -> bool {
    let asks = |entry: &Entry| entry.ready.matching.asks_for_source();
    if before.is_some_and(|before| before.asks_for_source) {
        return entries.iter().any(asks);
    }
    let mut added = took.added.iter().filter_map(|place| entries.get(*place));
    added.any(asks)
}

/// The index of before, if what is asked of paths is the same, or what has changed of it.
fn make_index(entries: &[Entry], before: Option<&Inner>, took: &Took) -> Arc<Index> {
    let all = || Arc::new(Index::new(entries.iter().map(Entry::path)));
    let Some(before) = before.filter(|_| took.in_order) else {
        return all();
    };
    let added = || {
        let places = took.added.iter();
        places.filter_map(|place| Some((*place, entries.get(*place)?.path())))
    };
    let stays = |(place, moved): (usize, &usize)| *moved == place || *moved == GONE;
    let is_same = entries.len() == before.entries.len()
        && took.moved.iter().enumerate().all(stays)
        && added().all(|(place, path_now)| {
            let was = before.entries.get(place).map(Entry::path);
            was.is_some_and(|was| path_now.is_found_as(was))
        });
    if is_same {
        return Arc::clone(&before.index);
    }
    // Many are as quickly sorted as put in one by one.
    if took.added.len() > entries.len() / 8 {
        return all();
    }
    Arc::new(before.index.changed(&took.moved, added()))
}

fn of(rule: &Arc<str>, problem: Problem) -> CompileError {
    CompileError::Rule {
        rule: Arc::clone(rule),
        problem,
    }
}
