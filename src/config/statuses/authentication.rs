//! What is said of a request authentication: whether a waypoint verifies tokens by it, and whether it has the
//! keys for that.

use ambit_model::{PolicyName, Workload};

use super::Reason;
use crate::config::Configuration;
use crate::config::objects::request_authentication::RequestAuthentication;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Severity, sentences};
use crate::config::translate;

impl Configuration {
    pub(super) fn said_of_authentication(
        &self,
        key: &ObjectKey,
        object: Option<&Object>,
    ) -> (Reason, String) {
        let Some(Object::RequestAuthentication(object)) = object else {
            return (Reason::Accepted, "In force as written.".to_owned());
        };
        let inputs = self.inputs();
        let mut findings = self.unfronted(key, object);
        let is_fronted = findings.is_empty();
        findings.extend(translate::key_findings(&inputs, object, true));
        let reason = match (is_fronted, findings.is_empty()) {
            (false, _) => Reason::NeedsWaypoint,
            (true, false) if translate::missing_keys(&inputs, object) => Reason::KeysUnknown,
            (true, false) => Reason::AcceptedWithWarnings,
            (true, true) => return (Reason::Accepted, "In force as written.".to_owned()),
        };
        (reason, sentences(findings.iter()))
    }

    /// What is wrong with request authentications, for whoever looks at the whole configuration.
    pub(in crate::config) fn authentication_problems(
        &self,
    ) -> impl Iterator<Item = (&ObjectKey, Severity, Finding)> {
        let all = self.objects.of_kind(Kind::RequestAuthentication);
        all.flat_map(|(key, object)| {
            let Object::RequestAuthentication(object) = object else {
                return Vec::new();
            };
            let keys = translate::key_findings(&self.inputs(), object, false);
            let found = self.unfronted(key, object).into_iter().chain(keys);
            found
                .map(|finding| (key, Severity::Warning, finding))
                .collect()
        })
    }

    /// What of it no waypoint judges by.
    fn unfronted(&self, key: &ObjectKey, object: &RequestAuthentication) -> Vec<Finding> {
        if object.targets().next().is_some() {
            return translate::authentication_findings(&self.inputs(), key, object);
        }
        let name = self.inputs().policy_name(key);
        let mut named = self
            .mesh
            .workloads()
            .filter(|workload| names(workload, &name));
        let mut any = false;
        let fronted = named.any(|workload| {
            any = true;
            self.is_fronted(workload)
        });
        if fronted || !any {
            return Vec::new();
        }
        let what =
            "no waypoint stands before the pods that it applies to: no token is verified for them";
        let advice = "bind their services to a waypoint: only waypoints read requests";
        vec![Finding::new("spec.selector", what, advice)]
    }

    fn is_fronted(&self, workload: &Workload) -> bool {
        let mut services = workload.services.keys();
        workload.waypoint.is_some()
            || services.any(|name| {
                let service = self.mesh.service(name);
                service.is_some_and(|service| service.waypoint.is_some())
            })
    }
}

fn names(workload: &Workload, name: &PolicyName) -> bool {
    workload.authentications.contains(name)
}
