//! What is said of a `Telemetry` on itself, in the form of all of Istio's kinds.

use super::istio::{TrafficStatus, is_wrong, message};
use super::{ACCEPTED, Shown};
use crate::config::Configuration;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity};
use crate::config::translate::{RouteCondition, TranslatedTelemetry, client_identity};
use ambit_model::{TelemetryRules, TelemetryScope};

impl Configuration {
    /// What waypoints follow of all telemetries, and of what Gateways and namespaces ask for.
    pub fn telemetry_rules(&self) -> Vec<TelemetryRules> {
        let keys = self.objects.of_kind(Kind::Telemetry).map(|(key, _)| key);
        let rules = keys.filter_map(|key| self.translated_telemetry(key)?.rules);
        let asked = client_identity::rules(&self.inputs());
        rules.chain(asked).collect()
    }

    /// What is wrong with telemetries, or keeps them from having an effect.
    pub(in crate::config) fn telemetry_findings(&self) -> Vec<(ObjectKey, Severity, Finding)> {
        let rules = self.telemetry_rules();
        let keys = self.objects.of_kind(Kind::Telemetry).map(|(key, _)| key);
        let findings = keys.flat_map(|key| {
            let translated = self.translated_telemetry(key).unwrap_or_default();
            let findings = all_findings(key, translated, &rules).into_iter();
            findings.map(|(severity, finding)| (key.clone(), severity, finding))
        });
        let of_annotations = client_identity::findings(&self.inputs());
        findings.chain(of_annotations).collect()
    }

    /// What is to be said of a telemetry now.
    pub(super) fn said_of_telemetry(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
    ) -> TrafficStatus {
        let translated = self.translated_telemetry(key);
        TrafficStatus::of(shown, unread, translated, |translated| {
            let is_followed = translated.rules.is_some();
            let findings = all_findings(key, translated, &self.telemetry_rules());
            (vec![accepted(is_followed, &findings)], findings)
        })
    }

    fn translated_telemetry(&self, key: &ObjectKey) -> Option<TranslatedTelemetry> {
        match self.objects.get(key)?.as_ref() {
            Object::Telemetry(object) => Some(self.inputs().telemetry(key, object)),
            _ => None,
        }
    }
}

/// Also that an older one of its scope counts in its place.
fn all_findings(
    key: &ObjectKey,
    translated: TranslatedTelemetry,
    all: &[TelemetryRules],
) -> Vec<(Severity, Finding)> {
    let mut findings = translated.findings;
    let Some(own) = translated.rules else {
        return findings;
    };
    let age = |rules: &TelemetryRules| {
        let (namespace, name) = (rules.namespace.clone(), rules.name.clone());
        (rules.since.clone(), namespace, name)
    };
    let is_rival = |other: &TelemetryRules| match own.scope {
        TelemetryScope::Mesh => other.scope == TelemetryScope::Mesh,
        TelemetryScope::Namespace => {
            other.scope == TelemetryScope::Namespace && other.namespace == own.namespace
        }
        TelemetryScope::Targets(_) => false,
    };
    let mut all = all.iter();
    let older = all.find(|other| is_rival(other) && age(other) < age(&own));
    if let Some(TelemetryRules {
        namespace, name, ..
    }) = older
    {
        let what = format!(
            "{} {namespace}/{name} is older and for the same",
            key.kind.name()
        );
        let advice = "put both into one object, or bind this one by targetRefs";
        findings.push((Severity::Error, Finding::new("metadata.name", what, advice)));
    }
    findings
}

fn accepted(is_followed: bool, findings: &[(Severity, Finding)]) -> RouteCondition {
    let (status, reason, text) = match (is_wrong(findings), is_followed) {
        (true, _) => (false, "UnsupportedValue", "Not all of it is followed."),
        (false, false) => (false, "NotForWaypoints", "Nothing of it is followed."),
        (false, true) if findings.is_empty() => (true, "Accepted", "Told to waypoints."),
        (false, true) => (true, "AcceptedWithWarnings", "Told to waypoints."),
    };
    let message = message(text.to_owned(), findings);
    RouteCondition::new(ACCEPTED, status, reason, message)
}

#[cfg(test)]
mod tests;
