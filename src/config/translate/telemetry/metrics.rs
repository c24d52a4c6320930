//! What of a `Telemetry` is about series.
//!
//! There is one provider, the page that Prometheus asks for. A waypoint makes its own series as it is
//! told; agents count connections in series that are as they are, which is said where it matters.

use std::sync::Arc;

use ambit_logformat::Tag;
use ambit_model::{Metric, MetricTags, MetricsRule};

use super::{Findings, NOT_OF_SERVER, note};
use crate::config::objects::telemetry::{
    MetricSelector, Metrics, MetricsOverrides, Operation, TagOverride,
};
use crate::config::problem::Severity;

/// The provider that is there without settings.
const PROMETHEUS: &str = "prometheus";
/// Istio's word for all of them.
const ALL: &str = "ALL_METRICS";
/// Overrides of one object: each is worked through for every change.
const MOST_RULES: usize = 64;
/// Labels of one override.
const MOST_TAGS: usize = 32;

/// The rules of these entries, in their order.
pub(super) fn translate(entries: &[Metrics], findings: &mut Findings) -> Vec<MetricsRule> {
    let mut rules = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("spec.metrics[{index}]");
        if entry.reporting_interval.is_some() {
            let what = "does not apply: Prometheus asks for series when it wants them";
            let advice = "leave it out; the interval is that of the scrape";
            let field = format!("{path}.reportingInterval");
            note(findings, Severity::Warning, field, what, advice);
        }
        if !is_meant(&path, entry, findings) {
            continue;
        }
        let overrides = entry.overrides.iter().enumerate();
        let of_entry = overrides.filter_map(|(index, entry)| {
            rule(&format!("{path}.overrides[{index}]"), entry, findings)
        });
        rules.extend(of_entry);
    }
    if rules.len() > MOST_RULES {
        let what = format!("has more than {MOST_RULES} overrides, of which the first count");
        let advice = "put those of the same metric into one";
        note(findings, Severity::Error, "spec.metrics", what, advice);
        rules.truncate(MOST_RULES);
    }
    warn_of_agents(&rules, findings);
    rules
}

/// Whether an entry is about what Prometheus sees.
fn is_meant(path: &str, entry: &Metrics, findings: &mut Findings) -> bool {
    for (index, provider) in entry.providers.iter().enumerate() {
        if &*provider.name != PROMETHEUS {
            let what = format!("there is no provider `{}`", provider.name);
            let advice = "write prometheus, who asks for all series there are";
            let field = format!("{path}.providers[{index}].name");
            note(findings, Severity::Error, field, what, advice);
        }
    }
    let mut providers = entry.providers.iter();
    entry.providers.is_empty() || providers.any(|provider| &*provider.name == PROMETHEUS)
}

/// One rule; none if it says nothing here.
fn rule(path: &str, entry: &MetricsOverrides, findings: &mut Findings) -> Option<MetricsRule> {
    let metrics = of_which(path, entry.matches.as_ref(), findings)?;
    if entry.tag_overrides.len() > MOST_TAGS {
        let what = format!("has more than {MOST_TAGS} labels");
        let field = format!("{path}.tagOverrides");
        note(findings, Severity::Error, field, what, "leave some out");
        return None;
    }
    let tags: MetricTags = entry
        .tag_overrides
        .iter()
        .filter_map(|(name, of)| {
            let value = tag(&format!("{path}.tagOverrides.{name}"), name, of, findings)?;
            Some((Arc::clone(name), value))
        })
        .collect();
    Some(MetricsRule {
        metrics,
        disabled: entry.disabled,
        tags,
    })
}

/// Which families are meant; none if it is nothing here.
fn of_which(
    path: &str,
    matches: Option<&MetricSelector>,
    findings: &mut Findings,
) -> Option<Vec<Metric>> {
    let Some(matches) = matches else {
        return Some(Metric::ALL.to_vec());
    };
    if let Some(name) = &matches.custom_metric {
        let what = format!("there is no metric `{name}`");
        let advice = "name one of Istio's by match.metric: others cannot be changed";
        let field = format!("{path}.match.customMetric");
        note(findings, Severity::Error, field, what, advice);
        return None;
    }
    if !matches.mode.is_of_server() {
        let field = format!("{path}.match.mode");
        let advice = "write SERVER, or leave it out";
        note(findings, Severity::Warning, field, NOT_OF_SERVER, advice);
        return None;
    }
    let name = matches.metric.as_deref().unwrap_or(ALL);
    if name == ALL {
        return Some(Metric::ALL.to_vec());
    }
    match serde_json::from_value(name.into()) {
        Ok(metric) => Some(vec![metric]),
        Err(_) => {
            let what = format!("there is no metric `{name}`");
            let field = format!("{path}.match.metric");
            note(findings, Severity::Error, field, what, known());
            None
        }
    }
}

fn known() -> String {
    let all = Metric::ALL
        .iter()
        .filter_map(|metric| Some(serde_json::to_value(metric).ok()?.as_str()?.to_owned()));
    let all: Vec<String> = all.collect();
    format!("write {ALL}, {}", all.join(", "))
}

/// What becomes of a label: left out, or the expression for its value. None if it cannot be followed.
fn tag(
    path: &str,
    name: &str,
    of: &TagOverride,
    findings: &mut Findings,
) -> Option<Option<Arc<str>>> {
    let mut wrong = |field: &str, what: String, advice: &str| {
        let field = format!("{path}{field}");
        note(findings, Severity::Error, field, what, advice);
    };
    if !is_label(name) {
        let advice = "write letters, digits and _, with no digit first and no __; not le";
        wrong("", format!("`{name}` is no name of a label"), advice);
        return None;
    }
    match (of.operation, &of.value) {
        (Operation::Remove, None) => Some(None),
        (Operation::Remove, Some(_)) => {
            let what = "a label that is removed has no value".to_owned();
            wrong(".value", what, "leave it out");
            None
        }
        (Operation::Upsert, None) => {
            let what = "there is no value".to_owned();
            wrong(".value", what, "write an expression, such as request.host");
            None
        }
        (Operation::Upsert, Some(text)) => match Tag::read(text) {
            Ok(_) => Some(Some(Arc::clone(text))),
            Err(error) => {
                let advice = "correct the expression; docs/telemetry.md has what may stand in one";
                wrong(".value", error.to_string(), advice);
                None
            }
        },
    }
}

/// Whether Prometheus takes a label of this name. Histograms have `le` themselves.
fn is_label(name: &str) -> bool {
    let first = name.as_bytes().first();
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    first.is_some_and(is_letter)
        && name.bytes().all(belongs)
        && !name.starts_with("__")
        && name != "le"
        && name.len() <= 64
}

/// Agents are not told: their series of connections stay.
fn warn_of_agents(rules: &[MetricsRule], findings: &mut Findings) {
    let mut metrics = rules.iter().flat_map(|rule| &rule.metrics);
    if metrics.any(|metric| metric.is_of_connections()) {
        let what = "holds for the series of waypoints: those of connections that agents count stay \
                    as they are";
        let advice = "drop or relabel istio_tcp_* of agents where they are scraped, or name a metric \
                      of requests";
        note(findings, Severity::Warning, "spec.metrics", what, advice);
    }
}

#[cfg(test)]
mod tests;
