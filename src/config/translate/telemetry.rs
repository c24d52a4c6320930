//! What of a `Telemetry` waypoints follow, and what is said of the rest.

pub(in crate::config) mod client_identity;
mod metrics;
mod traces;

use std::sync::Arc;

use ambit_logformat::Filter;
use ambit_model::{AccessLogRule, TelemetryRules, TelemetryScope, TelemetryTarget};

use super::{Inputs, is_our_class};
use crate::config::objects::selector::TargetReference;
use crate::config::objects::telemetry::{AccessLogging, Telemetry};
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Severity};

/// The provider that is there without settings: the access log of the mesh.
const ENVOY: &str = "envoy";

/// What is said of the mode of what is for clients.
const NOT_OF_SERVER: &str = "a waypoint is the server of its clients: this holds for nothing";

/// What is to be said of an object.
type Findings = Vec<(Severity, Finding)>;

/// A `Telemetry` in the model's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranslatedTelemetry {
    /// What is followed; none if it is for nothing here.
    pub rules: Option<TelemetryRules>,
    /// What is not, or not as it is written.
    pub findings: Vec<(Severity, Finding)>,
}

/// Translates the object of that name.
pub(super) fn translate(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &Telemetry,
) -> TranslatedTelemetry {
    let mut findings = Vec::new();
    let scope = scope(inputs, key, object, &mut findings);
    let logging = object.spec.access_logging.iter().enumerate();
    let access_log: Vec<AccessLogRule> = logging
        .filter_map(|(index, entry)| {
            rule(
                &format!("spec.accessLogging[{index}]"),
                entry,
                &mut findings,
            )
        })
        .collect();
    let traces = object.spec.tracing.iter().enumerate();
    let tracing = traces.filter_map(|(index, entry)| {
        let path = format!("spec.tracing[{index}]");
        traces::rule(inputs.collectors, &path, entry, &mut findings)
    });
    let tracing = tracing.collect();
    let metrics = metrics::translate(&object.spec.metrics, &mut findings);
    let since = object.metadata.creation_timestamp.clone();
    let rules = scope.map(|scope| TelemetryRules {
        namespace: Arc::clone(&key.namespace),
        name: Arc::clone(&key.name),
        since: since.unwrap_or_default(),
        scope,
        access_log,
        tracing,
        metrics,
        client_identity: None,
    });
    TranslatedTelemetry { rules, findings }
}

/// Says something of a field.
fn note(
    findings: &mut Findings,
    severity: Severity,
    field: impl Into<String>,
    what: impl Into<String>,
    advice: impl Into<String>,
) {
    findings.push((severity, Finding::new(field, what, advice)));
}

/// Where it holds; none if nowhere.
fn scope(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &Telemetry,
    findings: &mut Vec<(Severity, Finding)>,
) -> Option<TelemetryScope> {
    if object.selector().is_some() {
        let what = "selects pods, which have no proxy of their own here";
        let advice = "name the Gateway of a waypoint, or a Service behind one, by targetRefs";
        findings.push((
            Severity::Warning,
            Finding::new("spec.selector", what, advice),
        ));
        return None;
    }
    let mut targets = Vec::new();
    let mut has_references = false;
    for (field, reference) in object.targets() {
        has_references = true;
        match target(inputs, key, reference) {
            Ok((target, missing)) => {
                targets.extend(target);
                let at = |what| Finding::new(field, what, "correct the name, or make it");
                findings.extend(missing.map(|what| (Severity::Warning, at(what))));
            }
            Err(what) => {
                let advice =
                    "name a Gateway of class ambit-waypoint, or a Service, of the same namespace";
                findings.push((Severity::Error, Finding::new(field, what, advice)));
            }
        }
    }
    match has_references {
        true if targets.is_empty() => None,
        true => Some(TelemetryScope::Targets(targets)),
        false if inputs.settings.is_root(&key.namespace) => Some(TelemetryScope::Mesh),
        false => Some(TelemetryScope::Namespace),
    }
}

/// What a reference names, and what is to be said of that.
fn target(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    reference: &TargetReference,
) -> Result<(Option<TelemetryTarget>, Option<String>), String> {
    let TargetReference {
        group, kind, name, ..
    } = reference;
    if !reference.is_within(&key.namespace) {
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        return Err(format!("{namespace}/{name} is of another namespace"));
    }
    let named = |kind| ObjectKey::new(kind, Arc::clone(&key.namespace), Arc::clone(name));
    match (&**group, &**kind) {
        ("" | "core", "Service") => {
            let key = named(Kind::Service);
            let is_there = inputs.objects.service(&key).is_some();
            let missing = (!is_there).then(|| format!("there is no {key}"));
            let target = TelemetryTarget::Service(inputs.service_name(&key));
            Ok((Some(target), missing))
        }
        ("gateway.networking.k8s.io", "Gateway") => {
            let key = named(Kind::Gateway);
            let target = Some(TelemetryTarget::Gateway(Arc::clone(name)));
            match inputs.objects.get(&key).map(AsRef::as_ref) {
                Some(Object::Gateway(gateway))
                    if is_our_class(inputs.objects, &gateway.spec.gateway_class_name) =>
                {
                    Ok((target, None))
                }
                Some(_) => Ok((None, Some(format!("{key} is no waypoint")))),
                None => Ok((target, Some(format!("there is no {key}")))),
            }
        }
        (group, kind) => Err(format!("{kind} of `{group}` cannot be referred to")),
    }
}

/// One rule; none if it says nothing here.
fn rule(
    path: &str,
    entry: &AccessLogging,
    findings: &mut Vec<(Severity, Finding)>,
) -> Option<AccessLogRule> {
    let mut note = |severity, field: &str, what: String, advice: &str| {
        let field = format!("{path}.{field}");
        findings.push((severity, Finding::new(field, what, advice)));
    };
    for (index, provider) in entry.providers.iter().enumerate() {
        if &*provider.name != ENVOY {
            let what = format!("there is no provider `{}`", provider.name);
            let advice = "write envoy, which is the access log of the mesh";
            note(
                Severity::Error,
                &format!("providers[{index}].name"),
                what,
                advice,
            );
        }
    }
    let is_of_mesh = |name: &str| name == ENVOY;
    let is_meant = entry.providers.is_empty()
        || entry
            .providers
            .iter()
            .any(|provider| is_of_mesh(&provider.name));
    if !entry.matches.unwrap_or_default().mode.is_of_server() {
        note(
            Severity::Warning,
            "match.mode",
            NOT_OF_SERVER.to_owned(),
            "write SERVER, or leave it out",
        );
        return None;
    }
    let filter = entry.filter.as_ref().map(|filter| &filter.expression);
    if let Some(Err(error)) = filter.map(|text| Filter::read(text)) {
        let advice = "correct the expression; docs/telemetry.md has what may stand in one";
        note(
            Severity::Error,
            "filter.expression",
            error.to_string(),
            advice,
        );
        // What would have been left out is written, rather than nothing.
        return None;
    }
    is_meant.then(|| AccessLogRule {
        disabled: entry.disabled.unwrap_or_default(),
        filter: filter.cloned(),
    })
}
