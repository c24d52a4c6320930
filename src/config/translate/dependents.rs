//! Which model objects a changed object touches.
//!
//! An event is applied to the objects here, because what it touches must be noted both before
//! (what it used to select) and after (what it selects now).

mod authentication;
mod service_entry;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::targets::gateways_of;
use crate::config::Settings;
use crate::config::objects::authorization_policy::AuthorizationPolicy;
use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::gateway::GatewayKey;
use crate::config::objects::metadata::{Labels, selects};
use crate::config::objects::route_parts::Route;
use crate::config::objects::virtual_service::VirtualService;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::store::{
    Claim, ObjectEvent, Objects, labels_asked, service_parents, services_of_hosts,
};

/// One model object, or a few that are made together, by the object that it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// The workload of a pod.
    Workload(ObjectKey),
    /// The workloads of a slice's endpoints that are not pods.
    OutsideEndpoints(ObjectKey),
    /// A service.
    Service(ObjectKey),
    /// The services of a service entry's hosts, and their workloads that are not pods.
    ServiceEntry(ObjectKey),
    /// The routes of a service, which may not be there.
    Routes(ObjectKey),
    /// The policy of a policy object.
    Policy(ObjectKey),
    /// A request authentication.
    Authentication(ObjectKey),
    /// The policy that refuses plaintext.
    StaticStrict,
}

impl Output {
    /// What an object becomes, if it becomes something itself.
    fn of(key: &ObjectKey) -> Option<Self> {
        match key.kind {
            Kind::Pod => Some(Self::Workload(key.clone())),
            Kind::EndpointSlice => Some(Self::OutsideEndpoints(key.clone())),
            Kind::Service => Some(Self::Service(key.clone())),
            Kind::ServiceEntry => Some(Self::ServiceEntry(key.clone())),
            Kind::AuthorizationPolicy | Kind::PeerAuthentication => Some(Self::Policy(key.clone())),
            Kind::RequestAuthentication => Some(Self::Authentication(key.clone())),
            Kind::Namespace
            | Kind::Node
            | Kind::ServiceAccount
            | Kind::NetworkPolicy
            | Kind::GatewayClass
            | Kind::Gateway
            | Kind::HttpRoute
            | Kind::GrpcRoute
            | Kind::TlsRoute
            | Kind::TcpRoute
            | Kind::ReferenceGrant
            | Kind::VirtualService
            | Kind::DestinationRule
            | Kind::Telemetry
            | Kind::WorkloadEntry
            | Kind::Sidecar
            | Kind::EnvoyFilter => None,
        }
    }
}

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
                let slices = objects.slices_with(key, pod);
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

    /// Policies of a namespace that depend on which waypoints stand before what.
    fn touch_bound_policies(&mut self, objects: &Objects, namespace: &str) {
        let policies = objects.in_namespace(Kind::AuthorizationPolicy, namespace);
        self.touch_policies(policies);
    }

    /// The same of all namespaces: one of a root namespace depends on waypoints anywhere.
    fn touch_all_policies(&mut self, objects: &Objects) {
        self.touch_policies(objects.of_kind(Kind::AuthorizationPolicy));
    }

    fn touch_policies<'o>(&mut self, policies: impl Iterator<Item = (&'o ObjectKey, &'o Object)>) {
        let depending = policies.filter(
            |(_, object)| matches!(object, Object::AuthorizationPolicy(policy) if policy.looks_for_waypoints()),
        );
        self.outputs
            .extend(depending.filter_map(|(key, _)| Output::of(key)));
    }

    /// What the targets of a policy lead to.
    fn touch_targets(&mut self, objects: &Objects, key: &ObjectKey, policy: &AuthorizationPolicy) {
        for target in policy.targets() {
            let of =
                |kind| ObjectKey::new(kind, Arc::clone(&key.namespace), Arc::clone(&target.name));
            match &*target.kind {
                "Service" => self.touch_service(objects, &of(Kind::Service)),
                "ServiceEntry" => {
                    let key = of(Kind::ServiceEntry);
                    if let Some(entry) = objects.service_entry(&key) {
                        self.touch_served(objects, &key, entry);
                    }
                }
                "Gateway" => self.touch_gateway(objects, &of(Kind::Gateway)),
                "GatewayClass" => {
                    for gateway in gateways_of(objects, &target.name) {
                        self.touch_gateway(objects, &gateway.object());
                    }
                }
                _ => {}
            }
        }
    }

    /// Routes of services that depend on an object: on a route itself, on a service that routes are for
    /// or lead to, or on a grant.
    fn touch_routes(&mut self, objects: &Objects, key: &ObjectKey, object: &Object) {
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
    fn touch_hosts(&mut self, objects: &Objects, key: &ObjectKey, object: &VirtualService) {
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

    /// Pods that have a label of which it has changed whether anybody asks for it.
    fn touch_labelled(
        &mut self,
        objects: &Objects,
        before: Option<&Object>,
        after: Option<&Object>,
    ) {
        let asked = |object: Option<&Object>| match object {
            Some(Object::VirtualService(object)) => {
                labels_asked(object).into_iter().cloned().collect()
            }
            Some(Object::DestinationRule(object)) => object.labels(),
            _ => BTreeSet::new(),
        };
        let (before, after): (BTreeSet<Arc<str>>, BTreeSet<Arc<str>>) =
            (asked(before), asked(after));
        let changed: Vec<&Arc<str>> = before.symmetric_difference(&after).collect();
        if changed.is_empty() {
            return;
        }
        self.touch_labelled_endpoints(objects);
        for (key, object) in objects.of_kind(Kind::Pod) {
            let Object::Pod(pod) = object else { continue };
            let labels = &pod.metadata.labels;
            if changed.iter().any(|label| labels.contains_key(*label)) {
                self.outputs.insert(Output::Workload(key.clone()));
            }
        }
    }

    /// Pods that a service selects.
    fn touch_selected(&mut self, objects: &Objects, service: &ObjectKey) {
        let Some(selector) = objects
            .service(service)
            .map(|service| &service.spec.selector)
        else {
            return;
        };
        if !selector.is_empty() {
            self.touch_pods(objects, Some(&service.namespace), selector);
        }
    }

    /// What stands in the slices of a service.
    fn touch_endpoints(&mut self, objects: &Objects, service: &ObjectKey) {
        for slice in objects.slices_of(service) {
            let key = ObjectKey::new(
                Kind::EndpointSlice,
                Arc::clone(&service.namespace),
                slice.metadata.name.shared(),
            );
            self.touch(
                objects,
                &key,
                &Object::EndpointSlice(Box::new(slice.clone())),
            );
        }
    }

    /// Pods with the given labels, of one namespace or of all.
    fn touch_pods(&mut self, objects: &Objects, namespace: Option<&str>, wanted: &Labels) {
        let mut mark = |(key, object): (&ObjectKey, &Object)| {
            if matches!(object, Object::Pod(pod) if selects(wanted, &pod.metadata.labels)) {
                self.outputs.insert(Output::Workload(key.clone()));
            }
        };
        match namespace {
            Some(namespace) => objects
                .in_namespace(Kind::Pod, namespace)
                .for_each(&mut mark),
            None => objects.of_kind(Kind::Pod).for_each(&mut mark),
        }
    }

    /// Pods whose list of policies changes; none if only the rules of a policy did.
    fn touch_policy(
        &mut self,
        settings: &Settings,
        objects: &Objects,
        key: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) {
        let reaches =
            [before, after].map(|object| object.and_then(|o| Reach::of(settings, key, o)));
        let relist = match (before, after) {
            (Some(Object::AuthorizationPolicy(_)), Some(Object::AuthorizationPolicy(_))) => {
                reaches[0] != reaches[1]
            }
            _ => true,
        };
        for object in [before, after] {
            if let Some(Object::AuthorizationPolicy(policy)) = object {
                self.touch_targets(objects, key, policy);
            }
        }
        if key.kind == Kind::PeerAuthentication {
            self.outputs.insert(Output::StaticStrict);
        }
        for reach in reaches.into_iter().flatten().filter(|_| relist) {
            match (reach.namespace, reach.selector) {
                (None, None) => self.everything = true,
                (Some(namespace), None) => {
                    self.namespaces.insert(namespace);
                }
                (namespace, Some(selector)) => {
                    self.touch_pods(objects, namespace.as_deref(), &selector);
                }
            }
        }
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

/// Pods that a policy may apply to.
#[derive(PartialEq, Eq)]
struct Reach {
    /// `None` for all.
    namespace: Option<Arc<str>>,
    /// `None` for every pod.
    selector: Option<Labels>,
}

impl Reach {
    fn of(settings: &Settings, key: &ObjectKey, object: &Object) -> Option<Self> {
        let namespace = Some(Arc::clone(&key.namespace));
        let wide = namespace
            .clone()
            .filter(|namespace| !settings.is_root(namespace));
        match object {
            Object::AuthorizationPolicy(policy) => {
                let selector = policy
                    .selector()
                    .map(|selector| selector.match_labels.clone());
                policy.applies_to_pods().then_some(Self {
                    namespace: wide,
                    selector,
                })
            }
            Object::PeerAuthentication(policy) => Some(match policy.selector() {
                Some(selector) => Self {
                    namespace,
                    selector: Some(selector.match_labels.clone()),
                },
                None => Self {
                    namespace: wide,
                    selector: None,
                },
            }),
            Object::UnreadablePolicy(_) => Some(Self {
                namespace: wide,
                selector: None,
            }),
            _ => None,
        }
    }
}
