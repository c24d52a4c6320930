//! What is said of an object that is about to be written: the same as would be said of it afterwards,
//! while its author can still be stopped.

use super::Configuration;
use super::objects::{Kind, Object};
use super::problem::{Finding, Severity};
use super::translate;

/// What is wrong with an object, by what follows from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Reasons not to write it.
    pub refused: Vec<Finding>,
    /// What its author should know.
    pub warned: Vec<Finding>,
}

impl Verdict {
    /// On an object that cannot be read.
    pub fn unreadable(finding: Finding) -> Self {
        Self {
            refused: vec![finding],
            warned: Vec::new(),
        }
    }

    /// The same, for somebody who did not make it worse.
    #[must_use]
    pub fn tolerant(mut self) -> Self {
        self.refused.append(&mut self.warned);
        Self {
            refused: Vec::new(),
            warned: self.refused,
        }
    }
}

impl Configuration {
    /// Judges an object beside those in force.
    pub fn judge(&self, object: &Object) -> Verdict {
        let mut verdict = Verdict::default();
        for (severity, finding) in translate::findings_of(&self.settings, object) {
            match severity {
                Severity::Error => verdict.refused.push(finding),
                Severity::Warning => verdict.warned.push(finding),
            }
        }
        let contradictions = translate::rivals_of(&self.settings, &self.objects, object);
        verdict.refused.extend(contradictions);
        if self.is_ours(&object.key().namespace) {
            verdict
        } else {
            verdict.tolerant()
        }
    }

    /// Whether a policy of a namespace is for pods that we capture, and not for another mesh beside.
    fn is_ours(&self, namespace: &str) -> bool {
        let mut pods = self.objects.in_namespace(Kind::Pod, namespace);
        self.settings.is_root(namespace)
            || translate::enrolled_namespaces(&self.settings, &self.objects).contains(namespace)
            || pods.any(|(key, _)| translate::enrolled(&self.settings, &self.objects, key))
    }
}

#[cfg(test)]
mod tests;
