//! The CustomResourceDefinitions of Istio's kinds that we read: what `ambit crds` prints and the chart
//! installs where the cluster has none.
//!
//! Group, versions, names, fields and validation are Istio's, so that users' YAML applies as it
//! is. One thing is stricter: the API server would drop a field that the schema does not know, and
//! `selctor` dropped from a policy is a policy for everybody. So every object of the schema keeps
//! what it does not know; the reader then finds it and refuses the policy, and the webhook says
//! so before.
//!
//! Kinds that are for sidecars have a definition too, so that their authors are told what to use
//! instead, and not that there is no such kind. Of these nothing is said but that they keep all.
//!
//! A test holds the schemas against the types that are read: neither may have a field, or a word
//! of an enumeration, that the other lacks.

mod authorization_policy;
mod destination_rule;
mod peer_authentication;
mod request_authentication;
mod schema;
mod selector;
mod service_entry;
mod sidecars;
mod status;
mod telemetry;
mod virtual_service;

use serde_json::{Value, json};

use self::schema::Schema;
use crate::config::objects::Kind;

/// The kinds that have a definition of ours.
pub const KINDS: [Kind; 10] = [
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::RequestAuthentication,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Telemetry,
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::Sidecar,
    Kind::EnvoyFilter,
];
/// By this label a definition of ours is told from an Istio installation's.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "ambit");

const HEADER: &str = "# Made by `ambit crds`; do not edit.\n";

/// What differs between the kinds.
struct Definition {
    kind: Kind,
    singular: &'static str,
    short_name: &'static str,
    /// Heading, path and explanation of the column that tells most; none of what has no effect.
    column: Option<[&'static str; 3]>,
    spec: Schema,
}

/// The definitions cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the definitions cannot be written: {0}")]
pub struct WriteError(String);

/// All definitions as one YAML stream.
pub fn yaml() -> Result<String, WriteError> {
    let mut text = HEADER.to_owned();
    for kind in KINDS {
        let Some(definition) = definition(kind) else {
            continue;
        };
        let document =
            serde_saphyr::to_string(&definition).map_err(|error| WriteError(error.to_string()))?;
        text.push_str("---\n");
        text.push_str(&document);
    }
    Ok(text)
}

/// The definition of a kind; none if it is not one that we define.
pub fn definition(kind: Kind) -> Option<Value> {
    let definition = match kind {
        Kind::AuthorizationPolicy => authorization_policy::definition(),
        Kind::PeerAuthentication => peer_authentication::definition(),
        Kind::RequestAuthentication => request_authentication::definition(),
        Kind::VirtualService => virtual_service::definition(),
        Kind::DestinationRule => destination_rule::definition(),
        Kind::Telemetry => telemetry::definition(),
        Kind::ServiceEntry => service_entry::definition(),
        Kind::WorkloadEntry => service_entry::workload(),
        Kind::Sidecar => sidecars::definition(kind, "sidecar", "sc"),
        Kind::EnvoyFilter => sidecars::definition(kind, "envoyfilter", "ef"),
        _ => return None,
    };
    Some(definition.document())
}

impl Definition {
    /// The API group of its kind.
    fn group(&self) -> &'static str {
        let preferred = self.kind.api_versions().first();
        let split = preferred.and_then(|version| version.split_once('/'));
        split.map_or("", |(group, _)| group)
    }

    fn document(&self) -> Value {
        let plural = self.kind.plural();
        let (label, value) = LABEL;
        let group = self.group();
        let area = group.split('.').next().unwrap_or_default();
        let versions: Vec<Value> = self
            .kind
            .api_versions()
            .iter()
            .filter_map(|version| version.strip_prefix(group)?.strip_prefix('/'))
            .enumerate()
            .map(|(index, version)| self.version(version, index == 0))
            .collect();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.{group}"),
                "labels": {label: value},
            },
            "spec": {
                "group": group,
                "names": {
                    "kind": self.kind.name(),
                    "listKind": format!("{}List", self.kind.name()),
                    "plural": plural,
                    "singular": self.singular,
                    "shortNames": [self.short_name],
                    "categories": ["istio-io", format!("{area}-istio-io")],
                },
                "scope": "Namespaced",
                "versions": versions,
            },
        })
    }

    fn version(&self, name: &str, is_stored: bool) -> Value {
        let whole = Schema::object(
            "",
            [
                ("spec", self.spec.clone()),
                ("status", status::schema(self.kind)),
            ],
        );
        json!({
            "name": name,
            "served": true,
            "storage": is_stored,
            "subresources": {"status": {}},
            "additionalPrinterColumns": self.columns(),
            "schema": {"openAPIV3Schema": Value::from(whole)},
        })
    }

    fn columns(&self) -> Vec<Value> {
        let mut columns = Vec::new();
        if let Some([heading, path, explanation]) = self.column {
            columns.push(json!(
                {"name": heading, "type": "string", "jsonPath": path, "description": explanation}
            ));
            columns.push(json!({
                "name": "Accepted", "type": "string",
                "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status",
                "description": "Whether it is in force as it is written.",
            }));
        }
        columns.push(
            json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}),
        );
        columns
    }
}

#[cfg(test)]
mod tests;
