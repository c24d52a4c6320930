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

use ambit_kit::tasks::Tasks;
use kube::Client;
use tokio::sync::mpsc;

use crate::serve::{MARKS, Marker};

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
