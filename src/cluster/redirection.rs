//! Writes on pods whether their traffic is redirected: the record that every replica of the control
//! plane advertises HBONE by, and that people see.
//!
//! Task: [`write()`], one, with a bounded number of requests under way; it ends when nobody marks any
//! more or with its stop token. Of several marks for one pod the last one stands in the end: a
//! pod's requests are made one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::serve::{Mark, Redirection};

/// The annotation.
pub(crate) const ANNOTATION: &str = "ambit.mesh/redirection";
/// Requests under way.
const UNDER_WAY: usize = 16;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a mark is tried, and how long to wait before the next time.
const TRIES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Writes marks until nobody makes any more.
pub(crate) async fn write(client: Client, mut marks: mpsc::Receiver<Mark>) {
    let mut under_way: JoinSet<Arc<str>> = JoinSet::new();
    // Pods with a request under way, and what is to be written after it.
    let mut next: HashMap<Arc<str>, Option<Mark>> = HashMap::new();
    loop {
        tokio::select! {
            mark = marks.recv(), if under_way.len() < UNDER_WAY => {
                let Some(mark) = mark else { return };
                match next.get_mut(&mark.uid) {
                    Some(waiting) => *waiting = Some(mark),
                    None => {
                        next.insert(Arc::clone(&mark.uid), None);
                        under_way.spawn(write_one(client.clone(), mark));
                    }
                }
            }
            Some(written) = under_way.join_next() => {
                let Ok(uid) = written else { continue };
                if let Some(mark) = next.remove(&uid).flatten() {
                    next.insert(uid, None);
                    under_way.spawn(write_one(client.clone(), mark));
                }
            }
        }
    }
}

async fn write_one(client: Client, mark: Mark) -> Arc<str> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &mark.namespace);
    let patch = Patch::Merge(patch_of(&mark));
    for pause in TRIES {
        let parameters = PatchParams::default();
        // Annotations can be written with the status, which needs no right on what a pod runs.
        let request = pods.patch_status(&mark.name, &parameters, &patch);
        let (pod, namespace) = (&mark.name, &mark.namespace);
        match tokio::time::timeout(PATIENCE, request).await {
            Ok(Ok(_written)) => {
                tracing::debug!(%namespace, %pod, redirection = ?mark.redirection, "written on the pod");
                break;
            }
            Ok(Err(Error::Api(status))) if matches!(status.code, 404 | 409 | 422) => {
                // Another pod of that name, or none any more.
                tracing::debug!(%namespace, %pod, %status, "the pod is gone");
                return mark.uid;
            }
            Ok(Err(error)) => {
                tracing::warn!(%namespace, %pod, %error, "a pod's redirection cannot be written; tried again");
            }
            Err(_elapsed) => {
                tracing::warn!(%namespace, %pod, "the API server does not take a pod's redirection; tried again");
            }
        }
        tokio::time::sleep(pause).await;
    }
    if let Redirection::Pending(why) = &mark.redirection {
        tell(client, &mark, why).await;
    }
    mark.uid
}

/// The uid makes it fail for another pod of that name.
fn patch_of(mark: &Mark) -> Value {
    let value = match mark.redirection {
        Redirection::Enabled => json!("enabled"),
        Redirection::Pending(_) => json!("pending"),
        Redirection::Absent => Value::Null,
    };
    json!({"metadata": {"uid": &*mark.uid, "annotations": {ANNOTATION: value}}})
}

/// Says on the pod why it is not captured.
async fn tell(client: Client, mark: &Mark, why: &str) {
    let events: Api<Event> = Api::namespaced(client, &mark.namespace);
    let now = k8s_openapi::jiff::Timestamp::now();
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": format!("{}.", mark.name), "namespace": &*mark.namespace},
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod",
            "namespace": &*mark.namespace, "name": &*mark.name, "uid": &*mark.uid,
        },
        "type": "Warning",
        "reason": "NotCaptured",
        "message": format!("the mesh does not capture this pod yet: {why}"),
        "source": {"component": "ambit-control-plane"},
        "firstTimestamp": now.to_string(),
        "lastTimestamp": now.to_string(),
        "count": 1,
    });
    let created = match serde_json::from_value(event) {
        Ok(event) => {
            let request = async {
                events
                    .create(&PostParams::default(), &event)
                    .await
                    .map(drop)
            };
            tokio::time::timeout(PATIENCE, request).await
        }
        Err(error) => return tracing::error!(%error, "an event could not be made"),
    };
    if !matches!(created, Ok(Ok(()))) {
        tracing::warn!(pod = %mark.name, "an event could not be written");
    }
}

#[cfg(test)]
mod tests;
