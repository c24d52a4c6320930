//! What is said of a `VirtualService` on itself.

use std::collections::{BTreeMap, BTreeSet};

use super::Shown;
use super::istio::{TrafficStatus, message, reconciled, verdict, waypoints};
use super::route::no_waypoint;
use crate::config::Configuration;
use crate::config::objects::virtual_service::VirtualService;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity};
use crate::config::store::services_of_hosts;
use crate::config::translate::{self, RouteCondition, VirtualVerdict};

/// What is known of a virtual service, of all services that it is for.
struct Sum {
    /// Ports of services on which it is in force.
    in_force: BTreeMap<ObjectKey, BTreeSet<u16>>,
    /// Services that it is for and that are there.
    services: BTreeSet<ObjectKey>,
    findings: Vec<(Severity, Finding)>,
    /// Whether none of its rules is for a port of these.
    is_for_no_port: bool,
}

impl Configuration {
    /// What is to be said of a virtual service now.
    pub(super) fn said_of_virtual(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
    ) -> TrafficStatus {
        let object = self.objects.virtual_service(key);
        TrafficStatus::of(shown, unread, object, |object| {
            let sum = self.sum(key, object);
            let mut conditions = said(object, &sum);
            if !sum.in_force.is_empty() {
                conditions.push(waypoints(self.idle(&sum)));
            }
            (conditions, sum.findings)
        })
    }

    /// What is wrong with virtual services, or keeps them from having an effect.
    pub(in crate::config) fn virtual_findings(
        &self,
    ) -> BTreeMap<ObjectKey, Vec<(Severity, Finding)>> {
        let keys = self
            .objects
            .of_kind(Kind::VirtualService)
            .map(|(key, _)| key);
        let findings = keys.filter_map(|key| {
            let mut sum = self.sum(key, self.objects.virtual_service(key)?);
            sum.findings.extend(self.idle(&sum));
            Some((key.clone(), sum.findings))
        });
        findings.collect()
    }

    fn sum(&self, key: &ObjectKey, object: &VirtualService) -> Sum {
        let mut sum = Sum {
            in_force: BTreeMap::new(),
            services: BTreeSet::new(),
            findings: Vec::new(),
            is_for_no_port: false,
        };
        let inputs = self.inputs();
        let mut all = VirtualVerdict::default();
        translate::general_findings(&inputs, key, object, &mut all);
        let mut services = services_of_hosts(key, object);
        services.extend(self.objects.services_named(object));
        let mut has_root = false;
        for (root, object) in self.objects.delegating_to(key) {
            has_root = true;
            services.extend(services_of_hosts(root, object));
            services.extend(self.objects.services_named(object));
        }
        let mut is_known = false;
        for service in services {
            let verdicts = self.virtual_verdicts.get(&service);
            let Some(verdict) = verdicts.and_then(|verdicts| verdicts.get(key)) else {
                continue;
            };
            is_known |= inputs.is_there(&service);
            for (severity, finding) in &verdict.findings {
                all.note(*severity, finding.clone());
            }
            if !verdict.in_force.is_empty() {
                let ports = verdict.in_force.clone();
                sum.in_force.insert(service.clone(), ports);
            }
            if inputs.is_there(&service) {
                sum.services.insert(service);
            }
        }
        if !is_known {
            // What is wrong with it is so whatever it is for.
            let alone = translate::virtual_findings_of(&inputs, key, object);
            alone
                .into_iter()
                .for_each(|(severity, finding)| all.note(severity, finding));
        }
        if object.is_delegate() && !has_root {
            let what = "nothing delegates to it, so that it has no effect";
            let advice = "give it hosts, or name it as the delegate of a rule";
            all.note(Severity::Warning, Finding::new("spec.hosts", what, advice));
        }
        sum.is_for_no_port = all.is_for_no_port;
        sum.findings = all.findings;
        sum
    }

    fn idle(&self, sum: &Sum) -> Option<(Severity, Finding)> {
        let mut services = sum.in_force.keys();
        let idle = services.find(|service| self.has_waypoint(service) == Some(false))?;
        Some((Severity::Warning, no_waypoint(idle, "spec.hosts")))
    }
}

fn said(object: &VirtualService, sum: &Sum) -> Vec<RouteCondition> {
    let ports = sum.in_force.iter().map(|(service, ports)| {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        format!("{service} on {}", ports.join(", "))
    });
    let where_it_is = match sum.in_force.is_empty() {
        true => "In force nowhere.".to_owned(),
        false => format!("In force for {}.", ports.collect::<Vec<_>>().join("; ")),
    };
    let is_in_force = !sum.in_force.is_empty();
    let accepted = match object.is_for_mesh() {
        false => (true, "NotForMesh"),
        true => verdict(is_in_force, !sum.services.is_empty(), &sum.findings),
    };
    let accepted = match accepted {
        (false, "Conflicted") if sum.is_for_no_port => (false, "NoMatchingPort"),
        other => other,
    };
    reconciled(is_in_force, accepted, message(where_it_is, &sum.findings))
}
