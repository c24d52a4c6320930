//! What the control plane does in a cluster beside reading it: the only code that writes to the
//! API server.
//!
//! | file | what |
//! |---|---|
//! | `redirection.rs` | writes on pods whether their traffic is redirected |

mod redirection;

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
