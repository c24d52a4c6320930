//! What agents know at this moment: their dumps, as models that decisions can be taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_decide::EgressMode;
use ambit_model::{Change, Mesh, Policy, Service, Workload};
use serde::Deserialize;

use crate::cli::live::{AGENT_ADMIN, AGENTS, Live, Wanted, is_ready, node_of};

/// What one agent knows.
#[derive(Debug)]
pub(super) struct View {
    /// Its model.
    pub(super) mesh: Mesh,
    /// What it does with unknown destinations.
    pub(super) egress: EgressMode,
}

/// What the agents that were asked know, by node, or why they do not tell.
#[derive(Debug, Default)]
pub(super) struct Views(BTreeMap<String, Result<View, String>>);

/// The part of an agent's `/config_dump` that decides.
#[derive(Deserialize)]
struct Dump {
    egress: String,
    workloads: Vec<Workload>,
    services: Vec<Service>,
    policies: Vec<Policy>,
}

impl Views {
    /// Whether every agent that was asked has told.
    pub(super) fn are_complete(&self) -> bool {
        self.0.values().all(Result::is_ok)
    }

    /// Of an agent, if it was asked.
    pub(super) fn on(&self, node: &str) -> Option<&Result<View, String>> {
        self.0.get(node)
    }

    /// Asks the agents of these nodes.
    pub(super) async fn of_agents(live: &Live, nodes: &BTreeSet<String>) -> Self {
        let agents = live.pods(AGENTS).await;
        let agents = &agents;
        let views = nodes.iter().map(|node| async move {
            let agents = agents.as_ref().map_err(ToString::to_string)?;
            let mut there = agents.iter().filter(|agent| node_of(agent) == node);
            let agent = there.find(|agent| is_ready(agent));
            let agent = agent.and_then(|agent| agent.metadata.name.clone());
            let wanted = Wanted {
                pod: agent.ok_or("no agent is ready there")?,
                port: AGENT_ADMIN,
                path: "/config_dump",
            };
            let dump = live.page(&wanted).await;
            View::of(&dump.map_err(|error| error.to_string())?)
        });
        let views = futures_util::future::join_all(views).await;
        Self(nodes.iter().cloned().zip(views).collect())
    }
}

impl View {
    fn of(dump: &str) -> Result<Self, String> {
        let another = |error: serde_json::Error| format!("its dump has another form: {error}");
        let dump: Dump = serde_json::from_str(dump).map_err(another)?;
        let mut mesh = Mesh::default();
        let policies = dump
            .policies
            .into_iter()
            .map(|p| Change::PutPolicy(Arc::new(p)));
        let services = dump
            .services
            .into_iter()
            .map(|s| Change::PutService(Arc::new(s)));
        let workloads = dump
            .workloads
            .into_iter()
            .map(|w| Change::PutWorkload(Arc::new(w)));
        for change in policies.chain(services).chain(workloads) {
            mesh.apply(change);
        }
        Ok(Self {
            mesh,
            egress: dump.egress.parse().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
impl Views {
    /// One agent that says this.
    pub(super) fn told(node: &str, dump: &str) -> Self {
        Self(BTreeMap::from([(node.to_owned(), View::of(dump))]))
    }
}
