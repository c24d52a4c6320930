//! The pods that callers run in, as the source of the configuration sees them: what tells which
//! node or waypoint a token of the cluster speaks for.
//!
//! These are all pods of the namespaces that agents may run in, and all that are waypoints, from the
//! moment they have a node until they are deleted or have ended. Before they were listed once nobody
//! is let in.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::caller::WaypointCaller;
use crate::config::objects::ObjectKey;
use crate::config::objects::pod::Pod;

/// A pod that may be an agent's or a waypoint's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallerPod {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The node it runs on.
    pub(crate) node: Arc<str>,
    /// Its service account.
    pub(crate) service_account: Arc<str>,
    /// Kind of the object that controls it, such as `DaemonSet`; empty if none does.
    pub(crate) owner_kind: Arc<str>,
    /// Name of the object that controls it.
    pub(crate) owner_name: Arc<str>,
    /// The waypoint that it is, if it is one.
    pub(crate) waypoint: Option<Arc<WaypointCaller>>,
}

type ByUid = BTreeMap<Arc<str>, Arc<CallerPod>>;

impl CallerPod {
    /// What matters of a pod, with its uid; none while it has no node.
    pub(crate) fn of(
        key: &ObjectKey,
        pod: &Pod,
        waypoint: Option<Arc<WaypointCaller>>,
    ) -> Option<(Arc<str>, Self)> {
        let owners = &pod.metadata.owner_references;
        let owner = owners.iter().find(|owner| owner.controller);
        let seen = Self {
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            node: pod.spec.node_name.as_ref()?.shared(),
            service_account: pod.service_account(),
            owner_kind: owner.map_or_else(|| "".into(), |owner| Arc::clone(&owner.kind)),
            owner_name: owner.map_or_else(|| "".into(), |owner| owner.name.shared()),
            waypoint,
        };
        Some((pod.uid(), seen))
    }
}

/// All such pods by their uid; clones share them.
#[derive(Clone, Debug)]
pub struct CallerPods {
    /// None before they were listed.
    pods: watch::Sender<Option<ByUid>>,
}

impl CallerPods {
    /// None known yet.
    pub fn new() -> Self {
        Self {
            pods: watch::Sender::new(None),
        }
    }

    /// These are all there are, by uid: after a list.
    pub(crate) fn replace(&self, pods: impl IntoIterator<Item = (Arc<str>, CallerPod)>) {
        let pods = pods.into_iter().map(|(uid, pod)| (uid, Arc::new(pod)));
        self.pods.send_replace(Some(pods.collect()));
    }

    /// True once they were listed.
    pub(crate) fn are_known(&self) -> bool {
        self.pods.borrow().is_some()
    }

    /// The pod of that uid.
    pub(crate) fn get(&self, uid: &str) -> Option<Arc<CallerPod>> {
        self.pods.borrow().as_ref()?.get(uid).cloned()
    }

    /// Waits until there is no pod of that uid that is what this one was.
    pub(crate) async fn gone(&self, uid: &str, was: &CallerPod) {
        let mut pods = self.pods.subscribe();
        let without = |pods: &Option<ByUid>| {
            let pods = pods.as_ref();
            pods.is_some_and(|pods| pods.get(uid).is_none_or(|pod| **pod != *was))
        };
        // The sender is ours, so the wait ends with the pod only.
        drop(pods.wait_for(without).await);
    }
}

impl Default for CallerPods {
    fn default() -> Self {
        Self::new()
    }
}
