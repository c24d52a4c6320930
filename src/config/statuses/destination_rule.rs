//! What is said of a `DestinationRule` on itself.

use std::collections::{BTreeMap, BTreeSet};

use super::Shown;
use super::istio::{TrafficStatus, message, reconciled, verdict, waypoints};
use super::route::no_waypoint;
use crate::config::Configuration;
use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity};
use crate::config::translate::{self, RouteCondition};

/// What is known of a destination rule, of all services that it may be for.
#[derive(Default)]
struct Sum {
    /// Services that it is for and that are there.
    services: BTreeSet<ObjectKey>,
    /// Those for which something of it holds.
    in_force: BTreeSet<ObjectKey>,
    findings: Vec<(Severity, Finding)>,
}

impl Sum {
    fn note(&mut self, one: (Severity, Finding)) {
        if !self.findings.contains(&one) {
            self.findings.push(one);
        }
    }
}

impl Configuration {
    /// What is to be said of a destination rule now.
    pub(super) fn said_of_rule(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
    ) -> TrafficStatus {
        let object = self.objects.destination_rule(key);
        TrafficStatus::of(shown, unread, object, |object| {
            let sum = self.sum_of_rule(key, object);
            let mut conditions = said(&sum);
            if !sum.in_force.is_empty() {
                conditions.push(waypoints(self.idle_rule(&sum)));
            }
            (conditions, sum.findings)
        })
    }

    /// What is wrong with destination rules, or keeps them from having an effect.
    pub(in crate::config) fn rule_findings(&self) -> BTreeMap<ObjectKey, Vec<(Severity, Finding)>> {
        let keys = self.objects.of_kind(Kind::DestinationRule);
        let findings = keys.filter_map(|(key, _)| {
            let mut sum = self.sum_of_rule(key, self.objects.destination_rule(key)?);
            sum.findings.extend(self.idle_rule(&sum));
            Some((key.clone(), sum.findings))
        });
        findings.collect()
    }

    fn sum_of_rule(&self, key: &ObjectKey, object: &DestinationRule) -> Sum {
        let inputs = self.inputs();
        let mut sum = Sum::default();
        for finding in translate::rule_findings(&inputs, key, object) {
            sum.note(finding);
        }
        for service in self.objects.services_ruled(key, object) {
            let mut verdicts = inputs.traffic(&service).verdicts;
            let Some(verdict) = verdicts.remove(key) else {
                continue;
            };
            for finding in verdict.findings {
                sum.note(finding);
            }
            if verdict.in_force {
                sum.in_force.insert(service.clone());
            }
            sum.services.insert(service);
        }
        sum
    }

    fn idle_rule(&self, sum: &Sum) -> Option<(Severity, Finding)> {
        let mut services = sum.in_force.iter();
        let idle = services.find(|service| self.has_waypoint(service) == Some(false))?;
        Some((Severity::Warning, no_waypoint(idle, "spec.host")))
    }
}

fn said(sum: &Sum) -> Vec<RouteCondition> {
    let services: Vec<String> = sum.in_force.iter().map(ToString::to_string).collect();
    let place = match services.is_empty() {
        true => "In force nowhere.".to_owned(),
        false => format!("In force for {}.", services.join(", ")),
    };
    let is_in_force = !sum.in_force.is_empty();
    let accepted = verdict(is_in_force, !sum.services.is_empty(), &sum.findings);
    reconciled(is_in_force, accepted, message(place, &sum.findings))
}
