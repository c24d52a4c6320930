//! The waypoint's own certificate.

use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{Credential, Trust};
use ambit_kit::clock;
use ambit_model::{SpiffeId, TrustDomain};
use ambit_uplink::Access;
use ambit_uplink::certificates::{self, Issued};
use tonic::transport::Channel;

use crate::identity::Identity;

/// The first wait after a certificate that did not come, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Keeps a valid certificate: renewed at half of its life.
pub(crate) async fn keep(
    identity: Identity,
    access: Arc<Access>,
    channel: Channel,
    own: SpiffeId,
    trust_domain: TrustDomain,
) {
    let mut wait = RETRY.0;
    loop {
        let fetched = certificates::fetch(&access, channel.clone(), &own).await;
        let renewal = match fetched {
            Ok(issued) => put_in_force(&identity, &issued, &trust_domain),
            Err(error) => {
                tracing::warn!(%error, "no certificate yet; asked again later");
                None
            }
        };
        wait = match renewal {
            Some(renewal) => {
                tokio::time::sleep(renewal).await;
                RETRY.0
            }
            None => {
                tokio::time::sleep(wait.mul_f64(rand::random_range(0.75..=1.0))).await;
                (wait * 2).min(RETRY.1)
            }
        };
    }
}

/// When the next one is due; `None` if this one is of no use.
fn put_in_force(identity: &Identity, issued: &Issued, domain: &TrustDomain) -> Option<Duration> {
    let chain = issued.certificate.chain.iter().map(|der| der.to_vec());
    match Credential::from_der(chain.collect(), issued.certificate.key.to_vec()) {
        Ok(credential) => identity.set_credential(credential),
        Err(error) => {
            tracing::error!(%error, "a certificate cannot be used");
            return None;
        }
    }
    // Until the control plane tells of bundles, these are whom we believe.
    if !identity.has_trust()
        && let Ok(trust) = Trust::new(domain.clone(), &issued.roots)
    {
        identity.set_trust(trust);
    }
    let left = issued
        .not_after
        .duration_since(clock::wall())
        .unwrap_or_default();
    tracing::info!(?left, "certificate");
    Some(
        (left / 2)
            .mul_f64(rand::random_range(0.8..=1.0))
            .max(RETRY.0),
    )
}
