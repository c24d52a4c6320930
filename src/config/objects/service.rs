//! Services and their endpoint slices.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::{Labels, Metadata, or_default};
use super::names::{Label, Name};
use super::pod::is_tcp;

/// Label of an endpoint slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A `Service`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: ServiceSpec,
}

/// `spec` of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP` if absent.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// Labels of its pods; empty if its endpoints are made by somebody else.
    #[serde(default, deserialize_with = "or_default")]
    pub selector: Labels,
    /// Its ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<ServicePort>,
    /// First virtual address.
    #[serde(default, rename = "clusterIP")]
    pub cluster_ip: Option<ClusterIp>,
    /// All virtual addresses.
    #[serde(default, rename = "clusterIPs", deserialize_with = "or_default")]
    pub cluster_ips: Vec<ClusterIp>,
    /// `IPv4`, `IPv6`.
    #[serde(default, deserialize_with = "or_default")]
    pub ip_families: Vec<Arc<str>>,
    /// True if pods that are not ready may be picked.
    #[serde(default, deserialize_with = "or_default")]
    pub publish_not_ready_addresses: bool,
    /// `Local` insists on endpoints of the client's node.
    #[serde(default)]
    pub internal_traffic_policy: Option<Arc<str>>,
    /// `ClientIP` keeps a client with one endpoint.
    #[serde(default)]
    pub session_affinity: Option<Arc<str>>,
    /// `PreferClose`, `PreferSameZone` or `PreferSameNode`.
    #[serde(default)]
    pub traffic_distribution: Option<Arc<str>>,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// `TCP` if absent.
    #[serde(default)]
    pub protocol: Option<Arc<str>>,
    /// Number on the virtual address.
    pub port: u16,
    /// Number or name on the pod; absent means the same number.
    #[serde(default)]
    pub target_port: Option<TargetPort>,
    /// What is spoken there.
    #[serde(default)]
    pub app_protocol: Option<Arc<str>>,
}

/// A port of a pod, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a port number or the name of a port")]
pub enum TargetPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(Arc<str>),
}

/// A virtual address, or `None` for a headless service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ClusterIp {
    /// `None`, or not given yet.
    Absent,
    /// An address.
    Address(IpAddr),
}

/// An `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSlice {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// The endpoints.
    #[serde(default, deserialize_with = "or_default")]
    pub endpoints: Vec<Endpoint>,
    /// Ports that each of them serves.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<EndpointPort>,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its addresses; texts, because a slice may hold host names.
    #[serde(default, deserialize_with = "or_default")]
    pub addresses: Vec<Arc<str>>,
    /// Whether it can be used.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: EndpointConditions,
    /// The pod behind it.
    #[serde(default)]
    pub target_ref: Option<TargetRef>,
    /// Node that it runs on.
    #[serde(default)]
    pub node_name: Option<Name>,
}

/// Whether an endpoint can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointConditions {
    /// Absent means yes.
    #[serde(default)]
    pub ready: Option<bool>,
}

/// What is behind an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRef {
    /// Usually `Pod`.
    #[serde(default)]
    pub kind: Option<Arc<str>>,
    /// Its name.
    pub name: Name,
    /// Its namespace; that of the slice if absent.
    #[serde(default)]
    pub namespace: Option<Label>,
}

/// A port that every endpoint of a slice serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPort {
    /// Name of the service's port.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// Number on the endpoint.
    #[serde(default)]
    pub port: Option<u16>,
    /// `TCP` if absent.
    #[serde(default)]
    pub protocol: Option<Arc<str>>,
}

impl Service {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// Its virtual addresses, each once.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for given in self.spec.cluster_ips.iter().chain(&self.spec.cluster_ip) {
            if let ClusterIp::Address(address) = given
                && !addresses.contains(&address.to_canonical())
            {
                addresses.push(address.to_canonical());
            }
        }
        addresses
    }

    /// True for a name that stands for another name, outside of the mesh.
    pub fn is_external_name(&self) -> bool {
        self.spec.kind.as_deref() == Some("ExternalName")
    }

    /// Its TCP ports; the mesh carries no others.
    pub fn tcp_ports(&self) -> impl Iterator<Item = &ServicePort> {
        self.spec
            .ports
            .iter()
            .filter(|port| is_tcp(port.protocol.as_deref()))
    }
}

impl EndpointSlice {
    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// Name of the service that it belongs to, in the same namespace.
    pub fn service(&self) -> Option<&Arc<str>> {
        self.metadata.label(SERVICE_NAME)
    }

    /// Number of the port that serves the service's port of that name.
    pub fn port_of(&self, service_port: &ServicePort) -> Option<u16> {
        let name = service_port.name.as_deref().unwrap_or_default();
        let serves = |port: &&EndpointPort| {
            port.name.as_deref().unwrap_or_default() == name && is_tcp(port.protocol.as_deref())
        };
        self.ports.iter().find(serves)?.port
    }
}

impl Endpoint {
    /// Its addresses that are addresses.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses
            .iter()
            .filter_map(|text| Some(text.parse::<IpAddr>().ok()?.to_canonical()))
    }

    /// Name of the pod behind it.
    pub fn pod(&self) -> Option<&Name> {
        let target = self.target_ref.as_ref()?;
        (target.kind.as_deref() == Some("Pod")).then_some(&target.name)
    }

    /// False only if it is said not to be ready.
    pub fn is_ready(&self) -> bool {
        self.conditions.ready != Some(false)
    }
}

impl TryFrom<String> for ClusterIp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "" | "None" => Ok(Self::Absent),
            address => {
                address
                    .parse()
                    .map(Self::Address)
                    .map_err(|_unparsed: std::net::AddrParseError| {
                        format!("`{address}` is neither an address nor `None`")
                    })
            }
        }
    }
}

impl From<ClusterIp> for String {
    fn from(ip: ClusterIp) -> Self {
        match ip {
            ClusterIp::Absent => "None".to_owned(),
            ClusterIp::Address(address) => address.to_string(),
        }
    }
}
