//! What whoever owns waypoints has to know of the configuration: the Gateways that are ours, their
//! classes, and how services stand to waypoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Configuration;
use crate::config::objects::gateway::{Gateway, GatewayClass, GatewayKey};
use crate::config::objects::metadata::Metadata;
use crate::config::objects::service::Service;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::statuses::Shown;
use crate::config::translate::{self, Binding, Bound, CONTROLLER};

/// The condition that says on a service what its label has led to.
pub const WAYPOINT_BOUND: &str = "ambit.mesh/WaypointBound";

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waypoints {
    /// Classes by name, also those of others.
    pub classes: BTreeMap<Arc<str>, SeenClass>,
    /// Gateways of our classes.
    pub gateways: BTreeMap<GatewayKey, SeenGateway>,
    /// Gateways of other classes, and their uids.
    pub others: BTreeMap<GatewayKey, Arc<str>>,
    /// Services that have a label for a waypoint, or a condition from when they had.
    pub services: Vec<SeenService>,
}

/// A class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenClass {
    /// The object.
    pub class: GatewayClass,
    /// As the API server shows it.
    pub shown: Shown,
}

/// A Gateway of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenGateway {
    /// The object.
    pub gateway: Gateway,
    /// As the API server shows it.
    pub shown: Shown,
    /// Virtual addresses of the service that was made for it.
    pub addresses: Vec<IpAddr>,
    /// Its pods that are ready.
    pub ready: usize,
}

/// A service that has to do with a waypoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenService {
    /// The service.
    pub key: ObjectKey,
    /// As the API server shows it.
    pub shown: Shown,
    /// How it stands to waypoints.
    pub binding: Binding,
}

impl SeenClass {
    /// Whether its Gateways are ours to take care of.
    pub fn is_ours(&self) -> bool {
        &*self.class.spec.controller_name == CONTROLLER
    }
}

impl Waypoints {
    /// Namespaces that have a Gateway of ours.
    pub fn namespaces(&self) -> BTreeSet<Arc<str>> {
        let keys = self.gateways.keys();
        keys.map(|key| Arc::clone(&key.namespace)).collect()
    }
}

impl Configuration {
    /// What is to be known of waypoints now.
    pub fn waypoints(&self) -> Waypoints {
        let classes = self.objects.of_kind(Kind::GatewayClass);
        let classes = classes.filter_map(|(key, object)| match object {
            Object::GatewayClass(class) => {
                let (class, shown) = (GatewayClass::clone(class), self.shown(key));
                Some((Arc::clone(&key.name), SeenClass { class, shown }))
            }
            _ => None,
        });
        let gateways = self.objects.of_kind(Kind::Gateway);
        let gateways = gateways.filter_map(|(key, object)| match object {
            Object::Gateway(gateway) => Some((GatewayKey::of(key), &**gateway)),
            _ => None,
        });
        let is_ours = |(_, gateway): &(GatewayKey, &Gateway)| {
            translate::is_our_class(&self.objects, &gateway.spec.gateway_class_name)
        };
        let (ours, others): (Vec<_>, Vec<_>) = gateways.partition(is_ours);
        let services = self.objects.of_kind(Kind::Service);
        let services = services.filter_map(|(key, object)| match object {
            Object::Service(service) => self.seen_service(key, &service.metadata),
            _ => None,
        });
        Waypoints {
            classes: classes.collect(),
            gateways: ours
                .into_iter()
                .map(|(key, it)| self.seen_gateway(key, it))
                .collect(),
            others: others
                .into_iter()
                .map(|(key, _)| self.seen_other(key))
                .collect(),
            services: services.collect(),
        }
    }

    fn seen_gateway(&self, key: GatewayKey, gateway: &Gateway) -> (GatewayKey, SeenGateway) {
        let pods = self.objects.made_for(&key);
        let pods = pods.filter_map(|made| self.objects.pod(made));
        let ready = pods.filter(|pod| {
            let is_one = translate::waypoint_of_pod(&self.objects, pod, &key.namespace);
            let leaves = pod.metadata.deletion_timestamp.is_some();
            is_one.as_ref() == Some(&key) && pod.ready() == Some(true) && !leaves
        });
        let ready = ready.count();
        let service = self
            .objects
            .made_for(&key)
            .find(|made| made.kind == Kind::Service && made.name == key.name);
        let service = service.and_then(|service| self.objects.service(service));
        let seen = SeenGateway {
            gateway: gateway.clone(),
            shown: self.shown(&key.object()),
            addresses: service.map(Service::addresses).unwrap_or_default(),
            ready,
        };
        (key, seen)
    }

    fn seen_other(&self, key: GatewayKey) -> (GatewayKey, Arc<str>) {
        let uid = self.shown(&key.object()).uid;
        (key, uid)
    }

    fn seen_service(&self, key: &ObjectKey, metadata: &Metadata) -> Option<SeenService> {
        let binding = translate::binding(&self.objects, Bound::Service, metadata, &key.namespace);
        let shown = self.shown.get(key)?;
        if binding == Binding::Free && shown.condition(WAYPOINT_BOUND).is_none() {
            return None;
        }
        Some(SeenService {
            key: key.clone(),
            shown: shown.clone(),
            binding,
        })
    }

    fn shown(&self, key: &ObjectKey) -> Shown {
        self.shown.get(key).cloned().unwrap_or_default()
    }
}
