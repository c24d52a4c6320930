//! What each node's agent is told of its own node: its pods, and which namespaces are enrolled.
//!
//! Kept for nodes whose agent listens; a batch recomputes those only that it touches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::objects::{Kind, Object};
use crate::config::store::ObjectEvent;
use crate::config::{Batch, Configuration, PodOnNode};
use crate::serve::Enrolled;

/// What one node's agent is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roster {
    /// Pods of the node that have a network of their own, by uid.
    pub(crate) pods: BTreeMap<Arc<str>, PodOnNode>,
    /// Namespaces whose pods are captured unless they opt out.
    pub(crate) enrolled: Arc<BTreeSet<Arc<str>>>,
    /// Namespaces whose pods never are.
    pub(crate) excluded: Vec<Arc<str>>,
}

/// The rosters that somebody listens to.
#[derive(Debug, Default)]
pub(super) struct Rosters {
    by_node: HashMap<Arc<str>, watch::Sender<Arc<Roster>>>,
    /// None before the configuration has been read.
    enrolled: watch::Sender<Option<Arc<BTreeSet<Arc<str>>>>>,
}

/// Nodes whose rosters a batch may change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// These.
    Nodes(BTreeSet<Arc<str>>),
    /// All of them: a namespace changed.
    All,
}

impl Touched {
    /// Looks at a batch that has not been applied yet.
    pub(super) fn by(batch: &Batch, configuration: &Configuration) -> Self {
        let mut nodes = BTreeSet::new();
        for event in &batch.events {
            let key = event.key();
            match key.kind {
                Kind::Namespace => return Self::All,
                Kind::Pod => {
                    let before = configuration.objects().pod(&key);
                    let after = match event {
                        ObjectEvent::Put { object, .. } => match &**object {
                            Object::Pod(pod) => Some(&**pod),
                            _ => None,
                        },
                        ObjectEvent::Remove { .. } => None,
                    };
                    let of_node = |pod: &crate::config::objects::pod::Pod| {
                        pod.spec.node_name.as_ref().map(|node| node.shared())
                    };
                    nodes.extend([before, after].into_iter().flatten().filter_map(of_node));
                }
                _ => {}
            }
        }
        Self::Nodes(nodes)
    }
}

impl Rosters {
    /// The roster of a node, and its changes from now on.
    pub(super) fn subscribe(
        &mut self,
        node: Arc<str>,
        configuration: &Configuration,
    ) -> watch::Receiver<Arc<Roster>> {
        self.by_node.retain(|_, sender| sender.receiver_count() > 0);
        let enrolled = self.known();
        let sender = self.by_node.entry(node);
        let node = Arc::clone(sender.key());
        let make = || watch::Sender::new(Arc::new(roster_of(&node, enrolled, configuration)));
        sender.or_insert_with(make).subscribe()
    }

    /// Enrolled namespaces and their changes.
    pub(super) fn enrolled(&self) -> Enrolled {
        self.enrolled.subscribe()
    }

    fn known(&self) -> Arc<BTreeSet<Arc<str>>> {
        self.enrolled.borrow().clone().unwrap_or_default()
    }

    /// Recomputes what an applied batch touched.
    pub(super) fn refresh(&self, touched: &Touched, configuration: &Configuration) {
        if *touched == Touched::All || self.enrolled.borrow().is_none() {
            let now = Some(Arc::new(configuration.enrolled_namespaces()));
            self.enrolled.send_if_modified(|enrolled| {
                let changed = *enrolled != now;
                if changed {
                    *enrolled = now;
                }
                changed
            });
        }
        let enrolled = self.known();
        for (node, sender) in &self.by_node {
            let is_touched = match touched {
                Touched::All => true,
                Touched::Nodes(nodes) => nodes.contains(node),
            };
            if !is_touched {
                continue;
            }
            let now = roster_of(node, Arc::clone(&enrolled), configuration);
            sender.send_if_modified(|roster| {
                let changed = **roster != now;
                if changed {
                    *roster = Arc::new(now);
                }
                changed
            });
        }
    }
}

fn roster_of(
    node: &str,
    enrolled: Arc<BTreeSet<Arc<str>>>,
    configuration: &Configuration,
) -> Roster {
    let pods = configuration.pods_on_node(node);
    let own_network = pods.filter(|pod| !pod.host_network);
    Roster {
        pods: own_network.map(|pod| (Arc::clone(&pod.uid), pod)).collect(),
        enrolled,
        excluded: configuration.settings().excluded_namespaces.clone(),
    }
}

#[cfg(test)]
mod tests;
