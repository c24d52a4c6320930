//! Kubernetes' `NetworkPolicy`, as much of it as says which ports it lets through. Others enforce it;
//! here it is read to tell of those that keep the mesh's own port closed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::{Labels, Metadata, or_default, selects};
use super::pod::is_tcp;
use super::service::TargetPort;

/// A `NetworkPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: NetworkPolicySpec,
}

/// `spec` of a network policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Pods that it is for.
    #[serde(default, deserialize_with = "or_default")]
    pub pod_selector: LabelSelector,
    /// `Ingress`, `Egress`; absent means the first, and the second if there are rules for it.
    #[serde(default, deserialize_with = "or_default")]
    pub policy_types: Vec<Arc<str>>,
    /// What is let in.
    #[serde(default, deserialize_with = "or_default")]
    pub ingress: Vec<PassRule>,
    /// What is let out.
    #[serde(default, deserialize_with = "or_default")]
    pub egress: Vec<PassRule>,
}

/// Kubernetes' selector of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with their values.
    #[serde(default, deserialize_with = "or_default")]
    pub match_labels: Labels,
    /// Further conditions.
    #[serde(default, deserialize_with = "or_default")]
    pub match_expressions: Vec<Requirement>,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The label.
    pub key: Arc<str>,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Arc<str>,
    /// Values, for the first two.
    #[serde(default, deserialize_with = "or_default")]
    pub values: Vec<Arc<str>>,
}

/// One rule; from and to whom is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRule {
    /// Ports that it lets through; none means all.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<PassPort>,
}

/// One entry of a rule's ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PassPort {
    /// `TCP` if absent.
    #[serde(default)]
    pub protocol: Option<Arc<str>>,
    /// Number or name; absent means all.
    #[serde(default)]
    pub port: Option<TargetPort>,
    /// Last one of a range.
    #[serde(default)]
    pub end_port: Option<u16>,
}

/// Which way connections go, as seen from the pods that are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To them.
    Ingress,
    /// From them.
    Egress,
}

impl NetworkPolicySpec {
    /// Whether it says anything of that direction.
    pub fn isolates(&self, direction: Direction) -> bool {
        let word = match direction {
            Direction::Ingress => "Ingress",
            Direction::Egress => "Egress",
        };
        if self.policy_types.is_empty() {
            return direction == Direction::Ingress || !self.egress.is_empty();
        }
        self.policy_types.iter().any(|named| **named == *word)
    }

    /// Its rules for that direction.
    pub fn rules(&self, direction: Direction) -> &[PassRule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// Whether connections to that TCP port pass, from or to somebody.
    pub fn passes(&self, direction: Direction, port: u16) -> bool {
        let mut rules = self.rules(direction).iter();
        rules.any(|rule| rule.ports.is_empty() || rule.ports.iter().any(|p| p.holds(port)))
    }

    /// Whether connections to any TCP port pass.
    pub fn passes_tcp(&self, direction: Direction) -> bool {
        let is_of_tcp = |port: &PassPort| is_tcp(port.protocol.as_deref());
        let mut rules = self.rules(direction).iter();
        rules.any(|rule| rule.ports.is_empty() || rule.ports.iter().any(is_of_tcp))
    }
}

impl PassPort {
    fn holds(&self, port: u16) -> bool {
        let is_in = match &self.port {
            None => true,
            Some(TargetPort::Number(first)) => {
                (*first..=self.end_port.unwrap_or(*first)).contains(&port)
            }
            // A name is one of the application's own ports.
            Some(TargetPort::Name(_)) => false,
        };
        is_in && is_tcp(self.protocol.as_deref())
    }
}

impl LabelSelector {
    /// Whether a pod with these labels is selected. A condition of an operator that is not known
    /// selects nothing.
    pub fn selects(&self, labels: &Labels) -> bool {
        let holds = |requirement: &Requirement| requirement.holds(labels);
        selects(&self.match_labels, labels) && self.match_expressions.iter().all(holds)
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match &*self.operator {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
