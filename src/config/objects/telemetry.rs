//! Istio's `Telemetry`, read strictly: a field that is misspelt would leave a log, or a trace, as its
//! author did not want it.
//!
//! What of it is followed, [`translate`](crate::config::translate) says.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::metadata::{Metadata, present};
use super::route_values::RouteDuration;
use super::selector::{Selector, TargetReference, check_target};
use crate::config::problem::Finding;

/// A `Telemetry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default)]
    pub spec: TelemetrySpec,
}

/// `spec` of a telemetry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TelemetrySpec {
    /// Pods that it applies to; absent means all of the namespace, or of the mesh.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub selector: Option<Selector>,
    /// Gateway or service that it is bound to (old form).
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub target_ref: Option<TargetReference>,
    /// Gateways or services that it is bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_refs: Vec<TargetReference>,
    /// What is said of traces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracing: Vec<Tracing>,
    /// What is said of series.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metrics>,
    /// What is said of access logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_logging: Vec<AccessLogging>,
}

/// Who is sent it, by a name of the mesh's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRef {
    /// The name.
    pub name: Arc<str>,
}

/// Of which traffic, as a workload sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are Istio's")]
pub enum Mode {
    #[default]
    ClientAndServer,
    Client,
    Server,
}

/// Of which traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeSelector {
    /// As a workload sees it.
    #[serde(default)]
    pub mode: Mode,
}

/// One entry of `tracing`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Tracing {
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<ModeSelector>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random_sampling_percentage: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_span_reporting: Option<bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_tags: BTreeMap<Arc<str>, CustomTag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_request_id_for_trace_sampling: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_istio_tags: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_context_propagation: Option<bool>,
}

/// What a tag of a span is made of: one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct CustomTag {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<Literal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Named>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatter: Option<Literal>,
}

/// A text as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Literal {
    /// The text.
    pub value: Arc<str>,
}

/// The value of something with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    /// What stands for it where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_value: Option<Arc<str>>,
}

/// One entry of `metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Metrics {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderRef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<MetricsOverrides>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporting_interval: Option<RouteDuration>,
}

/// What is other about some series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct MetricsOverrides {
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<MetricSelector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tag_overrides: BTreeMap<Arc<str>, TagOverride>,
}

/// Which series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct MetricSelector {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_metric: Option<Arc<str>>,
    #[serde(default)]
    pub mode: Mode,
}

/// What becomes of a label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagOverride {
    /// Whether it is there.
    #[serde(default)]
    pub operation: Operation,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Arc<str>>,
}

/// Whether a label is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are Istio's")]
pub enum Operation {
    #[default]
    Upsert,
    Remove,
}

/// One entry of `accessLogging`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct AccessLogging {
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<ModeSelector>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<LogFilter>,
}

/// What has a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogFilter {
    /// An expression in CEL that is true of it.
    pub expression: Arc<str>,
}

impl Telemetry {
    /// The selector, if it selects less than everything.
    pub fn selector(&self) -> Option<&Selector> {
        let selector = self.spec.selector.as_ref();
        selector.filter(|selector| !selector.is_empty())
    }

    /// Gateways and services that it is bound to, with their fields.
    pub fn targets(&self) -> impl Iterator<Item = (String, &TargetReference)> {
        let many = self.spec.target_refs.iter().enumerate();
        let many = many.map(|(index, target)| (format!("spec.targetRefs[{index}]"), target));
        let one = self.spec.target_ref.iter();
        many.chain(one.map(|target| ("spec.targetRef".to_owned(), target)))
    }

    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub fn check(&self) -> Result<(), Finding> {
        check_target(self.spec.selector.as_ref(), self.targets().count())?;
        for (index, tracing) in self.spec.tracing.iter().enumerate() {
            tracing.check(&format!("spec.tracing[{index}]"))?;
        }
        Ok(())
    }
}

impl Tracing {
    fn check(&self, path: &str) -> Result<(), Finding> {
        let percent = self.random_sampling_percentage.as_ref();
        let percent = percent.and_then(Number::as_f64).unwrap_or_default();
        if !(0.0..=100.0).contains(&percent) {
            let field = format!("{path}.randomSamplingPercentage");
            let what = format!("{percent} is no percentage");
            return Err(Finding::new(field, what, "write a number from 0 to 100"));
        }
        let wrong = self.custom_tags.iter().find(|(_, tag)| tag.kinds() != 1);
        wrong.map_or(Ok(()), |(name, tag)| {
            let field = format!("{path}.customTags.{name}");
            let what = format!(
                "{} of literal, environment, header and formatter",
                tag.kinds()
            );
            Err(Finding::new(field, what, "give exactly one of them"))
        })
    }
}

impl CustomTag {
    fn kinds(&self) -> usize {
        let literals = [&self.literal, &self.formatter].map(|one| usize::from(one.is_some()));
        let named = [&self.environment, &self.header].map(|one| usize::from(one.is_some()));
        literals.iter().chain(&named).sum()
    }
}

impl Mode {
    /// True if it is of what a server is asked.
    pub fn is_of_server(self) -> bool {
        self != Self::Client
    }
}

#[cfg(test)]
mod tests;
