//! Istio's `DestinationRule`, read strictly: a field that is misspelt or of the wrong type makes the
//! whole object an error, so that nothing of it is passed over in silence.
//!
//! What Istio's own validation refuses is refused here. What a field means, and which values of it
//! can be followed, is said in `translate/destination_rule.rs`.

pub mod balancing;
pub mod policy;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::policy::TrafficPolicy;
use super::metadata::{Labels, Metadata};
use super::names::Label;
use super::virtual_service::hosts;
use crate::config::problem::Finding;

/// Most subsets of one object.
const MAX_SUBSETS: usize = 256;
/// Longest value of a label.
const MAX_VALUE: usize = 63;

/// A `DestinationRule`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationRule {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: DestinationRuleSpec,
}

/// `spec` of a destination rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationRuleSpec {
    /// The service that it is for.
    pub host: Arc<str>,
    /// What holds for all its endpoints.
    #[serde(default)]
    pub traffic_policy: Option<TrafficPolicy>,
    /// Parts of its endpoints.
    #[serde(default)]
    pub subsets: Vec<Subset>,
    /// Namespaces of whose clients it holds; `*` if absent.
    #[serde(default)]
    pub export_to: Vec<Arc<str>>,
    /// Clients that it is for.
    #[serde(default)]
    pub workload_selector: Option<ClientSelector>,
}

/// A part of the endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subset {
    /// By which routes name it.
    pub name: Arc<str>,
    /// Labels that its endpoints have.
    #[serde(default)]
    pub labels: Labels,
    /// What holds for it, over what holds for all.
    #[serde(default)]
    pub traffic_policy: Option<TrafficPolicy>,
}

/// Clients by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientSelector {
    /// Labels that they have.
    pub match_labels: Labels,
}

impl DestinationRule {
    /// Its traffic policies, with the paths of their fields.
    pub fn policies(&self) -> impl Iterator<Item = (String, &TrafficPolicy)> {
        let spec = &self.spec;
        let whole = spec.traffic_policy.iter();
        let whole = whole.map(|policy| ("spec.trafficPolicy".to_owned(), policy));
        let of_subsets = spec.subsets.iter().enumerate();
        whole.chain(of_subsets.filter_map(|(index, subset)| {
            let policy = subset.traffic_policy.as_ref()?;
            Some((format!("spec.subsets[{index}].trafficPolicy"), policy))
        }))
    }

    /// Names of the labels of pods that it asks for.
    pub fn labels(&self) -> BTreeSet<Arc<str>> {
        let subsets = self.spec.subsets.iter();
        let of_subsets = subsets.flat_map(|subset| subset.labels.keys().cloned());
        let of_policies = self
            .policies()
            .flat_map(|(_, policy)| policy.failover_labels())
            .map(|label| match label.split_once('=') {
                Some((key, _)) => key.into(),
                None => Arc::clone(label),
            });
        of_subsets.chain(of_policies).collect()
    }

    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub(super) fn check(&self) -> Result<(), Finding> {
        let spec = &self.spec;
        let in_host =
            |finding: Finding| Finding::new("spec.host", finding.what, finding.advice.as_str());
        hosts::check(std::slice::from_ref(&spec.host), &[]).map_err(in_host)?;
        hosts::check(&[], &spec.export_to)?;
        if spec.subsets.len() > MAX_SUBSETS {
            let what = format!(
                "{} subsets, of which {MAX_SUBSETS} are allowed",
                spec.subsets.len()
            );
            return Err(Finding::new("spec.subsets", what, "leave some out"));
        }
        let mut names = BTreeSet::new();
        for (index, subset) in spec.subsets.iter().enumerate() {
            let field = format!("spec.subsets[{index}]");
            subset.check(&field)?;
            if !names.insert(&subset.name) {
                let what = format!("a second subset `{}`", subset.name);
                return Err(Finding::new(format!("{field}.name"), what, "rename it"));
            }
        }
        let mut policies = self.policies();
        policies.try_for_each(|(field, policy)| policy.check(&field))
    }
}

impl Subset {
    fn check(&self, field: &str) -> Result<(), Finding> {
        if Label::new(&self.name.to_ascii_lowercase()).is_err() {
            let shown: String = self.name.chars().take(80).collect();
            let what = format!("`{shown}` is not a name");
            let advice = "write up to 63 letters, digits and dashes";
            return Err(Finding::new(format!("{field}.name"), what, advice));
        }
        for (name, value) in &self.labels {
            let is_known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.is_empty() || value.len() > MAX_VALUE || !value.chars().all(is_known) {
                let shown: String = value.chars().take(80).collect();
                let what = format!("`{shown}` is no value that a label can have");
                let field = format!("{field}.labels.{name}");
                return Err(Finding::new(
                    field,
                    what,
                    "write the value of the pods' label",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
