//! A policy, ready for requests.

use ambit_model::{RequestPolicy, SpiffeId};

use crate::attributes::Attributes;
use crate::index::Index;
use crate::rule::Rule;

/// One policy, ready for requests: what it matches is said here, what that means by whoever asks.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    index: Index,
}

impl Policy {
    /// Makes a policy ready.
    pub fn new(policy: &RequestPolicy) -> Self {
        let rules = policy.rules.iter();
        let rules: Vec<_> = rules.map(|rule| Rule::new(rule, policy.action)).collect();
        Self {
            index: Index::new(&rules),
            rules,
        }
    }

    /// Index of the first rule that matches a request, or a connection that is not HTTP.
    pub fn matched_by(&self, attributes: &Attributes<'_>) -> Option<usize> {
        let attributes = attributes.canonical();
        self.first(&attributes, |rule| rule.matches(&attributes))
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

    /// Index of the first rule for which this holds, of those that may match the client.
    fn first(&self, of: &Attributes<'_>, holds: impl Fn(&Rule) -> bool) -> Option<usize> {
        let mut places = self.index.candidates(of.peer.map(SpiffeId::principal));
        places.find(|place| self.rules.get(*place).is_some_and(&holds))
    }
}
