//! How waypoints are made, as whoever runs the control plane sets it: a file, which the chart writes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// What all waypoints have in common.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaypointSettings {
    /// Image of `ambit-waypoint`.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    #[serde(default)]
    pub image_pull_policy: Option<String>,
    /// Names of Secrets to pull with, in the waypoint's namespace.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// Host and port of discovery and certificates.
    pub control_plane: String,
    /// Replicas of a waypoint that asks for no other number, where no autoscaler is wanted.
    #[serde(default = "two")]
    pub replicas: u32,
    /// The autoscaler.
    #[serde(default)]
    pub autoscaling: Autoscaling,
    /// Whether draining nodes takes one pod of a waypoint at a time.
    #[serde(default = "yes")]
    pub disruption_budget: bool,
    /// Of the container, as in a pod.
    #[serde(default)]
    pub resources: Value,
    /// Labels of the nodes to run on.
    #[serde(default)]
    pub node_selector: Value,
    /// As in a pod.
    #[serde(default)]
    pub tolerations: Value,
    /// Name of a PriorityClass; empty: none.
    #[serde(default)]
    pub priority_class_name: String,
    /// Name of a ConfigMap in the waypoint's namespace whose `ca.crt` has authorities that are believed about
    /// hosts outside of the mesh; empty: none.
    #[serde(default)]
    pub outside_roots: String,
    /// Annotations of the pods.
    #[serde(default)]
    pub pod_annotations: Value,
    /// Further variables of the container, by name.
    #[serde(default)]
    pub environment: std::collections::BTreeMap<String, String>,
    /// Make the class `istio-waypoint` too, where nobody else has it.
    #[serde(default)]
    pub istio_class: bool,
}

/// The autoscaler of a waypoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Autoscaling {
    /// Whether there is one.
    pub enabled: bool,
    /// Fewest pods.
    pub min_replicas: u32,
    /// Most pods.
    pub max_replicas: u32,
    /// Percent of the requested CPU at which a pod is added.
    pub target_cpu: u32,
}

impl Default for Autoscaling {
    fn default() -> Self {
        Self {
            enabled: true,
            min_replicas: 2,
            max_replicas: 5,
            target_cpu: 80,
        }
    }
}

/// The settings cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file.
    #[error("cannot read {path} (--waypoints): {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What it says.
    #[error("{path} (--waypoints): {what}")]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl WaypointSettings {
    /// Reads them.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|what| SettingsError::Content {
            path: path.to_owned(),
            what,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let Autoscaling {
            enabled,
            min_replicas,
            max_replicas,
            ..
        } = settings.autoscaling;
        if enabled && (min_replicas == 0 || min_replicas > max_replicas) {
            return Err("autoscaling: minReplicas is 0, or more than maxReplicas".to_owned());
        }
        Ok(settings)
    }
}

fn two() -> u32 {
    2
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
