//! Request authentications: which hold for what, and with which keys.
//!
//! - Those with `targetRefs` hold for requests that ask for a service behind a waypoint, or for the own address
//!   of a pod behind one: bound to the service, to the Gateway or, in a root namespace, to its class.
//! - Those without hold for the pods of their namespace, or of the mesh if that is a root namespace, that
//!   their selector selects: whichever waypoint sends a request there judges by them.
//!
//! Only waypoints read requests. What comes around them is judged by none of these: who must have a
//! token is said by policies, and those bind pods to their waypoint.
//!
//! One that cannot be read, and never could, is named by all that it may be for, and told to nobody: waypoints
//! refuse what names it.

use std::sync::Arc;

use ambit_model::{self as model, PolicyName, ServiceName};

use super::targets::{Stand, stand};
use super::waypoint::{Binding, Bound, binding};
use super::{Inputs, policy, service, service_entry};
use crate::config::keys::KeySource;
use crate::config::objects::gateway::GatewayKey;
use crate::config::objects::metadata::Metadata;
use crate::config::objects::pod::Pod;
use crate::config::objects::request_authentication::RequestAuthentication;
use crate::config::objects::selector::TargetReference;
use crate::config::objects::service::Service;
use crate::config::objects::service_entry::ServiceEntry;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::Finding;

/// An object as waypoints are told of it. By `jwks_uri` they know keys that were fetched, which they keep while
/// there are no others, from those of the object.
pub(super) fn translate(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
) -> Option<model::RequestAuthentication> {
    let Some(Object::RequestAuthentication(object)) = inputs.objects.get(key).map(AsRef::as_ref)
    else {
        return None;
    };
    let mut made = object.to_model();
    for rule in &mut made.rules {
        let source = KeySource::of(rule);
        rule.jwks_uri = source.as_ref().map(KeySource::url);
        if let Some(source) = source {
            rule.jwks = inputs.keys.of(&source).cloned();
        }
    }
    Some(made)
}

/// Those that hold for requests to a service.
pub(super) fn of_service(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    service: &Service,
) -> Vec<PolicyName> {
    asked(inputs, Some("Service"), &service.metadata, &key.namespace)
}

/// The same of the hosts of a service entry.
pub(super) fn of_entry(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    entry: &ServiceEntry,
) -> Vec<PolicyName> {
    asked(
        inputs,
        Some("ServiceEntry"),
        &entry.metadata,
        &key.namespace,
    )
}

/// Those that hold for requests to the own address of a pod, whichever pod serves it: its own, and those of
/// the services that lead to it. By its address nobody gets around what holds for a service.
pub(super) fn of_address<'a>(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    pod: &Pod,
    services: impl Iterator<Item = &'a ServiceName>,
) -> Vec<PolicyName> {
    let mut found = asked(inputs, None, &pod.metadata, &key.namespace);
    for name in services {
        let service = service::key_of(inputs.settings, &name.hostname);
        let object = service.and_then(|key| Some((inputs.objects.service(&key)?, key)));
        if let Some((object, service)) = object {
            found.append(&mut of_service(inputs, &service, object));
        } else if let Some((key, entry)) = service_entry::of_name(inputs, name) {
            found.append(&mut of_entry(inputs, key, entry));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Those that hold for requests that are sent to a pod.
pub(super) fn of_pod(inputs: &Inputs<'_>, key: &ObjectKey, pod: &Pod) -> Vec<PolicyName> {
    let holds = |object: &Object| match object {
        Object::RequestAuthentication(object) => {
            object.targets().next().is_none()
                && object
                    .selector()
                    .is_none_or(|s| s.selects(&pod.metadata.labels))
        }
        Object::UnreadablePolicy(_) => true,
        _ => false,
    };
    let found = namespaces(inputs, [&key.namespace]).into_iter();
    let found = found.flat_map(|namespace| inputs.objects.in_namespace(KIND, namespace));
    in_order(found.filter(|(_, object)| holds(object)))
}

const KIND: Kind = Kind::RequestAuthentication;

/// Those that are asked for by a service, of this kind of object, or by a pod's own address.
fn asked(
    inputs: &Inputs<'_>,
    service: Option<&str>,
    of: &Metadata,
    namespace: &Arc<str>,
) -> Vec<PolicyName> {
    let objects = inputs.objects;
    let bound = service.map_or(Bound::Workload, |_| Bound::Service);
    let (Binding::To(gateway) | Binding::Refused(gateway, _)) =
        binding(objects, bound, of, namespace)
    else {
        return Vec::new();
    };
    let class = objects.gateway(&gateway);
    let class = class.map(|found| &*found.spec.gateway_class_name);
    let names = |key: &ObjectKey, target: &TargetReference| {
        let is = |kind: &str, name: &str| *target.kind == *kind && *target.name == *name;
        let here = key.namespace == gateway.namespace && is("Gateway", &gateway.name);
        let class = class.is_some_and(|class| is("GatewayClass", class));
        let service =
            key.namespace == *namespace && service.is_some_and(|kind| is(kind, of.name.as_ref()));
        let elsewhere = !target.is_within(&key.namespace);
        !elsewhere && (here || service || (class && inputs.settings.is_root(&key.namespace)))
    };
    let holds = |key: &ObjectKey, object: &Object| match object {
        Object::RequestAuthentication(object) => object.targets().any(|to| names(key, to)),
        Object::UnreadablePolicy(_) => true,
        _ => false,
    };
    let found = namespaces(inputs, [&gateway.namespace, namespace]).into_iter();
    let found = found.flat_map(|namespace| objects.in_namespace(KIND, namespace));
    in_order(found.filter(|(key, object)| holds(key, object)))
}

/// These and the root namespaces, each once.
fn namespaces<'a, const N: usize>(
    inputs: &'a Inputs<'_>,
    these: [&'a Arc<str>; N],
) -> Vec<&'a str> {
    let roots = inputs.settings.root_namespaces.iter();
    let mut all: Vec<&str> = roots.chain(these).map(AsRef::as_ref).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What hangs together has equal lists.
fn in_order<'a>(found: impl Iterator<Item = (&'a ObjectKey, &'a Object)>) -> Vec<PolicyName> {
    let mut names: Vec<PolicyName> = found.map(|(key, _)| policy::name_of(key)).collect();
    names.sort();
    names
}

/// What an object is bound to that no waypoint judges for.
pub(in crate::config) fn findings(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &RequestAuthentication,
) -> Vec<Finding> {
    let targets = object.targets().enumerate();
    let found = targets.filter_map(|(index, target)| {
        let (what, advice) = wrong(inputs, &key.namespace, target)?;
        Some(Finding::new(
            format!("spec.targetRefs[{index}]"),
            what,
            advice,
        ))
    });
    found.collect()
}

fn wrong(
    inputs: &Inputs<'_>,
    namespace: &Arc<str>,
    target: &TargetReference,
) -> Option<(String, &'static str)> {
    let TargetReference { kind, name, .. } = target;
    let nobody = "bind it to a waypoint: only waypoints read requests";
    match stand(inputs, namespace, target) {
        Stand::Unknown => {
            let what = "is no Gateway or Service of this namespace: no token is verified for it";
            Some((what.to_owned(), nobody))
        }
        Stand::NotInRoot => {
            let what =
                "a GatewayClass can be named in a root namespace only: no token is verified for it";
            Some((what.to_owned(), nobody))
        }
        Stand::Free => {
            let what =
                format!("no waypoint stands before {kind} {name}: no token is verified for it");
            Some((what, nobody))
        }
        Stand::Refused(
            GatewayKey {
                namespace,
                name: of,
            },
            why,
        ) => {
            let why = why.words();
            let what =
                format!("waypoint {namespace}/{of}: {why}; until then {kind} {name} is not served");
            Some((what, "correct the Gateway, the label or this reference"))
        }
        Stand::Behind => None,
    }
}

/// What is to be said of the keys of an object. Whoever fetches none himself has nothing to say of those that
/// were not fetched yet.
pub(in crate::config) fn keys(
    inputs: &Inputs<'_>,
    object: &RequestAuthentication,
    fetches: bool,
) -> Vec<Finding> {
    let rules = object.to_model().rules.into_iter().enumerate();
    let found = rules.filter_map(|(index, rule)| {
        let at = format!("spec.jwtRules[{index}]");
        if rule.jwks.is_some() {
            return None;
        }
        let Some(source) = KeySource::of(&rule) else {
            let what = "is no URL, so that nobody knows where its keys are: its tokens are refused";
            let advice = "add jwksUri, or the keys themselves as jwks";
            return Some(Finding::new(format!("{at}.issuer"), what, advice));
        };
        if !fetches && !inputs.keys.were_asked(&source) {
            return None;
        }
        let problem = inputs.keys.problem(&source)?;
        let field = match source {
            KeySource::Uri(_) => "jwksUri",
            KeySource::Issuer(_) => "issuer",
        };
        let meanwhile = match inputs.keys.of(&source) {
            Some(_) => "those of before stay in force",
            None => "tokens of this issuer are refused",
        };
        let what = format!("its keys cannot be fetched: {problem}; until they are, {meanwhile}");
        let advice = "see that the control plane reaches the issuer, or add the keys as jwks";
        Some(Finding::new(format!("{at}.{field}"), what, advice))
    });
    found.collect()
}

/// Whether some rule of an object has no keys at all.
pub(in crate::config) fn missing_keys(inputs: &Inputs<'_>, object: &RequestAuthentication) -> bool {
    let rules = object.to_model().rules;
    let missing = |rule: &model::JwtRule| {
        rule.jwks.is_none()
            && KeySource::of(rule).is_none_or(|source| inputs.keys.of(&source).is_none())
    };
    rules.iter().any(missing)
}
