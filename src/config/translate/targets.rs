//! Policies that `targetRefs` bind to a waypoint, or to a service behind one.
//!
//! Such a policy applies to every workload that its target leads to: the endpoints of the service,
//! or of all services and pods that are bound to the Gateway. The waypoint judges clients by it as
//! by any policy of the workload. Who came around the waypoint was not judged, so these workloads
//! take connections of their waypoint only, and what is sent to their own address goes there too.

use std::sync::Arc;

use ambit_model::{GatewayAddress, PolicyName, ServiceName};

use super::waypoint::{Binding, Bound, address, binding, tunnel_listener};
use super::{Inputs, policy};
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
    /// The waypoint.
    pub(super) waypoint: Option<GatewayKey>,
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
    if let Binding::To(gateway) = binding(objects, Bound::Workload, &pod.metadata, &key.namespace) {
        found.add(inputs, &gateway, None);
    }
    for name in services {
        let short = name.hostname.split('.').next().unwrap_or_default();
        let service = ObjectKey::new(Kind::Service, Arc::clone(&name.namespace), short);
        if let Some(gateway) = waypoint_of(objects, &service) {
            found.add(inputs, &gateway, Some(&service));
        }
    }
    found.policies.sort();
    found.policies.dedup();
    found
}

impl Bindings {
    fn add(&mut self, inputs: &Inputs<'_>, gateway: &GatewayKey, service: Option<&ObjectKey>) {
        let to_gateway = inputs
            .objects
            .in_namespace(Kind::AuthorizationPolicy, &gateway.namespace)
            .filter(|(_, object)| names(object, "Gateway", &gateway.name));
        let to_service = service.into_iter().flat_map(|service| {
            let policies = inputs.objects;
            let policies = policies.in_namespace(Kind::AuthorizationPolicy, &service.namespace);
            policies.filter(|(_, object)| names(object, "Service", &service.name))
        });
        for (name, _) in to_gateway.chain(to_service) {
            self.policies.push(policy::name_of(name));
            self.waypoint.get_or_insert_with(|| gateway.clone());
        }
    }

    /// The waypoint's address.
    pub(super) fn address(&self, inputs: &Inputs<'_>) -> Option<GatewayAddress> {
        let gateway = self.waypoint.as_ref()?;
        Some(address(inputs.settings, gateway))
    }
}

/// Whether a policy is bound to this object of its namespace.
fn names(object: &Object, kind: &str, name: &str) -> bool {
    let Object::AuthorizationPolicy(policy) = object else {
        return false;
    };
    let is_this = |to: &TargetReference| is_known(to) && *to.kind == *kind && *to.name == *name;
    policy.is_bound() && policy.targets().any(is_this)
}

/// Whether a target is of a kind that waypoints judge for, in the namespace of the policy.
fn is_known(target: &TargetReference) -> bool {
    target.namespace.is_none() && ["Gateway", "Service"].contains(&&*target.kind)
}

/// Targets for which nobody enforces a policy of this namespace.
pub(super) fn findings(
    objects: &Objects,
    namespace: &Arc<str>,
    policy: &AuthorizationPolicy,
) -> Vec<(Severity, Finding)> {
    let targets = policy.targets().enumerate();
    let found = targets.filter_map(|(index, target)| {
        let what = if !is_known(target) {
            "is no Gateway or Service of this namespace: nothing enforces that".to_owned()
        } else if !is_behind_waypoint(objects, namespace, target) {
            format!("no waypoint stands before {} {}", target.kind, target.name)
        } else {
            return None;
        };
        let advice = "bind it to a waypoint, or use a selector to have node agents enforce this";
        let field = format!("spec.targetRefs[{index}]");
        Some((Severity::Error, Finding::new(&field, what, advice)))
    });
    found.collect()
}

/// Whether a waypoint stands before what a policy of this namespace is bound to.
fn is_behind_waypoint(objects: &Objects, namespace: &Arc<str>, target: &TargetReference) -> bool {
    if *target.kind == *"Gateway" {
        let key = GatewayKey {
            namespace: Arc::clone(namespace),
            name: Arc::clone(&target.name),
        };
        let gateway = objects.gateway(&key);
        return gateway.and_then(tunnel_listener).is_some();
    }
    let name = Arc::clone(&target.name);
    waypoint_of(
        objects,
        &ObjectKey::new(Kind::Service, Arc::clone(namespace), name),
    )
    .is_some()
}

fn waypoint_of(objects: &Objects, key: &ObjectKey) -> Option<GatewayKey> {
    let service = objects.service(key)?;
    match binding(objects, Bound::Service, &service.metadata, &key.namespace) {
        Binding::To(gateway) => Some(gateway),
        _ => None,
    }
}
