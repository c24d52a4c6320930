//! The mesh leaves its nodes before an uninstall: whoever wants that makes the ConfigMap
//! `ambit-uninstall` in our own namespace, every replica has its agents leave, and writes the name
//! of each node that has been left into it.
//!
//! Task: "uninstall", one in every replica. Once asked for, it stays asked for until the process
//! ends, so that an agent that starts after the ConfigMap was deleted, a moment before it is deleted
//! itself, does not begin anew.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::tasks::Tasks;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use super::call::{CallError, call};
use crate::serve::Leaving;

/// The ConfigMap; its keys are names of nodes.
pub(crate) const NAME: &str = "ambit-uninstall";
/// What stands beside a node that has been left.
pub(crate) const LEFT: &str = "left";
/// Nodes that have been left and not been written down yet.
const WAITING: usize = 1024;
/// When what failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Looks out for the request from now on.
pub(crate) fn start(client: &Client, namespace: &str, tasks: &Tasks) -> Leaving {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let (asked, is_asked) = watch::channel(false);
    let (left, nodes) = mpsc::channel(WAITING);
    let stop = tasks.token();
    tasks.spawn("uninstall", async move {
        tokio::select! {
            () = serve(&maps, &asked, nodes) => {}
            () = stop.cancelled() => {}
        }
    });
    Leaving {
        asked: is_asked,
        left,
    }
}

async fn serve(
    maps: &Api<ConfigMap>,
    asked: &watch::Sender<bool>,
    mut nodes: mpsc::Receiver<Arc<str>>,
) {
    let mut events = pin!(watcher::watch_object(maps.clone(), NAME).default_backoff());
    let mut request: Option<ConfigMap> = None;
    let mut left: BTreeSet<Arc<str>> = BTreeSet::new();
    loop {
        let mut again = None;
        if let Some(request) = &request
            && let Some(patch) = note(request, &left)
        {
            match call(maps.patch(NAME, &PatchParams::default(), &Patch::Merge(patch))).await {
                // Seen by the watch too, but by then it could be written twice.
                Ok(_) | Err(CallError::Missing(_) | CallError::Conflict) => {}
                Err(error) => {
                    tracing::warn!(%error, "nodes that were left cannot be written down; tried again");
                }
            }
            again = Some(AGAIN);
        }
        tokio::select! {
            Some(event) = events.next() => match event {
                Ok(found) => {
                    if found.is_some() && !asked.send_replace(true) {
                        tracing::warn!("an uninstall is asked for: agents release every pod");
                    }
                    request = found;
                }
                Err(error) => tracing::debug!(%error, "requests to uninstall are not watched now"),
            },
            Some(node) = nodes.recv() => drop(left.insert(node)),
            () = tokio::time::sleep(again.unwrap_or_default()), if again.is_some() => {}
        }
    }
}

/// What is to be written into a request; the uid makes it fail for another one of that name.
fn note(request: &ConfigMap, left: &BTreeSet<Arc<str>>) -> Option<Value> {
    let noted = request.data.as_ref();
    let is_noted = |node: &str| noted.is_some_and(|data| data.contains_key(node));
    let missing: Map<String, Value> = left
        .iter()
        .filter(|node| !is_noted(node))
        .map(|node| (node.to_string(), LEFT.into()))
        .collect();
    let uid = request.metadata.uid.as_deref();
    (!missing.is_empty()).then(|| json!({"metadata": {"uid": uid}, "data": missing}))
}

#[cfg(test)]
mod tests;
