//! Which model objects a changed object touches.
//!
//! An event is applied to the objects here, because what it touches must be noted both before
//! (what it used to select) and after (what it selects now).

mod authentication;
mod output;
mod pods;
mod policies;
mod routes;
mod service_entry;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::output::Output;
use crate::config::Settings;
use crate::config::objects::gateway::GatewayKey;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::{Claim, ObjectEvent, Objects};

/// Outputs to recompute.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    everything: bool,
    namespaces: BTreeSet<Arc<str>>,
    outputs: BTreeSet<Output>,
}

impl Dirty {
    /// Every output that there is, for a batch so large that asking what it touches costs more.
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Applies an event and notes what it touches.
    pub fn apply(&mut self, settings: &Settings, objects: &mut Objects, event: ObjectEvent) {
        let key = event.key();
        let before = objects.get(&key).cloned();
        if self.everything {
            before
                .iter()
                .for_each(|object| self.touch_routes(objects, &key, object));
            objects.apply(event);
            self.outputs.extend(Output::of(&key));
            return;
        }
        let mut touched = Self::default();
        let by_slices = service_of(before.as_deref()).map(|name| objects.has_slices(&name));
        before
            .iter()
            .for_each(|object| touched.touch(objects, &key, object));
        objects.apply(event);
        let after = objects.get(&key).cloned();
        if before == after {
            return;
        }
        after
            .iter()
            .for_each(|object| touched.touch(objects, &key, object));
        touched.touch_labelled(objects, before.as_deref(), after.as_deref());
        let (was, is) = (before.as_deref(), after.as_deref());
        match key.kind {
            Kind::RequestAuthentication => {
                touched.touch_authentication(settings, objects, &key, was, is);
            }
            _ => touched.touch_policy(settings, objects, &key, was, is),
        }
        for object in [before.as_deref(), after.as_deref()] {
            if let Some(service) = service_of(object)
                && by_slices != Some(objects.has_slices(&service))
            {
                touched.touch_selected(objects, &service);
            }
        }
        self.namespaces.append(&mut touched.namespaces);
        self.outputs.append(&mut touched.outputs);
        self.everything |= touched.everything;
    }

    /// Marks the workload of one pod.
    pub fn pod(&mut self, pod: &ObjectKey) {
        self.outputs.insert(Output::Workload(pod.clone()));
    }

    /// All that is to be recomputed.
    pub fn outputs(self, objects: &Objects) -> BTreeSet<Output> {
        let mut outputs = self.outputs;
        if self.everything {
            outputs.extend(objects.keys().filter_map(Output::of));
            outputs.extend(objects.routed_services().cloned().map(Output::Routes));
            outputs.extend(objects.virtually_routed().into_iter().map(Output::Routes));
            outputs.insert(Output::StaticStrict);
        } else {
            for namespace in &self.namespaces {
                for kind in Kind::ALL {
                    let keys = objects.in_namespace(*kind, namespace).map(|(key, _)| key);
                    outputs.extend(keys.filter_map(Output::of));
                }
            }
        }
        outputs
    }

    fn touch(&mut self, objects: &Objects, key: &ObjectKey, object: &Object) {
        self.outputs.extend(Output::of(key));
        self.outputs
            .extend(objects.rivals(object).filter_map(Output::of));
        self.touch_routes(objects, key, object);
        match object {
            Object::Namespace(_) => {
                self.namespaces.insert(Arc::clone(&key.name));
                self.touch_entries_short_for(objects, &key.name);
            }
            Object::Node(_) => {
                for (pod, object) in objects.pods_on_node(&key.name) {
                    self.pod(pod);
                    self.touch_entries_at(objects, object);
                    // The node has a say in who of those that claim an address has it.
                    let object = objects.get(pod);
                    let rivals = object.into_iter().flat_map(|pod| objects.rivals(pod));
                    self.outputs.extend(rivals.filter_map(Output::of));
                }
            }
            Object::Pod(pod) => {
                self.touch_entries_at(objects, pod);
                let slices = objects.slices_naming(key, pod);
                self.outputs
                    .extend(slices.into_iter().filter_map(Output::of));
            }
            Object::Service(_) => {
                self.touch_service(objects, key);
                self.touch_entries_named(objects, key);
                self.touch_bound_policies(objects, &key.namespace);
            }
            Object::ServiceEntry(_) => self.touch_entry(objects, key, object),
            Object::WorkloadEntry(object) => self.touch_selecting(objects, key, object),
            Object::EndpointSlice(slice) => {
                for endpoint in &slice.endpoints {
                    match endpoint.pod() {
                        Some(name) => {
                            self.pod(&ObjectKey::new(
                                Kind::Pod,
                                Arc::clone(&key.namespace),
                                name.shared(),
                            ));
                        }
                        None => {
                            let owners = endpoint.ips().map(Claim::PodAddress);
                            owners
                                .filter_map(|c| objects.owner(&c))
                                .for_each(|pod| self.pod(pod));
                        }
                    }
                }
            }
            Object::Gateway(_) => {
                self.touch_gateway(objects, key);
                self.touch_all_policies(objects);
            }
            Object::GatewayClass(_) => {
                self.touch_all_policies(objects);
                for (gateway, object) in objects.of_kind(Kind::Gateway) {
                    if matches!(object, Object::Gateway(g) if *g.spec.gateway_class_name == *key.name)
                    {
                        self.touch_gateway(objects, gateway);
                    }
                }
            }
            Object::ServiceAccount(_)
            | Object::NetworkPolicy(_)
            | Object::AuthorizationPolicy(_)
            | Object::PeerAuthentication(_)
            | Object::HttpRoute(_)
            | Object::GrpcRoute(_)
            | Object::TlsRoute(_)
            | Object::TcpRoute(_)
            | Object::ReferenceGrant(_)
            | Object::VirtualService(_)
            | Object::DestinationRule(_)
            | Object::Telemetry(_)
            | Object::RequestAuthentication(_)
            | Object::UnreadablePolicy(_) => {}
        }
    }

    /// What is bound to a Gateway by label, and what was made for it.
    fn touch_gateway(&mut self, objects: &Objects, gateway: &ObjectKey) {
        let gateway = GatewayKey::of(gateway);
        self.touch_bound_policies(objects, &gateway.namespace);
        for user in objects.waypoint_users(&gateway) {
            if user.kind == Kind::Namespace {
                self.namespaces.insert(Arc::clone(&user.name));
                continue;
            }
            self.outputs.extend(Output::of(user));
            if user.kind == Kind::Service {
                self.touch_service(objects, user);
                self.touch_bound_policies(objects, &user.namespace);
            }
            if let Some(entry) = objects.service_entry(user) {
                self.touch_served(objects, user, entry);
                self.touch_bound_policies(objects, &user.namespace);
            }
        }
        let made = objects.made_for(&gateway);
        self.outputs.extend(made.filter_map(Output::of));
    }

    /// What a service leads to.
    fn touch_service(&mut self, objects: &Objects, service: &ObjectKey) {
        self.touch_selected(objects, service);
        self.touch_endpoints(objects, service);
    }
}

/// The service that a slice belongs to.
fn service_of(object: Option<&Object>) -> Option<ObjectKey> {
    let Some(Object::EndpointSlice(slice)) = object else {
        return None;
    };
    Some(ObjectKey::new(
        Kind::Service,
        slice.namespace(),
        Arc::clone(slice.service()?),
    ))
}
