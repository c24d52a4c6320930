//! The form of the status that Istio's traffic kinds have: `Reconciled`, beside it `Accepted` and whether
//! requests pass a waypoint, and every finding as one of Istio's validation messages, with the field and
//! what to do.

use serde_json::{Value, json};

use super::route::RESOLVED_WAYPOINTS;
use super::said::{are_same, conditions_over};
use super::{ACCEPTED, Difference, Shown, sentence};
use crate::config::problem::{Finding, Problem, Severity, sentences};
use crate::config::translate::{RecordedAddress, RouteCondition};
use crate::config::waypoints::report::WAYPOINT_BOUND;

/// Istio's condition: what it says has been given to those who follow it.
const RECONCILED: &str = "Reconciled";
/// Conditions that we write.
const OURS: [&str; 4] = [RECONCILED, ACCEPTED, RESOLVED_WAYPOINTS, WAYPOINT_BOUND];
/// Where the fields are told of.
const DOCUMENTATION: &str = "docs/istio.md";
/// Most messages of one object: a status has its bounds.
const MOST: usize = 32;

/// What is to be said of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficStatus {
    /// Ours.
    pub conditions: Vec<RouteCondition>,
    /// What is wrong, or not as it is written.
    pub findings: Vec<(Severity, Finding)>,
    /// Generation of the object that this is about.
    pub generation: i64,
    /// Addresses that stand for hosts of a service entry, where they are recorded.
    pub addresses: Option<Vec<RecordedAddress>>,
}

impl TrafficStatus {
    /// Of an object that cannot be read, that is not there, or of which this is said.
    pub(super) fn of<T>(
        shown: &Shown,
        unread: Option<&Problem>,
        object: Option<T>,
        say: impl FnOnce(T) -> Said,
    ) -> Self {
        let (conditions, findings) = match (unread, object) {
            (Some(problem), object) => said_of_unread(object.is_some(), problem),
            (None, None) => Said::default(),
            (None, Some(object)) => say(object),
        };
        Self {
            conditions,
            findings,
            generation: shown.generation,
            addresses: None,
        }
    }

    /// The whole status; what others said in it stays.
    pub(super) fn status(&self, shown: &Shown, now: &str) -> Value {
        let others = shown.conditions.iter();
        let others = others.filter(|other| !is_ours(other)).cloned();
        let conditions: Vec<Value> = others.chain(self.conditions(shown, now)).collect();
        let mut status = json!({
            "conditions": conditions,
            "observedGeneration": self.generation,
            "validationMessages": self.messages(),
        });
        if let (Some(addresses), Some(fields)) =
            (self.addresses_over(shown), status.as_object_mut())
        {
            fields.insert("addresses".to_owned(), addresses.into());
        }
        status
    }

    pub(super) fn difference(&self, shown: &Shown) -> Difference {
        let there = shown.conditions.iter().filter(|other| is_ours(other));
        let there = Value::Array(there.cloned().collect());
        let wanted = Value::Array(self.conditions(shown, ""));
        let messages = shown.status.get("validationMessages");
        let messages = messages
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        let same_addresses = self.addresses_over(shown).is_none();
        match are_same(&wanted, &there) && messages == self.messages() && same_addresses {
            true => Difference::None,
            false => Difference::Verdict,
        }
    }

    /// The addresses, if others are there.
    fn addresses_over(&self, shown: &Shown) -> Option<Vec<Value>> {
        let addresses = self.addresses.as_ref()?.iter();
        let wanted: Vec<Value> = addresses
            .map(|address| json!({"value": address.value, "host": &*address.host}))
            .collect();
        let there = shown.status.get("addresses").and_then(Value::as_array);
        let there = there.map_or(&[][..], Vec::as_slice);
        let is_same = wanted.len() == there.len() && wanted.iter().all(|one| there.contains(one));
        (!is_same).then_some(wanted)
    }

    fn conditions(&self, shown: &Shown, now: &str) -> Vec<Value> {
        conditions_over(&self.conditions, self.generation, &shown.conditions, now)
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

pub(super) type Said = (Vec<RouteCondition>, Vec<(Severity, Finding)>);

fn said_of_unread(has_last_good: bool, problem: &Problem) -> Said {
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

/// What is told of where an object is in force, and of what is wrong with it.
pub(super) fn message(place: String, findings: &[(Severity, Finding)]) -> String {
    let told = sentences(findings.iter().map(|(_, finding)| finding));
    match told.is_empty() {
        true => place,
        false => format!("{place} {told}"),
    }
}

/// Whether some finding is an error.
pub(super) fn is_wrong(findings: &[(Severity, Finding)]) -> bool {
    let mut findings = findings.iter();
    findings.any(|(severity, _)| *severity == Severity::Error)
}

/// Whether what holds for services is accepted, and why.
pub(super) fn verdict(
    is_in_force: bool,
    is_for_any: bool,
    findings: &[(Severity, Finding)],
) -> (bool, &'static str) {
    match (is_in_force, is_wrong(findings)) {
        (_, true) => (false, "UnsupportedValue"),
        (true, false) if findings.is_empty() => (true, "Accepted"),
        (true, false) => (true, "AcceptedWithWarnings"),
        (false, false) if !is_for_any => (false, "NoMatchingHost"),
        (false, false) => (false, "Conflicted"),
    }
}

/// That it has been told to those who follow it, and this.
pub(super) fn reconciled(
    is_in_force: bool,
    (accepted, reason): (bool, &'static str),
    message: String,
) -> Vec<RouteCondition> {
    let told = match is_in_force {
        false => "There is nothing to tell waypoints.",
        true => "Told to all waypoints that serve it.",
    };
    vec![
        RouteCondition::new(RECONCILED, true, RECONCILED, told),
        RouteCondition::new(ACCEPTED, accepted, reason, message),
    ]
}

/// Whether requests to the services that it is in force for pass a waypoint.
pub(super) fn waypoints(idle: Option<(Severity, Finding)>) -> RouteCondition {
    match idle {
        Some((_, finding)) => {
            RouteCondition::new(RESOLVED_WAYPOINTS, false, "NoWaypoint", sentence(&finding))
        }
        None => {
            let what = "All services that it is for are bound to a waypoint.";
            RouteCondition::new(RESOLVED_WAYPOINTS, true, "ResolvedWaypoints", what)
        }
    }
}
