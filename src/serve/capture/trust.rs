//! One agent's stream of trust bundles: the one that is, at once, and then every change.
//!
//! While it is open the agent counts as connected: a rotation of the root waits for its word.

use std::sync::Arc;
use std::time::Duration;

use ambit_wire::node::{TrustBundle, TrustUpdate};
use tokio::sync::mpsc;
use tonic::Status;

use crate::ca::{Authority, Bundle};

/// A client that takes no update for this long has gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Sends bundles until the client goes.
pub(super) async fn stream(
    authority: Arc<Authority>,
    node: Arc<str>,
    held: u64,
    updates: mpsc::Sender<Result<TrustUpdate, Status>>,
) {
    let _present = authority.connected(&node);
    if let Err(behind) = authority.catch_up(held).await {
        let refused = Err(Status::unavailable(behind.to_string()));
        // The client may have gone meanwhile.
        drop(updates.send_timeout(refused, WRITE_PATIENCE).await);
        return;
    }
    let mut bundles = authority.bundle();
    if held == bundles.borrow().generation {
        authority.held(&node, held);
    }
    let mut told = None;
    loop {
        let bundle = Arc::clone(&bundles.borrow_and_update());
        // A change of who signs is a change of the bundle for us, not for agents.
        if told != Some(bundle.generation) {
            told = Some(bundle.generation);
            let update = update(&authority, &bundle);
            if updates
                .send_timeout(Ok(update), WRITE_PATIENCE)
                .await
                .is_err()
            {
                return;
            }
        }
        tokio::select! {
            changed = bundles.changed() => if changed.is_err() { return },
            () = updates.closed() => return,
        }
    }
}

fn update(authority: &Authority, bundle: &Bundle) -> TrustUpdate {
    TrustUpdate {
        bundle: Some(TrustBundle {
            trust_domain: authority.trust_domain().to_string(),
            roots: bundle
                .roots
                .iter()
                .map(|root| root.to_vec().into())
                .collect(),
        }),
        generation: bundle.generation,
    }
}
