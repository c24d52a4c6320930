//! The authority that a user gives to the mesh, in a Secret: `cacerts`, as Istio has it, or one in
//! the shape of cert-manager's, named by a setting. The named one goes before `cacerts`.
//!
//! What is read is checked before it is offered; what cannot be used is told, and the last good
//! one stays. `cacerts` that is gone for a while means that the user wants a self-made root; the
//! named one that is gone is a mistake, and nothing takes its place.
//!
//! Task: "user's authority", one, which watches the Secret and ends with the stop token.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use ambit_model::TrustDomain;
use futures_util::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::ca::{Given, Offer, Signer};

/// The Secret that is looked for without a setting.
const CACERTS: &str = "cacerts";
/// How often one that cannot be used is checked again: it may not count yet, by a clock that lags.
const AGAIN: Duration = Duration::from_secs(60);
/// Longest wait for the first look.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which Secret, and how it is read.
#[derive(Clone, Debug)]
pub struct UsersAuthority {
    /// Where the Secret is.
    pub namespace: String,
    /// The Secret in cert-manager's shape, if one is named.
    pub named: Option<String>,
    /// The trust domain that it is to sign for.
    pub trust_domain: TrustDomain,
}

/// The API server did not say whether there is one.
#[derive(Debug, thiserror::Error)]
#[error("Secret {0} could not be looked for; see the log for the reason")]
pub struct NotSeen(String);

impl UsersAuthority {
    /// Watches it, from the first look on.
    pub async fn watch(
        self,
        client: Client,
        tasks: &Tasks,
    ) -> Result<watch::Receiver<Offer>, NotSeen> {
        let place = self.place();
        let (sender, mut offers) = watch::channel(Offer::Unknown);
        let stop = tasks.token();
        tasks.spawn("user's authority", async move {
            tokio::select! {
                () = self.follow(client, sender) => {}
                () = stop.cancelled() => {}
            }
        });
        let seen = offers.wait_for(|offer| !matches!(offer, Offer::Unknown));
        match tokio::time::timeout(PATIENCE, seen).await {
            Ok(Ok(_seen)) => {}
            Ok(Err(_)) | Err(_) => return Err(NotSeen(place)),
        }
        Ok(offers)
    }

    fn name(&self) -> &str {
        self.named.as_deref().unwrap_or(CACERTS)
    }

    fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name())
    }

    async fn follow(self, client: Client, offers: watch::Sender<Offer>) {
        let secrets: Api<Secret> = Api::namespaced(client, &self.namespace);
        let mut seen = pin!(watch_object(secrets, self.name()).default_backoff());
        let mut last: Option<Secret> = None;
        loop {
            tokio::select! {
                Some(now) = seen.next() => match now {
                    Ok(now) => {
                        self.offer(now.as_ref(), &offers);
                        last = now;
                    }
                    Err(error) => {
                        let secret = self.place();
                        tracing::warn!(secret, %error, "is not watched now; it is tried again");
                    }
                },
                () = tokio::time::sleep(AGAIN) => {
                    if matches!(*offers.borrow(), Offer::Unusable { .. }) {
                        self.offer(last.as_ref(), &offers);
                    }
                }
            }
        }
    }

    /// Offers what was seen.
    fn offer(&self, secret: Option<&Secret>, offers: &watch::Sender<Offer>) {
        let offer = match secret.map(|secret| self.read(secret)) {
            Some(Ok(signer)) => {
                let (secret, serial) = (self.place(), signer.serial());
                tracing::info!(secret, serial, "the user's authority can be used");
                Offer::Given(Arc::new(signer))
            }
            Some(Err(why)) => self.unusable(&why),
            None if self.named.is_some() => self.unusable("it is not there"),
            None => Offer::Nothing {
                since: clock::wall(),
            },
        };
        offers.send_if_modified(|last| {
            let stays = match (&offer, &*last) {
                // The last good one stays.
                (Offer::Unusable { .. }, Offer::Given(_)) => true,
                // It is gone since it was first seen to be.
                (Offer::Nothing { .. }, Offer::Nothing { .. }) => true,
                _ => false,
            };
            if !stays {
                *last = offer;
            }
            !stays
        });
    }

    fn unusable(&self, why: &str) -> Offer {
        let secret = self.place();
        tracing::error!(secret, "the user's authority cannot be used: {why}");
        let why = format!("Secret {secret}: {why}").into();
        Offer::Unusable { why }
    }

    fn read(&self, secret: &Secret) -> Result<Signer, String> {
        let data = secret.data.as_ref();
        let given = given(data.unwrap_or(&BTreeMap::new()), self.named.is_some())?;
        Signer::given(&given, &self.trust_domain, clock::wall()).map_err(|error| error.to_string())
    }
}

/// The parts of a Secret, by the names that its shape has for them.
fn given(data: &BTreeMap<String, ByteString>, is_cert_managers: bool) -> Result<Given, String> {
    let text = |key: &str| {
        let value = data.get(key).filter(|value| !value.0.is_empty());
        let value = value.ok_or_else(|| format!("it has no {key}"))?;
        String::from_utf8(value.0.clone()).map_err(|_binary| format!("its {key} is not PEM"))
    };
    if is_cert_managers {
        return Ok(Given {
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            chain: String::new(),
            roots: text("ca.crt")?,
        });
    }
    let has_chain = data.get("cert-chain.pem").is_some_and(|c| !c.0.is_empty());
    Ok(Given {
        certificate: text("ca-cert.pem")?,
        key: text("ca-key.pem")?,
        chain: if has_chain {
            text("cert-chain.pem")?
        } else {
            String::new()
        },
        roots: text("root-cert.pem")?,
    })
}

#[cfg(test)]
mod tests;
