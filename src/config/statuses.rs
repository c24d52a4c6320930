//! What is said of each policy and each route on itself, by its status.
//!
//! A policy has the condition `Accepted`, a route has conditions for each of its parents ([`route`]), a
//! `VirtualService` or `DestinationRule` those of Istio's status beside ours ([`istio`],
//! [`virtual_service`]), a `Telemetry` the like ([`telemetry`]).
//! Accepted is what is in force as it is written. Anything else says which field is wrong, what to
//! do, and what is in force meanwhile: the last version that could be read, or a refusal of all
//! that it might have been for. Pure; who writes it compares with what is there ([`Shown`]).

pub mod istio;
pub mod route;

pub(in crate::config) mod authentication;
mod destination_rule;

mod reach;
mod said;
mod service_entry;
mod telemetry;
mod virtual_service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use self::reach::Reach;
use super::Configuration;
use super::objects::route_parts::service_parents;
use super::objects::{Kind, Object, ObjectKey};
use super::problem::{Finding, Problem, Severity, sentences};
use super::translate;

pub use self::said::Said;

/// The condition.
pub const ACCEPTED: &str = "Accepted";
/// What the sentence on pods begins with; it ends the message.
const ON_PODS: &str = "It applies to ";

/// An object as the API server shows it, as far as it is not part of the object that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The version of the API that it was shown in.
    pub api_version: Arc<str>,
    /// Kubernetes' own uid.
    pub uid: Arc<str>,
    /// Its version; a write over another one fails.
    pub version: Arc<str>,
    /// Counts changes of what it says.
    pub generation: i64,
    /// All conditions of its status.
    pub conditions: Vec<Value>,
    /// The rest of its status, of kinds that we write more of than conditions.
    pub status: Value,
    /// Parents of a route that are services, with their places; also of one that cannot be read.
    pub parent_refs: Vec<(usize, Value)>,
    /// All entries of a route's status, by parent.
    pub parents: Vec<Value>,
}

impl Shown {
    /// Takes them from a document.
    pub fn of(document: &Value) -> Self {
        let text = |path: &str| -> Arc<str> {
            let found = document.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default().into()
        };
        let generation = document.pointer("/metadata/generation");
        let list = |path: &str| {
            let found = document.pointer(path).and_then(Value::as_array);
            found.cloned().unwrap_or_default()
        };
        let parent_refs = service_parents(document.get("spec"));
        Self {
            api_version: text("/apiVersion"),
            uid: text("/metadata/uid"),
            version: text("/metadata/resourceVersion"),
            generation: generation.and_then(Value::as_i64).unwrap_or_default(),
            conditions: list("/status/conditions"),
            parent_refs: parent_refs
                .map(|(at, parent)| (at, parent.clone()))
                .collect(),
            parents: list("/status/parents"),
            status: Value::Null,
        }
    }

    /// Takes them, and all of the status, from a document.
    pub fn with_status(document: &Value) -> Self {
        let mut status = document.get("status").cloned().unwrap_or_default();
        if let Some(fields) = status.as_object_mut() {
            fields.remove("conditions");
        }
        Self {
            status,
            ..Self::of(document)
        }
    }

    /// The condition of that type, if there is one.
    pub fn condition(&self, kind: &str) -> Option<&Value> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition["type"] == kind)
    }

    /// The condition `Accepted`, if there is one.
    pub fn accepted(&self) -> Option<&Value> {
        self.condition(ACCEPTED)
    }
}

/// Why a policy is accepted, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is in force as it is written.
    Accepted,
    /// It is, but not everything in it means something.
    AcceptedWithWarnings,
    /// Something in it can only be judged by a waypoint.
    NeedsWaypoint,
    /// Something in it can be judged by nobody.
    Unsupported,
    /// Another policy counts in its place.
    Contradiction,
    /// Keys of an issuer are not there, so that its tokens are refused.
    KeysUnknown,
    /// It cannot be read; its last good version is in force.
    LastGoodInForce,
    /// It cannot be read and never could: everything in its scope is refused.
    ScopeRefused,
}

impl Reason {
    /// The word in the status.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::AcceptedWithWarnings => "AcceptedWithWarnings",
            Self::NeedsWaypoint => "NeedsWaypoint",
            Self::Unsupported => "Unsupported",
            Self::Contradiction => "Contradiction",
            Self::KeysUnknown => "KeysUnknown",
            Self::LastGoodInForce => "LastGoodInForce",
            Self::ScopeRefused => "ScopeRefused",
        }
    }

    /// True if the policy is accepted.
    pub fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::AcceptedWithWarnings)
    }
}

/// What is to stand in a policy's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether and why.
    pub reason: Reason,
    /// The same for people.
    pub message: String,
    /// Generation of the policy that this is about.
    pub generation: i64,
}

/// How a condition differs from what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Not at all.
    None,
    /// In the number of pods only: can wait.
    Pods,
    /// In what it says.
    Verdict,
}

impl Condition {
    /// How it differs from what is there.
    pub fn difference(&self, shown: &Shown) -> Difference {
        let Some(there) = shown.accepted() else {
            return Difference::Verdict;
        };
        let text = |field: &str| there[field].as_str().unwrap_or_default();
        let same = text("status") == self.status()
            && text("reason") == self.reason.word()
            && there["observedGeneration"] == self.generation;
        if same && text("message") == self.message {
            Difference::None
        } else if same && without_pods(text("message")) == without_pods(&self.message) {
            Difference::Pods
        } else {
            Difference::Verdict
        }
    }

    /// `True` or `False`.
    pub fn status(&self) -> &'static str {
        if self.reason.is_accepted() {
            "True"
        } else {
            "False"
        }
    }
}

fn without_pods(message: &str) -> &str {
    message.split(ON_PODS).next().unwrap_or_default()
}

/// What is to be said of all policies and routes, and which versions must outlive the process.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every object, as it is shown and what is to be said of it.
    pub statuses: Vec<(ObjectKey, Shown, Said)>,
    /// Last good versions of objects that cannot be read now.
    pub last_good: Vec<(ObjectKey, Value)>,
    /// Objects that cannot be read now.
    pub unreadable: BTreeSet<ObjectKey>,
}

impl Configuration {
    /// What is to be said of all policies and routes now.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        let reach = Reach::of(self);
        let addresses = self.addresses_to_record();
        let outdone = translate::outdone(&self.settings, &self.objects);
        let outdone: BTreeMap<&ObjectKey, Finding> = outdone.into_iter().collect();
        let policies = self.shown.iter().filter(|(key, _)| key.kind.is_judged());
        for (key, shown) in policies {
            let unread = self.unread(key);
            let object = self.objects.get(key).map(AsRef::as_ref);
            if unread.is_some() {
                report.unreadable.insert(key.clone());
                let document = object.and_then(Object::document);
                report
                    .last_good
                    .extend(document.map(|d| (key.clone(), to_keep(d))));
            }
            if key.kind.is_route() {
                let said = Said::Route(self.said_of_route(key, shown, unread));
                report.statuses.push((key.clone(), shown.clone(), said));
                continue;
            }
            if key.kind == Kind::VirtualService {
                let said = Said::Traffic(self.said_of_virtual(key, shown, unread));
                report.statuses.push((key.clone(), shown.clone(), said));
                continue;
            }
            if key.kind == Kind::DestinationRule {
                let said = Said::Traffic(self.said_of_rule(key, shown, unread));
                report.statuses.push((key.clone(), shown.clone(), said));
                continue;
            }
            if key.kind == Kind::ServiceEntry {
                let said = Said::Traffic(self.said_of_entry(key, shown, unread, &addresses));
                report.statuses.push((key.clone(), shown.clone(), said));
                continue;
            }
            if key.kind == Kind::WorkloadEntry {
                let said = Said::Traffic(self.said_of_workload_entry(key, shown, unread));
                report.statuses.push((key.clone(), shown.clone(), said));
                continue;
            }
            if key.kind == Kind::Telemetry {
                let said = Said::Traffic(self.said_of_telemetry(key, shown, unread));
                report.statuses.push((key.clone(), shown.clone(), said));
                continue;
            }
            let (reason, text) = match (unread, outdone.get(key)) {
                (Some(problem), _) => self.said_of_unread(key, object, problem),
                _ if key.kind == Kind::RequestAuthentication => {
                    self.said_of_authentication(key, object)
                }
                (None, Some(finding)) => (Reason::Contradiction, sentence(finding)),
                (None, None) => self.said_of_read(key),
            };
            let message = match reason {
                Reason::ScopeRefused | Reason::Contradiction => text,
                _ if key.kind == Kind::RequestAuthentication => text,
                _ => format!("{text} {ON_PODS}{}", reach.words(key)),
            };
            let condition = Condition {
                reason,
                message,
                generation: shown.generation,
            };
            let said = Said::Policy(condition);
            report.statuses.push((key.clone(), shown.clone(), said));
        }
        report
    }

    /// Why an object cannot be read, if so.
    fn unread(&self, key: &ObjectKey) -> Option<&Problem> {
        let mut problems = self.file_problems.get(&*key.to_string())?.iter();
        problems.find(|problem| problem.severity == Severity::Error)
    }

    fn said_of_unread(
        &self,
        key: &ObjectKey,
        object: Option<&Object>,
        problem: &Problem,
    ) -> (Reason, String) {
        let wrong = sentence(&Finding::new(
            problem.field.as_str(),
            problem.what.as_str(),
            problem.advice.as_str(),
        ));
        if matches!(object, Some(Object::UnreadablePolicy(_)) | None) {
            let scope = if self.settings.is_root(&key.namespace) {
                "in the mesh".to_owned()
            } else {
                format!("in namespace {}", key.namespace)
            };
            if key.kind == Kind::RequestAuthentication {
                let text = format!(
                    "{wrong} No version of it could be read, so every request by way of a waypoint \
                     to anything {scope} is refused until it is corrected or deleted."
                );
                return (Reason::ScopeRefused, text);
            }
            let text = format!(
                "{wrong} No version of it could be read, so every connection to a pod {scope} is \
                 refused until it is corrected or deleted."
            );
            return (Reason::ScopeRefused, text);
        }
        let text = format!("{wrong} The last version that could be read stays in force.");
        (Reason::LastGoodInForce, text)
    }

    fn said_of_read(&self, key: &ObjectKey) -> (Reason, String) {
        let findings = self.policy_findings.get(key).map_or(&[][..], Vec::as_slice);
        let reason = match findings.iter().map(|(severity, _)| severity).min() {
            None => return (Reason::Accepted, "In force as written.".to_owned()),
            Some(Severity::Error) if self.is_unsupported(key) => Reason::Unsupported,
            Some(Severity::Error) => Reason::NeedsWaypoint,
            Some(Severity::Warning) => Reason::AcceptedWithWarnings,
        };
        let text = sentences(findings.iter().map(|(_, finding)| finding));
        (reason, text)
    }

    /// Whether a policy has what nobody can judge by.
    fn is_unsupported(&self, key: &ObjectKey) -> bool {
        let object = self.objects.get(key).map(AsRef::as_ref);
        let Some(Object::AuthorizationPolicy(policy)) = object else {
            return false;
        };
        let name = self.inputs().policy_name(key);
        !policy.for_requests(name).findings.is_empty()
    }
}

/// Without what kubectl notes for itself: as long as the rest, and never read.
fn to_keep(mut document: Value) -> Value {
    let annotations = document.pointer_mut("/metadata/annotations");
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    document
}

fn sentence(finding: &Finding) -> String {
    format!("{finding}.")
}

#[cfg(test)]
mod tests;
