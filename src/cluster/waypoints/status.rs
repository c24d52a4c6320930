//! What is said of a Gateway, of its listeners, of its class, and of services that name a waypoint, on
//! themselves. Pure; nothing is written where it stands there already.
//!
//! Conditions are merged by the API server (server-side apply: lists of conditions and listeners are
//! maps), so that those of others stay.

use serde_json::{Value, json};

use super::fields::set;
use super::listeners::{self, Verdict};
use super::parameters::ParameterError;
use crate::config::objects::gateway::GatewayKey;
use crate::config::statuses::Shown;
use crate::config::translate::{Binding, WhyRefused};
use crate::config::waypoints::report::{SeenClass, SeenGateway, WAYPOINT_BOUND};

/// What routes of our waypoints can do, in the Gateway API's words, sorted. Those of the mesh are not
/// for a class to list.
const FEATURES: &[&str] = &[
    "GRPCRoute",
    "Gateway",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteParentRefPort",
    "HTTPRouteResponseHeaderModification",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
];

/// How far the making of a waypoint's objects has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Making {
    /// Not begun: the Gateway is not accepted, or it has just come.
    NotTried,
    /// All are there.
    Done,
    /// One cannot be made or deleted.
    Failed {
        /// In the Gateway API's words.
        reason: &'static str,
        /// For people.
        message: String,
    },
}

/// Whether a Gateway is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acceptance {
    /// Whether it is.
    pub(super) is_accepted: bool,
    reason: &'static str,
    message: String,
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) kind: &'static str,
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Told {
    pub(super) fn new(
        kind: &'static str,
        holds: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self {
            kind,
            holds,
            reason,
            message,
        }
    }

    /// The whole condition; its time stays where its status does.
    fn condition(&self, before: Option<&Value>, generation: i64, now: &str) -> Value {
        let status = if self.holds { "True" } else { "False" };
        let before = before.filter(|before| before["status"] == status);
        let since = before.and_then(|before| before["lastTransitionTime"].as_str());
        json!({
            "type": self.kind,
            "status": status,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": generation,
            "lastTransitionTime": since.unwrap_or(now),
        })
    }
}

impl Acceptance {
    /// Judges a Gateway, with what became of its parameters.
    pub(super) fn of(seen: &SeenGateway, parameters: Result<(), &ParameterError>) -> Self {
        let refused = |reason, message: String| Self {
            is_accepted: false,
            reason,
            message,
        };
        if let Err(error) = parameters {
            return refused("InvalidParameters", error.to_string());
        }
        if !seen.gateway.spec.addresses.is_empty() {
            let what = "spec.addresses: a waypoint has the address of its service; remove them";
            return refused("UnsupportedAddress", what.to_owned());
        }
        let verdicts = listeners::judge(&seen.gateway);
        let is_good = |verdict: &&Verdict| verdict.is_good();
        if !verdicts.iter().any(|verdict| verdict.is_good()) {
            let what = "no listener that is a waypoint's: protocol HBONE on port 15008";
            return refused("ListenersNotValid", what.to_owned());
        }
        let all = verdicts.iter().filter(is_good).count() == verdicts.len();
        let (reason, message) = if all {
            ("Accepted", "the control plane takes care of it")
        } else {
            (
                "ListenersNotValid",
                "not every listener is a waypoint's; that one serves",
            )
        };
        Self {
            is_accepted: true,
            reason,
            message: message.to_owned(),
        }
    }
}

/// The status that a Gateway is to have.
pub(super) fn of_gateway(
    seen: &SeenGateway,
    acceptance: &Acceptance,
    making: &Making,
    now: &str,
) -> Value {
    let generation = seen.shown.generation;
    let programmed = programmed(seen, acceptance, making);
    let accepted = Told::new(
        "Accepted",
        acceptance.is_accepted,
        acceptance.reason,
        acceptance.message.as_str(),
    );
    let is_programmed = programmed.holds;
    let conditions = [accepted, programmed]
        .map(|told| told.condition(seen.shown.condition(told.kind), generation, now));
    let shown = seen.shown.status.get("listeners").and_then(Value::as_array);
    let verdicts = listeners::judge(&seen.gateway);
    let listeners: Vec<Value> = verdicts
        .iter()
        .map(|verdict| {
            let shown = shown.into_iter().flatten();
            let before = shown
                .into_iter()
                .find(|entry| entry["name"] == *verdict.name);
            of_listener(verdict, is_programmed, before, generation, now)
        })
        .collect();
    let addresses = seen.addresses.iter();
    let addresses: Vec<Value> = addresses
        .map(|address| json!({"type": "IPAddress", "value": address.to_string()}))
        .collect();
    json!({"conditions": conditions, "listeners": listeners, "addresses": addresses})
}

fn programmed(seen: &SeenGateway, acceptance: &Acceptance, making: &Making) -> Told {
    let (reason, message) = match making {
        _ if !acceptance.is_accepted => ("Invalid", "it is not accepted".to_owned()),
        Making::Failed { reason, message } => (*reason, message.clone()),
        Making::NotTried => ("Pending", "its objects are being made".to_owned()),
        Making::Done if seen.addresses.is_empty() => (
            "AddressNotAssigned",
            "its service has no address yet".to_owned(),
        ),
        Making::Done if seen.ready == 0 => ("Pending", "no pod of it is ready".to_owned()),
        Making::Done => {
            let message = format!("{} of its pods are ready", seen.ready);
            return Told::new("Programmed", true, "Programmed", message);
        }
    };
    Told::new("Programmed", false, reason, message)
}

fn of_listener(
    verdict: &Verdict,
    programmed: bool,
    before: Option<&Value>,
    generation: i64,
    now: &str,
) -> Value {
    let conditions: Vec<Value> = verdict
        .conditions(programmed)
        .iter()
        .map(|told| {
            let there = before.and_then(|before| before["conditions"].as_array());
            let mut there = there.into_iter().flatten();
            let same = there.find(|condition| condition["type"] == told.kind);
            told.condition(same, generation, now)
        })
        .collect();
    // Routes of a mesh have services as their parents, not Gateways.
    json!({
        "name": &*verdict.name,
        "attachedRoutes": 0,
        "supportedKinds": verdict.kinds,
        "conditions": conditions,
    })
}

/// The status that a class of ours is to have.
pub(super) fn of_class(seen: &SeenClass, now: &str) -> Value {
    let told = match seen.class.spec.parameters_ref {
        None => Told::new(
            "Accepted",
            true,
            "Accepted",
            "ambit makes waypoints of its Gateways",
        ),
        Some(_) => Told::new(
            "Accepted",
            false,
            "InvalidParameters",
            "spec.parametersRef: parameters are taken from a Gateway's infrastructure; remove it",
        ),
    };
    let before = seen.shown.condition(told.kind);
    let condition = told.condition(before, seen.shown.generation, now);
    let features: Vec<Value> = FEATURES.iter().map(|name| json!({"name": name})).collect();
    json!({"conditions": [condition], "supportedFeatures": features})
}

/// The status that a service is to have for its binding; an empty one takes our condition away.
pub(super) fn of_service(binding: &Binding, shown: &Shown, now: &str) -> Value {
    let refused = "connections to it are refused until that is so, or the label is taken off";
    let told = |holds, reason, message: String| Told::new(WAYPOINT_BOUND, holds, reason, message);
    let told = match binding {
        Binding::Free => return json!({}),
        Binding::To(key) => told(true, "WaypointAccepted", format!("bound to waypoint {key}")),
        Binding::OutOfScope(key) => {
            let what = format!("waypoint {key} is not for services, see its label waypoint-for");
            told(false, "UnsupportedTrafficType", what)
        }
        Binding::Refused(key, why) => {
            let reason = match why {
                WhyRefused::Missing => "WaypointMissing",
                WhyRefused::NotAWaypoint => "NotAWaypoint",
                WhyRefused::NotAdmitted => "AttachmentDenied",
            };
            let what = why.words();
            told(false, reason, format!("waypoint {key}: {what}; {refused}"))
        }
    };
    let before = shown.condition(told.kind);
    json!({"conditions": [told.condition(before, shown.generation, now)]})
}

/// Whether all of the wanted status stands there already.
pub(super) fn stands(shown: &Shown, wanted: &Value) -> bool {
    let mut there = shown.status.clone();
    set(&mut there, &["conditions"], shown.conditions.clone());
    let no_longer = |condition: &&Value| condition["type"] == WAYPOINT_BOUND;
    let is_left = wanted["conditions"].is_null() && shown.conditions.iter().any(|c| no_longer(&c));
    !is_left && covers(&there, wanted)
}

/// Whether all that is wanted is there; of lists of conditions and listeners each by its name.
fn covers(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| there.get(name).is_some_and(|there| covers(there, value))),
        (Value::Array(there), Value::Array(wanted)) => {
            let covered = |value: &Value| {
                let same = |key: &str| {
                    let there = there.iter().find(|it| it[key] == value[key]);
                    there.is_some_and(|there| covers(there, value))
                };
                match value {
                    _ if value.get("status").is_some() => same("type"),
                    _ if value.get("conditions").is_some() => same("name"),
                    value => there.contains(value),
                }
            };
            let conditions = wanted.iter().any(|value| value.get("status").is_some());
            (conditions || there.len() == wanted.len()) && wanted.iter().all(covered)
        }
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (there, wanted) => there == wanted,
    }
}

/// Why an object cannot be made: somebody else has one of that name.
pub(super) fn taken(kind: &str, gateway: &GatewayKey) -> Making {
    let message = format!(
        "{kind} {gateway} is there and was not made for this Gateway; delete it, or give the Gateway \
         another name"
    );
    Making::Failed {
        reason: "NameTaken",
        message,
    }
}

#[cfg(test)]
mod tests;
