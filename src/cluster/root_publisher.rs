//! The trust bundle as ConfigMap `ambit-ca-root-cert` in our own namespace, in every enrolled one and
//! in those of waypoints, where agents, waypoints and applications read it.
//!
//! Task: "root publisher", one; it works while its replica leads. What is there is watched, so
//! that a write happens only where the content differs, and what somebody changed or deleted comes
//! back; where a namespace leaves the mesh it is taken away, unless it is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::tasks::Tasks;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::FIELD_MANAGER;
use super::call::{CallError, call};
use crate::ca::Bundle;
use crate::config::waypoints::report::Waypoints;
use crate::serve::Enrolled;

/// The ConfigMap.
pub(crate) const NAME: &str = "ambit-ca-root-cert";
/// Its only key.
const KEY: &str = "root-cert.pem";
/// Requests under way.
const UNDER_WAY: usize = 16;
/// When what failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Pause after a round that wrote anything: whoever else writes there is not raced with.
const CALM: Duration = Duration::from_secs(1);
/// A namespace that is being deleted takes nothing new.
const TERMINATING: &str = "being terminated";

/// What the publisher needs.
#[derive(Debug)]
pub struct Publisher {
    /// The bundle.
    pub bundle: watch::Receiver<Arc<Bundle>>,
    /// Enrolled namespaces.
    pub enrolled: Enrolled,
    /// Waypoints, which need it in their namespaces, where they are made.
    pub waypoints: Option<watch::Receiver<Option<Arc<Waypoints>>>>,
    /// Our own namespace.
    pub system: Arc<str>,
    /// Whether this replica leads.
    pub leads: watch::Receiver<bool>,
    /// Whether the mesh is being uninstalled: what is deleted then does not come back.
    pub leaving: watch::Receiver<bool>,
}

/// A ConfigMap as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    content: Option<String>,
    is_ours: bool,
    uid: String,
}

type ByNamespace = BTreeMap<Arc<str>, Seen>;

/// What is to be done in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Apply,
    /// This one, by its uid.
    Delete(String),
}

impl Publisher {
    /// Publishes from now on.
    pub fn start(self, client: Client, tasks: &Tasks) {
        let stop = tasks.token();
        tasks.spawn("root publisher", async move {
            tokio::select! {
                () = self.run(client) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    async fn run(mut self, client: Client) {
        let all: Api<ConfigMap> = Api::all(client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let mut events = pin!(watcher::watcher(all, config).default_backoff());
        let mut there = There::default();
        loop {
            if *self.leads.borrow_and_update()
                && !*self.leaving.borrow()
                && let Some(seen) = &there.seen
            {
                let done = self.work(&client, seen).await;
                let wrote = !done.is_empty();
                there.after(done);
                if wrote {
                    tokio::time::sleep(CALM).await;
                }
            }
            tokio::select! {
                Some(event) = events.next() => there.take(event),
                changed = self.bundle.changed() => if changed.is_err() { return },
                changed = self.enrolled.changed() => if changed.is_err() { return },
                changed = changed(&mut self.waypoints) => if !changed { return },
                // Who elects may be gone already; nobody leads any more then.
                Ok(()) = self.leads.changed() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Does what is to be done, and says what became of it.
    async fn work(&mut self, client: &Client, seen: &ByNamespace) -> Vec<(Arc<str>, Option<Seen>)> {
        let Some(enrolled) = self.enrolled.borrow_and_update().clone() else {
            // Nobody knows yet where the bundle should be.
            return Vec::new();
        };
        let mut wanted = BTreeSet::clone(&enrolled);
        wanted.insert(Arc::clone(&self.system));
        if let Some(waypoints) = &mut self.waypoints {
            let Some(waypoints) = waypoints.borrow_and_update().clone() else {
                return Vec::new();
            };
            wanted.extend(waypoints.namespaces());
        }
        let pem: Arc<str> = self.bundle.borrow_and_update().pem.as_str().into();
        let mut plan = plan(seen, &wanted, &pem).into_iter();
        let mut under_way = JoinSet::new();
        let mut done = Vec::new();
        loop {
            while under_way.len() < UNDER_WAY
                && let Some((namespace, act)) = plan.next()
            {
                under_way.spawn(perform(client.clone(), namespace, act, Arc::clone(&pem)));
            }
            match under_way.join_next().await {
                Some(Ok(Some(outcome))) => done.push(outcome),
                Some(Ok(None) | Err(_)) => {}
                None => return done,
            }
        }
    }
}

/// Waits for a change of what there may be; false if there will be none.
async fn changed<T>(feed: &mut Option<watch::Receiver<T>>) -> bool {
    match feed {
        Some(feed) => feed.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// What is there.
#[derive(Debug, Default)]
struct There {
    /// None before the first list.
    seen: Option<ByNamespace>,
    /// What a list has told so far.
    listing: ByNamespace,
}

impl There {
    fn take(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(Event::Init) => self.listing.clear(),
            Ok(Event::InitApply(map)) => {
                self.listing.extend(seen_of(map));
            }
            Ok(Event::InitDone) => self.seen = Some(std::mem::take(&mut self.listing)),
            Ok(Event::Apply(map)) => {
                if let (Some(seen), Some((namespace, now))) = (&mut self.seen, seen_of(map)) {
                    seen.insert(namespace, now);
                }
            }
            Ok(Event::Delete(map)) => {
                if let (Some(seen), Some((namespace, _))) = (&mut self.seen, seen_of(map)) {
                    seen.remove(&namespace);
                }
            }
            Err(error) => tracing::warn!(%error, "ConfigMaps {NAME} are not watched now"),
        }
    }

    /// What was just done need not wait for the watch: it would be done again meanwhile.
    fn after(&mut self, done: Vec<(Arc<str>, Option<Seen>)>) {
        let Some(seen) = &mut self.seen else { return };
        for (namespace, now) in done {
            match now {
                Some(now) => seen.insert(namespace, now),
                None => seen.remove(&namespace),
            };
        }
    }
}

fn seen_of(map: ConfigMap) -> Option<(Arc<str>, Seen)> {
    let mut labels = map.metadata.labels.unwrap_or_default();
    let ours = super::labels();
    let is_ours = ours
        .into_iter()
        .all(|(key, value)| labels.remove(&key) == Some(value));
    let seen = Seen {
        content: map.data.unwrap_or_default().remove(KEY),
        is_ours,
        uid: map.metadata.uid.unwrap_or_default(),
    };
    Some((map.metadata.namespace?.into(), seen))
}

/// What is to be done for these namespaces to have this content and no others.
fn plan(seen: &ByNamespace, wanted: &BTreeSet<Arc<str>>, pem: &str) -> Vec<(Arc<str>, Act)> {
    let is_right = |seen: &Seen| seen.is_ours && seen.content.as_deref() == Some(pem);
    let apply = wanted
        .iter()
        .filter(|namespace| !seen.get(*namespace).is_some_and(is_right))
        .map(|namespace| (Arc::clone(namespace), Act::Apply));
    let delete = seen
        .iter()
        .filter(|(namespace, seen)| seen.is_ours && !wanted.contains(*namespace))
        .map(|(namespace, seen)| (Arc::clone(namespace), Act::Delete(seen.uid.clone())));
    apply.chain(delete).collect()
}

/// Does it in one namespace; nothing if it has to be done again.
async fn perform(
    client: Client,
    namespace: Arc<str>,
    act: Act,
    pem: Arc<str>,
) -> Option<(Arc<str>, Option<Seen>)> {
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let done = match act {
        Act::Apply => apply(&maps, &pem).await,
        Act::Delete(uid) => delete(&maps, uid).await,
    };
    match done {
        Ok(now) => {
            tracing::info!(%namespace, is_there = now.is_some(), "the trust bundle is published");
            Some((namespace, now))
        }
        Err(CallError::Missing(_)) => None,
        Err(error) if error.to_string().contains(TERMINATING) => None,
        Err(error) => {
            tracing::warn!(%namespace, %error, "the trust bundle is not published; it is tried again");
            None
        }
    }
}

async fn apply(maps: &Api<ConfigMap>, pem: &str) -> Result<Option<Seen>, CallError> {
    let patch = Patch::Apply(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": super::labels()},
        "data": {KEY: pem},
    }));
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let applied = call(maps.patch(NAME, &parameters, &patch)).await?;
    Ok(seen_of(applied).map(|(_, seen)| seen))
}

/// Takes away the very one that was seen.
async fn delete(maps: &Api<ConfigMap>, uid: String) -> Result<Option<Seen>, CallError> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match call(maps.delete(NAME, &parameters)).await {
        Ok(_) | Err(CallError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
