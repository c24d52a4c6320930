//! The requests by which waypoints are made. All writes are server-side applies of one field manager,
//! so that fields of others stay theirs.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, Preconditions,
};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::desired::{Design, MANAGED, Part};
use super::fields::set;
use super::ledger::{Mark, Seen, gateway_of};
use crate::cluster::call::{CallError, call};
use crate::config::objects::gateway::{GROUP, GatewayKey};
use crate::config::objects::{Kind, ObjectKey};

/// Who writes, as the API server notes it for every field.
const FIELD_MANAGER: &str = "ambit-waypoint";

type Objects = kube::Api<DynamicObject>;

/// Why an object was not applied.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is one of that name that was not made for this Gateway.
    NotOurs,
    /// The API server's answer.
    Call(CallError),
}

/// The way to the API server.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
}

impl Api {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Applies one object of a design, and says what it became.
    pub(super) async fn apply(&self, design: &Design<'_>, part: Part) -> Result<Mark, Refused> {
        let (namespace, name) = design.place();
        let all = Objects::namespaced_with(self.client.clone(), namespace, &part.resource());
        let there = call(all.get_opt(name)).await.map_err(Refused::Call)?;
        if there
            .as_ref()
            .is_some_and(|there| !is_owned(there, design.uid))
        {
            return Err(Refused::NotOurs);
        }
        let running = there
            .as_ref()
            .and_then(|there| there.data.pointer("/spec/replicas"));
        let running = running
            .and_then(Value::as_u64)
            .and_then(|n| n.try_into().ok());
        let wanted = design.objects(running);
        let Some(mut wanted) = wanted.into_iter().find(|wanted| wanted.part == part) else {
            return Err(Refused::NotOurs);
        };
        if let Some(uid) = there.and_then(|there| there.metadata.uid) {
            // Another one of that name, made meanwhile, is refused.
            set(&mut wanted.object, &["metadata", "uid"], uid);
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied = call(all.patch(name, &parameters, &Patch::Apply(&wanted.object))).await;
        let applied = applied.map_err(Refused::Call)?;
        tracing::info!(%namespace, %name, part = part.kind(), "part of a waypoint is applied");
        Ok(Mark::of(&applied.metadata))
    }

    /// Deletes the very object that was seen.
    pub(super) async fn delete(
        &self,
        part: Part,
        key: &GatewayKey,
        uid: String,
    ) -> Result<(), CallError> {
        let all = Objects::namespaced_with(self.client.clone(), &key.namespace, &part.resource());
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match call(all.delete(&key.name, &parameters)).await {
            Ok(_) | Err(CallError::Missing(_) | CallError::Conflict) => {
                tracing::info!(gateway = %key, part = part.kind(), "part of a waypoint is deleted");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Data of a ConfigMap.
    pub(super) async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let maps = kube::Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        Ok(call(maps.get(name)).await?.data.unwrap_or_default())
    }

    /// Makes a class, if there is none of that name; true if it did.
    pub(super) async fn make_class(&self, name: &str, controller: &str) -> bool {
        let classes = Objects::all_with(self.client.clone(), &resource_of(Kind::GatewayClass));
        let class = json!({
            "apiVersion": format!("{GROUP}/v1"),
            "kind": "GatewayClass",
            "metadata": {"name": name, "labels": crate::cluster::labels()},
            "spec": {"controllerName": controller, "description": "Waypoints made by ambit"},
        });
        let class = match serde_json::from_value(class) {
            Ok(class) => class,
            Err(error) => {
                tracing::error!(%error, "a class could not be made");
                return false;
            }
        };
        let parameters = kube::api::PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..kube::api::PostParams::default()
        };
        match call(classes.create(&parameters, &class)).await {
            Ok(_) => {
                tracing::info!(name, "the class of waypoints is made");
                true
            }
            Err(CallError::Missing(_)) => {
                tracing::debug!("the API server does not know GatewayClass yet");
                false
            }
            // Somebody else was faster; the watch shows whose it is.
            Err(CallError::Conflict) => false,
            Err(error) => {
                tracing::warn!(name, %error, "the class of waypoints is not made; tried again");
                false
            }
        }
    }

    /// Applies our part of a status.
    pub(super) async fn say(&self, key: &ObjectKey, status: &Value) -> Result<(), CallError> {
        let resource = resource_of(key.kind);
        let all = if key.kind.is_namespaced() {
            Objects::namespaced_with(self.client.clone(), &key.namespace, &resource)
        } else {
            Objects::all_with(self.client.clone(), &resource)
        };
        let body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": &*key.name},
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        match call(all.patch_status(&key.name, &parameters, &Patch::Apply(&body))).await {
            Ok(_) => {
                tracing::debug!(object = %key, "status written");
                Ok(())
            }
            // What the watch shows next says what is to be done.
            Err(CallError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn resource_of(kind: Kind) -> ApiResource {
    let version = kind.api_versions().first().copied().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let gvk = GroupVersionKind::gvk(group, version, kind.name());
    ApiResource::from_gvk_with_plural(&gvk, kind.plural())
}

fn is_owned(object: &DynamicObject, uid: &str) -> bool {
    let mut owners = object.owner_references().iter();
    owners.any(|owner| owner.uid == uid && owner.controller == Some(true))
}

/// Tells what there is of one kind that we made, until nobody wants to know.
pub(super) async fn follow(client: Client, part: Part, seen: mpsc::Sender<(Part, Seen)>) {
    let (label, value) = MANAGED;
    let config = watcher::Config::default().labels(&format!("{label}={value}"));
    let all = kube::Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &part.resource());
    let mut events = Box::pin(watcher::watcher(all, config).default_backoff());
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(Event::Init) => Some(Seen::Listing),
            Ok(Event::InitApply(object) | Event::Apply(object)) => there(&object),
            Ok(Event::InitDone) => Some(Seen::Complete),
            Ok(Event::Delete(object)) => gateway_of(&object.metadata).map(Seen::Gone),
            Err(error) => {
                let what = part.kind();
                tracing::warn!(what, %error, "the API server does not tell what there is; asked again");
                None
            }
        };
        if let Some(told) = told
            && seen.send((part, told)).await.is_err()
        {
            return;
        }
    }
}

fn there(object: &PartialObjectMeta<DynamicObject>) -> Option<Seen> {
    let key = gateway_of(&object.metadata)?;
    Some(Seen::There(key, Mark::of(&object.metadata)))
}
