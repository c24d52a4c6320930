//! Pods as agents are told of them, and as who may ask for which identity is decided by.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::objects::pod::Pod;
use super::objects::{Kind, Object, ObjectKey};
use super::store::Claim;
use super::{Configuration, translate};

/// A pod that runs on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOnNode {
    /// Kubernetes' own uid, or `NAMESPACE.NAME` if its file gives none.
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its service account.
    pub service_account: Arc<str>,
    /// Its addresses; none yet if it is just being started.
    pub ips: Vec<IpAddr>,
    /// Ports that the kubelet connects to.
    pub probe_ports: BTreeSet<u16>,
    /// When it was asked to cut its connections that are older than its capture, in Unix seconds.
    pub cut_existing: Option<u64>,
    /// Whether its questions about names are left alone.
    pub keeps_its_resolver: bool,
    /// True if it shares the network of its node.
    pub host_network: bool,
    /// Whether its labels or those of its namespace ask for capture.
    pub enrolled: bool,
}

impl Configuration {
    /// Pods that run on a node, those without an address yet included: whose identities the node's
    /// agent may ask for.
    pub fn pods_on_node(&self, node: &str) -> impl Iterator<Item = PodOnNode> {
        let pods = self
            .objects
            .pods_on_node(node)
            .filter(|(_, pod)| !pod.is_finished());
        pods.map(|(key, pod)| self.describe(key, pod))
    }

    /// Pods of all nodes, and those that have none yet.
    pub fn pods(&self) -> impl Iterator<Item = PodOnNode> {
        let pods = self
            .objects
            .of_kind(Kind::Pod)
            .filter_map(|(key, object)| match object {
                Object::Pod(pod) if !pod.is_finished() => Some((key, pod)),
                _ => None,
            });
        pods.map(|(key, pod)| self.describe(key, pod))
    }

    /// Pods of a node that are recorded as captured.
    pub fn recorded_on(&self, node: &str) -> impl Iterator<Item = PodOnNode> {
        let recorded = |(_, pod): &(&ObjectKey, &Pod)| translate::is_recorded(pod);
        let pods = self.objects.pods_on_node(node).filter(recorded);
        pods.map(|(key, pod)| self.describe(key, pod))
    }

    /// Pods of all nodes that are recorded as captured.
    pub fn recorded(&self) -> impl Iterator<Item = &Pod> {
        let pods = self.objects.of_kind(Kind::Pod);
        pods.filter_map(|(_, object)| match object {
            Object::Pod(pod) if !pod.is_finished() && translate::is_recorded(pod) => Some(&**pod),
            _ => None,
        })
    }

    /// The pod of that uid.
    pub fn pod_of_uid(&self, pod_uid: &str) -> Option<PodOnNode> {
        let key = self.objects.owner(&Claim::PodUid(pod_uid.into()))?;
        Some(self.describe(key, self.objects.pod(key)?))
    }

    /// Name of the node that a pod runs on, by the pod's uid.
    pub fn node_of_pod(&self, pod_uid: &str) -> Option<Arc<str>> {
        let pod = self.objects.owner(&Claim::PodUid(pod_uid.into()))?;
        Some(self.objects.pod(pod)?.spec.node_name.as_ref()?.shared())
    }

    fn describe(&self, key: &ObjectKey, pod: &Pod) -> PodOnNode {
        PodOnNode {
            ips: pod.addresses(),
            probe_ports: pod.probe_ports(),
            cut_existing: translate::cut_existing(pod),
            keeps_its_resolver: translate::keeps_its_resolver(pod),
            host_network: pod.spec.host_network,
            uid: pod.uid(),
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            service_account: pod.service_account(),
            enrolled: translate::enrolled(&self.settings, &self.objects, key),
        }
    }
}
