//! Writes on pods whether their traffic is redirected: the record that every replica of the control
//! plane advertises HBONE by, and that people see.
//!
//! Task: [`write()`], one, with a bounded number of requests under way; it ends when nobody marks any
//! more or with its stop token. Of several marks for one pod the last one stands in the end: a
//! pod's requests are made one after the other, and a mark that cannot be written is kept and tried
//! seldom where nobody makes it again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::call::{CallError, call};
use crate::serve::{Mark, Redirection};

/// The annotation.
pub(crate) const ANNOTATION: &str = "ambit.mesh/redirection";
/// Requests under way.
const UNDER_WAY: usize = 16;
/// Marks kept that could not be written: every pod of several full nodes.
const KEPT: usize = 4096;
/// How marks are tried.
const PACE: Pace = Pace {
    pauses: &[
        Duration::from_millis(100),
        Duration::from_millis(500),
        Duration::from_secs(2),
        Duration::from_secs(5),
        Duration::from_secs(10),
    ],
    seldom: Duration::from_secs(30),
};

/// How a mark is tried.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between its first tries.
    pauses: &'static [Duration],
    /// Between those that follow.
    seldom: Duration,
}

/// A pod whose request is over, and the mark if it was not written.
type Tried = (Arc<str>, Option<Mark>);

/// Writes marks until nobody makes any more.
pub(crate) async fn write(client: Client, marks: mpsc::Receiver<Mark>) {
    write_at(PACE, client, marks).await;
}

async fn write_at(pace: Pace, client: Client, mut marks: mpsc::Receiver<Mark>) {
    let mut under_way: JoinSet<Tried> = JoinSet::new();
    // Pods with a request under way, and what is to be written after it.
    let mut next: HashMap<Arc<str>, Option<Mark>> = HashMap::new();
    let mut kept: HashMap<Arc<str>, Mark> = HashMap::new();
    let mut again = tokio::time::interval(pace.seldom);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            mark = marks.recv(), if under_way.len() < UNDER_WAY => {
                let Some(mark) = mark else { return };
                kept.remove(&mark.uid);
                match next.get_mut(&mark.uid) {
                    Some(waiting) => *waiting = Some(mark),
                    None => {
                        next.insert(Arc::clone(&mark.uid), None);
                        under_way.spawn(write_one(client.clone(), mark, pace.pauses));
                    }
                }
            }
            Some(tried) = under_way.join_next() => {
                let Ok((uid, failed)) = tried else { continue };
                if let Some(mark) = next.remove(&uid).flatten() {
                    next.insert(uid, None);
                    under_way.spawn(write_one(client.clone(), mark, pace.pauses));
                } else if let Some(mark) = failed.filter(|mark| is_kept(mark) && kept.len() < KEPT) {
                    kept.insert(uid, mark);
                }
            }
            _ = again.tick(), if !kept.is_empty() => {
                let free = UNDER_WAY.saturating_sub(under_way.len());
                let some: Vec<Arc<str>> = kept.keys().take(free).cloned().collect();
                for mark in some.iter().filter_map(|uid| kept.remove(uid)) {
                    next.insert(Arc::clone(&mark.uid), None);
                    under_way.spawn(write_one(client.clone(), mark, &[]));
                }
            }
        }
    }
}

/// That a pod is captured is told again by its agent as long as it is so, and must not be written
/// after it was released by way of another replica.
fn is_kept(mark: &Mark) -> bool {
    mark.redirection != Redirection::Enabled
}

/// Writes a mark, and tries again after each pause.
async fn write_one(client: Client, mark: Mark, pauses: &[Duration]) -> Tried {
    let (pod, namespace) = (&mark.name, &mark.namespace);
    let mut pauses = pauses.iter();
    // On the heap: the client's futures are large.
    while let Err(why) = Box::pin(try_to_write(&client, &mark)).await {
        let Some(pause) = pauses.next() else {
            tracing::error!(
                %namespace, %pod, redirection = ?mark.redirection,
                "a pod's redirection is not written, so that peers do not learn of it; tried again now and then: {why}"
            );
            return (Arc::clone(&mark.uid), Some(mark));
        };
        tracing::warn!(%namespace, %pod, "a pod's redirection cannot be written; tried again: {why}");
        tokio::time::sleep(*pause).await;
    }
    (mark.uid, None)
}

async fn try_to_write(client: &Client, mark: &Mark) -> Result<(), CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &mark.namespace);
    let patch = Patch::Merge(patch_of(mark));
    let parameters = PatchParams::default();
    let (pod, namespace) = (&mark.name, &mark.namespace);
    // Annotations can be written with the status, which needs no right on what a pod runs.
    match call(pods.patch_status(&mark.name, &parameters, &patch)).await {
        Ok(_written) => {
            tracing::debug!(%namespace, %pod, redirection = ?mark.redirection, "written on the pod");
        }
        Err(CallError::Missing(_) | CallError::Conflict | CallError::Invalid(_)) => {
            // Another pod of that name, or none any more.
            tracing::debug!(%namespace, %pod, "the pod is gone");
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    if let Redirection::Pending(why) = &mark.redirection {
        tell(client.clone(), mark, why).await;
    }
    Ok(())
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
        Ok(event) => call(events.create(&PostParams::default(), &event)).await,
        Err(error) => return tracing::error!(%error, "an event could not be made"),
    };
    if let Err(error) = created {
        tracing::warn!(pod = %mark.name, %error, "an event could not be written");
    }
}

#[cfg(test)]
mod tests;
