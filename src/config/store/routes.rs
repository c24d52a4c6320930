//! Routes by the services that they are for, and by those that they send traffic to.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Indexing, Objects};
use crate::config::objects::names::Label;
use crate::config::objects::reference_grant::ReferenceGrant;
use crate::config::objects::route_parts::Route;
use crate::config::objects::{Kind, Object, ObjectKey};

/// The index.
#[derive(Debug, Default)]
pub(super) struct RouteIndex {
    by_parent: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    by_backend: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
}

impl RouteIndex {
    pub(super) fn apply(&mut self, indexing: Indexing, key: &ObjectKey, route: Route<'_>) {
        for parent in service_parents(key, route) {
            indexing.apply(&mut self.by_parent, parent, key);
        }
        for backend in service_backends(key, route) {
            indexing.apply(&mut self.by_backend, backend, key);
        }
    }

    /// Routes for a service.
    pub(super) fn of(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.by_parent.get(service).into_iter().flatten()
    }

    /// Routes that send traffic to a service.
    pub(super) fn to(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        self.by_backend.get(service).into_iter().flatten()
    }

    /// Services that routes are for, whether they are there or not.
    pub(super) fn parents(&self) -> impl Iterator<Item = &ObjectKey> {
        self.by_parent.keys()
    }
}

impl Objects {
    /// The route of that name.
    pub fn route(&self, key: &ObjectKey) -> Option<Route<'_>> {
        Route::of(self.get(key)?)
    }

    /// Routes for a service, whether it is there or not.
    pub fn routes_of(&self, service: &ObjectKey) -> impl Iterator<Item = (&ObjectKey, Route<'_>)> {
        let keys = self.routes.of(service);
        keys.filter_map(|key| Some((key, self.route(key)?)))
    }

    /// Routes that send traffic to a service, whether it is there or not.
    pub fn routes_to(&self, service: &ObjectKey) -> impl Iterator<Item = (&ObjectKey, Route<'_>)> {
        let keys = self.routes.to(service);
        keys.filter_map(|key| Some((key, self.route(key)?)))
    }

    /// Services that routes are for, whether they are there or not.
    pub fn routed_services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.routes.parents()
    }

    /// Grants of a namespace.
    pub fn grants(&self, namespace: &str) -> impl Iterator<Item = &ReferenceGrant> {
        let all = self.in_namespace(Kind::ReferenceGrant, namespace);
        all.filter_map(|(_, object)| match object {
            Object::ReferenceGrant(grant) => Some(&**grant),
            _ => None,
        })
    }
}

/// Services that a route is for.
pub fn service_parents(key: &ObjectKey, route: Route<'_>) -> BTreeSet<ObjectKey> {
    let parents = route.parents().iter().filter(|parent| parent.is_service());
    parents
        .map(|parent| service(key, parent.namespace.as_ref(), &parent.name))
        .collect()
}

/// Services that a route sends traffic or copies of it to.
fn service_backends(key: &ObjectKey, route: Route<'_>) -> BTreeSet<ObjectKey> {
    let backends = route.backends().into_iter();
    backends
        .filter(|backend| backend.is_service())
        .map(|backend| service(key, backend.namespace.as_ref(), &backend.name))
        .collect()
}

/// The service that a reference of a route means.
pub fn service(route: &ObjectKey, namespace: Option<&Label>, name: &Arc<str>) -> ObjectKey {
    let namespace = namespace.map_or_else(|| Arc::clone(&route.namespace), Label::shared);
    ObjectKey::new(Kind::Service, namespace, Arc::clone(name))
}
