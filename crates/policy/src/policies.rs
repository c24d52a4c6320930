//! The policies of a destination, ready for requests.

use ambit_model::{PolicyName, RequestAction, RequestPolicy, SpiffeId};

use crate::attributes::Attributes;
use crate::index::Index;
use crate::rule::Rule;
use crate::verdict::{Aside, Decider, Decision, Verdict};

/// Compiled policies, in the order in which they came within each action. The default has none, and
/// lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    deny: Vec<Policy>,
    allow: Vec<Policy>,
    /// Of AUDIT, and those that are only tried.
    asides: Vec<Policy>,
}

/// One policy, ready for requests: for whoever puts the decision together by itself.
#[derive(Clone, Debug)]
pub struct Policy {
    name: PolicyName,
    action: RequestAction,
    dry_run: bool,
    rules: Vec<Rule>,
    index: Index,
}

impl Policies {
    /// Makes policies ready. All that apply to a destination must be among them.
    pub fn compile<'m>(policies: impl IntoIterator<Item = &'m RequestPolicy>) -> Self {
        let mut compiled = Self::default();
        for policy in policies {
            let list = match policy.action {
                _ if policy.dry_run => &mut compiled.asides,
                RequestAction::Deny => &mut compiled.deny,
                RequestAction::Allow => &mut compiled.allow,
                RequestAction::Audit => &mut compiled.asides,
            };
            list.push(Policy::new(policy));
        }
        compiled
    }

    /// True if there are none: everything passes, and nothing is told.
    pub fn is_empty(&self) -> bool {
        self.deny.is_empty() && self.allow.is_empty() && self.asides.is_empty()
    }

    /// Names of those of which one has to match, if there are any.
    pub fn allowing(&self) -> impl Iterator<Item = &PolicyName> {
        self.allow.iter().map(|policy| &policy.name)
    }

    /// What they say about a request, or about a connection that is not HTTP.
    pub fn judge<'p>(&'p self, attributes: &Attributes<'_>) -> Verdict<'p> {
        let attributes = attributes.canonical();
        let asides = self.asides.iter().filter_map(|policy| {
            let rule = policy.rule_for(&attributes);
            let is_told = policy.dry_run || rule.is_some();
            is_told.then(|| policy.aside(rule))
        });
        Verdict {
            decision: self.decide(&attributes),
            asides: asides.collect(),
        }
    }

    fn decide(&self, attributes: &Attributes<'_>) -> Decision<'_> {
        if let Some(decider) = first(&self.deny, attributes) {
            return Decision::Denied(decider);
        }
        match first(&self.allow, attributes) {
            None if !self.allow.is_empty() => Decision::NotAllowed,
            by => Decision::Allowed(by),
        }
    }
}

fn first<'p>(policies: &'p [Policy], attributes: &Attributes<'_>) -> Option<Decider<'p>> {
    let mut policies = policies.iter();
    policies.find_map(|policy| policy.decider(attributes))
}

impl Policy {
    /// Makes a policy ready.
    pub fn new(policy: &RequestPolicy) -> Self {
        let rules = policy.rules.iter();
        let rules: Vec<_> = rules.map(|rule| Rule::new(rule, policy.action)).collect();
        Self {
            index: Index::new(&rules),
            name: policy.name.clone(),
            action: policy.action,
            dry_run: policy.dry_run,
            rules,
        }
    }

    /// Index of the first rule that matches a request, or a connection that is not HTTP.
    pub fn matched_by(&self, attributes: &Attributes<'_>) -> Option<usize> {
        self.rule_for(&attributes.canonical())
    }

    /// The same for a connection of HTTP, by the request that fares best on it: whether there can be one
    /// that is allowed. Attributes of a request are not looked at.
    pub fn matched_at_best(&self, attributes: &Attributes<'_>) -> Option<usize> {
        let attributes = attributes.canonical();
        self.first(&attributes, |rule| rule.matches_at_best(&attributes))
    }

    /// Whether it asks for the server name of a TLS hello.
    pub fn asks_for_server_name(&self) -> bool {
        self.rules.iter().any(Rule::asks_for_server_name)
    }

    /// Index of the first rule that matches.
    fn rule_for(&self, attributes: &Attributes<'_>) -> Option<usize> {
        self.first(attributes, |rule| rule.matches(attributes))
    }

    /// Index of the first rule for which this holds, of those that may match the client.
    fn first(&self, of: &Attributes<'_>, holds: impl Fn(&Rule) -> bool) -> Option<usize> {
        let mut places = self.index.candidates(of.peer.map(SpiffeId::principal));
        places.find(|place| self.rules.get(*place).is_some_and(&holds))
    }

    fn decider(&self, attributes: &Attributes<'_>) -> Option<Decider<'_>> {
        let rule = self.rule_for(attributes)?;
        Some(Decider {
            policy: &self.name,
            rule,
        })
    }

    fn aside(&self, rule: Option<usize>) -> Aside<'_> {
        Aside {
            policy: &self.name,
            action: self.action,
            dry_run: self.dry_run,
            rule,
        }
    }
}
