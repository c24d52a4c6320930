//! What is said of a `VirtualService` on itself: Istio's `Reconciled`, beside it `Accepted` and whether
//! requests pass a waypoint, and every finding as one of Istio's validation messages, with the field and
//! what to do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::route::{RESOLVED_WAYPOINTS, no_waypoint};
use super::said::{Entry, are_same};
use super::{ACCEPTED, Difference, Shown, sentence};
use crate::config::Configuration;
use crate::config::objects::virtual_service::VirtualService;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity, sentences};
use crate::config::store::services_of_hosts;
use crate::config::translate::{self, RouteCondition, VirtualVerdict};

/// Istio's condition: what it says has been given to those who follow it.
pub(super) const RECONCILED: &str = "Reconciled";
/// Conditions that we write.
const OURS: [&str; 3] = [RECONCILED, ACCEPTED, RESOLVED_WAYPOINTS];
/// Where the fields are told of.
const DOCUMENTATION: &str = "docs/istio.md";
/// Most messages of one object: a status has its bounds.
const MOST: usize = 32;

/// What is to be said of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualStatus {
    /// Ours.
    pub conditions: Vec<RouteCondition>,
    /// What is wrong, or not as it is written.
    pub findings: Vec<(Severity, Finding)>,
    /// Generation of the object that this is about.
    pub generation: i64,
}

/// What is known of a virtual service, of all services that it is for.
struct Sum {
    /// Ports of services on which it is in force.
    in_force: BTreeMap<ObjectKey, BTreeSet<u16>>,
    /// Services that it is for and that are there.
    services: BTreeSet<ObjectKey>,
    findings: Vec<(Severity, Finding)>,
}

impl VirtualStatus {
    /// The whole status; what others said in it stays.
    pub(super) fn status(&self, shown: &Shown, now: &str) -> Value {
        let others = shown.conditions.iter();
        let others = others.filter(|other| !is_ours(other)).cloned();
        let conditions: Vec<Value> = others.chain(self.conditions(shown, now)).collect();
        json!({
            "conditions": conditions,
            "observedGeneration": self.generation,
            "validationMessages": self.messages(),
        })
    }

    pub(super) fn difference(&self, shown: &Shown) -> Difference {
        let there = shown.conditions.iter().filter(|other| is_ours(other));
        let there = Value::Array(there.cloned().collect());
        let wanted = Value::Array(self.conditions(shown, ""));
        let messages = shown.status.get("validationMessages");
        let messages = messages
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        match are_same(&wanted, &there) && messages == self.messages() {
            true => Difference::None,
            false => Difference::Verdict,
        }
    }

    fn conditions(&self, shown: &Shown, now: &str) -> Vec<Value> {
        let conditions = self.conditions.iter().map(|condition| {
            let entry = Entry {
                kind: condition.kind,
                status: condition.status,
                reason: condition.reason,
                message: &condition.message,
                generation: self.generation,
            };
            entry.over(&shown.conditions, now)
        });
        conditions.collect()
    }

    fn messages(&self) -> Vec<Value> {
        let messages = self.findings.iter().take(MOST).map(|(severity, finding)| {
            let (level, name, code) = match severity {
                Severity::Error => ("ERROR", "NotFollowed", "AMB0101"),
                Severity::Warning => ("WARNING", "NotAsWritten", "AMB0102"),
            };
            json!({
                "type": {"name": name, "code": code},
                "level": level,
                "documentationUrl": DOCUMENTATION,
                "field": finding.field,
                "message": finding.what,
                "remedy": finding.advice,
            })
        });
        messages.collect()
    }
}

fn is_ours(condition: &Value) -> bool {
    OURS.iter().any(|ours| condition["type"] == *ours)
}

impl Configuration {
    /// What is to be said of a virtual service now.
    pub(super) fn said_of_virtual(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
    ) -> VirtualStatus {
        let object = self.objects.virtual_service(key);
        let (conditions, findings) = match (unread, object) {
            (Some(problem), object) => said_of_unread(object.is_some(), problem),
            (None, None) => (Vec::new(), Vec::new()),
            (None, Some(object)) => {
                let sum = self.sum(key, object);
                let mut conditions = said(object, &sum);
                conditions.extend(self.said_of_waypoints(&sum));
                (conditions, sum.findings)
            }
        };
        VirtualStatus {
            conditions,
            findings,
            generation: shown.generation,
        }
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
            is_known |= self.objects.service(&service).is_some();
            for (severity, finding) in &verdict.findings {
                all.note(*severity, finding.clone());
            }
            if !verdict.in_force.is_empty() {
                let ports = verdict.in_force.clone();
                sum.in_force.insert(service.clone(), ports);
            }
            if self.objects.service(&service).is_some() {
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
        sum.findings = all.findings;
        sum
    }

    fn idle(&self, sum: &Sum) -> Option<(Severity, Finding)> {
        let mut services = sum.in_force.keys();
        let idle = services.find(|service| self.has_waypoint(service) == Some(false))?;
        Some((Severity::Warning, no_waypoint(idle, "spec.hosts")))
    }

    fn said_of_waypoints(&self, sum: &Sum) -> Option<RouteCondition> {
        if sum.in_force.is_empty() {
            return None;
        }
        Some(match self.idle(sum) {
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

pub(super) type Said = (Vec<RouteCondition>, Vec<(Severity, Finding)>);

pub(super) fn said_of_unread(has_last_good: bool, problem: &Problem) -> Said {
    let finding = Finding::new(
        problem.field.as_str(),
        problem.what.as_str(),
        problem.advice.as_str(),
    );
    let (reason, meanwhile) = match has_last_good {
        true => (
            "LastGoodInForce",
            "The last version that could be read stays in force.",
        ),
        false => (
            "UnsupportedValue",
            "No version of it could be read, so it has no effect.",
        ),
    };
    let message = format!("{} {meanwhile}", sentence(&finding));
    let conditions = vec![
        RouteCondition::new(RECONCILED, false, reason, message.clone()),
        RouteCondition::new(ACCEPTED, false, reason, message),
    ];
    (conditions, vec![(Severity::Error, finding)])
}

fn said(object: &VirtualService, sum: &Sum) -> Vec<RouteCondition> {
    let told = sentences(sum.findings.iter().map(|(_, finding)| finding));
    let is_wrong = sum
        .findings
        .iter()
        .any(|(severity, _)| *severity == Severity::Error);
    let ports = sum.in_force.iter().map(|(service, ports)| {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        format!("{service} on {}", ports.join(", "))
    });
    let where_it_is = match sum.in_force.is_empty() {
        true => "In force nowhere.".to_owned(),
        false => format!("In force for {}.", ports.collect::<Vec<_>>().join("; ")),
    };
    let message = match told.is_empty() {
        true => where_it_is,
        false => format!("{where_it_is} {told}"),
    };
    let (accepted, reason) = match (sum.in_force.is_empty(), is_wrong) {
        _ if !object.is_for_mesh() => (true, "NotForMesh"),
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
