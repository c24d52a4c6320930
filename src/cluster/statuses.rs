//! Writes on each policy and each route what the control plane makes of it: its status.
//!
//! Task: "policy statuses", one; it works while its replica leads. A status is written only where it
//! differs from what the watch shows, at a bounded rate, and the same one not twice in a row: a
//! watch that is late or somebody who writes the contrary makes no storm.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::FIELD_MANAGER;
use super::call::{CallError, call};
use super::last_good::Keeper;
use crate::config::objects::ObjectKey;
use crate::config::statuses::{Difference, Report, Said, Shown};
use crate::serve::StatusFeed;

/// Pause after each write: at most 20 in a second.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the same status is written to the same policy at most, and one of which only the
/// number of pods is new.
const SELDOM: Duration = Duration::from_secs(30);
/// When what is left is looked at again.
const AGAIN: Duration = Duration::from_secs(10);

/// Writes from now on what comes by the feed.
pub(super) fn start(
    client: Client,
    namespace: &str,
    leads: watch::Receiver<bool>,
    tasks: &Tasks,
) -> StatusFeed {
    let (sender, reports) = watch::channel(None);
    let last_good = Keeper::new(Api::namespaced(client.clone(), namespace));
    let stop = tasks.token();
    tasks.spawn("policy statuses", async move {
        tokio::select! {
            () = run(client, last_good, reports, leads) => {}
            () = stop.cancelled() => {}
        }
    });
    StatusFeed(sender)
}

async fn run(
    client: Client,
    mut last_good: Keeper,
    mut reports: watch::Receiver<Option<Arc<Report>>>,
    mut leads: watch::Receiver<bool>,
) {
    let mut written = Written::default();
    loop {
        let report = reports.borrow_and_update().clone();
        if !*leads.borrow_and_update() {
            written = Written::default();
            last_good.forget();
        } else if let Some(report) = report {
            last_good.keep(&report).await;
            for (key, shown, said) in written.due(&report, clock::now()) {
                if write(&client, key, shown, said).await {
                    written.note(key, shown, said, clock::now());
                }
                tokio::time::sleep(PAUSE).await;
                if !*leads.borrow() || reports.has_changed().unwrap_or(false) {
                    break;
                }
            }
        }
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            // Who elects may be gone already; nobody leads any more then.
            Ok(()) = leads.changed() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// What was written of late.
#[derive(Debug, Default)]
struct Written(HashMap<ObjectKey, Write>);

/// A status that was written.
#[derive(Debug)]
struct Write {
    /// Of the object: another of its name has none yet.
    uid: Arc<str>,
    said: Said,
    at: Instant,
}

impl Written {
    /// What is to be written now.
    fn due<'a>(
        &mut self,
        report: &'a Report,
        now: Instant,
    ) -> Vec<(&'a ObjectKey, &'a Shown, &'a Said)> {
        self.0.retain(|_, last| now < last.at + SELDOM);
        let statuses = report.statuses.iter();
        let due = statuses.filter(|(key, shown, said)| {
            let last = self.0.get(key).filter(|last| last.uid == shown.uid);
            match (said.difference(shown), last) {
                (Difference::None, _) | (Difference::Pods, Some(_)) => false,
                (Difference::Verdict, Some(last)) => last.said != *said,
                (_, None) => true,
            }
        });
        due.map(|(key, shown, said)| (key, shown, said)).collect()
    }

    fn note(&mut self, key: &ObjectKey, shown: &Shown, said: &Said, at: Instant) {
        let (uid, said) = (shown.uid.clone(), said.clone());
        self.0.insert(key.clone(), Write { uid, said, at });
    }
}

/// Returns false if the object is another than what was shown: what the watch shows next says what
/// is to be done.
async fn write(client: &Client, key: &ObjectKey, shown: &Shown, said: &Said) -> bool {
    let (group, version) = shown.api_version.split_once('/').unwrap_or_default();
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, key.kind.name()),
        key.kind.plural(),
    );
    let objects: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &key.namespace, &resource);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let now = clock::rfc3339(clock::wall());
    let patch = Patch::Merge(patch_of(shown, said, &now));
    let written = call(objects.patch_status(&key.name, &parameters, &patch)).await;
    match written {
        Ok(_) => tracing::debug!(object = %key, "status written"),
        Err(CallError::Missing(_) | CallError::Conflict) => return false,
        Err(error) => tracing::warn!(object = %key, %error, "the status is not written"),
    }
    true
}

/// The version makes it fail over anything but what it was read from.
fn patch_of(shown: &Shown, said: &Said, now: &str) -> Value {
    json!({
        "metadata": {"resourceVersion": &*shown.version},
        "status": said.status(shown, now),
    })
}

#[cfg(test)]
mod tests;
