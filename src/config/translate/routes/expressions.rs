//! Regular expressions of routes: which can be used, and how many.
//!
//! Each is judged once, by how waypoints make it ([`check_pattern`]), however many parents its route
//! has. What waypoints have to make and keep for one tenant is bounded: so many of one route
//! ([`MOST_OF_ROUTE`]), and so many of all routes of one namespace for one service
//! ([`MOST_OF_NAMESPACE`]), of which the oldest come first. A rule that has more is answered with 500:
//! its tests by expressions are then true of whatever is there, so that nothing gets by it.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Pattern;
use ambit_route::check_pattern;
use parking_lot::Mutex;

use super::compile::Wrong;

/// Expressions of one route.
pub(in crate::config::translate) const MOST_OF_ROUTE: usize = 128;
/// Expressions of the routes of one namespace for one service.
pub(in crate::config::translate) const MOST_OF_NAMESPACE: usize = 256;
/// Expressions whose judgement is kept.
const MOST_KEPT: usize = 4096;

/// Expressions that were judged of late. What is said of one depends on nothing else.
#[derive(Debug, Default)]
pub struct Judged(Mutex<HashMap<Arc<str>, Judgement>>);

/// Why an expression cannot be used, if it cannot.
type Judgement = Result<(), Arc<str>>;

impl Judged {
    /// An expression that can be used in a route.
    pub(super) fn pattern(&self, field: &str, text: &str) -> Result<Pattern, Wrong> {
        let text: Arc<str> = text.into();
        match self.judge(&text) {
            Ok(()) => Ok(Pattern(text)),
            Err(why) => {
                let what = format!("not a regular expression that can be used: {why}");
                Err(Wrong::unsupported(field, what, "write it in RE2 syntax"))
            }
        }
    }

    fn judge(&self, text: &Arc<str>) -> Judgement {
        if let Some(known) = self.0.lock().get(text) {
            return known.clone();
        }
        let judgement = check_pattern(text).map_err(|problem| Arc::from(&*problem.why));
        let mut kept = self.0.lock();
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(Arc::clone(text), judgement.clone());
        judgement
    }
}

/// How many expressions a route may still have.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pub(super) judged: &'a Judged,
    most: usize,
    taken: usize,
    /// True once it was asked for more: for one rule, until that is looked at.
    exceeded: bool,
}

impl<'a> Room<'a> {
    /// For a route, where the others of its namespace have left so many.
    pub(super) fn new(judged: &'a Judged, left: usize) -> Self {
        Self {
            judged,
            most: left.min(MOST_OF_ROUTE),
            taken: 0,
            exceeded: false,
        }
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Takes one; false if there is none left.
    pub(super) fn take(&mut self) -> bool {
        let is_there = self.taken < self.most;
        self.taken += usize::from(is_there);
        self.exceeded |= !is_there;
        is_there
    }

    /// An expression that can be used; none if there are too many.
    pub(super) fn pattern(&mut self, field: &str, text: &str) -> Result<Option<Pattern>, Wrong> {
        if !self.take() {
            return Ok(None);
        }
        self.judged.pattern(field, text).map(Some)
    }

    /// Whether a rule has more than there was room for.
    pub(super) fn check(&mut self, rule: &str) -> Result<(), Wrong> {
        if !std::mem::take(&mut self.exceeded) {
            return Ok(());
        }
        let what = format!(
            "more than {MOST_OF_ROUTE} regular expressions in a route, or {MOST_OF_NAMESPACE} in all \
             routes of a namespace for one service"
        );
        let advice = "match prefixes or exact values";
        Err(Wrong::unsupported(format!("{rule}.matches"), what, advice))
    }
}
