//! One rule, ready for requests.

use std::sync::Arc;

use ambit_model::{Operation, RequestAction, RequestRule, Source};

use crate::attributes::Attributes;
use crate::test::Test;

/// A compiled rule.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// It cannot be evaluated, and allows nothing.
    Never,
    /// It cannot be evaluated, and refuses everything.
    Always,
    /// It matches by its tests.
    Tested(Tests),
}

/// All of these kinds must hold.
#[derive(Clone, Debug)]
pub(crate) struct Tests {
    /// All tests of any entry; holds if there are no entries.
    to: Vec<Vec<Test>>,
    /// The same.
    from: Vec<Vec<Test>>,
    /// All of these.
    when: Vec<Test>,
    /// Whether a match lets something in.
    allows: bool,
    /// Whether it passes over connections that are not HTTP.
    needs_request: bool,
}

impl Rule {
    pub(crate) fn new(rule: &RequestRule, action: RequestAction) -> Self {
        match (Tests::new(rule, action), action) {
            (Some(tests), _) => Self::Tested(tests),
            (None, RequestAction::Allow) => Self::Never,
            (None, RequestAction::Deny | RequestAction::Audit) => Self::Always,
        }
    }

    pub(crate) fn matches(&self, attributes: &Attributes<'_>) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Tested(tests) => tests.hold(attributes),
        }
    }

    /// Whether it matches the request that fares best.
    pub(crate) fn matches_at_best(&self, attributes: &Attributes<'_>) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Tested(tests) => tests.hold_at_best(attributes),
        }
    }

    /// The principals without one of which it cannot match; `None` if it may match for others too.
    pub(crate) fn principals(&self) -> Option<Vec<&Arc<str>>> {
        match self {
            Self::Never => Some(Vec::new()),
            Self::Always => None,
            Self::Tested(tests) => tests.principals(),
        }
    }

    pub(crate) fn asks_for_server_name(&self) -> bool {
        match self {
            Self::Never | Self::Always => false,
            Self::Tested(tests) => tests.all().any(|test| matches!(test, Test::Sni(_))),
        }
    }
}

impl Tests {
    /// `None` if the rule has something that cannot be evaluated.
    fn new(rule: &RequestRule, action: RequestAction) -> Option<Self> {
        let RequestRule {
            from,
            to,
            when,
            unsupported,
        } = rule;
        let is_known = !unsupported
            && !from.iter().any(Source::is_empty)
            && !to.iter().any(Operation::is_empty);
        if !is_known {
            return None;
        }
        let from: Vec<_> = from.iter().map(Test::of_source).collect();
        let to: Vec<_> = to.iter().map(Test::of_operation).collect();
        let when: Vec<_> = when.iter().map(Test::of_condition).collect::<Option<_>>()?;
        let mut all = from.iter().chain(&to).flatten().chain(&when);
        let allows = action == RequestAction::Allow;
        let needs_request = allows && all.any(Test::is_of_request);
        Some(Self {
            to,
            from,
            when,
            allows,
            needs_request,
        })
    }

    /// As [`Rule::principals`]: those of all its sources, if each names some, or of a condition.
    fn principals(&self) -> Option<Vec<&Arc<str>>> {
        if let Some(principals) = self.when.iter().find_map(Test::principals) {
            return Some(principals);
        }
        if self.from.is_empty() {
            return None;
        }
        let sources = self.from.iter();
        let of_sources = sources.map(|source| source.iter().find_map(Test::principals));
        Some(of_sources.collect::<Option<Vec<_>>>()?.concat())
    }

    fn all(&self) -> impl Iterator<Item = &Test> {
        let of_entries = self.to.iter().chain(&self.from).flatten();
        of_entries.chain(&self.when)
    }

    fn hold(&self, attributes: &Attributes<'_>) -> bool {
        let passes_over = self.needs_request && attributes.request.is_none();
        !passes_over && self.each(|test| test.holds(attributes, self.allows))
    }

    /// What is asked about a request holds where that is of use, and else does not.
    fn hold_at_best(&self, attributes: &Attributes<'_>) -> bool {
        self.each(|test| match test.is_of_request() {
            true => self.allows,
            false => test.holds(attributes, self.allows),
        })
    }

    fn each(&self, holds: impl Fn(&Test) -> bool) -> bool {
        let one_holds = |entries: &[Vec<Test>]| {
            let mut entries = entries.iter();
            entries.len() == 0 || entries.any(|entry| entry.iter().all(&holds))
        };
        one_holds(&self.to) && one_holds(&self.from) && self.when.iter().all(&holds)
    }
}
