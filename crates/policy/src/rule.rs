//! One rule, ready for requests.

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
        let needs_request = action == RequestAction::Allow && all.any(Test::is_of_request);
        Some(Self {
            to,
            from,
            when,
            needs_request,
        })
    }

    fn hold(&self, attributes: &Attributes<'_>) -> bool {
        let one_holds = |entries: &[Vec<Test>]| {
            let mut entries = entries.iter();
            entries.len() == 0 || entries.any(|entry| all_hold(entry, attributes))
        };
        let passes_over = self.needs_request && attributes.request.is_none();
        !passes_over
            && one_holds(&self.to)
            && one_holds(&self.from)
            && all_hold(&self.when, attributes)
    }
}

fn all_hold(tests: &[Test], attributes: &Attributes<'_>) -> bool {
    tests.iter().all(|test| test.holds(attributes))
}
