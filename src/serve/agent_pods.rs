//! The pods that agents run in, as the source of the configuration sees them: what tells which
//! node a token of the cluster speaks for.
//!
//! The source puts in every pod of the namespaces that agents may run in, from the moment it has a
//! node until it is deleted or has ended. Before it has listed them all once nobody is let in.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::objects::ObjectKey;
use crate::config::objects::pod::Pod;

/// A pod that may be an agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The node it runs on.
    pub node: Arc<str>,
    /// Its service account.
    pub service_account: Arc<str>,
    /// Kind of the object that controls it, such as `DaemonSet`; empty if none does.
    pub owner_kind: Arc<str>,
    /// Name of the object that controls it.
    pub owner_name: Arc<str>,
}

type ByUid = BTreeMap<Arc<str>, Arc<AgentPod>>;

impl AgentPod {
    /// What matters of a pod, with its uid; none while it has no node.
    pub(crate) fn of(key: &ObjectKey, pod: &Pod) -> Option<(Arc<str>, Self)> {
        let owners = &pod.metadata.owner_references;
        let owner = owners.iter().find(|owner| owner.controller);
        let agent = Self {
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            node: pod.spec.node_name.as_ref()?.shared(),
            service_account: pod.service_account(),
            owner_kind: owner.map_or_else(|| "".into(), |owner| Arc::clone(&owner.kind)),
            owner_name: owner.map_or_else(|| "".into(), |owner| owner.name.shared()),
        };
        Some((pod.uid(), agent))
    }
}

/// All such pods by their uid; clones share them.
#[derive(Clone, Debug)]
pub struct AgentPods {
    /// None before they were listed.
    pods: watch::Sender<Option<ByUid>>,
}

impl AgentPods {
    /// None known yet.
    pub fn new() -> Self {
        Self {
            pods: watch::Sender::new(None),
        }
    }

    /// These are all there are, by uid: after a list.
    pub fn replace(&self, pods: impl IntoIterator<Item = (Arc<str>, AgentPod)>) {
        let pods = pods.into_iter().map(|(uid, pod)| (uid, Arc::new(pod)));
        self.pods.send_replace(Some(pods.collect()));
    }

    /// One came, changed or, with `None`, went; without effect before they were listed.
    pub fn set(&self, uid: &str, pod: Option<AgentPod>) {
        self.pods.send_if_modified(|pods| {
            let Some(pods) = pods else { return false };
            match pod {
                Some(pod) if pods.get(uid).is_some_and(|known| **known == pod) => false,
                Some(pod) => {
                    pods.insert(uid.into(), Arc::new(pod));
                    true
                }
                None => pods.remove(uid).is_some(),
            }
        });
    }

    /// True once they were listed.
    pub(crate) fn are_known(&self) -> bool {
        self.pods.borrow().is_some()
    }

    /// The pod of that uid.
    pub(crate) fn get(&self, uid: &str) -> Option<Arc<AgentPod>> {
        self.pods.borrow().as_ref()?.get(uid).cloned()
    }

    /// Waits until there is no pod of that uid.
    pub(crate) async fn gone(&self, uid: &str) {
        let mut pods = self.pods.subscribe();
        let without = |pods: &Option<ByUid>| pods.as_ref().is_some_and(|p| !p.contains_key(uid));
        // The sender is ours, so the wait ends with the pod only.
        drop(pods.wait_for(without).await);
    }
}

impl Default for AgentPods {
    fn default() -> Self {
        Self::new()
    }
}
