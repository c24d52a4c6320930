//! What is said of a route on itself: an entry of `status.parents` for each parent that is a service.
//!
//! Entries of other controllers stay, and so do parents that are no services. Ours for a parent
//! that the route no longer names go.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::said::{are_same, conditions_over};
use super::{Difference, Shown, sentence};
use crate::config::Configuration;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity};
use crate::config::translate::{RouteCondition, RouteVerdict};

/// Who says it, in a status of Gateway API.
pub const CONTROLLER: &str = "ambit.mesh/waypoint-controller";
/// Whether requests to the parent pass a waypoint: without one, no route has an effect.
pub(super) const RESOLVED_WAYPOINTS: &str = "ambit.mesh/ResolvedWaypoints";

/// What is to be said of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStatus {
    /// By parent, as the route writes it.
    pub entries: Vec<(Value, Vec<RouteCondition>)>,
    /// Generation of the route that this is about.
    pub generation: i64,
}

impl RouteStatus {
    /// All entries of `status.parents`, others' first.
    pub(super) fn parents(&self, shown: &Shown, now: &str) -> Vec<Value> {
        let (ours, mut all): (Vec<Value>, Vec<Value>) =
            shown.parents.iter().cloned().partition(is_ours);
        for (reference, conditions) in &self.entries {
            let there = ours.iter().find(|entry| entry["parentRef"] == *reference);
            let there = there.and_then(|entry| entry["conditions"].as_array());
            let there = there.map_or(&[][..], Vec::as_slice);
            all.push(json!({
                "parentRef": reference,
                "controllerName": CONTROLLER,
                "conditions": conditions_over(conditions, self.generation, there, now),
            }));
        }
        all
    }

    pub(super) fn difference(&self, shown: &Shown) -> Difference {
        let wanted = self.parents(shown, "");
        let wanted = wanted.iter().filter(|entry| is_ours(entry));
        let there = shown.parents.iter().filter(|entry| is_ours(entry));
        let is_same = |(a, b): (&Value, &Value)| {
            a["parentRef"] == b["parentRef"] && are_same(&a["conditions"], &b["conditions"])
        };
        if wanted.clone().count() == there.clone().count() && wanted.zip(there).all(is_same) {
            Difference::None
        } else {
            Difference::Verdict
        }
    }
}

fn is_ours(entry: &Value) -> bool {
    entry["controllerName"] == CONTROLLER
}

impl Configuration {
    /// What is to be said of a route now.
    pub(super) fn said_of_route(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
    ) -> RouteStatus {
        let entries = shown.parent_refs.iter().map(|(index, reference)| {
            let service = service_named(key, reference);
            let mut conditions = match unread {
                Some(problem) => vec![self.said_of_unread_route(key, problem)],
                None => self
                    .route_verdict(&service, key, *index)
                    .map_or_else(Vec::new, |verdict| verdict.conditions.clone()),
            };
            conditions.extend(self.said_of_waypoint(&service));
            (reference.clone(), conditions)
        });
        RouteStatus {
            entries: entries
                .filter(|(_, conditions)| !conditions.is_empty())
                .collect(),
            generation: shown.generation,
        }
    }

    fn said_of_unread_route(&self, key: &ObjectKey, problem: &Problem) -> RouteCondition {
        let wrong = sentence(&Finding::new(
            problem.field.as_str(),
            problem.what.as_str(),
            problem.advice.as_str(),
        ));
        let (reason, meanwhile) = match self.objects.get(key) {
            Some(_) => (
                "LastGoodInForce",
                "The last version that could be read stays in force.",
            ),
            None => (
                "UnsupportedValue",
                "No version of it could be read, so it has no effect.",
            ),
        };
        RouteCondition {
            kind: super::ACCEPTED,
            status: false,
            reason,
            message: format!("{wrong} {meanwhile}"),
        }
    }

    /// Whether requests to a service pass a waypoint; nothing of a service that is not there.
    fn said_of_waypoint(&self, service: &ObjectKey) -> Option<RouteCondition> {
        let has_waypoint = self.has_waypoint(service)?;
        let (reason, message) = if has_waypoint {
            (
                "ResolvedWaypoints",
                format!("{service} is bound to a waypoint."),
            )
        } else {
            (
                "NoWaypoint",
                sentence(&no_waypoint(service, "spec.parentRefs")),
            )
        };
        Some(RouteCondition {
            kind: RESOLVED_WAYPOINTS,
            status: has_waypoint,
            reason,
            message,
        })
    }

    pub(super) fn has_waypoint(&self, service: &ObjectKey) -> Option<bool> {
        let name = self.inputs().service_name(service);
        Some(self.mesh.service(&name)?.waypoint.is_some())
    }

    fn route_verdict(
        &self,
        service: &ObjectKey,
        route: &ObjectKey,
        index: usize,
    ) -> Option<&RouteVerdict> {
        self.route_verdicts
            .get(service)?
            .get(&(route.clone(), index))
    }

    /// What is wrong with routes, or keeps them from having an effect; of each route once.
    pub(in crate::config) fn route_findings(
        &self,
    ) -> BTreeMap<&ObjectKey, Vec<(Severity, Finding)>> {
        let mut all: BTreeMap<&ObjectKey, Vec<(Severity, Finding)>> = BTreeMap::new();
        for (service, verdicts) in &self.route_verdicts {
            let is_idle = self.has_waypoint(service) == Some(false);
            for ((route, _), verdict) in verdicts {
                let idle =
                    is_idle.then(|| (Severity::Warning, no_waypoint(service, "spec.parentRefs")));
                let known = all.entry(route).or_default();
                for finding in verdict.findings.iter().cloned().chain(idle) {
                    if !known.contains(&finding) {
                        known.push(finding);
                    }
                }
            }
        }
        all
    }
}

pub(super) fn no_waypoint(service: &ObjectKey, field: &str) -> Finding {
    let what = format!("{service} is bound to no waypoint, so the route has no effect");
    let advice = "label the service or its namespace ambit.mesh/use-waypoint";
    Finding::new(field, what, advice)
}

/// The service that a route's reference names.
fn service_named(route: &ObjectKey, reference: &Value) -> ObjectKey {
    let text = |field: &str| reference[field].as_str();
    let namespace = text("namespace").unwrap_or(&route.namespace);
    ObjectKey::new(Kind::Service, namespace, text("name").unwrap_or_default())
}
