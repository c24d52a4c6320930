//! What is said of a `DestinationRule` on itself, in the form that a `VirtualService` has it.

use std::collections::{BTreeMap, BTreeSet};

use super::Shown;
use super::route::{RESOLVED_WAYPOINTS, no_waypoint};
use super::sentence;
use super::virtual_service::{RECONCILED, VirtualStatus, said_of_unread};
use super::{ACCEPTED, Configuration};
use crate::config::objects::destination_rule::DestinationRule;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity, sentences};
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
    ) -> VirtualStatus {
        let object = self.objects.destination_rule(key);
        let (conditions, findings) = match (unread, object) {
            (Some(problem), object) => said_of_unread(object.is_some(), problem),
            (None, None) => (Vec::new(), Vec::new()),
            (None, Some(object)) => {
                let sum = self.sum_of_rule(key, object);
                let mut conditions = said(&sum);
                conditions.extend(self.waypoints_of_rule(&sum));
                (conditions, sum.findings)
            }
        };
        VirtualStatus {
            conditions,
            findings,
            generation: shown.generation,
        }
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

    fn waypoints_of_rule(&self, sum: &Sum) -> Option<RouteCondition> {
        if sum.in_force.is_empty() {
            return None;
        }
        Some(match self.idle_rule(sum) {
            Some((_, finding)) => {
                RouteCondition::new(RESOLVED_WAYPOINTS, false, "NoWaypoint", sentence(&finding))
            }
            None => {
                let what = "All services that it is for are bound to a waypoint.";
                RouteCondition::new(RESOLVED_WAYPOINTS, true, "ResolvedWaypoints", what)
            }
        })
    }
}

fn said(sum: &Sum) -> Vec<RouteCondition> {
    let told = sentences(sum.findings.iter().map(|(_, finding)| finding));
    let errors = sum.findings.iter().map(|(severity, _)| *severity);
    let is_wrong = errors.min() == Some(Severity::Error);
    let services: Vec<String> = sum.in_force.iter().map(ToString::to_string).collect();
    let place = match services.is_empty() {
        true => "In force nowhere.".to_owned(),
        false => format!("In force for {}.", services.join(", ")),
    };
    let message = match told.is_empty() {
        true => place,
        false => format!("{place} {told}"),
    };
    let (accepted, reason) = match (sum.in_force.is_empty(), is_wrong) {
        (_, true) => (false, "UnsupportedValue"),
        (false, false) if sum.findings.is_empty() => (true, "Accepted"),
        (false, false) => (true, "AcceptedWithWarnings"),
        (true, false) if sum.services.is_empty() => (false, "NoMatchingHost"),
        (true, false) => (false, "Conflicted"),
    };
    let reconciled = match sum.in_force.is_empty() {
        true => "There is nothing to tell waypoints.",
        false => "Told to all waypoints that serve it.",
    };
    vec![
        RouteCondition::new(RECONCILED, true, RECONCILED, reconciled),
        RouteCondition::new(ACCEPTED, accepted, reason, message),
    ]
}
