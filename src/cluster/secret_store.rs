//! The authority's document in a Secret, shared by all replicas.
//!
//! Every write is over the version that was read: the API server refuses it if somebody else was
//! faster. The Secret is made once, however many replicas start at once.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde_json::json;

use super::FIELD_MANAGER;
use super::call::{CallError, call};
use crate::ca::{KeepError, Revision, Store, StoreError, Stored};

/// The Secret.
const NAME: &str = "ambit-ca";
/// Its only key.
const KEY: &str = "authority.json";

/// The Secret as a place for the authority's document.
#[derive(Clone)]
pub struct SecretStore {
    secrets: Api<Secret>,
    place: String,
}

impl SecretStore {
    /// The one in this namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            place: format!("Secret {namespace}/{NAME}"),
        }
    }

    fn failed(&self, error: &CallError) -> StoreError {
        StoreError::Cluster {
            place: self.place.clone(),
            why: error.to_string(),
        }
    }

    async fn create(&self, content: Vec<u8>) -> Result<Secret, CallError> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                labels: Some(super::labels()),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(content))])),
            ..Secret::default()
        };
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        call(self.secrets.create(&parameters, &secret)).await
    }

    async fn replace(&self, content: Vec<u8>, over: &Revision) -> Result<Secret, CallError> {
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": over.0},
            "data": {KEY: ByteString(content)},
        }));
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        call(self.secrets.patch(NAME, &parameters, &patch)).await
    }
}

impl std::fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretStore").field(&self.place).finish()
    }
}

impl Store for SecretStore {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<'_, Result<Option<Stored>, StoreError>> {
        async {
            let secret = match call(self.secrets.get(NAME)).await {
                Ok(secret) => secret,
                Err(CallError::Missing(_)) => return Ok(None),
                Err(error) => return Err(self.failed(&error)),
            };
            let revision = revision_of(&secret);
            // One without the key is damaged, not absent: no root is made over it.
            let content = secret.data.and_then(|mut data| data.remove(KEY));
            let content = content.unwrap_or_default().0;
            Ok(Some(Stored { content, revision }))
        }
        .boxed()
    }

    fn keep(
        &self,
        content: Vec<u8>,
        over: Option<Revision>,
    ) -> BoxFuture<'_, Result<Revision, KeepError>> {
        async move {
            let kept = match &over {
                Some(revision) => self.replace(content, revision).await,
                None => self.create(content).await,
            };
            match kept {
                Ok(secret) => Ok(revision_of(&secret)),
                // Missing: deleted meanwhile. What there is now has to be read first.
                Err(CallError::Conflict | CallError::Missing(_)) => Err(KeepError::Conflict),
                Err(error) => Err(KeepError::Failed(self.failed(&error))),
            }
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Option<Revision>> {
        let place = self.place.clone();
        let seen = watch_object(self.secrets.clone(), NAME).default_backoff();
        seen.filter_map(move |seen| {
            let seen = match seen {
                Ok(secret) => Some(secret.as_ref().map(revision_of)),
                Err(error) => {
                    tracing::warn!(place, %error, "is not watched now; it is tried again");
                    None
                }
            };
            std::future::ready(seen)
        })
        .boxed()
    }

    fn publish(&self, _bundle_pem: &str) -> Result<(), StoreError> {
        // `root_publisher.rs` does, for all replicas.
        Ok(())
    }
}

fn revision_of(secret: &Secret) -> Revision {
    Revision(secret.metadata.resource_version.clone().unwrap_or_default())
}
