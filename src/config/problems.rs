//! Everything that is wrong with a configuration, from all who know of something.

use super::problem::{Cause, Problem, Severity};
use super::{Configuration, translate};

impl Configuration {
    /// Everything that is wrong now, in the order of files.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.file_problems.values().flatten().cloned().collect();
        problems.extend(self.objects.contradictions());
        for (key, findings) in &self.policy_findings {
            if let Some(origin) = self.objects.origin(key) {
                problems.extend(findings.iter().map(|(severity, finding)| {
                    finding
                        .clone()
                        .at(origin, key, *severity, Cause::NotEnforced)
                }));
            }
        }
        for (key, findings) in self.route_findings() {
            if let Some(origin) = self.objects.origin(key) {
                problems.extend(findings.into_iter().map(|(severity, finding)| {
                    finding.at(origin, key, severity, Cause::NotEnforced)
                }));
            }
        }
        for (key, findings) in self.virtual_findings() {
            if let Some(origin) = self.objects.origin(&key) {
                problems.extend(findings.into_iter().map(|(severity, finding)| {
                    finding.at(origin, &key, severity, Cause::NotEnforced)
                }));
            }
        }
        for (key, findings) in self.rule_findings() {
            if let Some(origin) = self.objects.origin(&key) {
                problems.extend(findings.into_iter().map(|(severity, finding)| {
                    finding.at(origin, &key, severity, Cause::NotEnforced)
                }));
            }
        }
        for (key, severity, finding) in self.telemetry_findings() {
            if let Some(origin) = self.objects.origin(&key) {
                problems.push(finding.at(origin, &key, severity, Cause::NotEnforced));
            }
        }
        for (key, severity, finding) in self.entry_findings() {
            if let Some(origin) = self.objects.origin(&key) {
                problems.push(finding.at(origin, &key, severity, Cause::NotEnforced));
            }
        }
        for (key, severity, finding) in self.authentication_problems() {
            if let Some(origin) = self.objects.origin(key) {
                problems.push(finding.at(origin, key, severity, Cause::NotEnforced));
            }
        }
        let outdone = translate::outdone(&self.settings, &self.objects);
        problems.extend(outdone.into_iter().filter_map(|(key, finding)| {
            let origin = self.objects.origin(key)?;
            Some(finding.at(origin, key, Severity::Error, Cause::Contradiction))
        }));
        let closed = translate::closed_by(&self.settings, &self.objects);
        problems.extend(closed.into_iter().filter_map(|(key, finding)| {
            let origin = self.objects.origin(key)?;
            Some(finding.at(origin, key, Severity::Warning, Cause::Blocked))
        }));
        let annotations = translate::without_effect(&self.settings, &self.objects);
        problems.extend(annotations.into_iter().filter_map(|(key, finding)| {
            let origin = self.objects.origin(key)?;
            Some(finding.at(origin, key, Severity::Warning, Cause::NotEnforced))
        }));
        let foreign = translate::foreign_endpoints(&self.objects);
        problems.extend(foreign.into_iter().filter_map(|(key, finding)| {
            let origin = self.objects.origin(key)?;
            Some(finding.at(origin, key, Severity::Warning, Cause::NotEnforced))
        }));
        let waypoints = translate::waypoint_findings(&self.objects);
        problems.extend(
            waypoints
                .into_iter()
                .filter_map(|(key, severity, finding)| {
                    let origin = self.objects.origin(key)?;
                    Some(finding.at(origin, key, severity, Cause::Blocked))
                }),
        );
        problems.sort();
        problems
    }
}
