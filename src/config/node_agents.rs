//! How the agents of nodes are doing: what the taints of nodes are decided by.

use std::sync::Arc;

use super::Configuration;
use super::objects::pod::Pod;
use super::objects::{Kind, Object};

/// A node and the agents on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAgents {
    /// Name of the node.
    pub node: Arc<str>,
    /// Keys of its taints.
    pub taints: Vec<Arc<str>>,
    /// Whether an agent is there that is to stay, and whether one of them is ready.
    pub agent: Agent,
}

/// The agent of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// None runs there, or none that is to stay.
    None,
    /// There is one, and none is ready.
    Unready,
    /// One is ready.
    Ready,
}

impl Configuration {
    /// Every node, with the agents of a DaemonSet on it.
    pub fn node_agents(&self, namespace: &str, daemon_set: &str) -> Vec<NodeAgents> {
        let nodes = self.objects.of_kind(Kind::Node);
        let nodes = nodes.filter_map(|(key, object)| match object {
            Object::Node(node) => Some((key, node)),
            _ => None,
        });
        let agents = nodes.map(|(key, node)| NodeAgents {
            node: Arc::clone(&key.name),
            taints: node
                .spec
                .taints
                .iter()
                .map(|t| Arc::clone(&t.key))
                .collect(),
            agent: self.agent_of(&key.name, namespace, daemon_set),
        });
        agents.collect()
    }

    fn agent_of(&self, node: &str, namespace: &str, daemon_set: &str) -> Agent {
        let mut agents = self
            .objects
            .pods_on_node(node)
            .filter(|(key, pod)| *key.namespace == *namespace && stays(pod, daemon_set))
            .peekable();
        if agents.peek().is_none() {
            Agent::None
        } else if agents.any(|(_, pod)| pod.ready() == Some(true)) {
            Agent::Ready
        } else {
            Agent::Unready
        }
    }
}

/// Whether a pod is of that DaemonSet and nobody has asked for its end.
fn stays(pod: &Pod, daemon_set: &str) -> bool {
    let mut owners = pod.metadata.owner_references.iter();
    pod.metadata.deletion_timestamp.is_none()
        && !pod.is_finished()
        && owners.any(|owner| {
            owner.controller && &*owner.kind == "DaemonSet" && *owner.name == *daemon_set
        })
}

#[cfg(test)]
mod tests;
