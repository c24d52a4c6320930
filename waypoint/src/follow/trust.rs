//! The roots that are believed, as the control plane tells them.

use std::sync::Arc;

use ambit_identity::Trust;
use ambit_model::TrustDomain;
use ambit_uplink::Access;
use ambit_uplink::trust::Trusted;
use tokio::sync::mpsc;

use crate::identity::Identity;

/// Puts trust bundles in force as they come.
pub(crate) async fn follow(
    identity: Identity,
    access: Arc<Access>,
    trust_domain: TrustDomain,
    mut events: mpsc::Receiver<Trusted>,
) {
    while let Some(event) = events.recv().await {
        let Trusted::Update(update, held) = event else {
            continue;
        };
        let roots = update.bundle.map(|bundle| bundle.roots).unwrap_or_default();
        let roots: Vec<Vec<u8>> = roots.iter().map(|root| root.to_vec()).collect();
        match Trust::new(trust_domain.clone(), &roots) {
            Ok(trust) => {
                access.trust(roots);
                identity.set_trust(trust);
                held.send(()).ok();
            }
            Err(error) => tracing::error!(%error, "a trust bundle is ignored; the last one stays"),
        }
    }
}
