//! Policies that `targetRefs` bind to a waypoint, or to a service behind one.
//!
//! Such a policy applies to every workload that its target leads to: the endpoints of the service,
//! or of all services and pods that are bound to the Gateway, or to any Gateway of a class (which only a
//! policy of a root namespace may name). The waypoint judges by it of what is asked for by its target,
//! before that is routed. Who came around the waypoint was not judged, so these workloads
//! take connections of their waypoint only, and what is sent to their own address goes there too.
//! That also holds where the waypoint cannot serve them: a policy never ends because its Gateway
//! does, and nobody else can judge by it.

use std::sync::Arc;

use ambit_model::{GatewayAddress, PolicyName, ServiceName};

use super::waypoint::{
    Binding, Bound, WhyRefused, address_of, binding, is_our_class, service as service_of_waypoint,
    tunnel_listener,
};
use super::{Inputs, policy, service, service_entry};
use crate::config::objects::authorization_policy::AuthorizationPolicy;
use crate::config::objects::gateway::GatewayKey;
use crate::config::objects::pod::Pod;
use crate::config::objects::selector::TargetReference;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Severity};
use crate::config::store::Objects;

/// Policies of a workload that its waypoint has to judge.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    /// Their names.
    pub(super) policies: Vec<PolicyName>,
    /// Where that is, or would be if it could serve.
    pub(super) waypoint: Option<GatewayAddress>,
}

/// What binds a pod that these services lead to.
pub(super) fn of_pod<'a>(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    pod: &Pod,
    services: impl Iterator<Item = &'a ServiceName>,
) -> Bindings {
    let objects = inputs.objects;
    let mut found = Bindings::default();
    let own = binding(objects, Bound::Workload, &pod.metadata, &key.namespace);
    found.add(inputs, &own, None);
    for name in services {
        let key = match service::key_of(inputs.settings, &name.hostname) {
            Some(service) if objects.service(&service).is_some() => service,
            _ => match service_entry::of_name(inputs, name) {
                Some((entry, _)) => entry.clone(),
                None => continue,
            },
        };
        found.add(inputs, &of_service(objects, &key), Some(&key));
    }
    found.policies.sort();
    found.policies.dedup();
    found
}

impl Bindings {
    fn add(&mut self, inputs: &Inputs<'_>, binding: &Binding, service: Option<&ObjectKey>) {
        let (Binding::To(gateway) | Binding::Refused(gateway, _)) = binding else {
            return;
        };
        let to_gateway = inputs
            .objects
            .in_namespace(Kind::AuthorizationPolicy, &gateway.namespace)
            .filter(|(key, object)| names(key, object, "Gateway", &gateway.name));
        let to_service = service.into_iter().flat_map(|service| {
            let policies = inputs.objects;
            let policies = policies.in_namespace(Kind::AuthorizationPolicy, &service.namespace);
            policies.filter(|(key, object)| names(key, object, service.kind.name(), &service.name))
        });
        let class = inputs
            .objects
            .gateway(gateway)
            .map(|gateway| &gateway.spec.gateway_class_name);
        let roots = inputs.settings.root_namespaces.iter();
        let to_class = roots.flat_map(|root| {
            let policies = inputs.objects.in_namespace(Kind::AuthorizationPolicy, root);
            let of_class = |key: &ObjectKey, object: &Object| {
                class.is_some_and(|class| names(key, object, "GatewayClass", class))
            };
            policies.filter(move |(key, object)| of_class(key, object))
        });
        for (name, _) in to_gateway.chain(to_class).chain(to_service) {
            self.policies.push(policy::name_of(name));
            if self.waypoint.is_none() {
                self.waypoint = address_of(inputs.settings, binding);
            }
        }
    }
}

/// Whether a policy that may refuse something is bound to this object of its namespace, or of none.
fn names(key: &ObjectKey, object: &Object, kind: &str, name: &str) -> bool {
    let Object::AuthorizationPolicy(policy) = object else {
        return false;
    };
    let is_this = |to: &TargetReference| {
        is_known(to, &key.namespace) && *to.kind == *kind && *to.name == *name
    };
    policy.may_refuse() && policy.targets().any(is_this)
}

/// Whether a target is of a kind that waypoints judge for, in this namespace, which is the policy's.
fn is_known(target: &TargetReference, namespace: &str) -> bool {
    let kinds = ["Gateway", "Service", "ServiceEntry", "GatewayClass"];
    target.is_within(namespace) && kinds.contains(&&*target.kind)
}

/// The services by which the targets of a policy are told: of a Gateway, that by which its waypoint is
/// reached; of a class, those of all its Gateways.
pub(super) fn services(
    inputs: &Inputs<'_>,
    namespace: &Arc<str>,
    policy: &AuthorizationPolicy,
) -> Vec<ServiceName> {
    let mut services = Vec::new();
    let known = |target: &&TargetReference| is_known(target, namespace);
    for target in policy.targets().filter(known) {
        let (namespace, name) = (Arc::clone(namespace), Arc::clone(&target.name));
        match &*target.kind {
            "Gateway" => {
                let gateway = GatewayKey { namespace, name };
                services.push(service_of_waypoint(inputs.settings, &gateway));
            }
            "Service" => {
                let service = ObjectKey::new(Kind::Service, namespace, name);
                services.push(service::name_of(inputs.settings, &service));
            }
            "ServiceEntry" => {
                let key = ObjectKey::new(Kind::ServiceEntry, namespace, name);
                let entry = inputs.objects.service_entry(&key);
                let hosts = entry.map(|entry| service_entry::hosts(inputs, &key, entry));
                let named = hosts.into_iter().flatten();
                services
                    .extend(named.map(|host| {
                        ServiceName::new(Arc::clone(&key.namespace), Arc::clone(host))
                    }));
            }
            _ if inputs.settings.is_root(&namespace) => {
                let of_class = gateways_of(inputs.objects, &name);
                services.extend(of_class.map(|key| service_of_waypoint(inputs.settings, &key)));
            }
            _ => {}
        }
    }
    services.sort();
    services.dedup();
    services
}

/// The Gateways of a class.
pub(super) fn gateways_of<'a>(
    objects: &'a Objects,
    class: &'a str,
) -> impl Iterator<Item = GatewayKey> + 'a {
    let gateways = objects.of_kind(Kind::Gateway);
    let of_class = gateways.filter(move |(_, object)| {
        matches!(object, Object::Gateway(gateway) if *gateway.spec.gateway_class_name == *class)
    });
    of_class.map(|(key, _)| GatewayKey::of(key))
}

/// What is wrong with the targets of a policy of this namespace.
pub(super) fn findings(
    inputs: &Inputs<'_>,
    namespace: &Arc<str>,
    policy: &AuthorizationPolicy,
) -> Vec<(Severity, Finding)> {
    let targets = policy.targets().enumerate();
    let found = targets.filter_map(|(index, target)| {
        let TargetReference { kind, name, .. } = target;
        let nobody = "bind it to a waypoint, or use a selector to have node agents enforce this";
        let (what, advice) = match stand(inputs, namespace, target) {
            Stand::Unknown => {
                let what = "is no Gateway or Service of this namespace: nothing enforces that";
                (what.to_owned(), nobody)
            }
            Stand::NotInRoot => {
                let what =
                    "a GatewayClass is for policies of the root namespace: nothing enforces this";
                (what.to_owned(), "write it there, or name a Gateway")
            }
            Stand::Free => (format!("no waypoint stands before {kind} {name}"), nobody),
            Stand::Refused(gateway, why) => {
                let why = why.words();
                let what = format!(
                    "waypoint {gateway}: {why}; until it can judge by this policy, every \
                     connection to what {kind} {name} leads to is refused"
                );
                (what, "correct the Gateway, the label or this reference")
            }
            Stand::Behind => return None,
        };
        let field = format!("spec.targetRefs[{index}]");
        Some((Severity::Error, Finding::new(&field, what, advice)))
    });
    found.collect()
}

/// Whether anything may be bound by the targets of a policy of this namespace.
pub(super) fn leads_anywhere(
    inputs: &Inputs<'_>,
    namespace: &Arc<str>,
    policy: &AuthorizationPolicy,
) -> bool {
    let mut stands = policy.targets().map(|to| stand(inputs, namespace, to));
    stands.any(|stand| matches!(stand, Stand::Behind | Stand::Refused(..)))
}

/// How what a policy is bound to stands to waypoints.
#[derive(Debug)]
pub(super) enum Stand {
    /// It is nothing that a policy can be bound to.
    Unknown,
    /// It is a class, and the policy is not in a root namespace.
    NotInRoot,
    /// No waypoint stands before it.
    Free,
    /// One does.
    Behind,
    /// One is to, and cannot: what is bound to it is refused.
    Refused(GatewayKey, WhyRefused),
}

pub(super) fn stand(inputs: &Inputs<'_>, namespace: &Arc<str>, target: &TargetReference) -> Stand {
    let objects = inputs.objects;
    if !is_known(target, namespace) {
        return Stand::Unknown;
    }
    if *target.kind == *"GatewayClass" {
        return match is_our_class(objects, &target.name) {
            _ if !inputs.settings.is_root(namespace) => Stand::NotInRoot,
            true => Stand::Behind,
            false => Stand::Free,
        };
    }
    let (namespace, name) = (Arc::clone(namespace), Arc::clone(&target.name));
    if *target.kind == *"Gateway" {
        let key = GatewayKey { namespace, name };
        return match objects.gateway(&key).map(tunnel_listener) {
            Some(Some(_)) => Stand::Behind,
            Some(None) => Stand::Refused(key, WhyRefused::NotAWaypoint),
            None => Stand::Refused(key, WhyRefused::Missing),
        };
    }
    let kind = match &*target.kind {
        "ServiceEntry" => Kind::ServiceEntry,
        _ => Kind::Service,
    };
    match of_service(objects, &ObjectKey::new(kind, namespace, name)) {
        Binding::Free | Binding::OutOfScope(_) => Stand::Free,
        Binding::To(_) => Stand::Behind,
        Binding::Refused(gateway, why) => Stand::Refused(gateway, why),
    }
}

/// How a service or service entry, which may not be there, stands to waypoints.
fn of_service(objects: &Objects, key: &ObjectKey) -> Binding {
    let service = objects.service(key).map(|service| &service.metadata);
    let entry = || objects.service_entry(key).map(|entry| &entry.metadata);
    service.or_else(entry).map_or(Binding::Free, |metadata| {
        binding(objects, Bound::Service, metadata, &key.namespace)
    })
}
