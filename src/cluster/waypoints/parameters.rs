//! What a Gateway asks for of its own: annotations, and overlays in the ConfigMap that its
//! `infrastructure.parametersRef` names.
//!
//! An overlay is a piece of an object under the key of its kind, put over what is made: an object
//! is merged field by field, `null` takes a field away, a list is replaced; of a pod's containers
//! the one named `waypoint` is merged. Whoever may write a Gateway may not be allowed to make pods, so
//! that only the fields listed here can be set: no other field reaches what a container may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::desired::CONTAINER;
use crate::cluster::call::CallError;
use crate::config::objects::gateway::Gateway;

/// How many pods, whatever the load.
pub(super) const REPLICAS: &str = "ambit.mesh/waypoint-replicas";
/// CPU that each pod asks for.
pub(super) const CPU: &str = "ambit.mesh/waypoint-cpu";
/// Memory that each pod asks for.
pub(super) const MEMORY: &str = "ambit.mesh/waypoint-memory";

/// Most replicas that an annotation can ask for.
const MOST_REPLICAS: u32 = 1000;

/// Fields that the overlay of each kind may set, with all that is below them.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "deployment",
        &[
            "metadata.labels",
            "metadata.annotations",
            "spec.replicas",
            "spec.minReadySeconds",
            "spec.progressDeadlineSeconds",
            "spec.revisionHistoryLimit",
            "spec.strategy",
            "spec.template.metadata.labels",
            "spec.template.metadata.annotations",
            "spec.template.spec.affinity",
            "spec.template.spec.containers",
            "spec.template.spec.imagePullSecrets",
            "spec.template.spec.nodeSelector",
            "spec.template.spec.priorityClassName",
            "spec.template.spec.runtimeClassName",
            "spec.template.spec.terminationGracePeriodSeconds",
            "spec.template.spec.tolerations",
            "spec.template.spec.topologySpreadConstraints",
        ],
    ),
    (
        "service",
        &[
            "metadata.labels",
            "metadata.annotations",
            "spec.internalTrafficPolicy",
            "spec.ipFamilies",
            "spec.ipFamilyPolicy",
            "spec.trafficDistribution",
        ],
    ),
    (
        "serviceAccount",
        &["metadata.labels", "metadata.annotations"],
    ),
    (
        "horizontalPodAutoscaler",
        &[
            "metadata.labels",
            "metadata.annotations",
            "spec.minReplicas",
            "spec.maxReplicas",
            "spec.metrics",
            "spec.behavior",
        ],
    ),
    (
        "podDisruptionBudget",
        &[
            "metadata.labels",
            "metadata.annotations",
            "spec.minAvailable",
            "spec.maxUnavailable",
            "spec.unhealthyPodEvictionPolicy",
        ],
    ),
];
/// Fields of the container that an overlay may set.
const OF_CONTAINER: &[&str] = &["name", "resources"];

/// What a Gateway asks for of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parameters {
    /// How many pods.
    pub(super) replicas: Option<u32>,
    /// CPU that each asks for.
    pub(super) cpu: Option<String>,
    /// Memory that each asks for.
    pub(super) memory: Option<String>,
    /// Overlays, by their keys.
    overlays: BTreeMap<String, Value>,
}

/// The ConfigMap that a Gateway names, as it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedMap {
    name: Arc<str>,
    /// Its data, or that there is none of that name, in the API server's words.
    data: Result<BTreeMap<String, String>, String>,
}

impl NamedMap {
    /// As it was read now, or else before: that it cannot be read says nothing about it. None if it
    /// never could.
    pub(super) fn after(
        name: &Arc<str>,
        read: Result<BTreeMap<String, String>, CallError>,
        before: Option<Self>,
    ) -> Option<Self> {
        let data = match read {
            Ok(data) => Ok(data),
            Err(CallError::Missing(why)) => Err(why),
            Err(_) => return before.filter(|before| before.name == *name),
        };
        let name = Arc::clone(name);
        Some(Self { name, data })
    }
}

/// What is asked for cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct ParameterError(pub String);

impl Parameters {
    /// What a Gateway's annotations and the data of its ConfigMap ask for.
    pub(super) fn of(
        gateway: &Gateway,
        map: Option<&BTreeMap<String, String>>,
    ) -> Result<Self, ParameterError> {
        let text = |name: &str| gateway.metadata.annotation(name).map(ToString::to_string);
        let overlays = map.into_iter().flatten();
        let overlays: BTreeMap<String, Value> = overlays
            .map(|(key, text)| Ok((key.clone(), overlay(key, text)?)))
            .collect::<Result<_, ParameterError>>()?;
        let deployment = overlays.get("deployment");
        let replicas = deployment.and_then(|overlay| overlay.pointer("/spec/replicas"));
        let replicas = replicas
            .filter(|number| !number.is_null())
            .map(Value::to_string);
        Ok(Self {
            replicas: match (text(REPLICAS), replicas) {
                (Some(text), _) => Some(number(&format!("annotation {REPLICAS}"), &text)?),
                (None, Some(text)) => Some(number("key deployment: spec.replicas", &text)?),
                (None, None) => None,
            },
            cpu: text(CPU).map(|text| quantity(CPU, text)).transpose()?,
            memory: text(MEMORY)
                .map(|text| quantity(MEMORY, text))
                .transpose()?,
            overlays,
        })
    }

    /// What a Gateway and the ConfigMap that it names ask for.
    pub(super) fn of_map(gateway: &Gateway, map: &NamedMap) -> Result<Self, ParameterError> {
        let NamedMap { name, data } = map;
        let data = data.as_ref().map_err(|why| {
            ParameterError(format!(
                "infrastructure.parametersRef: ConfigMap {name}: {why}"
            ))
        })?;
        Self::of(gateway, Some(data))
            .map_err(|error| ParameterError(format!("ConfigMap {name}: {error}")))
    }

    /// Whether there is an overlay of that key.
    pub(super) fn overlays(&self, key: &str) -> bool {
        self.overlays.contains_key(key)
    }

    /// Puts the overlay of that key over an object.
    pub(super) fn put_over(&self, key: &str, object: &mut Value) {
        if let Some(overlay) = self.overlays.get(key) {
            merge(object, overlay);
        }
    }
}

fn number(what: &str, text: &str) -> Result<u32, ParameterError> {
    let number = text.parse().ok();
    let number = number.filter(|number| *number <= MOST_REPLICAS);
    number.ok_or_else(|| {
        ParameterError(format!(
            "{what}: `{text}` is no number from 0 to {MOST_REPLICAS}"
        ))
    })
}

/// A quantity of Kubernetes, such as `250m` or `64Mi`.
fn quantity(annotation: &str, text: String) -> Result<String, ParameterError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits).unwrap_or_default();
    let is_number = digits.parse::<f64>().is_ok_and(|number| number > 0.0)
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let units = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    if is_number && units.contains(&unit) {
        return Ok(text);
    }
    Err(ParameterError(format!(
        "annotation {annotation}: `{text}` is no quantity such as 250m or 64Mi"
    )))
}

fn overlay(key: &str, text: &str) -> Result<Value, ParameterError> {
    let Some((_, fields)) = FIELDS.iter().find(|(known, _)| *known == key) else {
        let known: Vec<&str> = FIELDS.iter().map(|(key, _)| *key).collect();
        let known = known.join(", ");
        return Err(ParameterError(format!(
            "key {key} is not known; known are {known}"
        )));
    };
    let overlay: Value = serde_saphyr::from_str(text)
        .map_err(|error| ParameterError(format!("key {key} is no YAML: {error}")))?;
    if !overlay.is_object() {
        return Err(ParameterError(format!("key {key} is no object")));
    }
    check(key, &overlay, "", fields)?;
    if key == "deployment" {
        check_containers(&overlay)?;
    }
    Ok(overlay)
}

/// Every field must be one of these, or lead to one.
fn check(key: &str, value: &Value, path: &str, fields: &[&str]) -> Result<(), ParameterError> {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if fields.contains(&path.as_str()) {
            continue;
        }
        let leads = |field: &str| {
            let rest = field.strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        if !fields.iter().any(|field| leads(field)) || !value.is_object() {
            return Err(ParameterError(format!("key {key}: {path} cannot be set")));
        }
        check(key, value, &path, fields)?;
    }
    Ok(())
}

fn check_containers(overlay: &Value) -> Result<(), ParameterError> {
    let Some(containers) = overlay.pointer("/spec/template/spec/containers") else {
        return Ok(());
    };
    let path = "key deployment: spec.template.spec.containers";
    let Some([Value::Object(container)]) = containers.as_array().map(Vec::as_slice) else {
        return Err(ParameterError(format!(
            "{path} is not a list of the one container {CONTAINER}"
        )));
    };
    if container.get("name") != Some(&json!(CONTAINER)) {
        return Err(ParameterError(format!(
            "{path}: only {CONTAINER} can be set"
        )));
    }
    let wrong = container
        .keys()
        .find(|name| !OF_CONTAINER.contains(&name.as_str()));
    wrong.map_or(Ok(()), |name| {
        Err(ParameterError(format!("{path}: {name} cannot be set")))
    })
}

fn merge(into: &mut Value, overlay: &Value) {
    let Value::Object(fields) = overlay else {
        into.clone_from(overlay);
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(map) = into else { return };
    for (name, value) in fields {
        match value {
            Value::Null => {
                map.remove(name);
            }
            value if name == "containers" => {
                let ours = map.get_mut(name).and_then(|list| list.get_mut(0));
                ours.into_iter()
                    .zip(value.get(0))
                    .for_each(|(ours, theirs)| merge(ours, theirs));
            }
            value => merge(map.entry(name).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests;
