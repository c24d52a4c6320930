//! Which workloads a policy is for: a selector of labels, or references to gateways and services.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::{Labels, selects};
use crate::config::problem::Finding;

/// Istio's workload selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Labels that a pod must have; empty selects every pod.
    #[serde(default)]
    pub match_labels: Labels,
}

/// What a policy is bound to, where that is not pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the fields are Gateway API's, documented there"
)]
pub struct TargetReference {
    #[serde(default)]
    pub group: Arc<str>,
    pub kind: Arc<str>,
    pub name: Arc<str>,
    #[serde(default)]
    pub namespace: Option<Arc<str>>,
}

impl TargetReference {
    /// True if it leads into this namespace, which is the object's own: to no other may one lead.
    pub fn is_within(&self, namespace: &str) -> bool {
        let named = self.namespace.as_deref().unwrap_or_default();
        named.is_empty() || *named == *namespace
    }
}

impl Selector {
    /// True if it selects pods with these labels.
    pub fn selects(&self, labels: &Labels) -> bool {
        selects(&self.match_labels, labels)
    }

    /// True if it selects every pod.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty()
    }
}

/// A policy has a selector or references, not both.
pub(super) fn check_target(selector: Option<&Selector>, references: usize) -> Result<(), Finding> {
    if selector.is_some() && references > 0 {
        return Err(Finding::new(
            "spec.selector",
            "given beside targetRefs",
            "keep one of the two",
        ));
    }
    if selector.is_some_and(|s| s.match_labels.values().any(|value| value.contains('*'))) {
        return Err(Finding::new(
            "spec.selector.matchLabels",
            "a star is not a pattern in a selector",
            "write the whole value",
        ));
    }
    Ok(())
}
