//! The watchers, one for each kind, and the task that collects what they see.
//!
//! A watcher lists in pages, watches with bookmarks, and lists anew when the API server no longer
//! has the history; all the while it tells what it sees, in order. Tasks: "watch KIND", one each,
//! and "watched"; all end with the stop token.

use std::time::Duration;

use ambit_kit::tasks::Tasks;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Error, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_objects};
use kube::{Client, Error as ClientError};
use serde_json::Value;
use tokio::sync::mpsc;

use super::last_good::{self, LastGood};
use super::listing::{Listings, Seen};
use crate::config::Batch;
use crate::config::objects::Kind;

/// Objects of one page of a listing: bounds what the API server and we hold at once.
pub(super) const PAGE: u32 = 500;
/// What watchers have seen and nobody has taken in yet.
const SEEN: usize = 1024;
/// Most that is taken in as one batch.
const TOGETHER: usize = 4096;
/// Batches ahead of the configuration task.
const BATCHES: usize = 4;
/// How often a kind that the API server does not know is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is said which kinds are still missing.
const SAY_MISSING: Duration = Duration::from_secs(10);

/// Starts all watchers; what they see comes out in batches, everything that there is first. Last
/// good versions are read from our own namespace.
pub fn watch(client: &Client, namespace: &str, tasks: &Tasks) -> mpsc::Receiver<Batch> {
    let (seen, collected) = mpsc::channel(SEEN);
    for kind in Kind::ALL {
        let follow = follow(client.clone(), *kind, seen.clone(), ASK_AGAIN);
        let stop = tasks.token();
        tasks.spawn("watch", async move {
            tokio::select! {
                () = follow => {}
                () = stop.cancelled() => {}
            }
        });
    }
    let (batches, receiver) = mpsc::channel(BATCHES);
    let maps = Api::namespaced(client.clone(), namespace);
    let stop = tasks.token();
    tasks.spawn("watched", async move {
        tokio::select! {
            () = collect(maps, collected, batches) => {}
            () = stop.cancelled() => {}
        }
    });
    receiver
}

/// Takes in what was seen together, and sends it on once every kind has been listed.
async fn collect(
    maps: Api<ConfigMap>,
    mut seen: mpsc::Receiver<(Kind, Seen)>,
    batches: mpsc::Sender<Batch>,
) {
    let mut listings = Listings::with_last_good(read_last_good(&maps).await);
    let mut batch = Batch::default();
    let mut together = Vec::new();
    let mut first = true;
    loop {
        let took = tokio::time::timeout(SAY_MISSING, seen.recv_many(&mut together, TOGETHER)).await;
        match took {
            Ok(0) => return,
            Ok(_) => {}
            Err(_elapsed) if first => {
                let missing: Vec<_> = listings.missing().map(Kind::name).collect();
                tracing::warn!("still reading the cluster: {} to come", missing.join(", "));
                continue;
            }
            Err(_elapsed) => continue,
        }
        for (kind, seen) in together.drain(..) {
            listings.take(kind, seen, &mut batch);
        }
        let is_empty = batch.events.is_empty() && batch.shown.is_empty();
        if !listings.are_complete() || (is_empty && !first) {
            continue;
        }
        first = false;
        if batches.send(std::mem::take(&mut batch)).await.is_err() {
            return;
        }
    }
}

/// Last good versions from before this process. Where we may not read them, there are none: then
/// what cannot be read refuses its scope.
async fn read_last_good(maps: &Api<ConfigMap>) -> LastGood {
    loop {
        match tokio::time::timeout(PATIENCE, maps.get_opt(last_good::CONFIG_MAP)).await {
            Ok(Ok(map)) => {
                let data = map.and_then(|map| map.data).unwrap_or_default();
                return LastGood::of(data.into_values());
            }
            Ok(Err(ClientError::Api(status))) if status.code == 403 => {
                tracing::error!(%status, "last good policies cannot be read");
                return LastGood::default();
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "last good policies are not read; asked again");
            }
            Err(_elapsed) => tracing::warn!("last good policies are not read; asked again"),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// Tells what the API server has of one kind, until nobody wants to know.
async fn follow(client: Client, kind: Kind, seen: mpsc::Sender<(Kind, Seen)>, ask_again: Duration) {
    let versions = kind.api_versions().iter().copied().cycle();
    for version in versions {
        let resource = resource_of(kind, version);
        match follow_version(client.clone(), kind, &resource, &seen).await {
            Ended::Unwanted => return,
            Ended::UnknownVersion if is_last(kind, version) => {
                tracing::debug!(
                    kind = kind.name(),
                    "the API server does not know this kind: there are none"
                );
                for told in [Seen::Listing, Seen::Complete] {
                    if seen.send((kind, told)).await.is_err() {
                        return;
                    }
                }
                tokio::time::sleep(ask_again).await;
            }
            Ended::UnknownVersion => {}
        }
    }
}

/// Why following one version of a kind is over.
enum Ended {
    /// Nobody listens any more.
    Unwanted,
    /// The API server does not serve it.
    UnknownVersion,
}

async fn follow_version(
    client: Client,
    kind: Kind,
    resource: &ApiResource,
    seen: &mpsc::Sender<(Kind, Seen)>,
) -> Ended {
    let api: Api<DynamicObject> = Api::all_with(client, resource);
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = Box::pin(watch_objects(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(Event::Init) => Seen::Listing,
            Ok(Event::InitApply(object)) => Seen::Listed(document(resource, object)),
            Ok(Event::InitDone) => Seen::Complete,
            Ok(Event::Apply(object)) => Seen::Changed(document(resource, object)),
            Ok(Event::Delete(object)) => Seen::Gone(document(resource, object)),
            Err(error) if is_unknown(&error, kind) => return Ended::UnknownVersion,
            Err(error) => {
                let what = resource.plural.as_str();
                tracing::warn!(what, %error, "the API server does not tell what there is; asked again");
                continue;
            }
        };
        if seen.send((kind, told)).await.is_err() {
            return Ended::Unwanted;
        }
    }
    Ended::Unwanted
}

/// Whether there is nothing to be read of a kind. Where an older installation does not let us see what would
/// only be warned of, that is no reason to wait.
fn is_unknown(error: &Error, kind: Kind) -> bool {
    let (Error::InitialListFailed(cause) | Error::WatchStartFailed(cause)) = error else {
        return false;
    };
    matches!(cause, ClientError::Api(status)
        if status.code == 404 || status.code == 403 && kind.is_for_sidecars())
}

fn is_last(kind: Kind, version: &str) -> bool {
    kind.api_versions().last() == Some(&version)
}

/// How the API server calls a kind.
pub(super) fn resource_of(kind: Kind, api_version: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(group, version, kind.name()),
        kind.plural(),
    )
}

/// The object as it would stand in a file; items of a listing do not say what they are.
pub(super) fn document(resource: &ApiResource, mut object: DynamicObject) -> Value {
    // Who wrote which field is as long as the rest, and of no use here.
    object.metadata.managed_fields = None;
    let mut document = object.data;
    if let Value::Object(map) = &mut document {
        // Texts, numbers, lists and maps with texts as keys: that cannot fail.
        let metadata = serde_json::to_value(&object.metadata).unwrap_or_default();
        map.insert("metadata".to_owned(), metadata);
        map.insert("apiVersion".to_owned(), resource.api_version.clone().into());
        map.insert("kind".to_owned(), resource.kind.clone().into());
    }
    document
}

#[cfg(test)]
mod tests;
