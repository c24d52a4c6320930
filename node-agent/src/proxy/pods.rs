//! The pods of this node that the host role has attached, and what belongs to each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use ambit_kit::sources::{Share, Sources};
use ambit_model::{Mesh, SpiffeId, TunnelProtocol, Workload, WorkloadUid};
use ambit_wire::node::{Pod, PodAttached};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::names::given::Given;
use super::names::hosts::Hosts;
use super::names::preferred::Preferred;
use super::stock::Stock;

/// Questions of one pod that may be under way to resolvers.
const MOST_QUESTIONS: usize = 256;
/// Which part of a pod's handshakes may be towards one client.
const PART_OF_ONE: usize = 8;

/// Most connections and handshakes that one pod may have open, so that it cannot starve the
/// node's others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// Open connections, outbound and inbound together.
    pub(crate) connections: usize,
    /// TLS handshakes under way towards the pod.
    pub(crate) handshakes: usize,
}

/// A pod of this node.
#[derive(Debug)]
pub(crate) struct LocalPod {
    /// Kubernetes' own uid.
    pub(crate) uid: Arc<str>,
    /// Its identity, from the enrolment request.
    pub(crate) identity: SpiffeId,
    /// Every address of it.
    pub(crate) ips: Vec<IpAddr>,
    /// Addresses of the node, which probes come from.
    pub(crate) node_ips: Vec<IpAddr>,
    /// Outgoing sockets made in its network namespace.
    pub(crate) stock: Stock,
    /// Room for connections.
    pub(crate) connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    handshakes_by_source: Sources,
    /// Questions about names that are under way to resolvers.
    pub(crate) questions: Arc<Semaphore>,
    /// Which resolver its questions go to first.
    pub(crate) preferred: Arc<Preferred>,
    /// Names that it was given addresses for.
    pub(crate) given: Arc<Given>,
    /// Names that its connections needed.
    pub(crate) hosts: Arc<Hosts>,
    /// Cancelled when nothing of it is served here any more: it is forgotten, or attached anew.
    pub(crate) gone: CancellationToken,
    /// Ends the accepting of new connections: the pod is released, or this generation drains.
    pub(crate) released: CancellationToken,
    caps: Caps,
    enrolled: Arc<Workload>,
    /// A later attachment of the same pod.
    successor: OnceLock<Arc<Self>>,
}

impl LocalPod {
    /// Reads the host role's record; an error names the field that is unusable.
    pub(crate) fn new(
        attached: &PodAttached,
        place: &Place,
        caps: Caps,
        stock: Stock,
        released: CancellationToken,
    ) -> Result<Self, String> {
        let pod = attached.pod.as_ref().ok_or("a pod without its names")?;
        let addresses = |texts: &[String]| -> Result<Vec<IpAddr>, String> {
            texts
                .iter()
                .map(|t| {
                    t.parse()
                        .map_err(|e| format!("address `{t}` of pod {}: {e}", pod.uid))
                })
                .collect()
        };
        let ips = addresses(&pod.ips)?;
        let node_ips = addresses(&attached.node_ips)?;
        let enrolled = Arc::new(enrolled_workload(pod, &ips, place));
        let identity = enrolled.identity();
        Ok(Self {
            uid: pod.uid.as_str().into(),
            identity,
            ips,
            node_ips,
            stock,
            connections: Arc::new(Semaphore::new(caps.connections)),
            handshakes: Arc::new(Semaphore::new(caps.handshakes)),
            handshakes_by_source: Sources::new((caps.handshakes / PART_OF_ONE).max(1)),
            questions: Arc::new(Semaphore::new(MOST_QUESTIONS)),
            preferred: Arc::default(),
            given: Arc::default(),
            hosts: Arc::default(),
            gone: CancellationToken::new(),
            released,
            caps,
            enrolled,
            successor: OnceLock::new(),
        })
    }

    /// Goes on where an earlier attachment of the same pod was: its connections count here too,
    /// towards the caps and as what a release waits for.
    pub(crate) fn take_over(&mut self, before: &Self) {
        self.connections = Arc::clone(&before.connections);
        self.handshakes = Arc::clone(&before.handshakes);
        self.handshakes_by_source = before.handshakes_by_source.clone();
        self.questions = Arc::clone(&before.questions);
        self.preferred = Arc::clone(&before.preferred);
        self.given = Arc::clone(&before.given);
        self.hosts = Arc::clone(&before.hosts);
    }

    /// Makes way for a later attachment of the same pod.
    pub(crate) fn replaced_by(&self, successor: Arc<Self>) {
        // A pod is replaced once: the table holds the latest only.
        self.successor.set(successor).ok();
        self.released.cancel();
        self.gone.cancel();
    }

    /// The pod as soon as it is known who it is: one that was captured while the control plane was
    /// away is attached again when its service account is told.
    pub(crate) async fn identified(
        self: Arc<Self>,
        patience: Duration,
    ) -> Result<Arc<Self>, Refusal> {
        if !self.enrolled.service_account.is_empty() {
            return Ok(self);
        }
        let replaced = tokio::time::timeout(patience, self.released.cancelled()).await;
        let successor = replaced.ok().and_then(|()| self.successor.get().cloned());
        let is_known = |pod: &Arc<Self>| !pod.enrolled.service_account.is_empty();
        successor.filter(is_known).ok_or_else(|| {
            let what = format!(
                "the control plane has not told as which service account pod {} runs",
                self.uid
            );
            Refusal::new(Reason::NotSynced, what)
        })
    }

    /// Room for a handshake with this client, to be held during the handshake only: strangers
    /// cannot pile up half-open ones, and one of them cannot keep the others out.
    pub(crate) fn handshake(
        &self,
        client: IpAddr,
    ) -> Result<(Share, SemaphorePermit<'_>), Refusal> {
        let too_many = |whose: &str| {
            let uid = &self.uid;
            let what = format!("too many handshakes {whose} under way towards pod {uid}");
            Refusal::new(Reason::HandshakeLimit, what)
        };
        let share = self.handshakes_by_source.take(client);
        let share = share.ok_or_else(|| too_many("with this client"))?;
        let permit = self.handshakes.try_acquire();
        Ok((share, permit.map_err(|_full| too_many("with all clients"))?))
    }

    /// The refusal of one connection too many.
    pub(crate) fn full(&self) -> Refusal {
        let most = self.caps.connections;
        Refusal::new(
            Reason::PodLimit,
            format!(
                "pod {} has {most} connections, as many as one pod may",
                self.uid
            ),
        )
    }

    /// True while anything that was accepted for the pod has not ended.
    pub(crate) fn is_busy(&self) -> bool {
        self.connections.available_permits() < self.caps.connections
    }

    /// The pod's record in the mesh, if the control plane knows it already. Only this one may
    /// decide who is let in: the policies that apply hang on it.
    ///
    /// A control plane of another make does not tell Kubernetes' uids: then the name counts. The
    /// record of another pod, with a copied uid or an earlier one of the same name, does not.
    pub(crate) fn workload(&self, mesh: &Mesh) -> Option<Arc<Workload>> {
        let (namespace, name) = (&self.enrolled.namespace, &self.enrolled.name);
        let by_name = || {
            let found = mesh.workload_by_pod(namespace, name);
            found.filter(|workload| workload.pod_uid.is_none())
        };
        mesh.workload_by_pod_uid(&self.uid)
            .or_else(by_name)
            .filter(|found| found.namespace == *namespace && found.name == *name)
            .filter(|found| found.identity() == self.identity)
            .cloned()
    }

    /// Its namespace, from the enrolment request.
    pub(crate) fn namespace(&self) -> &str {
        &self.enrolled.namespace
    }

    /// The pod as a source: its record in the mesh, else what the enrolment said of it, so that
    /// the first bytes of a new pod need not wait for the control plane.
    pub(crate) fn as_source(&self, mesh: &Mesh) -> Arc<Workload> {
        self.workload(mesh)
            .unwrap_or_else(|| Arc::clone(&self.enrolled))
    }
}

/// What the agent knows of where its pods run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Name of the node.
    pub(crate) node: Arc<str>,
    /// Name of the cluster.
    pub(crate) cluster: Arc<str>,
    /// Trust domain of the mesh.
    pub(crate) trust_domain: Arc<str>,
}

pub(crate) fn enrolled_workload(pod: &Pod, ips: &[IpAddr], place: &Place) -> Workload {
    Workload {
        uid: WorkloadUid::pod(&place.cluster, &pod.namespace, &pod.name),
        pod_uid: Some(pod.uid.as_str().into()),
        name: pod.name.as_str().into(),
        namespace: pod.namespace.as_str().into(),
        trust_domain: Arc::clone(&place.trust_domain),
        service_account: pod.service_account.as_str().into(),
        addresses: ips.to_vec(),
        hostname: "".into(),
        network: "".into(),
        node: Arc::clone(&place.node),
        cluster: Arc::clone(&place.cluster),
        protocol: TunnelProtocol::None,
        host_network: false,
        workload_name: pod.name.as_str().into(),
        workload_type: ambit_model::WorkloadType::Pod,
        canonical_name: pod.name.as_str().into(),
        canonical_revision: "latest".into(),
        services: std::collections::BTreeMap::new(),
        waypoint: None,
        waypoint_only: false,
        policies: Vec::new(),
        applicable_policies: None,
        authentications: Vec::new(),
        asked_authentications: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        health: ambit_model::Health::Healthy,
        locality: ambit_model::Locality::default(),
        capacity: 1,
    }
}

/// The attached pods by uid.
#[derive(Debug, Default)]
pub(crate) struct LocalPods {
    table: RwLock<HashMap<Arc<str>, Arc<LocalPod>>>,
}

impl LocalPods {
    /// Enters a pod; the one that it replaces is returned.
    pub(crate) fn put(&self, pod: Arc<LocalPod>) -> Option<Arc<LocalPod>> {
        self.table.write().insert(Arc::clone(&pod.uid), pod)
    }

    /// The pod of that uid.
    pub(crate) fn get(&self, uid: &str) -> Option<Arc<LocalPod>> {
        self.table.read().get(uid).cloned()
    }

    /// Takes a pod out.
    pub(crate) fn remove(&self, uid: &str) -> Option<Arc<LocalPod>> {
        self.table.write().remove(uid)
    }

    /// Every pod.
    pub(crate) fn all(&self) -> Vec<Arc<LocalPod>> {
        self.table.read().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
