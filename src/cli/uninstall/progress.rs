//! How far the mesh is with leaving the nodes. Pure.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};

/// Names of nodes that are said at most.
const SAID: usize = 8;

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Nodes that have been left.
    pub(super) left: BTreeSet<String>,
    /// Nodes with an agent that has not left.
    pub(super) waiting: BTreeSet<String>,
    /// Nodes with an agent that cannot be reached, so cannot leave.
    pub(super) unreachable: BTreeSet<String>,
}

impl Progress {
    /// What these objects say.
    pub(super) fn of(request: &ConfigMap, agents: &[Pod], nodes: &[Node]) -> Self {
        let left: BTreeSet<String> = request
            .data
            .iter()
            .flatten()
            .map(|(k, _)| k.clone())
            .collect();
        let reachable: BTreeSet<&str> = nodes
            .iter()
            .filter(|node| is_up(node))
            .filter_map(|node| node.metadata.name.as_deref())
            .collect();
        let homes = agents
            .iter()
            .filter_map(|agent| agent.spec.as_ref()?.node_name.clone())
            .filter(|home| !left.contains(home));
        let (waiting, unreachable) = homes.partition(|home| reachable.contains(home.as_str()));
        Self {
            left,
            waiting,
            unreachable,
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.left.len() + self.waiting.len();
        write!(f, "left {} of {all} nodes", self.left.len())?;
        let named: Vec<&str> = self.waiting.iter().take(SAID).map(String::as_str).collect();
        if !named.is_empty() {
            write!(f, "; waiting for {}", named.join(", "))?;
        }
        if self.waiting.len() > named.len() {
            write!(f, " and {} more", self.waiting.len() - named.len())?;
        }
        Ok(())
    }
}

/// Whether the kubelet of a node answers.
fn is_up(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref());
    let mut conditions = conditions.flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests;
