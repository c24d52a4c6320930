//! Waypoints as whoever serves them asks: which there are, and which pods they are. What is bound to
//! one the model tells ([`ambit_model::Mesh::bound_services`]).

pub mod report;

use ambit_model::ServiceName;

use super::objects::gateway::GatewayKey;
use super::objects::pod::Pod;
use super::objects::{Kind, Object, ObjectKey};
use super::store::ObjectEvent;
use super::{Configuration, translate};

impl Configuration {
    /// The waypoint that a pod is, if it is one of ours: the Gateway whose stream it may ask for.
    pub fn waypoint_of_pod(&self, namespace: &str, pod: &str) -> Option<GatewayKey> {
        let key = ObjectKey::new(Kind::Pod, namespace, pod);
        let object = self.objects.pod(&key)?;
        if object.is_finished() {
            return None;
        }
        translate::waypoint_of_pod(&self.objects, object, &key.namespace)
    }

    /// Gateways of ours that are waypoints.
    pub fn our_waypoints(&self) -> impl Iterator<Item = GatewayKey> {
        let gateways = self.objects.of_kind(Kind::Gateway);
        gateways.filter_map(|(key, object)| match object {
            Object::Gateway(gateway) => {
                translate::tunnel_listener(gateway)?;
                let class = &gateway.spec.gateway_class_name;
                translate::is_our_class(&self.objects, class).then(|| GatewayKey::of(key))
            }
            _ => None,
        })
    }

    /// Pods that are waypoints of ours and have not ended, each with its Gateway.
    pub fn waypoint_pods(&self) -> impl Iterator<Item = (&ObjectKey, &Pod, GatewayKey)> {
        self.our_waypoints().flat_map(move |gateway| {
            let made = self.objects.made_for(&gateway);
            made.filter_map(move |key| {
                let pod = self.objects.pod(key).filter(|pod| !pod.is_finished())?;
                let gateway = translate::waypoint_of_pod(&self.objects, pod, &key.namespace)?;
                Some((key, pod, gateway))
            })
        })
    }

    /// Whether an event, not applied yet, is about a pod that is or was labelled as made for a
    /// Gateway.
    pub fn is_made_for_gateway(&self, event: &ObjectEvent) -> bool {
        let is_made = |pod: &Pod| pod.metadata.labels.contains_key(translate::GATEWAY_NAME);
        let is_now = match event {
            ObjectEvent::Put { object, .. } => {
                matches!(object.as_ref(), Object::Pod(pod) if is_made(pod))
            }
            ObjectEvent::Remove { .. } => false,
        };
        is_now || self.objects.pod(&event.key()).is_some_and(is_made)
    }

    /// The service by which a waypoint is reached.
    pub fn waypoint_service(&self, gateway: &GatewayKey) -> ServiceName {
        translate::waypoint_service(&self.settings, gateway)
    }
}

#[cfg(test)]
mod tests;
