//! What policies say about a request.

use ambit_model::{PolicyName, RequestAction};

/// What is to be done, and what is to be told beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'p> {
    /// Whether it may pass.
    pub decision: Decision<'p>,
    /// AUDIT policies that match, and all that are only tried. Usually there are none.
    pub asides: Vec<Aside<'p>>,
}

/// Whether a request may pass, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'p> {
    /// It may: by the first ALLOW policy that matches, or because there is no ALLOW policy.
    Allowed(Option<Decider<'p>>),
    /// It may not: by the first DENY policy that matches.
    Denied(Decider<'p>),
    /// It may not: none of the ALLOW policies matches.
    NotAllowed,
}

impl Decision<'_> {
    /// Whether it may pass.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// A policy, and its rule that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decider<'p> {
    /// Its name.
    pub policy: &'p PolicyName,
    /// Index of the first rule that matches.
    pub rule: usize,
}

/// What a policy says that decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aside<'p> {
    /// Its name.
    pub policy: &'p PolicyName,
    /// What a match means.
    pub action: RequestAction,
    /// True if it is only tried.
    pub dry_run: bool,
    /// Index of the first rule that matches.
    pub rule: Option<usize>,
}

impl Aside<'_> {
    /// True if the request would be refused, were this policy enforced and the only one.
    pub fn would_refuse(&self) -> bool {
        match self.action {
            RequestAction::Allow => self.rule.is_none(),
            RequestAction::Deny => self.rule.is_some(),
            RequestAction::Audit => false,
        }
    }
}
