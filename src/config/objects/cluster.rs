//! Objects of the cluster: namespaces, nodes and service accounts.

use serde::{Deserialize, Serialize};

use super::metadata::Metadata;

/// A `Namespace`: its labels enrol pods and bind to waypoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Name, labels and so on.
    pub metadata: Metadata,
}

/// A `Node`: its labels say where its pods are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name, labels and so on.
    pub metadata: Metadata,
}

/// A `ServiceAccount`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Name, labels and so on.
    pub metadata: Metadata,
}
