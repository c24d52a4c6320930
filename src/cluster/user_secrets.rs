//! Secrets of users, by name: the right to get them is enough, and none is listed or watched.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::call::{CallError, call};

/// Secrets of a cluster.
#[derive(Clone)]
pub struct UserSecrets(Client);

impl UserSecrets {
    /// Those that this client may get.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// The values of one by their keys; none if it is not there.
    pub(crate) async fn values(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        let secrets: Api<Secret> = Api::namespaced(self.0.clone(), namespace);
        match call(secrets.get(name)).await {
            Ok(secret) => {
                let data = secret.data.unwrap_or_default();
                let values = data.into_iter().map(|(key, value)| (key, value.0));
                Ok(Some(values.collect()))
            }
            Err(CallError::Missing(_)) => Ok(None),
            Err(error) => Err(format!("it cannot be read: {error}")),
        }
    }
}

impl fmt::Debug for UserSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserSecrets")
    }
}
