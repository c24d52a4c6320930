//! Services: a stable name and addresses for a set of workloads.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::{NetworkAddress, PolicyName, ServiceName};
use crate::spiffe::SpiffeId;
use crate::traffic::ServiceTraffic;
use crate::workload::GatewayAddress;

/// A stable name and addresses for a set of workloads (`istio.workload.Service`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Namespace and host name.
    pub name: ServiceName,
    /// Short name, such as `web`.
    pub short_name: Arc<str>,
    /// Virtual addresses with their prefix length (32 or 128 for a single one); empty if headless.
    pub vips: Vec<(NetworkAddress, u8)>,
    /// Ports it serves.
    pub ports: Vec<ServicePort>,
    /// Identities accepted beside those of its endpoints.
    pub subject_alt_names: Vec<SpiffeId>,
    /// Waypoint that traffic to this service must pass.
    pub waypoint: Option<GatewayAddress>,
    /// How endpoints are picked.
    pub load_balancing: LoadBalancing,
    /// Address families that it serves.
    pub ip_families: IpFamilies,
    /// How requests to it are spread and bounded, where somebody says (ours tells, in an
    /// extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Arc<ServiceTraffic>>,
    /// RequestAuthentications that are bound to it, or to the waypoint before it: that verifies the tokens
    /// of requests that ask for it (ours tells, in an extension).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authentications: Vec<PolicyName>,
    /// Whose clients it is for. For all others it does not exist.
    #[serde(default, skip_serializing_if = "Visibility::is_everyone")]
    pub visibility: Visibility,
    /// True for a service of the cluster: nobody else's service takes its addresses from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canonical: bool,
    /// True if the host that a request names is the one to go to, of those that the host name with a
    /// `*` stands for: only a waypoint can tell (ours tells, in an extension).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dynamic: bool,
}

impl Service {
    /// Whether clients of a namespace may know it.
    pub fn is_visible_to(&self, namespace: &str) -> bool {
        self.visibility.reaches(namespace)
    }

    /// The port of that number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.service_port == number)
    }
}

/// Whose clients a service is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Visibility {
    /// All.
    #[default]
    Everyone,
    /// Those of these namespaces.
    Namespaces(Vec<Arc<str>>),
}

impl Visibility {
    /// Whether clients of a namespace are among them.
    pub fn reaches(&self, namespace: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Namespaces(namespaces) => namespaces.iter().any(|one| **one == *namespace),
        }
    }

    fn is_everyone(&self) -> bool {
        *self == Self::Everyone
    }
}

/// One port of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServicePort {
    /// Port on the virtual address.
    pub service_port: u16,
    /// Port on the endpoint; 0 where each endpoint names its own.
    pub target_port: u16,
    /// What is spoken there.
    pub app_protocol: AppProtocol,
}

/// A port of a service as one endpoint serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortMapping {
    /// Port on the virtual address.
    pub service_port: u16,
    /// Port on this endpoint.
    pub target_port: u16,
}

/// Application protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the protocols' names")]
pub enum AppProtocol {
    #[default]
    Unknown,
    Http11,
    Http2,
    Grpc,
    Tcp,
    Tls,
}

/// How endpoints of a service are picked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoadBalancing {
    /// Localities to prefer or insist on, most specific last (`LoadBalancing.Scope` numbers).
    pub routing_preference: Vec<i32>,
    /// What the preference means.
    pub mode: LoadBalancingMode,
    /// True if unhealthy endpoints may be picked (`publishNotReadyAddresses`).
    pub allow_unhealthy: bool,
    /// True if a client is to stay with one endpoint while it can be picked (`sessionAffinity`).
    pub session_affinity: bool,
}

/// What the localities that a service prefers mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LoadBalancingMode {
    /// Nothing; so does a value that this version does not know.
    #[default]
    Unspecified,
    /// Only endpoints that share every preferred locality are picked.
    Strict,
    /// The endpoints that share the most are.
    Failover,
    /// No endpoint is picked: the client's destination is kept.
    Passthrough,
}

/// Address families that a service serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the families' names")]
pub enum IpFamilies {
    #[default]
    Automatic,
    Ipv4Only,
    Ipv6Only,
    Dual,
}
