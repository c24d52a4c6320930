//! The objects of a running cluster, read as the control plane reads them.

use serde_json::Value;

use super::Live;
use super::names::{self, AgentSet};
use crate::config::objects::Kind;
use crate::config::{CaptureRecord, Configuration, apiserver};
use crate::mesh_names::MeshNames;

/// What was read.
pub(in crate::cli) struct LiveObjects {
    /// As the control plane has it; captured is what stands on the pods.
    pub(in crate::cli) configuration: Configuration,
    /// What the DaemonSet of the agents says, or why that is not known.
    pub(in crate::cli) agents: Result<AgentSet, String>,
    /// Pods and policies as the API server has them.
    pub(in crate::cli) documents: Vec<(Kind, Value)>,
    /// What could not be read, and why.
    pub(in crate::cli) unread: Vec<String>,
}

impl LiveObjects {
    /// What agents do with unknown destinations, if that is known.
    pub(in crate::cli) fn egress(&self) -> Option<&str> {
        let agents = self.agents.as_ref().ok()?;
        agents.egress.as_deref()
    }
}

/// Reads these kinds; what the caller may not see is told in `unread`.
pub(in crate::cli) async fn read(live: &Live, kinds: &[Kind], given: &MeshNames) -> LiveObjects {
    let (names, unread) = live.names(given).await;
    let mut unread: Vec<String> = unread.into_iter().collect();
    let agents = names::of_agents(&live.client, &live.namespace).await;
    let mut settings = names.settings();
    settings.captures = CaptureRecord::Annotations;
    let mut documents = Vec::new();
    let show = |kind: Kind, document: &Value| {
        if kind == Kind::Pod || kind.is_policy() {
            documents.push((kind, document.clone()));
        }
    };
    let listed = Box::pin(apiserver::list(&live.client, kinds, show)).await;
    for (kind, why) in listed.unread {
        unread.push(format!("{}: {why}", kind.plural()));
    }
    let mut configuration = Configuration::new(settings);
    configuration.apply(listed.batch);
    LiveObjects {
        configuration,
        agents,
        documents,
        unread,
    }
}
