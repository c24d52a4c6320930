//! What is to stand in an object's status: how it differs from what is there, and how it is written.

use serde_json::{Map, Value, json};

use super::istio::TrafficStatus;
use super::route::RouteStatus;
use super::{ACCEPTED, Condition, Difference, Shown};
use crate::config::translate::RouteCondition;

/// What is to stand in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Of a policy.
    Policy(Condition),
    /// Of a route.
    Route(RouteStatus),
    /// Of one of Istio's traffic kinds.
    Traffic(TrafficStatus),
}

impl Said {
    /// How it differs from what is there.
    pub fn difference(&self, shown: &Shown) -> Difference {
        match self {
            Self::Policy(condition) => condition.difference(shown),
            Self::Route(status) => status.difference(shown),
            Self::Traffic(status) => status.difference(shown),
        }
    }

    /// The status to write over what is there; what others said in it stays.
    pub fn status(&self, shown: &Shown, now: &str) -> Value {
        match self {
            Self::Policy(said) => {
                let others = shown.conditions.iter();
                let others = others.filter(|other| other["type"] != ACCEPTED).cloned();
                let ours = Entry {
                    kind: ACCEPTED,
                    status: said.reason.is_accepted(),
                    reason: said.reason.word(),
                    message: &said.message,
                    generation: said.generation,
                };
                let ours = ours.over(&shown.conditions, now);
                let conditions: Vec<Value> = others.chain([ours]).collect();
                json!({"conditions": conditions, "observedGeneration": said.generation})
            }
            Self::Route(status) => json!({"parents": status.parents(shown, now)}),
            Self::Traffic(status) => status.status(shown, now),
        }
    }
}

/// One condition of a status.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    kind: &'a str,
    status: bool,
    reason: &'a str,
    message: &'a str,
    generation: i64,
}

impl Entry<'_> {
    /// The condition that takes the place of the one of its type: while its status stays, so does its
    /// time.
    fn over(&self, there: &[Value], now: &str) -> Value {
        let status = if self.status { "True" } else { "False" };
        let mut before = there.iter().filter(|other| other["type"] == self.kind);
        let since = before
            .next()
            .filter(|before| before["status"] == status)
            .and_then(|before| before["lastTransitionTime"].as_str());
        json!({
            "type": self.kind,
            "status": status,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": self.generation,
            "lastTransitionTime": since.unwrap_or(now),
        })
    }
}

/// Conditions that take the places of those of their types.
pub(super) fn conditions_over(
    conditions: &[RouteCondition],
    generation: i64,
    there: &[Value],
    now: &str,
) -> Vec<Value> {
    let conditions = conditions.iter().map(|condition| {
        let entry = Entry {
            kind: condition.kind,
            status: condition.status,
            reason: condition.reason,
            message: &condition.message,
            generation,
        };
        entry.over(there, now)
    });
    conditions.collect()
}

/// The same conditions, but for the times.
pub(super) fn are_same(some: &Value, others: &Value) -> bool {
    let timeless = |condition: &Value| -> Option<Map<String, Value>> {
        let mut fields = condition.as_object()?.clone();
        fields.remove("lastTransitionTime");
        Some(fields)
    };
    let list = |value: &Value| -> Vec<_> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(timeless)
            .collect()
    };
    list(some) == list(others)
}
