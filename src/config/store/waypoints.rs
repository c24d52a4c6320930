//! Which objects have to do with a Gateway, by their own labels: those that name it as their
//! waypoint, and those that were made for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Objects;
use crate::config::objects::gateway::{Gateway, GatewayClass, GatewayKey};
use crate::config::objects::metadata::Metadata;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::translate::{made_for, named_waypoint};

/// Objects by the Gateway that they name.
#[derive(Debug, Default)]
pub(super) struct WaypointIndex {
    users: HashMap<GatewayKey, BTreeSet<ObjectKey>>,
    made: HashMap<GatewayKey, BTreeSet<ObjectKey>>,
}

impl WaypointIndex {
    /// Adds an object.
    pub(super) fn add(&mut self, key: &ObjectKey, object: &Object) {
        let (named, made) = gateways_of(key, object);
        for (index, gateway) in [(&mut self.users, named), (&mut self.made, made)] {
            if let Some(gateway) = gateway {
                index.entry(gateway).or_default().insert(key.clone());
            }
        }
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, key: &ObjectKey, object: &Object) {
        let (named, made) = gateways_of(key, object);
        for (index, gateway) in [(&mut self.users, named), (&mut self.made, made)] {
            let Some(gateway) = gateway else { continue };
            if let Some(keys) = index.get_mut(&gateway) {
                keys.remove(key);
                if keys.is_empty() {
                    index.remove(&gateway);
                }
            }
        }
    }

    /// Namespaces, services and pods whose label names it as their waypoint.
    pub(super) fn users(&self, gateway: &GatewayKey) -> impl Iterator<Item = &ObjectKey> {
        self.users.get(gateway).into_iter().flatten()
    }

    /// Services and pods that are labelled as made for it.
    pub(super) fn made<'a>(
        &'a self,
        gateway: &GatewayKey,
    ) -> impl Iterator<Item = &'a ObjectKey> + use<'a> {
        self.made.get(gateway).into_iter().flatten()
    }
}

/// The Gateway that an object is to be bound to, and the one that it was made for.
fn gateways_of(key: &ObjectKey, object: &Object) -> (Option<GatewayKey>, Option<GatewayKey>) {
    let of_namespaced = |metadata: &Metadata| {
        let named = named_waypoint(&metadata.labels, &key.namespace);
        (named.flatten(), made_for(&metadata.labels, &key.namespace))
    };
    match object {
        Object::Namespace(namespace) => {
            let home = Arc::clone(&key.name);
            (
                named_waypoint(&namespace.metadata.labels, &home).flatten(),
                None,
            )
        }
        Object::Service(service) => of_namespaced(&service.metadata),
        Object::Pod(pod) => of_namespaced(&pod.metadata),
        Object::ServiceEntry(entry) => of_namespaced(&entry.metadata),
        _ => (None, None),
    }
}

impl Objects {
    /// The Gateway of that name.
    pub fn gateway(&self, key: &GatewayKey) -> Option<&Gateway> {
        match self.get(&key.object())?.as_ref() {
            Object::Gateway(gateway) => Some(gateway),
            _ => None,
        }
    }

    /// The class of that name.
    pub fn gateway_class(&self, name: &str) -> Option<&GatewayClass> {
        let key = ObjectKey::new(Kind::GatewayClass, "", name);
        match self.get(&key)?.as_ref() {
            Object::GatewayClass(class) => Some(class),
            _ => None,
        }
    }

    /// Namespaces, services and pods whose label names that Gateway as their waypoint.
    pub fn waypoint_users(&self, gateway: &GatewayKey) -> impl Iterator<Item = &ObjectKey> {
        self.waypoints.users(gateway)
    }

    /// Services and pods that are labelled as made for that Gateway.
    pub fn made_for<'a>(
        &'a self,
        gateway: &GatewayKey,
    ) -> impl Iterator<Item = &'a ObjectKey> + use<'a> {
        self.waypoints.made(gateway)
    }
}
