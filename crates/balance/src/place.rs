//! Where endpoints are.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{Locality, Workload};

/// Where a workload runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Region, zone and subzone of the node.
    pub locality: Locality,
    /// Name of the node.
    pub node: Arc<str>,
    /// Name of the cluster.
    pub cluster: Arc<str>,
    /// Network of its addresses.
    pub network: Arc<str>,
    /// Labels of the workload that a preference may name.
    pub labels: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

impl Place {
    /// Where this workload runs.
    pub fn of(workload: &Workload) -> Self {
        Self {
            locality: workload.locality.clone(),
            node: Arc::clone(&workload.node),
            cluster: Arc::clone(&workload.cluster),
            network: Arc::clone(&workload.network),
            labels: Arc::new(workload.labels.clone()),
        }
    }

    /// Whether both are in the same place of this `LoadBalancing.Scope`. A scope that is not known
    /// is never shared.
    pub(crate) fn shares(&self, scope: i32, other: &Self) -> bool {
        match scope {
            1 => self.locality.region == other.locality.region,
            2 => self.locality.zone == other.locality.zone,
            3 => self.locality.subzone == other.locality.subzone,
            4 => self.node == other.node,
            5 => self.cluster == other.cluster,
            6 => self.network == other.network,
            _ => false,
        }
    }

    /// The value of a label; empty if it has none. Those that Istio gives a meaning stand for the
    /// place itself.
    pub(crate) fn label(&self, key: &str) -> &str {
        match key {
            "topology.kubernetes.io/region" => &self.locality.region,
            "topology.kubernetes.io/zone" => &self.locality.zone,
            "topology.istio.io/subzone" => &self.locality.subzone,
            "topology.istio.io/network" => &self.network,
            "topology.istio.io/cluster" => &self.cluster,
            "kubernetes.io/hostname" => &self.node,
            key => self.labels.get(key).map_or("", AsRef::as_ref),
        }
    }
}
