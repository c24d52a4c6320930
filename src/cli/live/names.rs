//! The names of a running mesh: what its control plane was started with. Pure but for the question.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Client;
use kube::api::Api;

use crate::cluster::call::call;
use crate::mesh_names::MeshNames;

/// The Deployment of the control plane, and the DaemonSet of the agents.
const CONTROL_PLANE: &str = "ambit-control-plane";
const AGENT: &str = "ambit-node-agent";

/// Names as the control plane has them, and what agents do with unknown destinations; where that
/// cannot be read, what was given, with the reason.
pub(super) async fn read(
    client: &Client,
    namespace: &str,
    given: &MeshNames,
) -> (MeshNames, Option<String>, Vec<String>) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), namespace);
    let mut unread = Vec::new();
    let names = match call(deployments.get(CONTROL_PLANE)).await {
        Ok(found) => {
            let template = found.spec.map(|spec| spec.template).unwrap_or_default();
            of_template(&template, given)
        }
        Err(error) => {
            unread.push(format!(
                "Deployment {namespace}/{CONTROL_PLANE}: {error}; the names of the mesh are those given here"
            ));
            given.clone()
        }
    };
    let egress = match call(sets.get(AGENT)).await {
        Ok(found) => {
            let template = found.spec.map(|spec| spec.template).unwrap_or_default();
            variable(&template, "AMBIT_EGRESS")
        }
        Err(_unread) => None,
    };
    (names, egress, unread)
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
