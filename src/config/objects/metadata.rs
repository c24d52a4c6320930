//! What every object carries: `metadata`, as much of it as the mesh reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::names::{Label, Name, Uid};

/// Labels or annotations.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// `metadata` of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name, unique for its kind and namespace.
    pub name: Name,
    /// Namespace; absent for objects of the cluster, and for `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Label>,
    /// Kubernetes' own uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<Uid>,
    /// Labels.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Labels::is_empty"
    )]
    pub labels: Labels,
    /// Annotations.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Labels::is_empty"
    )]
    pub annotations: Labels,
    /// When it was made, RFC 3339 in UTC: such texts compare as the times do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Arc<str>>,
    /// Present once somebody asked for its deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Arc<str>>,
    /// Who made it, as far as that can be read: the API server takes names here that no object has.
    #[serde(
        default,
        deserialize_with = "readable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub owner_references: Vec<OwnerReference>,
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerReference {
    /// Kind of the owner.
    pub kind: Arc<str>,
    /// Name of the owner.
    pub name: Name,
    /// True for the one that manages the object.
    #[serde(default)]
    pub controller: bool,
}

/// Fields of `metadata` that Kubernetes knows; what is not among them is a slip of the pen.
pub(super) const METADATA_FIELDS: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

impl Metadata {
    /// Metadata of the given name only.
    #[cfg(test)]
    pub fn named(namespace: &str, name: &str) -> Self {
        Self {
            name: Name::new(name).expect("a name"),
            namespace: Some(Label::new(namespace).expect("a namespace")),
            uid: None,
            labels: Labels::new(),
            annotations: Labels::new(),
            creation_timestamp: None,
            deletion_timestamp: None,
            owner_references: Vec::new(),
        }
    }

    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&Arc<str>> {
        self.labels.get(name)
    }

    /// An annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&Arc<str>> {
        self.annotations.get(name)
    }

    /// What decides between contradictory objects: the older wins, one with a time wins over one
    /// without.
    pub fn age(&self) -> (bool, Option<Arc<str>>) {
        (
            self.creation_timestamp.is_none(),
            self.creation_timestamp.clone(),
        )
    }
}

/// Reads `null` as the absent value, as the API server does.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads what can be read of a list.
pub(super) fn readable<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let all: Option<Vec<serde_json::Value>> = Option::deserialize(deserializer)?;
    let read = |value| serde_json::from_value(value).ok();
    Ok(all
        .unwrap_or_default()
        .into_iter()
        .filter_map(read)
        .collect())
}

/// Reads a value that may be absent but not `null`: in a policy an emptied field is a mistake.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// True if the labels have every one of the wanted values.
pub fn selects(wanted: &Labels, labels: &Labels) -> bool {
    wanted
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}
