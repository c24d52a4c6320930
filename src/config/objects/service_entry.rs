//! Istio's `ServiceEntry`, read strictly: hosts outside of the cluster, or of it under other names.
//!
//! A field that is misspelt makes the whole object an error: a port or an address that silently falls
//! away would let traffic go where egress is meant to be refused, or refuse what is meant to be let go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::{Labels, Metadata, present, readable};
use super::names::Name;
use super::patterns::IpBlock;
use super::route_values::RoutePort;
use super::virtual_service::hosts;
use crate::config::problem::Finding;

/// Label that keeps hosts from being given addresses.
const ENABLE_ALLOCATION: &str = "networking.istio.io/enable-autoallocate-ip";
/// Most hosts, addresses, ports and endpoints of one object.
const MOST: [(&str, usize); 4] = [
    ("spec.hosts", 256),
    ("spec.addresses", 256),
    ("spec.ports", 64),
    ("spec.endpoints", 1024),
];

/// A `ServiceEntry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEntry {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default)]
    pub spec: ServiceEntrySpec,
    /// Addresses that were given to hosts.
    #[serde(default, skip_serializing_if = "ServiceEntryStatus::is_empty")]
    pub status: ServiceEntryStatus,
}

/// As much of `status` as is read. What is no address or no host there is not: others write it too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceEntryStatus {
    /// What stands for which host.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GivenAddress>,
}

/// An address that was given to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenAddress {
    /// The address.
    pub value: IpAddr,
    /// The host.
    pub host: Arc<str>,
}

impl ServiceEntryStatus {
    fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }
}

/// `spec` of a service entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServiceEntrySpec {
    /// Names, of which the first label may be `*`.
    pub hosts: Vec<Arc<str>>,
    /// Addresses that stand for them, or blocks of such.
    pub addresses: Vec<IpBlock>,
    /// Ports that are served.
    pub ports: Vec<ServiceEntryPort>,
    /// Whether they belong to the mesh.
    pub location: Location,
    /// Where connections go.
    pub resolution: Resolution,
    /// Where, if they are listed.
    pub endpoints: Vec<Endpoint>,
    /// Pods and WorkloadEntries that serve them.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub workload_selector: Option<WorkloadSelector>,
    /// Namespaces of whose clients it holds; `*` if absent.
    pub export_to: Vec<Arc<str>>,
    /// Identities that servers have.
    pub subject_alt_names: Vec<Arc<str>>,
}

/// A port of the hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct ServiceEntryPort {
    pub number: RoutePort,
    pub name: Arc<str>,
    #[serde(default)]
    pub protocol: Protocol,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub target_port: Option<RoutePort>,
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[expect(missing_docs, reason = "the values are Istio's, documented there")]
pub enum Protocol {
    Http,
    Https,
    Grpc,
    GrpcWeb,
    Http2,
    Mongo,
    Mysql,
    Redis,
    Tcp,
    Tls,
    /// Nobody says.
    #[default]
    Unsaid,
}

/// Whether hosts belong to the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// They are others'.
    #[default]
    MeshExternal,
    /// They are the mesh's, and have its identities.
    MeshInternal,
}

/// How the address of a connection is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// It is the one that the client asked for.
    #[default]
    None,
    /// It is that of an endpoint.
    Static,
    /// The name is asked for, of an endpoint or else of the host.
    Dns,
    /// The same; one address at a time.
    DnsRoundRobin,
    /// The name is that in the request, for hosts with a `*`.
    DynamicDns,
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Endpoint {
    pub address: Arc<str>,
    pub ports: BTreeMap<Arc<str>, RoutePort>,
    pub labels: Labels,
    pub network: Arc<str>,
    pub locality: Arc<str>,
    pub weight: u32,
    pub service_account: Arc<str>,
}

/// Which pods and WorkloadEntries are servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadSelector {
    /// Labels that they must have.
    pub labels: Labels,
}

impl TryFrom<String> for Protocol {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match &*text.to_ascii_uppercase() {
            "HTTP" => Ok(Self::Http),
            "HTTPS" => Ok(Self::Https),
            "GRPC" => Ok(Self::Grpc),
            "GRPC-WEB" => Ok(Self::GrpcWeb),
            "HTTP2" => Ok(Self::Http2),
            "MONGO" => Ok(Self::Mongo),
            "MYSQL" => Ok(Self::Mysql),
            "REDIS" => Ok(Self::Redis),
            "TCP" => Ok(Self::Tcp),
            "TLS" => Ok(Self::Tls),
            "" => Ok(Self::Unsaid),
            _ => Err(format!(
                "`{text}` is none of HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, MYSQL, REDIS, TCP and \
                 TLS"
            )),
        }
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http => "HTTP",
            Protocol::Https => "HTTPS",
            Protocol::Grpc => "GRPC",
            Protocol::GrpcWeb => "GRPC-WEB",
            Protocol::Http2 => "HTTP2",
            Protocol::Mongo => "MONGO",
            Protocol::Mysql => "MYSQL",
            Protocol::Redis => "REDIS",
            Protocol::Tcp => "TCP",
            Protocol::Unsaid => "",
            Protocol::Tls => "TLS",
        }
        .to_owned()
    }
}

impl Protocol {
    /// Whether it is made of requests that name their host.
    pub fn is_for_requests(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }
}

impl ServiceEntry {
    /// Whether its hosts are given addresses that stand for them.
    pub fn takes_allocation(&self) -> bool {
        let label = self.metadata.label(ENABLE_ALLOCATION);
        self.spec.addresses.is_empty() && label.is_none_or(|value| &**value != "false")
    }

    /// Addresses that were given to hosts, as they stand in the status.
    pub fn recorded(&self) -> impl Iterator<Item = (&Arc<str>, IpAddr)> {
        let given = self.status.addresses.iter();
        given.map(|given| (&given.host, given.value))
    }

    /// Single addresses that it names: its own and those of endpoints.
    pub fn single_addresses(&self) -> BTreeSet<IpAddr> {
        let blocks = self.spec.addresses.iter().map(|block| block.net());
        let single = blocks.filter(|block| block.prefix_len() == block.max_prefix_len());
        let endpoints = self.spec.endpoints.iter();
        let endpoints = endpoints.filter_map(|endpoint| endpoint.address.parse().ok());
        single.map(|block| block.addr()).chain(endpoints).collect()
    }

    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub fn check(&self) -> Result<(), Finding> {
        let spec = &self.spec;
        if spec.hosts.is_empty() {
            let advice = "name the hosts that clients ask for";
            return Err(Finding::new("spec.hosts", "empty", advice));
        }
        let counts = [
            spec.hosts.len(),
            spec.addresses.len(),
            spec.ports.len(),
            spec.endpoints.len(),
        ];
        for ((field, most), count) in MOST.into_iter().zip(counts) {
            if count > most {
                let what = format!("{count} entries, of which {most} are allowed");
                return Err(Finding::new(field, what, "cut the object in two"));
            }
        }
        hosts::check(&spec.hosts, &spec.export_to)?;
        self.check_wildcards()?;
        self.check_ports()?;
        self.check_addresses()?;
        self.check_endpoints()
    }

    /// A host with a `*` is many names, so that there is nobody to ask for its address.
    fn check_wildcards(&self) -> Result<(), Finding> {
        let spec = &self.spec;
        let can_be_many = matches!(spec.resolution, Resolution::None | Resolution::DynamicDns);
        for (index, host) in spec.hosts.iter().enumerate() {
            let field = format!("spec.hosts[{index}]");
            if &**host == "*" {
                let advice = "name a domain, such as `*.example.com`";
                return Err(Finding::new(field, "`*` stands for every host", advice));
            }
            let is_many = host.starts_with('*');
            if is_many
                && !can_be_many
                && spec.endpoints.is_empty()
                && spec.workload_selector.is_none()
            {
                let what = format!("`{host}` is no name that an address can be asked for");
                let advice = "set resolution to NONE or DYNAMIC_DNS, or list endpoints";
                return Err(Finding::new(field, what, advice));
            }
            if !is_many && spec.resolution == Resolution::DynamicDns {
                let what = format!("`{host}` has no `*`, which DYNAMIC_DNS is for");
                return Err(Finding::new(field, what, "set resolution to DNS"));
            }
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), Finding> {
        let ports = &self.spec.ports;
        if ports.is_empty() {
            let advice = "add the ports that clients use";
            return Err(Finding::new("spec.ports", "empty", advice));
        }
        let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (index, port) in ports.iter().enumerate() {
            let field = format!("spec.ports[{index}]");
            if Name::new(&port.name.to_ascii_lowercase()).is_err() {
                let what = format!("`{}` is not a name", port.name);
                let advice = "write letters, digits and `-`";
                return Err(Finding::new(format!("{field}.name"), what, advice));
            }
            if !numbers.insert(port.number) || !names.insert(&port.name) {
                let what = "the number or the name of an earlier one";
                return Err(Finding::new(field, what, "give each port both of its own"));
            }
            if port.target_port.is_some() && self.spec.resolution == Resolution::None {
                let field = format!("{field}.targetPort");
                let what = "beside resolution NONE, by which clients say where they go";
                return Err(Finding::new(field, what, "remove it"));
            }
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), Finding> {
        let spec = &self.spec;
        let is_by_name = !matches!(spec.resolution, Resolution::None | Resolution::Static);
        for (index, address) in spec.addresses.iter().enumerate() {
            let block = address.net();
            let is_block = block.prefix_len() != block.max_prefix_len();
            if is_block && is_by_name {
                let field = format!("spec.addresses[{index}]");
                let what = "a block of addresses beside resolution by name";
                let advice = "write single addresses, or resolution NONE or STATIC";
                return Err(Finding::new(field, what, advice));
            }
        }
        Ok(())
    }

    fn check_endpoints(&self) -> Result<(), Finding> {
        let spec = &self.spec;
        let endpoints = &spec.endpoints;
        if let Some(selector) = &spec.workload_selector {
            let field = "spec.workloadSelector";
            if !endpoints.is_empty() {
                return Err(Finding::new(
                    field,
                    "beside endpoints",
                    "keep one of the two",
                ));
            }
            if selector.labels.is_empty() {
                let advice = "say which labels servers have";
                return Err(Finding::new(field, "without labels", advice));
            }
        }
        let is_listed = !endpoints.is_empty() || spec.workload_selector.is_some();
        match spec.resolution {
            Resolution::None | Resolution::DynamicDns if is_listed => {
                let what = "servers, beside a resolution by which clients say where they go";
                let advice = "set resolution to STATIC or DNS, or remove them";
                return Err(Finding::new("spec.endpoints", what, advice));
            }
            Resolution::Static if !is_listed => {
                let advice = "list endpoints, or add workloadSelector";
                return Err(Finding::new("spec.endpoints", "none, with STATIC", advice));
            }
            Resolution::DnsRoundRobin if endpoints.len() > 1 => {
                let what = "more than one, with DNS_ROUND_ROBIN";
                return Err(Finding::new(
                    "spec.endpoints",
                    what,
                    "set resolution to DNS",
                ));
            }
            _ => {}
        }
        let mut numbered = endpoints.iter().enumerate();
        numbered.try_for_each(|(index, endpoint)| self.check_endpoint(index, endpoint))
    }

    fn check_endpoint(&self, index: usize, endpoint: &Endpoint) -> Result<(), Finding> {
        let field = format!("spec.endpoints[{index}]");
        let address = &endpoint.address;
        let is_ip = address.parse::<IpAddr>().is_ok();
        let is_name = !is_ip && Name::new(address).is_ok();
        let by_name = matches!(
            self.spec.resolution,
            Resolution::Dns | Resolution::DnsRoundRobin
        );
        if !(is_ip || is_name && by_name) {
            let what = format!("`{address}` is no address that can be used here");
            let advice = match by_name {
                true => "write an address, or a host name",
                false => "write an address, or set resolution to DNS",
            };
            return Err(Finding::new(format!("{field}.address"), what, advice));
        }
        let mut named = endpoint.ports.keys();
        let is_port = |name: &&Arc<str>| self.spec.ports.iter().any(|port| port.name == **name);
        if let Some(unknown) = named.find(|name| !is_port(name)) {
            let what = format!("`{unknown}` is the name of no port of the object");
            let advice = "name one of spec.ports";
            return Err(Finding::new(format!("{field}.ports"), what, advice));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
