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

/// An object as far as it can be read.
pub type Read = Result<Box<Object>, Finding>;

impl Verdict {
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
    /// Judges what is to be written to a namespace, beside the objects in force.
    pub fn judge(&self, namespace: &str, read: &Read) -> Verdict {
        let verdict = match read {
            Ok(object) => self.judge_object(object),
            Err(finding) => Verdict {
                refused: vec![finding.clone()],
                warned: Vec::new(),
            },
        };
        if self.is_ours(namespace) {
            verdict
        } else {
            verdict.tolerant()
        }
    }

    fn judge_object(&self, object: &Object) -> Verdict {
        let mut verdict = Verdict::default();
        for (severity, finding) in translate::findings_of(&self.inputs(), object) {
            match severity {
                Severity::Error => verdict.refused.push(finding),
                Severity::Warning => verdict.warned.push(finding),
            }
        }
        let contradictions = translate::rivals_of(&self.settings, &self.objects, object);
        verdict.refused.extend(contradictions);
        verdict
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
