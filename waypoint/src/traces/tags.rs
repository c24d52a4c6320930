//! Attributes of spans that rules ask for: texts, variables of the environment, headers of the request.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_logformat::{ENVIRONMENT, Redaction};
use ambit_model::{TraceTag, Tracing};
use http::HeaderMap;

use super::Tags;

/// How much of a header is told: spans that wait for a collector take memory.
const MOST_TOLD: usize = 256;

/// The same with texts in place of variables, and without what may not be told: the control plane has
/// said so, and is not relied on.
pub(crate) fn with_environment(
    tracing: Tracing,
    variable: impl Fn(&str) -> Option<String>,
) -> Tracing {
    let redaction = Redaction::default();
    let told = |(name, tag)| {
        let tag = match tag {
            TraceTag::Environment(of, default) => {
                let known = ENVIRONMENT.contains(&&*of).then(|| variable(&of)).flatten();
                TraceTag::Literal(known.map(Into::into).or(default)?)
            }
            TraceTag::Header(of, _) if redaction.withholds(&of) => return None,
            tag => tag,
        };
        Some((name, tag))
    };
    Tracing {
        tags: tracing.tags.into_iter().filter_map(told).collect(),
        ..tracing
    }
}

/// The attributes of a request with these headers. What is not there, and has no other value, is left out.
pub(super) fn of(tags: &BTreeMap<Arc<str>, TraceTag>, headers: &HeaderMap) -> Tags {
    let value = |tag: &TraceTag| match tag {
        TraceTag::Literal(text) => Some(Box::from(&**text)),
        TraceTag::Environment(_, default) => default.as_deref().map(Box::from),
        TraceTag::Header(name, default) => match headers.get(&**name) {
            Some(value) => {
                let bytes = value.as_bytes();
                let told = bytes.get(..MOST_TOLD).unwrap_or(bytes);
                Some(String::from_utf8_lossy(told).into())
            }
            None => default.as_deref().map(Box::from),
        },
    };
    let tags = tags.iter();
    tags.filter_map(|(name, tag)| Some(((&**name).into(), value(tag)?)))
        .collect()
}

#[cfg(test)]
mod tests;
