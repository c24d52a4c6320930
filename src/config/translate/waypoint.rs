//! Which waypoint an object is bound to, and which pods are one.
//!
//! A binding is by label: of the object itself, otherwise of its namespace. It holds as far as the
//! waypoint's scope goes (`waypoint-for`, on the Gateway or on its class; services, if nothing is
//! said). Bound traffic goes through the waypoint or nowhere: a label that names no waypoint, or one
//! that does not admit the namespace, is a binding that refuses. Of a waypoint that is not there the
//! scope is not known, so that it covers everything.
//!
//! What was made for a waypoint is never behind one.

mod findings;

use std::sync::Arc;

use ambit_model::{GatewayAddress, ServiceName};

use super::Inputs;
use super::workload::first_label;
use crate::config::Settings;
use crate::config::objects::gateway::{Gateway, GatewayKey, Listener};
use crate::config::objects::metadata::{Labels, Metadata};
use crate::config::objects::pod::Pod;
use crate::config::store::Objects;

pub use self::findings::waypoint_findings;

/// Who takes care of Gateways that are our waypoints, as classes name it.
pub const CONTROLLER: &str = "ambit.mesh/waypoint-controller";
/// The class of our waypoints.
pub const CLASS: &str = "ambit-waypoint";
/// Port on which a waypoint takes tunnels.
pub const WAYPOINT_PORT: u16 = 15008;
/// Protocol of the listener there.
pub const HBONE: &str = "HBONE";
/// Label of what was made for a Gateway; its value is the Gateway's name.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// Labels that bind; ours beats Istio's. With `-namespace` behind it, where the waypoint is.
pub(crate) const USE_WAYPOINT: [&str; 2] = ["ambit.mesh/use-waypoint", "istio.io/use-waypoint"];
/// Labels that say what a waypoint is for; ours beats Istio's.
pub(crate) const WAYPOINT_FOR: [&str; 2] = ["ambit.mesh/waypoint-for", "istio.io/waypoint-for"];

/// What a binding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A service.
    Service,
    /// A pod's own address.
    Workload,
}

/// What a waypoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Traffic to services.
    pub services: bool,
    /// Traffic to pods' own addresses.
    pub workloads: bool,
}

/// How an object stands to waypoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It is bound to none.
    Free,
    /// It has a label, but the waypoint is not for objects like it.
    OutOfScope(GatewayKey),
    /// It is bound to this one.
    To(GatewayKey),
    /// It is bound to one that cannot serve it: its traffic is refused.
    Refused(GatewayKey, WhyRefused),
}

/// Why a binding refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyRefused {
    /// There is no such Gateway.
    Missing,
    /// That Gateway has no listener for tunnels.
    NotAWaypoint,
    /// Its listener does not admit the namespace.
    NotAdmitted,
}

impl WhyRefused {
    /// The same for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "there is no such Gateway",
            Self::NotAWaypoint => "that Gateway has no listener of protocol HBONE on port 15008",
            Self::NotAdmitted => {
                "allowedRoutes.namespaces of its listener does not admit this namespace"
            }
        }
    }
}

impl Scope {
    const SERVICES: Self = Self::of(true, false);
    const EVERYTHING: Self = Self::of(true, true);

    const fn of(services: bool, workloads: bool) -> Self {
        Self {
            services,
            workloads,
        }
    }

    /// The scope of that name. One that nobody knows is all of it: never a way around.
    fn named(name: &str) -> Self {
        match name {
            "service" => Self::SERVICES,
            "workload" => Self::of(false, true),
            "none" => Self::of(false, false),
            _ => Self::EVERYTHING,
        }
    }

    /// Whether it is one of the names that mean something.
    fn is_known(name: &str) -> bool {
        ["service", "workload", "all", "none", ""].contains(&name)
    }

    fn covers(self, bound: Bound) -> bool {
        match bound {
            Bound::Service => self.services,
            Bound::Workload => self.workloads,
        }
    }
}

/// What labels say of a waypoint: nothing, `none`, or which one. `home` is where one is looked for
/// that the labels give no namespace for.
pub fn named_waypoint(labels: &Labels, home: &Arc<str>) -> Option<Option<GatewayKey>> {
    let (label, name) = USE_WAYPOINT.into_iter().find_map(|label| {
        let name = labels.get(label).filter(|name| !name.is_empty())?;
        Some((label, name))
    })?;
    if **name == *"none" {
        return Some(None);
    }
    let elsewhere = labels.get(format!("{label}-namespace").as_str());
    let namespace = elsewhere.filter(|namespace| !namespace.is_empty());
    Some(Some(GatewayKey {
        namespace: Arc::clone(namespace.unwrap_or(home)),
        name: Arc::clone(name),
    }))
}

/// The Gateway that an object of this namespace is labelled as made for.
pub fn made_for(labels: &Labels, namespace: &Arc<str>) -> Option<GatewayKey> {
    let name = labels.get(GATEWAY_NAME).filter(|name| !name.is_empty())?;
    Some(GatewayKey {
        namespace: Arc::clone(namespace),
        name: Arc::clone(name),
    })
}

/// Whether Gateways of that class are ours to take care of.
pub fn is_our_class(objects: &Objects, class: &str) -> bool {
    match objects.gateway_class(class) {
        Some(class) => &*class.spec.controller_name == CONTROLLER,
        // A folder need not repeat what the control plane makes in a cluster.
        None => class == CLASS,
    }
}

/// The listener that makes a Gateway a waypoint.
pub fn tunnel_listener(gateway: &Gateway) -> Option<&Listener> {
    let takes =
        |listener: &&Listener| &*listener.protocol == HBONE && listener.port == WAYPOINT_PORT;
    gateway.spec.listeners.iter().find(takes)
}

/// What a waypoint is for.
pub fn scope(objects: &Objects, gateway: &Gateway) -> Scope {
    let of_class = || {
        let class = objects.gateway_class(&gateway.spec.gateway_class_name)?;
        first_label(&class.metadata.labels, &WAYPOINT_FOR)
    };
    let named = first_label(&gateway.metadata.labels, &WAYPOINT_FOR).or_else(of_class);
    named.map_or(Scope::SERVICES, |name| Scope::named(&name))
}

/// How an object stands to waypoints.
pub fn binding(objects: &Objects, bound: Bound, of: &Metadata, namespace: &Arc<str>) -> Binding {
    labelled(objects, bound, &of.labels, namespace)
}

/// The same of whatever has these labels.
pub(super) fn labelled(
    objects: &Objects,
    bound: Bound,
    labels: &Labels,
    namespace: &Arc<str>,
) -> Binding {
    let labels_of_namespace = objects.namespace_labels(namespace);
    let named = named_waypoint(labels, namespace)
        .or_else(|| named_waypoint(labels_of_namespace?, namespace));
    let Some(key) = named.flatten() else {
        return Binding::Free;
    };
    let made = made_for(labels, namespace).and_then(|made| objects.gateway(&made));
    if made.and_then(tunnel_listener).is_some() {
        return Binding::Free;
    }
    let Some(gateway) = objects.gateway(&key) else {
        return Binding::Refused(key, WhyRefused::Missing);
    };
    let Some(listener) = tunnel_listener(gateway) else {
        return Binding::Refused(key, WhyRefused::NotAWaypoint);
    };
    if !scope(objects, gateway).covers(bound) {
        return Binding::OutOfScope(key);
    }
    let namespaces = &listener.allowed_routes.namespaces;
    if namespaces.admit(&key.namespace, namespace, labels_of_namespace) {
        Binding::To(key)
    } else {
        Binding::Refused(key, WhyRefused::NotAdmitted)
    }
}

/// The waypoint of an object as data planes are told of it.
pub(super) fn waypoint(
    inputs: &Inputs<'_>,
    bound: Bound,
    of: &Metadata,
    namespace: &Arc<str>,
) -> Option<GatewayAddress> {
    address_of(
        inputs.settings,
        &binding(inputs.objects, bound, of, namespace),
    )
}

/// Where data planes are told to find the waypoint of a binding; nowhere, if that refuses.
pub(super) fn address_of(settings: &Settings, binding: &Binding) -> Option<GatewayAddress> {
    match binding {
        Binding::Free | Binding::OutOfScope(_) => None,
        Binding::To(key)
        | Binding::Refused(key, WhyRefused::Missing | WhyRefused::NotAWaypoint) => {
            Some(address(settings, key))
        }
        // Its service is there and would take the tunnel. This name nothing has (RFC 6761, 6.4).
        Binding::Refused(GatewayKey { namespace, name }, WhyRefused::NotAdmitted) => {
            let hostname = format!("{name}.{namespace}.not-admitted.invalid");
            let service = ServiceName::new(Arc::clone(namespace), hostname);
            Some(GatewayAddress::Service(service, WAYPOINT_PORT))
        }
    }
}

/// Where a waypoint is reached: by the service that has its Gateway's name.
fn address(settings: &Settings, gateway: &GatewayKey) -> GatewayAddress {
    GatewayAddress::Service(service(settings, gateway), WAYPOINT_PORT)
}

/// The service by which a waypoint is reached.
pub fn service(settings: &Settings, gateway: &GatewayKey) -> ServiceName {
    let GatewayKey { namespace, name } = gateway;
    let hostname = format!("{name}.{namespace}.svc.{}", settings.cluster_domain);
    ServiceName::new(Arc::clone(namespace), hostname)
}

/// The waypoint that a pod is: labelled as made for a Gateway of ours, with the service account that
/// was made with it.
pub fn waypoint_of_pod(objects: &Objects, pod: &Pod, namespace: &Arc<str>) -> Option<GatewayKey> {
    let key = made_for(&pod.metadata.labels, namespace)?;
    let gateway = objects.gateway(&key)?;
    tunnel_listener(gateway)?;
    let is_ours = is_our_class(objects, &gateway.spec.gateway_class_name)
        && pod.service_account() == key.name
        && !pod.spec.host_network;
    is_ours.then_some(key)
}
