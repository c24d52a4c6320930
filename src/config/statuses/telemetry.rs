//! What is said of a `Telemetry` on itself, in the form of a `VirtualService`'s status.

use super::virtual_service::{VirtualStatus, said_of_unread};
use super::{ACCEPTED, Shown};
use crate::config::Configuration;
use crate::config::objects::{Kind, Object, ObjectKey};
use crate::config::problem::{Finding, Problem, Severity, sentences};
use crate::config::translate::{RouteCondition, TranslatedTelemetry};
use ambit_model::{TelemetryRules, TelemetryScope};

impl Configuration {
    /// What waypoints follow of all telemetries.
    pub fn telemetry_rules(&self) -> Vec<TelemetryRules> {
        let keys = self.objects.of_kind(Kind::Telemetry).map(|(key, _)| key);
        let rules = keys.filter_map(|key| self.translated_telemetry(key)?.rules);
        rules.collect()
    }

    /// What is wrong with telemetries, or keeps them from having an effect.
    pub(in crate::config) fn telemetry_findings(&self) -> Vec<(ObjectKey, Severity, Finding)> {
        let keys = self.objects.of_kind(Kind::Telemetry).map(|(key, _)| key);
        let findings = keys.flat_map(|key| {
            let translated = self.translated_telemetry(key).unwrap_or_default();
            let findings = self.all_findings(key, translated).into_iter();
            findings.map(|(severity, finding)| (key.clone(), severity, finding))
        });
        findings.collect()
    }

    /// What is to be said of a telemetry now.
    pub(super) fn said_of_telemetry(
        &self,
        key: &ObjectKey,
        shown: &Shown,
        unread: Option<&Problem>,
    ) -> VirtualStatus {
        let translated = self.translated_telemetry(key);
        let (conditions, findings) = match (unread, translated) {
            (Some(problem), translated) => said_of_unread(translated.is_some(), problem),
            (None, None) => (Vec::new(), Vec::new()),
            (None, Some(translated)) => {
                let is_followed = translated.rules.is_some();
                let findings = self.all_findings(key, translated);
                (vec![accepted(is_followed, &findings)], findings)
            }
        };
        VirtualStatus {
            conditions,
            findings,
            generation: shown.generation,
        }
    }

    fn translated_telemetry(&self, key: &ObjectKey) -> Option<TranslatedTelemetry> {
        match self.objects.get(key)?.as_ref() {
            Object::Telemetry(object) => Some(self.inputs().telemetry(key, object)),
            _ => None,
        }
    }

    /// Also that an older one of its scope counts in its place.
    fn all_findings(
        &self,
        key: &ObjectKey,
        translated: TranslatedTelemetry,
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
        let mut all = self.telemetry_rules().into_iter();
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
}

fn accepted(is_followed: bool, findings: &[(Severity, Finding)]) -> RouteCondition {
    let told = sentences(findings.iter().map(|(_, finding)| finding));
    let is_wrong = findings
        .iter()
        .any(|(severity, _)| *severity == Severity::Error);
    let (status, reason, text) = match (is_wrong, is_followed) {
        (true, _) => (false, "UnsupportedValue", "Not all of it is followed."),
        (false, false) => (false, "NotForWaypoints", "Nothing of it is followed."),
        (false, true) if findings.is_empty() => (true, "Accepted", "Told to waypoints."),
        (false, true) => (true, "AcceptedWithWarnings", "Told to waypoints."),
    };
    let message = match told.is_empty() {
        true => text.to_owned(),
        false => format!("{text} {told}"),
    };
    RouteCondition::new(ACCEPTED, status, reason, message)
}

#[cfg(test)]
mod tests;
