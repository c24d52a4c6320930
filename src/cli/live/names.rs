//! The names of a running mesh: what its control plane was started with. Pure but for the question.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Client;
use kube::api::Api;

use crate::cluster::AGENT;
use crate::cluster::call::{CallError, call};
use crate::mesh_names::MeshNames;

/// The Deployment of the control plane.
const CONTROL_PLANE: &str = "ambit-control-plane";

/// What the DaemonSet of the agents says; nothing if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct AgentSet {
    /// What agents do with unknown destinations.
    pub(in crate::cli) egress: Option<String>,
    /// On how many nodes one is to run.
    pub(in crate::cli) nodes: usize,
}

/// Names as the control plane has them; those given, and why, if they cannot be read.
pub(super) async fn of_control_plane(
    client: &Client,
    namespace: &str,
    given: &MeshNames,
) -> (MeshNames, Option<String>) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    match call(deployments.get(CONTROL_PLANE)).await {
        Ok(found) => {
            let template = found.spec.map(|spec| spec.template).unwrap_or_default();
            (of_template(&template, given), None)
        }
        Err(error) => {
            let why = format!(
                "Deployment {namespace}/{CONTROL_PLANE}: {error}; the names of the mesh are those given here"
            );
            (given.clone(), Some(why))
        }
    }
}

/// What is said of the agents.
pub(super) async fn of_agents(client: &Client, namespace: &str) -> Result<AgentSet, String> {
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    match call(sets.get(AGENT)).await {
        Ok(found) => Ok(agent_set(found)),
        Err(CallError::Missing(_)) => Ok(AgentSet::default()),
        Err(error) => Err(format!("DaemonSet {namespace}/{AGENT}: {error}")),
    }
}

fn agent_set(found: DaemonSet) -> AgentSet {
    let nodes = found.status.map(|status| status.desired_number_scheduled);
    let template = found.spec.map(|spec| spec.template).unwrap_or_default();
    AgentSet {
        egress: variable(&template, "AMBIT_EGRESS"),
        nodes: nodes
            .and_then(|nodes| usize::try_from(nodes).ok())
            .unwrap_or_default(),
    }
}

/// What the variables of the containers say.
fn of_template(template: &PodTemplateSpec, given: &MeshNames) -> MeshNames {
    let text =
        |name: &str, given: &String| variable(template, name).unwrap_or_else(|| given.clone());
    let list = |name: &str, given: &Vec<String>| match variable(template, name) {
        Some(found) => found.split(',').map(str::to_owned).collect(),
        None => given.clone(),
    };
    MeshNames {
        trust_domain: text("AMBIT_TRUST_DOMAIN", &given.trust_domain),
        cluster: text("AMBIT_CLUSTER", &given.cluster),
        cluster_domain: text("AMBIT_CLUSTER_DOMAIN", &given.cluster_domain),
        root_namespaces: list("AMBIT_ROOT_NAMESPACES", &given.root_namespaces),
        excluded_namespaces: list("AMBIT_EXCLUDED_NAMESPACES", &given.excluded_namespaces),
    }
}

fn variable(template: &PodTemplateSpec, name: &str) -> Option<String> {
    let spec = template.spec.as_ref()?;
    let mut variables = spec.containers.iter().flat_map(|c| c.env.iter().flatten());
    let found = variables.find(|variable| variable.name == name)?;
    found.value.clone().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
