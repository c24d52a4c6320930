//! The table of pods: who is enrolled, in which network namespace, in which state. Pure.
//!
//! ```text
//!            admit            captured            withdraw             drain
//!   (none) -------> Enrolling --------> Captured ---------> Withdrawing ----> Draining --> (none)
//!                       ^                                                        |
//!                       +--------------------- admit again ---------------------+
//! ```
//!
//! Invariants: one uid has at most one namespace, one namespace at most one uid, and the node's
//! own namespace is never in the table. A record's `epoch` changes whenever it is enrolled anew, so
//! that the end of an old draining cannot take a new capture down.

use std::collections::HashMap;

use ambit_netsys::NetNs;

use super::names::{PodNames, PodUid};

/// Most pods of one node; three times what Kubernetes allows by default.
const MOST_PODS: usize = 512;

/// Identity of a network namespace: device and inode of its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct NamespaceId {
    /// Device number.
    pub(crate) device: u64,
    /// Inode number.
    pub(crate) inode: u64,
}

/// Where a pod is between its enrolment and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PodState {
    /// Listeners and rules are being set up.
    Enrolling,
    /// New connections are redirected.
    Captured,
    /// Still redirected, but peers are being told not to tunnel any more.
    Withdrawing,
    /// New connections are direct; redirected ones are living to their end.
    Draining,
}

/// One pod. `A` is what the role holds for it: the namespace handle and the listeners.
#[derive(Debug)]
pub(crate) struct Pod<A> {
    /// As the enrolment named it.
    pub(crate) names: PodNames,
    /// Its network namespace.
    pub(crate) namespace: NamespaceId,
    /// Path that the namespace was found at, if any.
    pub(crate) path: Option<String>,
    /// Where it is between enrolment and end.
    pub(crate) state: PodState,
    /// Number of this enrolment, unique in this process.
    pub(crate) epoch: u64,
    /// What is held for it.
    pub(crate) attachment: A,
}

/// All pods of the node.
#[derive(Debug)]
pub(crate) struct Pods<A> {
    node: NamespaceId,
    by_uid: HashMap<PodUid, Pod<A>>,
    by_namespace: HashMap<NamespaceId, PodUid>,
    epochs: u64,
}

/// What an enrolment amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// A pod not known so far.
    New,
    /// A pod that was being drained; its listeners are still there.
    Draining,
    /// Captured already: nothing to do.
    Captured,
}

/// Why a pod is not enrolled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdmitError {
    /// Capturing the node itself would cut it off.
    #[error(
        "the network namespace of pod {0} is the node's own; pods on the host network stay out"
    )]
    NodeNamespace(PodUid),
    /// Somebody else's traffic would become this pod's.
    #[error(
        "the network namespace of pod {pod} is enrolled for pod {owner}; release that one first"
    )]
    NamespaceTaken { pod: PodUid, owner: PodUid },
    /// One pod has one namespace.
    #[error("pod {0} is enrolled in another network namespace; release it first")]
    UidElsewhere(PodUid),
    /// The other request will be done in a moment.
    #[error("pod {0} is being enrolled or released at this moment; ask again")]
    Busy(PodUid),
    /// More than a node can have.
    #[error("pod {0} would be more than {MOST_PODS} pods on this node; release some")]
    TooMany(PodUid),
}

impl NamespaceId {
    /// Which namespace a handle stands for.
    pub(crate) fn of(netns: &NetNs) -> Self {
        let (device, inode) = netns.inode();
        Self { device, inode }
    }
}

impl AdmitError {
    /// The stable word for it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NodeNamespace(_) => "node_namespace",
            Self::NamespaceTaken { .. } => "namespace_taken",
            Self::UidElsewhere(_) => "uid_elsewhere",
            Self::Busy(_) => "busy",
            Self::TooMany(_) => "too_many_pods",
        }
    }
}

impl PodState {
    /// The word for it in answers and logs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Enrolling => "enrolling",
            Self::Captured => "captured",
            Self::Withdrawing => "withdrawing",
            Self::Draining => "draining",
        }
    }

    /// Whether a new generation of the proxy must accept for such a pod.
    pub(crate) fn is_served(self) -> bool {
        !matches!(self, Self::Draining)
    }
}

impl<A> Pods<A> {
    /// An empty table on the node with this namespace.
    pub(crate) fn new(node: NamespaceId) -> Self {
        Self {
            node,
            by_uid: HashMap::new(),
            by_namespace: HashMap::new(),
            epochs: 0,
        }
    }

    /// Checks an enrolment and, where the pod is new, enters it with what `attach` gives.
    pub(crate) fn admit(
        &mut self,
        names: &PodNames,
        namespace: NamespaceId,
        path: Option<String>,
        attach: impl FnOnce() -> A,
    ) -> Result<Admitted, AdmitError> {
        if namespace == self.node {
            return Err(AdmitError::NodeNamespace(names.uid.clone()));
        }
        if let Some(owner) = self
            .by_namespace
            .get(&namespace)
            .filter(|uid| **uid != names.uid)
        {
            return Err(AdmitError::NamespaceTaken {
                pod: names.uid.clone(),
                owner: owner.clone(),
            });
        }
        self.epochs += 1;
        let Some(pod) = self.by_uid.get_mut(&names.uid) else {
            if self.by_uid.len() >= MOST_PODS {
                return Err(AdmitError::TooMany(names.uid.clone()));
            }
            let pod = Pod {
                names: names.clone(),
                namespace,
                path,
                state: PodState::Enrolling,
                epoch: self.epochs,
                attachment: attach(),
            };
            self.by_namespace.insert(namespace, names.uid.clone());
            self.by_uid.insert(names.uid.clone(), pod);
            return Ok(Admitted::New);
        };
        if pod.namespace != namespace {
            return Err(AdmitError::UidElsewhere(names.uid.clone()));
        }
        match pod.state {
            PodState::Captured => Ok(Admitted::Captured),
            PodState::Draining => {
                pod.names = names.clone();
                pod.path = path.or_else(|| pod.path.take());
                pod.state = PodState::Enrolling;
                pod.epoch = self.epochs;
                Ok(Admitted::Draining)
            }
            PodState::Enrolling | PodState::Withdrawing => Err(AdmitError::Busy(names.uid.clone())),
        }
    }

    /// The pod with this uid.
    pub(crate) fn get(&self, uid: &PodUid) -> Option<&Pod<A>> {
        self.by_uid.get(uid)
    }

    /// The pod with this uid, to change it.
    pub(crate) fn get_mut(&mut self, uid: &PodUid) -> Option<&mut Pod<A>> {
        self.by_uid.get_mut(uid)
    }

    /// Takes a pod out, if it has not been enrolled anew since `epoch`.
    pub(crate) fn remove(&mut self, uid: &PodUid, epoch: u64) -> Option<Pod<A>> {
        self.by_uid.get(uid).filter(|pod| pod.epoch == epoch)?;
        let pod = self.by_uid.remove(uid)?;
        self.by_namespace.remove(&pod.namespace);
        Some(pod)
    }

    /// All pods, in no order, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pod<A>> {
        self.by_uid.values_mut()
    }

    /// All pods, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pod<A>> {
        self.by_uid.values()
    }
}

#[cfg(test)]
mod tests;
