//! Whether a waypoint stands before what a policy of a namespace is for, by labels or as a whole: then it
//! judges by all of the policy. It need not stand before every pod: who comes around it is judged by what
//! is said of connections, and refused where that is not enough.

use std::sync::Arc;

use super::Inputs;
use super::waypoint::{Binding, Bound, binding, labelled, tunnel_listener};
use crate::config::objects::authorization_policy::AuthorizationPolicy;
use crate::config::objects::metadata::Labels;
use crate::config::objects::{Kind, Object};

/// Whether one does, or is asked for and cannot serve: then nothing is let through.
pub(super) fn is_fronted(
    inputs: &Inputs<'_>,
    namespace: &Arc<str>,
    policy: &AuthorizationPolicy,
) -> bool {
    let objects = inputs.objects;
    if inputs.settings.is_root(namespace) {
        let mut gateways = objects.of_kind(Kind::Gateway);
        return gateways.any(|(_, object)| match object {
            Object::Gateway(gateway) => tunnel_listener(gateway).is_some(),
            _ => false,
        });
    }
    let stands = |binding| matches!(binding, Binding::To(_) | Binding::Refused(..));
    let by_namespace = [Bound::Service, Bound::Workload].map(|bound| {
        let none = Labels::new();
        stands(labelled(objects, bound, &none, namespace))
    });
    let selected = policy.selector().map(|selector| &selector.match_labels);
    let may_lead_there = |leads: &Labels| {
        selected.is_none_or(|wanted| {
            let mut both = leads
                .iter()
                .filter_map(|(name, value)| Some((value, wanted.get(name)?)));
            both.all(|(one, other)| one == other)
        })
    };
    let mut services = objects.in_namespace(Kind::Service, namespace);
    by_namespace.contains(&true)
        || services.any(|(_, object)| match object {
            Object::Service(service) => {
                may_lead_there(&service.spec.selector)
                    && stands(binding(
                        objects,
                        Bound::Service,
                        &service.metadata,
                        namespace,
                    ))
            }
            _ => false,
        })
}
