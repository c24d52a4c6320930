//! The roots by which the API server knows our webhook, in its ValidatingWebhookConfiguration.
//!
//! Task: "webhook roots", one; it works while its replica leads. A root that will sign later is
//! in the bundle before it signs anything, so the API server trusts a rotated certificate by the time
//! that it sees it. Without the configuration there is nothing to do: the chart makes it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::tasks::Tasks;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhook, ValidatingWebhookConfiguration,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::FIELD_MANAGER;
use super::call::{CallError, call};
use crate::ca::Bundle;

/// The configuration.
const NAME: &str = "ambit-validation";
/// The webhooks in it: the one that judges, and the one that only says something.
const WEBHOOKS: [&str; 2] = ["validation.ambit.mesh", "asides.ambit.mesh"];
/// How often it is looked at, should somebody else have changed it.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps the roots there from now on.
pub(crate) fn start(
    client: Client,
    bundle: watch::Receiver<Arc<Bundle>>,
    leads: watch::Receiver<bool>,
    tasks: &Tasks,
) {
    let stop = tasks.token();
    tasks.spawn("webhook roots", async move {
        let kept = pin!(keep(Api::all(client), bundle, leads));
        tokio::select! {
            () = kept => {}
            () = stop.cancelled() => {}
        }
    });
}

async fn keep(
    configurations: Api<ValidatingWebhookConfiguration>,
    mut bundle: watch::Receiver<Arc<Bundle>>,
    mut leads: watch::Receiver<bool>,
) {
    loop {
        let roots = Arc::clone(&bundle.borrow_and_update());
        if *leads.borrow_and_update()
            && let Err(error) = look(&configurations, &roots.pem).await
        {
            tracing::warn!(%error, "the API server is not told the webhook's roots; tried again");
        }
        tokio::select! {
            changed = bundle.changed() => if changed.is_err() { return },
            // Who elects may be gone already; nobody leads any more then.
            Ok(()) = leads.changed() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn look(
    configurations: &Api<ValidatingWebhookConfiguration>,
    pem: &str,
) -> Result<(), CallError> {
    let there = match call(configurations.get(NAME)).await {
        Ok(there) => there,
        Err(CallError::Missing(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(patch) = patch_of(&there, pem) else {
        return Ok(());
    };
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Strategic(patch);
    match call(configurations.patch(NAME, &parameters, &patch)).await {
        Ok(_) => tracing::info!("the API server has been told the webhook's roots"),
        // Gone meanwhile, or changed: the next look sees it.
        Err(CallError::Missing(_) | CallError::Conflict) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// What is to be changed; nothing if the roots are there or no webhook of ours is.
fn patch_of(there: &ValidatingWebhookConfiguration, pem: &str) -> Option<Value> {
    let is_without = |webhook: &&ValidatingWebhook| {
        let roots = webhook.client_config.ca_bundle.as_ref();
        WEBHOOKS.contains(&&*webhook.name) && roots.is_none_or(|roots| roots.0 != pem.as_bytes())
    };
    let roots = k8s_openapi::ByteString(pem.as_bytes().to_vec());
    let without = there.webhooks.iter().flatten().filter(is_without);
    let changed: Vec<Value> = without
        .map(|webhook| json!({"name": webhook.name, "clientConfig": {"caBundle": roots}}))
        .collect();
    let version = there.metadata.resource_version.as_deref();
    (!changed.is_empty()).then(|| {
        json!({
            "metadata": {"resourceVersion": version},
            "webhooks": changed,
        })
    })
}

#[cfg(test)]
mod tests;
