//! What the control plane does with the API server beside reading the configuration.
//!
//! | file | what |
//! |---|---|
//! | `redirection.rs` | writes on pods whether their traffic is redirected |
//! | `token_review.rs` | asks whose a token is |
//!
//! Invariants: nothing outside these files and the source of the configuration knows a type of
//! the API client; every question is bounded in time; what must not be wrong is decided elsewhere,
//! by machines without I/O that these files drive.

mod redirection;
pub mod token_review;

use std::sync::Arc;

use ambit_kit::tasks::Tasks;
use kube::Client;
use tokio::sync::mpsc;

use self::token_review::TokenReviews;
use crate::serve::{AgentPods, AgentSettings, MARKS, Marker, TrustedAgent};

/// Who is let in as the agent of a node: the pods of our own DaemonSet, and of Istio's.
pub(crate) fn agents(client: &Client, namespace: &str) -> AgentSettings {
    let agent = |namespace: &str, name: &str| TrustedAgent {
        namespace: namespace.into(),
        daemon_set: name.into(),
        service_account: name.into(),
    };
    AgentSettings {
        reviewer: Arc::new(TokenReviews::new(client.clone())),
        trusted: vec![
            agent(namespace, "ambit-node-agent"),
            agent("istio-system", "ztunnel"),
        ],
        pods: AgentPods::new(),
    }
}

/// Starts what writes to the cluster.
pub(crate) fn start(client: &Client, tasks: &Tasks) -> Marker {
    let (marker, marks) = mpsc::channel(MARKS);
    let (client, stop) = (client.clone(), tasks.token());
    tasks.spawn("redirection", async move {
        tokio::select! {
            () = redirection::write(client, marks) => {}
            () = stop.cancelled() => {}
        }
    });
    Marker(marker)
}
