//! Which services' routes a changed object touches.

use super::{Dirty, Output};
use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::route_parts::Route;
use crate::config::objects::virtual_service::VirtualService;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::{Objects, service_parents, services_of_hosts};

impl Dirty {
    /// Routes of services that depend on an object: on a route itself, on a service that routes are for
    /// or lead to, or on a grant.
    pub(super) fn touch_routes(&mut self, objects: &Objects, key: &ObjectKey, object: &Object) {
        match object {
            Object::Service(_) => {
                self.outputs.insert(Output::Routes(key.clone()));
                for (route, object) in objects.routes_to(key) {
                    self.touch_parents(route, object);
                }
                for (object, virtual_service) in objects.virtual_services_to(key) {
                    self.touch_hosts(objects, object, virtual_service);
                }
            }
            Object::ServiceEntry(entry) => self.touch_routes_of_hosts(objects, key, entry),
            Object::VirtualService(object) => self.touch_hosts(objects, key, object),
            Object::DestinationRule(object) => self.touch_ruled(objects, key, object),
            Object::ReferenceGrant(grant) => {
                for from in &grant.spec.from {
                    let kind = Kind::of(&from.kind).filter(|kind| kind.is_route());
                    let routes = kind.map(|kind| objects.in_namespace(kind, &from.namespace));
                    for (route, object) in routes.into_iter().flatten() {
                        if let Some(object) = Route::of(object) {
                            self.touch_parents(route, object);
                        }
                    }
                }
            }
            object => {
                if let Some(route) = Route::of(object) {
                    self.touch_parents(key, route);
                }
            }
        }
    }

    fn touch_parents(&mut self, key: &ObjectKey, route: Route<'_>) {
        let parents = service_parents(key, route);
        self.outputs.extend(parents.into_iter().map(Output::Routes));
    }

    /// Services that a virtual service is for, or those that delegate to it.
    pub(super) fn touch_hosts(
        &mut self,
        objects: &Objects,
        key: &ObjectKey,
        object: &VirtualService,
    ) {
        let mut touched = services_of_hosts(key, object);
        touched.extend(objects.services_named(object));
        for (root, object) in objects.delegating_to(key) {
            touched.extend(services_of_hosts(root, object));
            touched.extend(objects.services_named(object));
        }
        self.outputs.extend(touched.into_iter().map(Output::Routes));
    }

    /// Services that a destination rule is for, and routes to their subsets.
    fn touch_ruled(&mut self, objects: &Objects, key: &ObjectKey, object: &DestinationRule) {
        for service in objects.services_ruled(key, object) {
            for (key, virtual_service) in objects.virtual_services_to(&service) {
                self.touch_hosts(objects, key, virtual_service);
            }
            match service.kind {
                Kind::ServiceEntry => self.touch_host(objects, &service),
                _ => drop(self.outputs.insert(Output::Service(service))),
            }
        }
    }
}
