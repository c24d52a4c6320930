//! What of a `Telemetry` is about traces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_logformat::{ENVIRONMENT, Redaction};
use ambit_model::{TraceTag, TracingRule};

use super::{Findings, NOT_OF_SERVER, note};
use crate::config::objects::telemetry::{CustomTag, Named, ProviderRef, Tracing};
use crate::config::problem::Severity;

/// Attributes of one entry.
const MOST_TAGS: usize = 32;
/// Longest name or value of one, in bytes: spans that wait take memory.
const LONGEST: usize = 256;

/// One rule; none if it says nothing here.
pub(super) fn rule(
    collectors: Option<&BTreeSet<Arc<str>>>,
    path: &str,
    entry: &Tracing,
    findings: &mut Findings,
) -> Option<TracingRule> {
    let warning = Severity::Warning;
    if !entry.matches.unwrap_or_default().mode.is_of_server() {
        let advice = "write SERVER, or leave it out";
        let field = format!("{path}.match.mode");
        note(findings, warning, field, NOT_OF_SERVER, advice);
        return None;
    }
    for (field, is_said) in [
        (
            "useRequestIdForTraceSampling",
            entry.use_request_id_for_trace_sampling.is_some(),
        ),
        ("enableIstioTags", entry.enable_istio_tags.is_some()),
        (
            "disableContextPropagation",
            entry.disable_context_propagation.is_some(),
        ),
    ] {
        if is_said {
            let field = format!("{path}.{field}");
            note(findings, warning, field, "is not followed", "leave it out");
        }
    }
    let percent = entry.random_sampling_percentage.as_ref();
    let percent = percent.and_then(serde_json::Number::as_f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 10^8"
    )]
    let sampling = percent.map(|percent| (percent.clamp(0.0, 100.0) * 1e6).round() as u32);
    Some(TracingRule {
        sampling,
        unreported: entry.disable_span_reporting,
        provider: provider(collectors, path, &entry.providers, findings),
        tags: tags(path, &entry.custom_tags, findings),
    })
}

/// The collector that is named.
fn provider(
    collectors: Option<&BTreeSet<Arc<str>>>,
    path: &str,
    providers: &[ProviderRef],
    findings: &mut Findings,
) -> Option<Arc<str>> {
    let name = match providers {
        [] => return None,
        [one] => &one.name,
        [..] => {
            let what = "names several, and one is told";
            let field = format!("{path}.providers");
            note(findings, Severity::Error, field, what, "name one");
            return None;
        }
    };
    if collectors.is_some_and(|known| !known.contains(name)) {
        let what = format!("the mesh has no provider `{name}`: nothing is traced");
        let advice = "name one of meshConfig.extensionProviders, which has opentelemetry";
        let field = format!("{path}.providers[0].name");
        note(findings, Severity::Error, field, what, advice);
    }
    Some(Arc::clone(name))
}

fn tags(
    path: &str,
    written: &BTreeMap<Arc<str>, CustomTag>,
    findings: &mut Findings,
) -> BTreeMap<Arc<str>, TraceTag> {
    if written.len() > MOST_TAGS {
        let what = format!("has more than {MOST_TAGS} tags, of which the first count");
        let field = format!("{path}.customTags");
        note(findings, Severity::Error, field, what, "leave some out");
    }
    let mut tags = BTreeMap::new();
    for (name, written) in written.iter().take(MOST_TAGS) {
        match tag(name, written) {
            Ok(tag) => drop(tags.insert(Arc::clone(name), tag)),
            Err((field, what, advice)) => {
                let field = format!("{path}.customTags.{name}{field}");
                note(findings, Severity::Error, field, what, advice);
            }
        }
    }
    tags
}

/// A field behind the tag's, what is wrong with it, and what to do.
type Wrong = (&'static str, String, String);

fn tag(name: &str, written: &CustomTag) -> Result<TraceTag, Wrong> {
    let wrong = |field, what: &str, advice: &str| Err((field, what.to_owned(), advice.to_owned()));
    let too_long = |text: &str| text.len() > LONGEST;
    if name.is_empty() || too_long(name) {
        return wrong(
            "",
            "has no name, or one of more than 256 bytes",
            "shorten it",
        );
    }
    let default = |named: &Named| match &named.default_value {
        Some(text) if too_long(text) => Err((
            "",
            "has more than 256 bytes".to_owned(),
            "shorten it".to_owned(),
        )),
        text => Ok(text.clone()),
    };
    match written {
        CustomTag {
            literal: Some(literal),
            ..
        } if too_long(&literal.value) => {
            wrong(".literal.value", "has more than 256 bytes", "shorten it")
        }
        CustomTag {
            literal: Some(literal),
            ..
        } => Ok(TraceTag::Literal(Arc::clone(&literal.value))),
        CustomTag {
            environment: Some(named),
            ..
        } if !ENVIRONMENT.contains(&&*named.name) => {
            let what = "cannot be told: variables may hold secrets";
            let advice = format!("name one of {}", ENVIRONMENT.join(", "));
            wrong(".environment.name", what, &advice)
        }
        CustomTag {
            environment: Some(named),
            ..
        } => Ok(TraceTag::Environment(
            Arc::clone(&named.name),
            default(named)?,
        )),
        CustomTag {
            header: Some(named),
            ..
        } => {
            let header = named.name.to_ascii_lowercase();
            if header.parse::<http::HeaderName>().is_err() {
                let advice = "correct the name";
                return wrong(".header.name", "is no name of a header", advice);
            }
            if Redaction::default().withholds(&header) {
                let what = "may hold a secret, which no span may tell";
                return wrong(".header.name", what, "name another header");
            }
            Ok(TraceTag::Header(header.into(), default(named)?))
        }
        CustomTag { .. } => {
            let advice = "write literal, environment or header";
            wrong(".formatter", "is not supported", advice)
        }
    }
}

#[cfg(test)]
mod tests;
