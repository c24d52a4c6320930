//! What the control plane does with the API server beside reading the configuration.
//!
//! | file | what |
//! |---|---|
//! | `authority.rs` | the certificate authority of several replicas, put together |
//! | `secret_store.rs` | the authority's document in a Secret |
//! | `users_authority.rs` | the authority that a user gives, in a Secret |
//! | `replicas.rs` | what the replicas tell each other for a rotation |
//! | `election.rs`, `leader.rs` | which replica leads: a machine, and its driver |
//! | `root_publisher.rs` | the trust bundle in every enrolled namespace |
//! | `leaving.rs` | has agents leave their nodes before an uninstall |
//! | `node_taint.rs` | keeps new pods off nodes whose agent is not ready, if wanted |
//! | `redirection.rs` | writes on pods whether their traffic is redirected |
//! | `statuses.rs`, `last_good.rs` | what is said of policies and routes on themselves, and versions to fall back on |
//! | `waypoints.rs` | makes waypoints, and says how they are |
//! | `webhook.rs` | tells the API server the roots of the admission webhook |
//! | `token_review.rs` | asks whose a token is |
//! | `user_secrets.rs` | Secrets of users, by name |
//! | `call.rs` | one question, bounded in time |
//!
//! Invariants: nothing outside these files and the source of the configuration knows a type of
//! the API client; every question is bounded in time; what must not be wrong is decided elsewhere,
//! by machines without I/O that these files drive.

pub mod authority;
pub(crate) mod call;
mod election;
mod last_good;
pub mod leader;
pub(crate) mod leaving;
mod node_taint;
pub(crate) mod redirection;
pub mod replicas;
pub mod root_publisher;
pub mod secret_store;
mod statuses;
pub mod token_review;
pub mod user_secrets;
pub mod users_authority;
pub mod waypoints;
pub(crate) mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_kit::tasks::Tasks;
use kube::Client;
use tokio::sync::{mpsc, watch};

use self::token_review::TokenReviews;
use crate::serve::{AgentSettings, CallerPods, MARKS, Marker, TrustedAgent, Writers};

pub(crate) use self::root_publisher::NAME as ROOTS;

/// Who writes, as the API server notes it for every field.
const FIELD_MANAGER: &str = "ambit";

/// The agents' DaemonSet, and their service account.
pub(crate) const AGENT: &str = "ambit-node-agent";

/// What every object of ours is labelled with.
pub(crate) fn labels() -> BTreeMap<String, String> {
    let label = ("app.kubernetes.io/managed-by", "ambit");
    BTreeMap::from([label].map(|(key, value)| (key.to_owned(), value.to_owned())))
}

/// Who is let in as the agent of a node: the pods of our own DaemonSet and, only if that is wanted,
/// of Istio's.
pub(crate) fn agents(client: &Client, namespace: &str, trust_ztunnel: bool) -> AgentSettings {
    AgentSettings {
        reviewer: Arc::new(TokenReviews::new(client.clone())),
        trusted: trusted(namespace, trust_ztunnel),
        pods: CallerPods::new(),
    }
}

/// Where nobody has installed Istio its namespace is anybody's.
fn trusted(namespace: &str, trust_ztunnel: bool) -> Vec<TrustedAgent> {
    let agent = |namespace: &str, name: &str| TrustedAgent {
        namespace: namespace.into(),
        daemon_set: name.into(),
        service_account: name.into(),
    };
    let ztunnel = trust_ztunnel.then(|| agent("istio-system", "ztunnel"));
    [agent(namespace, AGENT)]
        .into_iter()
        .chain(ztunnel)
        .collect()
}

/// Starts what writes to the cluster; of policies and nodes only while this replica leads. Nodes are
/// tainted only if that is wanted, and until the mesh leaves.
pub(crate) fn start(
    client: &Client,
    namespace: &str,
    leads: &watch::Receiver<bool>,
    taints_until: Option<watch::Receiver<bool>>,
    tasks: &Tasks,
) -> Writers {
    let statuses = statuses::start(client.clone(), namespace, leads.clone(), tasks);
    let nodes = taints_until
        .map(|leaving| node_taint::start(client.clone(), namespace, leads.clone(), leaving, tasks));
    let (marker, marks) = mpsc::channel(MARKS);
    let (client, stop) = (client.clone(), tasks.token());
    tasks.spawn("redirection", async move {
        tokio::select! {
            () = redirection::write(client, marks) => {}
            () = stop.cancelled() => {}
        }
    });
    Writers {
        marker: Some(Marker(marker)),
        statuses: Some(statuses),
        nodes,
        waypoints: None,
    }
}

#[cfg(test)]
mod tests;
