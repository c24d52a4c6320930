//! What the subcommands decide: the Gateway to write, the labels to change, and how a waypoint is.
//! Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::config::translate::{CLASS, HBONE, USE_WAYPOINT, WAYPOINT_FOR, WAYPOINT_PORT};

/// Class of Istio's waypoints, which may be ours too.
const ISTIO_CLASS: &str = "istio-waypoint";

/// What a waypoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum For {
    /// Traffic to services
    Service,
    /// Traffic to pods' own addresses
    Workload,
    /// Both
    All,
    /// Nothing
    None,
}

impl fmt::Display for For {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "service",
            Self::Workload => "workload",
            Self::All => "all",
            Self::None => "none",
        })
    }
}

/// How a waypoint is, as its status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Its conditions: name, status and what is said of it.
    pub(super) conditions: Vec<(String, String, String)>,
    /// Its addresses.
    pub(super) addresses: Vec<String>,
    /// Whether it serves as it is written.
    pub(super) is_programmed: bool,
}

/// The Gateway of a waypoint.
pub(super) fn gateway(namespace: Option<&str>, name: &str, scope: Option<For>) -> Value {
    let [ours, _] = WAYPOINT_FOR;
    let labels = scope.map(|scope| json!({ours: scope.to_string()}));
    let fields = [
        ("name", Some(name.into())),
        ("namespace", namespace.map(Value::from)),
        ("labels", labels),
    ];
    let given = fields
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)));
    let metadata: Value = given.collect::<Map<_, _>>().into();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": metadata,
        "spec": {
            "gatewayClassName": CLASS,
            "listeners": [{"name": "mesh", "port": WAYPOINT_PORT, "protocol": HBONE}],
        },
    })
}

/// Whether a Gateway is a waypoint that these subcommands are for.
pub(super) fn is_waypoint(gateway: &Value) -> bool {
    let class = gateway
        .pointer("/spec/gatewayClassName")
        .and_then(Value::as_str);
    class.is_some_and(|class| [CLASS, ISTIO_CLASS].contains(&class))
}

/// The labels that bind a namespace to a waypoint: none if they are there. One that is bound to
/// another is changed only if that is said.
pub(super) fn binding(
    labels: &BTreeMap<String, String>,
    waypoint: &str,
    overwrite: bool,
) -> Result<Option<Value>, String> {
    let [ours, theirs] = USE_WAYPOINT;
    let elsewhere = [ours, theirs].map(|label| format!("{label}-namespace"));
    let bound = [ours, theirs]
        .into_iter()
        .find_map(|label| Some((label, labels.get(label)?)));
    let has_other_home = elsewhere.iter().any(|label| labels.contains_key(label));
    match bound {
        Some((_, name)) if name == waypoint && !has_other_home => Ok(None),
        Some((label, name)) if !overwrite => Err(format!(
            "it is labelled {label}={name} already; say --overwrite to bind it to {waypoint}"
        )),
        _ => {
            let [home, _] = &elsewhere;
            let change = if labels.contains_key(home) {
                json!({ours: waypoint, home: null})
            } else {
                json!({ours: waypoint})
            };
            Ok(Some(change))
        }
    }
}

/// How a waypoint is. What is said of an older version of it does not count.
pub(super) fn state(gateway: &Value) -> State {
    let text = |value: &Value, field: &str| {
        let text = value.get(field).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let list = |path: &str| {
        let list = gateway.pointer(path).and_then(Value::as_array);
        list.into_iter().flatten()
    };
    let generation = gateway.pointer("/metadata/generation");
    let is_now = |condition: &&Value| condition.get("observedGeneration") == generation;
    let conditions: Vec<_> = list("/status/conditions")
        .filter(is_now)
        .map(|it| (text(it, "type"), text(it, "status"), text(it, "message")))
        .collect();
    let programmed =
        |(kind, status, _): &(String, String, String)| kind == "Programmed" && status == "True";
    State {
        is_programmed: conditions.iter().any(programmed),
        addresses: list("/status/addresses")
            .map(|it| text(it, "value"))
            .collect(),
        conditions,
    }
}

impl State {
    /// The status of a condition; empty if nothing is said yet.
    pub(super) fn of(&self, kind: &str) -> &str {
        let mut conditions = self.conditions.iter();
        let found = conditions.find(|(name, _, _)| name == kind);
        found.map_or("", |(_, status, _)| status)
    }

    /// What hinders it, for people.
    pub(super) fn complaint(&self) -> String {
        let bad = self
            .conditions
            .iter()
            .filter(|(_, status, _)| status != "True");
        let words: Vec<_> = bad.map(|(kind, _, why)| format!("{kind}: {why}")).collect();
        if words.is_empty() {
            "nobody has said anything of it; is the control plane there, with waypoints?".to_owned()
        } else {
            words.join("; ")
        }
    }
}

/// What a Gateway's labels say that it is for.
pub(super) fn scope_of(gateway: &Value) -> String {
    let labels = gateway.pointer("/metadata/labels");
    let found = WAYPOINT_FOR
        .iter()
        .find_map(|label| labels?.get(label)?.as_str());
    found.unwrap_or("service").to_owned()
}

#[cfg(test)]
mod tests;
