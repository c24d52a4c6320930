//! Workloads: a pod or another endpoint that sends or receives traffic.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::{NetworkAddress, PolicyName, ServiceName, WorkloadUid};
use crate::service::PortMapping;
use crate::spiffe::SpiffeId;

/// A pod or another endpoint of the mesh (`istio.workload.Workload`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Name on the wire.
    pub uid: WorkloadUid,
    /// Kubernetes' own uid of the pod, if the control plane tells it (ours does, in an extension).
    pub pod_uid: Option<Arc<str>>,
    /// Name of the pod.
    pub name: Arc<str>,
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// Trust domain of its identity.
    pub trust_domain: Arc<str>,
    /// Service account of its identity.
    pub service_account: Arc<str>,
    /// Every address it answers on; empty for a workload known by host name only.
    pub addresses: Vec<IpAddr>,
    /// Host name to resolve, for a workload without addresses; usually empty.
    pub hostname: Arc<str>,
    /// Network that the addresses are in; empty is the default one.
    pub network: Arc<str>,
    /// Name of the node it runs on.
    pub node: Arc<str>,
    /// Name of the cluster it runs in.
    pub cluster: Arc<str>,
    /// How it wants to be reached.
    pub protocol: TunnelProtocol,
    /// True for a workload that shares the addresses of its node.
    pub host_network: bool,
    /// Name of the object that made the pod, such as a Deployment.
    pub workload_name: Arc<str>,
    /// Kind of the object that made the pod.
    pub workload_type: WorkloadType,
    /// Name that groups versions of one application (telemetry).
    pub canonical_name: Arc<str>,
    /// Version of the application (telemetry).
    pub canonical_revision: Arc<str>,
    /// Services it is an endpoint of, with the ports that this endpoint serves them on.
    pub services: BTreeMap<ServiceName, Vec<PortMapping>>,
    /// Waypoint that traffic to this workload's own address must pass.
    pub waypoint: Option<GatewayAddress>,
    /// True if only that waypoint, or that of a service it is an endpoint of, may connect to it:
    /// there is policy that nobody else can judge (ours tells, in an extension).
    #[serde(default)]
    pub waypoint_only: bool,
    /// Policies that select this workload by its labels.
    pub policies: Vec<PolicyName>,
    /// Every policy that applies to it, of all scopes, when the control plane lists them (ours
    /// does, in an extension). A workload of which one is not known must not be served.
    pub applicable_policies: Option<Vec<PolicyName>>,
    /// RequestAuthentications of its labels, its namespace or the mesh: a waypoint verifies the tokens of
    /// requests that it sends there (ours tells, in an extension).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authentications: Vec<PolicyName>,
    /// Those of the waypoint of its own address: for requests that ask for that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_authentications: Vec<PolicyName>,
    /// Those of its pod's labels that some route asks for (ours tells, in an extension).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether it may be picked as an endpoint.
    pub health: Health,
    /// Where it runs.
    pub locality: Locality,
    /// Relative weight as an endpoint; 0 is read as 1.
    pub capacity: u32,
}

impl Workload {
    /// The identity it presents in the mesh.
    pub fn identity(&self) -> SpiffeId {
        SpiffeId::from_parts(&self.trust_domain, &self.namespace, &self.service_account)
    }

    /// Whether it is no part of the mesh: a server that an entry of somebody's names
    /// (`CLUSTER/networking.istio.io/KIND/…`), reached in the clear as it is.
    pub fn is_outside(&self) -> bool {
        // What is of the mesh nearly always is told by the first: the name is looked at last.
        let is_entry = || self.uid.as_str().split('/').nth(1) == Some("networking.istio.io");
        self.protocol == TunnelProtocol::None && self.waypoint.is_none() && is_entry()
    }

    /// Its share as an endpoint, never 0.
    pub fn weight(&self) -> u32 {
        self.capacity.max(1)
    }

    /// The port on which it serves a service's port, if it is an endpoint of it.
    pub fn target_port(&self, service: &ServiceName, service_port: u16) -> Option<u16> {
        let mapping = self
            .services
            .get(service)?
            .iter()
            .find(|m| m.service_port == service_port);
        mapping.map(|m| m.target_port).filter(|port| *port != 0)
    }
}

/// How a workload wants to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TunnelProtocol {
    /// Plain TCP.
    #[default]
    None,
    /// HTTP/2 CONNECT over mutual TLS, on port 15008 of the workload.
    Hbone,
    /// A value that this version does not know. It is never reached in the clear in its place.
    Unsupported(i32),
}

/// Kind of the object that made a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkloadType {
    /// A Deployment (or anything not listed here).
    #[default]
    Deployment,
    /// A CronJob.
    CronJob,
    /// A bare Pod.
    Pod,
    /// A Job.
    Job,
}

/// Whether an endpoint may be picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Health {
    /// It may.
    #[default]
    Healthy,
    /// Only by services that allow unhealthy endpoints.
    Unhealthy,
}

/// Where a workload runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Locality {
    /// Region of the node.
    pub region: Arc<str>,
    /// Zone of the node.
    pub zone: Arc<str>,
    /// Subzone of the node.
    pub subzone: Arc<str>,
}

/// Where a gateway or waypoint is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GatewayAddress {
    /// By the service of that name, on this HBONE port.
    Service(ServiceName, u16),
    /// By address, on this HBONE port.
    Address(NetworkAddress, u16),
}

impl GatewayAddress {
    /// The service by which it is found, if it is by one.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Service(name, _) => Some(name),
            Self::Address(..) => None,
        }
    }
}

/// A waypoint: an L7 proxy that services or workloads are bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Waypoint {
    /// Namespace of its Gateway.
    pub namespace: Arc<str>,
    /// Name of its Gateway.
    pub name: Arc<str>,
    /// Where it is reached.
    pub address: GatewayAddress,
}
