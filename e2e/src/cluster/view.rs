//! The little of a pod that scenarios look at.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::REDIRECTION;

/// A pod as the API server shows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    uid: String,
    annotations: BTreeMap<String, String>,
    deletion_timestamp: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<IpAddr>,
    conditions: Vec<Condition>,
    container_statuses: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    restart_count: u32,
}

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// The node it runs on.
    pub fn node(&self) -> &str {
        &self.spec.node_name
    }

    /// Its first address, once it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.status.pod_ip
    }

    /// True if its containers have been started, whether they are ready or not.
    pub fn is_running(&self) -> bool {
        self.status.phase == "Running"
    }

    /// True if it is ready and not on its way out.
    pub fn is_ready(&self) -> bool {
        let ready = |condition: &Condition| condition.kind == "Ready" && condition.status == "True";
        self.metadata.deletion_timestamp.is_none() && self.status.conditions.iter().any(ready)
    }

    /// How often its containers were started again.
    pub fn restarts(&self) -> u32 {
        let counts = self.status.container_statuses.iter();
        counts.map(|container| container.restart_count).sum()
    }

    /// What the mesh recorded of its capture.
    pub fn redirection(&self) -> Option<&str> {
        self.metadata
            .annotations
            .get(REDIRECTION)
            .map(String::as_str)
    }

    /// True if the mesh recorded that it is captured.
    pub fn is_captured(&self) -> bool {
        self.redirection() == Some("enabled")
    }
}
