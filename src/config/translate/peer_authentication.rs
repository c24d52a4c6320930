//! `PeerAuthentication` as DENY policies, in the form that Istio gives them on the wire.
//!
//! A workload's mode is that of the narrowest scope that sets one: workload, namespace, mesh; of
//! several objects of one scope the oldest counts. A workload that is plainly STRICT lists one
//! static policy that refuses peers without identity. One whose ports differ lists a policy made
//! from its own object, `converted_peer_authentication_NAME`, in its stead.

mod rivals;

use std::sync::Arc;

use ambit_model::{
    Action, Clause, Match, Policy, PolicyName, PolicyOrigin, Rule, Scope, StringMatch,
};

use super::policy::name_of;
use super::{Inputs, TranslatedPolicy};
use crate::config::Settings;
use crate::config::objects::metadata::Labels;
use crate::config::objects::peer_authentication::{Mode, PeerAuthentication};
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Severity};

pub use self::rivals::{outdone, rivals_of};

/// Name of the policy that refuses peers without identity, in the first root namespace.
const STATIC_STRICT: &str = "istio_converted_static_strict";

/// What one workload's mode and ports come to.
enum Effect {
    /// Plaintext is accepted everywhere.
    Permissive,
    /// Plaintext is refused everywhere.
    Strict,
    /// Plaintext is refused everywhere but on these ports.
    StrictExcept(Vec<u16>),
    /// Plaintext is refused on these ports only.
    StrictOn(Vec<u16>),
}

/// Name of the policy that a pod has to list.
pub(super) fn policy_for(
    inputs: &Inputs<'_>,
    namespace: &str,
    labels: &Labels,
) -> Option<PolicyName> {
    let own = own(inputs, namespace, labels);
    let parent_strict = is_strict_by_scope(inputs, namespace);
    let effect = match own {
        Some((_, object)) => effect(object, parent_strict),
        None if parent_strict => Effect::Strict,
        None => Effect::Permissive,
    };
    match effect {
        Effect::Permissive => None,
        Effect::Strict => Some(static_strict_name(inputs.settings)),
        Effect::StrictExcept(_) | Effect::StrictOn(_) => own.map(|(key, _)| name_of(key)),
    }
}

/// The object that decides whether a pod with these labels accepts plaintext.
pub fn deciding(inputs: &Inputs<'_>, namespace: &str, labels: &Labels) -> Option<ObjectKey> {
    let roots: Vec<&str> = inputs
        .settings
        .root_namespaces
        .iter()
        .map(AsRef::as_ref)
        .collect();
    let is_set = |object: &PeerAuthentication| object.spec.mtls.mode != Mode::Unset;
    let wide = |object: &PeerAuthentication| object.selector().is_none();
    own(inputs, namespace, labels)
        .filter(|(_, object)| is_set(object) || object.ports().next().is_some())
        .or_else(|| oldest(inputs, &[namespace], wide).filter(|(_, object)| is_set(object)))
        .or_else(|| oldest(inputs, &roots, wide))
        .map(|(key, _)| key.clone())
}

/// The object whose selector selects a pod with these labels.
fn own<'a>(
    inputs: &Inputs<'a>,
    namespace: &str,
    labels: &Labels,
) -> Option<(&'a ObjectKey, &'a PeerAuthentication)> {
    oldest(inputs, &[namespace], |object| {
        object
            .selector()
            .is_some_and(|selector| selector.selects(labels))
    })
}

/// The policy that an object stands for by itself, and what of it has no effect.
pub(super) fn translate(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &PeerAuthentication,
) -> TranslatedPolicy {
    let destination = match effect(object, is_strict_by_scope(inputs, &key.namespace)) {
        Effect::StrictExcept(ports) if object.selector().is_some() => Some(Match {
            not_destination_ports: ports,
            ..Match::default()
        }),
        Effect::StrictOn(ports) if object.selector().is_some() => Some(Match {
            destination_ports: ports,
            ..Match::default()
        }),
        _ => None,
    };
    let policy = destination.map(|destination| {
        let clauses = vec![
            without_identity(),
            Clause {
                matches: vec![destination],
            },
        ];
        policy(name_of(key), Rule { clauses })
    });
    TranslatedPolicy {
        policy,
        findings: disabled(object),
    }
}

/// The policy that refuses peers without identity.
pub(super) fn static_strict(settings: &Settings) -> Policy {
    policy(
        static_strict_name(settings),
        Rule {
            clauses: vec![without_identity()],
        },
    )
}

fn static_strict_name(settings: &Settings) -> PolicyName {
    let root = settings
        .root_namespaces
        .first()
        .map_or_else(|| "".into(), Arc::clone);
    PolicyName::new(root, STATIC_STRICT)
}

fn policy(name: PolicyName, rule: Rule) -> Policy {
    Policy {
        name,
        scope: Scope::Workload,
        action: Action::Deny,
        rules: vec![rule],
        dry_run: false,
        origin: PolicyOrigin::PeerAuthentication,
        behind: None,
        requests: None,
    }
}

/// Holds for a peer that has shown no identity.
fn without_identity() -> Clause {
    let not_principals = vec![StringMatch::Presence];
    Clause {
        matches: vec![Match {
            not_principals,
            ..Match::default()
        }],
    }
}

/// Whether namespace and mesh ask for mutual TLS.
fn is_strict_by_scope(inputs: &Inputs<'_>, namespace: &str) -> bool {
    let roots: Vec<&str> = inputs
        .settings
        .root_namespaces
        .iter()
        .map(AsRef::as_ref)
        .collect();
    let wide = |object: &PeerAuthentication| object.selector().is_none();
    let set = |scope: &[&str]| {
        oldest(inputs, scope, wide)
            .map(|(_, object)| object.spec.mtls.mode)
            .filter(|mode| *mode != Mode::Unset)
    };
    set(&[namespace]).or_else(|| set(&roots)) == Some(Mode::Strict)
}

/// The oldest object in the namespaces of which the condition holds.
fn oldest<'a>(
    inputs: &Inputs<'a>,
    namespaces: &[&str],
    holds: impl Fn(&PeerAuthentication) -> bool,
) -> Option<(&'a ObjectKey, &'a PeerAuthentication)> {
    let objects = inputs.objects;
    namespaces
        .iter()
        .flat_map(|namespace| objects.in_namespace(Kind::PeerAuthentication, namespace))
        .filter_map(|(key, object)| match object {
            Object::PeerAuthentication(object) if holds(object) => Some((key, &**object)),
            _ => None,
        })
        .min_by_key(|(key, object)| (object.metadata.age(), Arc::clone(&key.name), *key))
}

fn effect(object: &PeerAuthentication, parent_strict: bool) -> Effect {
    let strict = match object.spec.mtls.mode {
        Mode::Strict => true,
        Mode::Permissive | Mode::Disable => false,
        Mode::Unset => parent_strict,
    };
    let differing = object.ports().filter(|(_, mode)| match mode {
        Mode::Unset => false,
        Mode::Strict => !strict,
        Mode::Permissive | Mode::Disable => strict,
    });
    let mut ports: Vec<u16> = differing.map(|(port, _)| port).collect();
    ports.sort_unstable();
    match (strict, ports.is_empty()) {
        (true, true) => Effect::Strict,
        (true, false) => Effect::StrictExcept(ports),
        (false, true) => Effect::Permissive,
        (false, false) => Effect::StrictOn(ports),
    }
}

pub(super) fn disabled(object: &PeerAuthentication) -> Vec<(Severity, Finding)> {
    let mesh = (object.spec.mtls.mode, "spec.mtls.mode".to_owned());
    let ports = object
        .ports()
        .map(|(port, mode)| (mode, format!("spec.portLevelMtls[{port}].mode")));
    [mesh]
        .into_iter()
        .chain(ports)
        .filter(|(mode, _)| *mode == Mode::Disable)
        .map(|(_, field)| {
            let what = "DISABLE acts as PERMISSIVE: mutual TLS is never switched off";
            let finding = Finding::new(field, what, "write PERMISSIVE");
            (Severity::Warning, finding)
        })
        .collect()
}
