//! Objects of the cluster: namespaces, nodes and service accounts.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::metadata::{Metadata, or_default};

/// A `Namespace`: its labels enrol pods and bind to waypoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Name, labels and so on.
    pub metadata: Metadata,
}

/// A `Node`: its labels say where its pods are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default, deserialize_with = "or_default")]
    pub spec: NodeSpec,
}

/// `spec` of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Ranges of the addresses of its pods, where the cluster gives nodes such ranges. As they stand
    /// there: one that cannot be read is none.
    #[serde(default, rename = "podCIDRs", deserialize_with = "or_default")]
    pub pod_cidrs: Vec<Arc<str>>,
    /// What keeps pods off it.
    #[serde(default, deserialize_with = "or_default")]
    pub taints: Vec<Taint>,
}

impl NodeSpec {
    /// Whether an address is in a range of the node's pods.
    pub fn has_range_of(&self, address: IpAddr) -> bool {
        let ranges = self.pod_cidrs.iter();
        let mut ranges = ranges.filter_map(|range| range.parse::<IpNet>().ok());
        ranges.any(|range| range.contains(&address))
    }
}

/// One taint of a node; what it does to which pods is for the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// Its name.
    pub key: Arc<str>,
}

/// A `ServiceAccount`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Name, labels and so on.
    pub metadata: Metadata,
}
