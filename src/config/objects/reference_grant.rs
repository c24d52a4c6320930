//! Gateway API's `ReferenceGrant`: what of other namespaces may refer to what of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::Metadata;
use super::names::Label;
use super::route_values::at_most;

/// A `ReferenceGrant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceGrant {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: ReferenceGrantSpec,
}

/// `spec` of a grant: all of one list may refer to all of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    #[serde(deserialize_with = "at_most::<16, _, _>")]
    pub from: Vec<GrantFrom>,
    /// To what.
    #[serde(deserialize_with = "at_most::<16, _, _>")]
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantFrom {
    /// API group of the kind.
    pub group: Arc<str>,
    /// A kind.
    pub kind: Arc<str>,
    /// A namespace.
    pub namespace: Label,
}

/// What may be referred to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTo {
    /// API group of the kind.
    pub group: Arc<str>,
    /// A kind.
    pub kind: Arc<str>,
    /// One object; absent means all of the kind.
    #[serde(default)]
    pub name: Option<Arc<str>>,
}

impl ReferenceGrant {
    /// True if a route of that kind and namespace may refer to a service of that name.
    pub fn lets_route(&self, kind: &str, namespace: &str, service: &str) -> bool {
        let from = |from: &GrantFrom| from.is_route(kind) && *from.namespace == *namespace;
        let to = |to: &GrantTo| {
            to.group.is_empty()
                && &*to.kind == "Service"
                && to.name.as_ref().is_none_or(|name| **name == *service)
        };
        self.spec.from.iter().any(from) && self.spec.to.iter().any(to)
    }
}

impl GrantFrom {
    /// True if it is for routes of that kind.
    pub fn is_route(&self, kind: &str) -> bool {
        &*self.group == super::route_parts::GROUP && &*self.kind == kind
    }
}
