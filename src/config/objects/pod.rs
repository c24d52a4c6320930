//! Pods: where they run, as whom, and where they are reached.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::{Metadata, or_default};
use super::names::Name;
use super::service::TargetPort;

/// Probed ports of a pod that are told.
const MOST_PROBE_PORTS: usize = 256;

/// A `Pod`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: PodSpec,
    /// What is.
    #[serde(default, deserialize_with = "or_default")]
    pub status: PodStatus,
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Node that it runs on.
    #[serde(default)]
    pub node_name: Option<Name>,
    /// Service account; absent means `default`.
    #[serde(default)]
    pub service_account_name: Option<Name>,
    /// The field's old name.
    #[serde(default)]
    pub service_account: Option<Name>,
    /// True if it shares the network of its node.
    #[serde(default, deserialize_with = "or_default")]
    pub host_network: bool,
    /// Its containers.
    #[serde(default, deserialize_with = "or_default")]
    pub containers: Vec<Container>,
    /// Its init containers; those that keep running may serve ports.
    #[serde(default, deserialize_with = "or_default")]
    pub init_containers: Vec<Container>,
}

/// One container, for its ports and those that the kubelet probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// Declared ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container keep running.
    #[serde(default)]
    pub restart_policy: Option<Arc<str>>,
    /// Whether it lives.
    #[serde(default)]
    pub liveness_probe: Option<Probe>,
    /// Whether it is ready.
    #[serde(default)]
    pub readiness_probe: Option<Probe>,
    /// Whether it has started.
    #[serde(default)]
    pub startup_probe: Option<Probe>,
}

/// What the kubelet asks a container, as far as it goes over the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// A request.
    #[serde(default)]
    pub http_get: Option<ProbePort>,
    /// A connection.
    #[serde(default)]
    pub tcp_socket: Option<ProbePort>,
    /// A gRPC health check.
    #[serde(default)]
    pub grpc: Option<ProbePort>,
}

/// Where a probe goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePort {
    /// A port of the container, by number or by name.
    pub port: TargetPort,
    /// Where to connect to instead of the pod.
    #[serde(default)]
    pub host: Option<Arc<str>>,
}

/// A declared port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Its name.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// Its number.
    pub container_port: u16,
    /// `TCP` if absent.
    #[serde(default)]
    pub protocol: Option<Arc<str>>,
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(default)]
    pub phase: Option<Arc<str>>,
    /// First address.
    #[serde(default, rename = "podIP")]
    pub pod_ip: Option<IpAddr>,
    /// All addresses.
    #[serde(default, rename = "podIPs", deserialize_with = "or_default")]
    pub pod_ips: Vec<PodIp>,
    /// Among others, whether it is ready.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: Vec<PodCondition>,
}

/// One address of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: IpAddr,
}

/// One condition of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodCondition {
    /// Its name.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// `True`, `False` or `Unknown`.
    pub status: Arc<str>,
}

impl Pod {
    /// Its addresses, each once, IPv4 in its own form.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let listed = self.status.pod_ips.iter().map(|entry| entry.ip);
        let mut addresses = Vec::new();
        for address in listed.chain(self.status.pod_ip).map(|ip| ip.to_canonical()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Its service account.
    pub fn service_account(&self) -> Arc<str> {
        let named = self
            .spec
            .service_account_name
            .as_ref()
            .or(self.spec.service_account.as_ref());
        named.map_or_else(|| "default".into(), Name::shared)
    }

    /// Its uid: Kubernetes' own or, in a file that gives none, `NAMESPACE.NAME` (a namespace has
    /// no dot, so no two pods share one).
    pub fn uid(&self) -> Arc<str> {
        match &self.metadata.uid {
            Some(uid) => uid.shared(),
            None => format!("{}.{}", self.namespace(), self.metadata.name).into(),
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// True once it has run to its end.
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// What its `Ready` condition says, if there is one.
    pub fn ready(&self) -> Option<bool> {
        let ready = self
            .status
            .conditions
            .iter()
            .find(|condition| &*condition.kind == "Ready");
        ready.map(|condition| &*condition.status == "True")
    }

    /// Ports of the pod that the kubelet connects to, each once, in order; of a pod that has more of
    /// them than anybody needs the lowest, so that it does not crowd others out of what a node is
    /// told. A probe that names a host goes somewhere else.
    pub fn probe_ports(&self) -> BTreeSet<u16> {
        let containers = self
            .spec
            .containers
            .iter()
            .chain(&self.spec.init_containers);
        let probes = containers.flat_map(|container| {
            let probes = [
                &container.liveness_probe,
                &container.readiness_probe,
                &container.startup_probe,
            ];
            probes.map(|probe| (container, probe.as_ref()))
        });
        let mut ports = BTreeSet::new();
        for (container, probe) in probes {
            let Some(probe) = probe else { continue };
            for port in [&probe.http_get, &probe.tcp_socket, &probe.grpc]
                .into_iter()
                .flatten()
                .filter(|port| port.host.as_deref().is_none_or(str::is_empty))
            {
                match &port.port {
                    TargetPort::Number(number) => ports.extend(Some(*number)),
                    TargetPort::Name(name) => ports.extend(container.named_port(name)),
                }
            }
        }
        ports.into_iter().take(MOST_PROBE_PORTS).collect()
    }

    /// Number of the named TCP port.
    pub fn named_port(&self, name: &str) -> Option<u16> {
        let lasting =
            |container: &&Container| container.restart_policy.as_deref() == Some("Always");
        let sidecars = self.spec.init_containers.iter().filter(lasting);
        let mut ports = self
            .spec
            .containers
            .iter()
            .chain(sidecars)
            .flat_map(|c| &c.ports);
        ports
            .find(|port| port.name.as_deref() == Some(name) && is_tcp(port.protocol.as_deref()))
            .map(|port| port.container_port)
    }
}

impl Container {
    fn named_port(&self, name: &str) -> Option<u16> {
        let named = |port: &&ContainerPort| port.name.as_deref() == Some(name);
        self.ports
            .iter()
            .find(named)
            .map(|port| port.container_port)
    }
}

/// True for `TCP`, which is what an absent protocol means.
pub(super) fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP" || protocol.is_empty())
}

#[cfg(test)]
mod tests;
