//! From objects to the model, in pure functions: the same objects always give the same model.
//!
//! Every model object is one [`Output`], recomputed as a whole from the objects that it depends
//! on. [`Dirty`] says which outputs a changed object touches: it is asked before and after the
//! change, so that what an object used to select is recomputed too.

mod annotations;
mod authentication;
mod behind;
mod dependents;
mod destination_rule;
mod enrolment;
mod fronted;
mod peer_authentication;
mod policy;
mod routes;
mod service;
mod service_entry;
mod slice;
mod subject;
mod targets;
mod telemetry;
mod trust_domain;
mod tunnel_port;
mod unmet;
mod waypoint;
mod workload;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use ambit_model::{Policy, PolicyName, RequestAuthentication, ServiceName, Workload, WorkloadUid};

use super::Settings;
use super::allocation::Allocations;
use super::credentials::Credentials;
use super::keys::Keys;
use super::objects::route_parts::Route;
use super::objects::service_entry::ServiceEntry;
use super::objects::telemetry::Telemetry;
use super::objects::virtual_service::VirtualService;
use super::objects::{Kind, Object, ObjectKey};
use super::problem::{Finding, Severity};
use super::store::Objects;

pub use self::annotations::without_effect;
pub(in crate::config) use self::authentication::{
    findings as authentication_findings, keys as key_findings, missing_keys,
};
pub use self::dependents::{Dirty, Output};
pub use self::destination_rule::{RuleVerdict, TranslatedTraffic, rule_findings};
pub(crate) use self::enrolment::{CUT_EXISTING, LABELS};
pub use self::enrolment::{
    cut_existing, enrolled, enrolled_namespaces, is_recorded, keeps_its_resolver,
};
pub use self::peer_authentication::{deciding as deciding_peer_authentication, outdone, rivals_of};
pub(in crate::config) use self::routes::general as general_findings;
pub use self::routes::{
    Judged, RouteCondition, RouteVerdict, RouteVerdicts, TranslatedRoutes, VirtualVerdict,
    VirtualVerdicts,
};
pub use self::service_entry::workload_entry_findings;
pub use self::service_entry::{
    RecordedAddress, TranslatedEntry, Way, entry_findings, recorded_addresses,
};
pub use self::slice::foreign_endpoints;
pub use self::telemetry::TranslatedTelemetry;
pub(super) use self::telemetry::client_identity;
pub use self::tunnel_port::closed_by;
pub use self::waypoint::{
    Binding, Bound, CLASS, CONTROLLER, GATEWAY_NAME, HBONE, Scope, WAYPOINT_PORT, WhyRefused,
    binding, is_our_class, made_for, named_waypoint, scope, service as waypoint_service,
    tunnel_listener, waypoint_findings, waypoint_of_pod,
};
pub(crate) use self::waypoint::{USE_WAYPOINT, WAYPOINT_FOR};

/// Everything that translation may look at.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Names and defaults of the mesh.
    pub settings: &'a Settings,
    /// All objects.
    pub objects: &'a Objects,
    /// Uids of the pods that an agent has captured.
    pub captured: &'a HashSet<Arc<str>>,
    /// Uids of pods that are about to be released, whatever is recorded of them.
    pub withheld: &'a HashSet<Arc<str>>,
    /// Regular expressions that were judged before.
    pub judged: &'a Judged,
    /// Keys of issuers.
    pub keys: &'a Keys,
    /// What users give for TLS with hosts outside of the mesh.
    pub credentials: &'a Credentials,
    /// Names of the mesh's collectors for traces, if they are known.
    pub collectors: Option<&'a BTreeSet<Arc<str>>>,
    /// Addresses that were given to hosts of service entries.
    pub allocations: &'a Allocations,
}

/// A policy object in the model's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranslatedPolicy {
    /// What is enforced, if anything.
    pub policy: Option<Policy>,
    /// What is not: as an error where it is refused or refuses more than is written.
    pub findings: Vec<(Severity, Finding)>,
}

impl Inputs<'_> {
    /// The workload of a pod; none if it has ended, has no address yet, or another pod has what it
    /// claims.
    pub fn workload(&self, pod: &ObjectKey) -> Option<Workload> {
        workload::of_pod(self, pod)
    }

    /// The workloads of a slice's endpoints that are not pods.
    pub fn outside_endpoints(&self, slice: &ObjectKey) -> Vec<Workload> {
        slice::of_slice(self, slice)
    }

    /// The service of that name.
    pub fn service(&self, service: &ObjectKey) -> Option<ambit_model::Service> {
        service::translate(self, service)
    }

    /// What the service entry of that name comes to.
    pub fn service_entry(&self, entry: &ObjectKey) -> TranslatedEntry {
        service_entry::translate(self, entry)
    }

    /// Whether a name that a service entry gave is now another object's to give.
    pub fn is_of_another(&self, entry: &ObjectKey, name: &ServiceName) -> bool {
        service_entry::is_of_another(self, entry, name)
    }

    /// Hosts of a service entry that others have, by their places, with those others.
    pub fn hosts_of_others<'e>(
        &self,
        key: &ObjectKey,
        entry: &'e ServiceEntry,
    ) -> Vec<(usize, ObjectKey, &'e Arc<str>)> {
        service_entry::hosts_of_others(self, key, entry)
    }

    /// Whether there is a service, or a host of service entries, of that key.
    pub fn is_there(&self, service: &ObjectKey) -> bool {
        match service.kind {
            Kind::ServiceEntry => self.is_of_entry(&self.service_name(service)),
            _ => self.objects.service(service).is_some(),
        }
    }

    /// Whether a service entry gives a service of that name.
    pub fn is_of_entry(&self, name: &ServiceName) -> bool {
        service_entry::of_name(self, name).is_some()
    }

    /// What destination rules come to for the service of that name.
    pub fn traffic(&self, service: &ObjectKey) -> TranslatedTraffic {
        destination_rule::translate(self, service)
    }

    /// The routes of the service of that name, and what is said of all that name it as a parent.
    pub fn routes(&self, service: &ObjectKey) -> TranslatedRoutes {
        routes::translate(self, service)
    }

    /// The policy that an `AuthorizationPolicy` or `PeerAuthentication` stands for.
    pub fn policy(&self, key: &ObjectKey) -> TranslatedPolicy {
        match self.objects.get(key).map(AsRef::as_ref) {
            Some(Object::AuthorizationPolicy(object)) => policy::translate(self, key, object),
            Some(Object::PeerAuthentication(object)) => {
                peer_authentication::translate(self, key, object)
            }
            Some(Object::UnreadablePolicy(key)) => policy::unreadable(self.settings, key),
            _ => TranslatedPolicy::default(),
        }
    }

    /// What waypoints follow of a `Telemetry`, and what is said of it.
    pub fn telemetry(&self, key: &ObjectKey, object: &Telemetry) -> TranslatedTelemetry {
        telemetry::translate(self, key, object)
    }

    /// The request authentication of that name, with the keys that were fetched.
    pub fn authentication(&self, key: &ObjectKey) -> Option<RequestAuthentication> {
        authentication::translate(self, key)
    }

    /// The policy that refuses plaintext; there while anything may refer to it.
    pub fn static_strict(&self) -> Option<Policy> {
        let mut any = self.objects.of_kind(Kind::PeerAuthentication);
        any.next()
            .map(|_| peer_authentication::static_strict(self.settings))
    }

    /// Name that a service, or a host of service entries, has in the model.
    pub fn service_name(&self, service: &ObjectKey) -> ServiceName {
        subject::name_of(self, service)
    }

    /// Name that the policy of a policy object has in the model.
    pub fn policy_name(&self, key: &ObjectKey) -> PolicyName {
        policy::name_of(key)
    }

    /// Name that the workload of a pod has in the model.
    pub fn workload_uid(&self, pod: &ObjectKey) -> WorkloadUid {
        WorkloadUid::pod(&self.settings.cluster, &pod.namespace, &pod.name)
    }
}

/// What is wrong with a virtual service whatever the services that it is for.
pub fn virtual_findings_of(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &VirtualService,
) -> Vec<(Severity, Finding)> {
    routes::virtual_findings(inputs, key, object)
}

/// What an object says that is not followed as it is written.
pub fn findings_of(inputs: &Inputs<'_>, object: &Object) -> Vec<(Severity, Finding)> {
    match object {
        Object::AuthorizationPolicy(policy) => {
            policy::translate(inputs, &object.key(), policy).findings
        }
        Object::PeerAuthentication(policy) => peer_authentication::disabled(policy),
        Object::RequestAuthentication(object_of) => {
            let found = authentication::findings(inputs, &object.key(), object_of);
            let keys = authentication::keys(inputs, object_of, false);
            let found = found.into_iter().chain(keys);
            found.map(|finding| (Severity::Warning, finding)).collect()
        }
        Object::VirtualService(object_of) => virtual_findings_of(inputs, &object.key(), object_of),
        Object::DestinationRule(rule) => rule_findings(inputs, &object.key(), rule),
        Object::Telemetry(object_of) => inputs.telemetry(&object.key(), object_of).findings,
        Object::ServiceEntry(entry) => entry_findings(inputs, &object.key(), entry),
        Object::WorkloadEntry(entry) => workload_entry_findings(inputs, &object.key(), entry),
        _ => match Route::of(object) {
            Some(route) => routes::findings(inputs, &object.key(), route),
            None => Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests;
