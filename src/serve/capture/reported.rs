//! What the agents that are connected here have captured, for people to see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambit_wire::node::CapturedPod;
use parking_lot::Mutex;
use serde::Serialize;

/// Longest name of an object, and so of what is kept of one.
const LONGEST_NAME: usize = 253;

/// What every connected agent reports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reported(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    streams: AtomicU64,
    nodes: Mutex<BTreeMap<Arc<str>, OfNode>>,
}

/// One agent's pods by their uids.
#[derive(Debug, Default)]
struct OfNode {
    /// Number of the stream that told.
    stream: u64,
    pods: BTreeMap<String, ReportedPod>,
}

/// A captured pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReportedPod {
    /// Kubernetes' own uid.
    pub(crate) uid: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Connections that are older than its capture and go around the mesh.
    pub(crate) older_connections: u32,
}

/// One agent's stream; what it told goes with it.
#[derive(Debug)]
pub(super) struct Reporter {
    all: Reported,
    node: Arc<str>,
    stream: u64,
}

impl Reported {
    /// An agent's new stream takes the place of its former one.
    pub(super) fn of_stream(&self, node: &Arc<str>) -> Reporter {
        let stream = self.0.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let fresh = OfNode {
            stream,
            ..OfNode::default()
        };
        self.0.nodes.lock().insert(Arc::clone(node), fresh);
        Reporter {
            all: self.clone(),
            node: Arc::clone(node),
            stream,
        }
    }

    /// Every captured pod, by node.
    pub(crate) fn list(&self) -> BTreeMap<Arc<str>, Vec<ReportedPod>> {
        let nodes = self.0.nodes.lock();
        let pods = |node: &OfNode| node.pods.values().cloned().collect();
        nodes
            .iter()
            .map(|(name, node)| (Arc::clone(name), pods(node)))
            .collect()
    }
}

impl Reporter {
    /// A pod is captured.
    pub(super) fn captured(&self, pod: &CapturedPod) {
        let cut = |name: &str| name.chars().take(LONGEST_NAME).collect();
        self.change(|node| {
            let reported = ReportedPod {
                uid: pod.uid.clone(),
                namespace: cut(&pod.namespace),
                name: cut(&pod.name),
                older_connections: pod.older_connections,
            };
            node.pods.insert(pod.uid.clone(), reported);
        });
    }

    /// A pod, by its uid, is no longer; of what was not kept nothing has to go.
    pub(super) fn released(&self, uid: &str) {
        self.change(|node| drop(node.pods.remove(uid)));
    }

    /// Nothing that was told before counts any more.
    pub(super) fn begin(&self) {
        self.change(|node| node.pods.clear());
    }

    fn change(&self, change: impl FnOnce(&mut OfNode)) {
        let mut nodes = self.all.0.nodes.lock();
        if let Some(node) = nodes
            .get_mut(&self.node)
            .filter(|node| node.stream == self.stream)
        {
            change(node);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let mut nodes = self.all.0.nodes.lock();
        if nodes
            .get(&self.node)
            .is_some_and(|node| node.stream == self.stream)
        {
            nodes.remove(&self.node);
        }
    }
}

#[cfg(test)]
mod tests;
