//! What a file provides, given its documents and what it used to provide.

use std::sync::Arc;

use super::Provided;
use crate::config::ROOT_NAMESPACES;
use crate::config::objects::{Identity, Kind, Object, ObjectKey};
use crate::config::problem::{Cause, Finding, Origin, Problem, Severity};

/// Namespace that a policy is put into whose own cannot be told: a root namespace.
const WHOLE_MESH: &str = ROOT_NAMESPACES[0];

/// Something that could not be read as an object.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) identity: Identity,
    pub(super) object: String,
    pub(super) cause: Cause,
    pub(super) finding: Finding,
    /// Tells it from other broken policies of the same file.
    pub(super) tag: String,
}

impl Broken {
    /// True if it can be told which object it is, or that it is none of those that are read.
    fn names_something(&self) -> bool {
        self.identity.key().is_some()
            || (self.cause == Cause::UnknownKind && self.identity.name.is_some())
    }

    /// True for the policy that a document of unknown kind may be a misspelt version of.
    fn may_have_been(&self, key: &ObjectKey) -> bool {
        let Identity {
            namespace, name, ..
        } = &self.identity;
        key.kind.is_policy()
            && namespace.as_ref() == Some(&key.namespace)
            && name.as_ref() == Some(&key.name)
    }

    /// A name for the policy that it may be, which no object has.
    fn unreadable(&self) -> ObjectKey {
        let namespace = self
            .identity
            .namespace
            .clone()
            .unwrap_or_else(|| WHOLE_MESH.into());
        let name = format!("unreadable.{}", self.tag);
        ObjectKey::new(Kind::AuthorizationPolicy, namespace, name)
    }
}

/// Finds out what a file provides.
#[derive(Default)]
pub(super) struct Resolve {
    pub(super) provided: Provided,
    pub(super) broken: Vec<(Origin, Arc<Broken>)>,
    problems: Vec<Problem>,
}

impl Resolve {
    pub(super) fn add(&mut self, origin: Origin, outcome: &Result<Arc<Object>, Arc<Broken>>) {
        let object = match outcome {
            Ok(object) => object,
            Err(broken) => {
                self.broken.push((origin, Arc::clone(broken)));
                return;
            }
        };
        let key = object.key();
        match self.provided.get(&key) {
            None => {
                self.provided.insert(key, (origin, Arc::clone(object)));
            }
            Some((first, _)) => {
                let what = format!("also given by {first}");
                let finding =
                    Finding::new("metadata.name", what, "remove one; this one is ignored");
                let problem = finding.at(&origin, key, Severity::Error, Cause::Contradiction);
                self.problems.push(problem);
            }
        }
    }

    pub(super) fn finish(mut self, mut lost: Provided) -> (Provided, Vec<Problem>) {
        let broken = std::mem::take(&mut self.broken);
        // Those that name their object come first, so that what is left is not theirs.
        let (named, nameless): (Vec<_>, Vec<_>) = broken
            .iter()
            .partition(|(_, broken)| broken.names_something());
        for (origin, broken) in &named {
            self.keep_or_refuse(origin, broken, &mut lost);
        }
        if nameless.is_empty() {
            return (self.provided, self.problems);
        }
        let mut kept_policies = lost.keys().filter(|key| key.kind.is_policy()).count();
        self.provided.append(&mut lost);
        for (origin, broken) in &nameless {
            let may_be_policy = broken.identity.policy;
            if may_be_policy && kept_policies == 0 {
                self.refuse(origin, broken, broken.unreadable());
            } else {
                kept_policies -= usize::from(may_be_policy);
                let note = "until then all that the file used to hold stays in force";
                self.report(origin, broken, note);
            }
        }
        (self.provided, self.problems)
    }

    /// A broken document that says which object it is.
    fn keep_or_refuse(&mut self, origin: &Origin, broken: &Broken, lost: &mut Provided) {
        let kept = match broken.identity.key() {
            Some(key) => Some(key),
            None => lost.keys().find(|key| broken.may_have_been(key)).cloned(),
        };
        if let Some((key, was)) = kept.and_then(|key| lost.remove_entry(&key)) {
            self.provided.insert(key, was);
            self.report(
                origin,
                broken,
                "until then its last good version stays in force",
            );
        } else if broken.identity.policy {
            let key = broken.identity.key().unwrap_or_else(|| broken.unreadable());
            self.refuse(origin, broken, key);
        } else if broken.identity.kind.is_some_and(Kind::is_route) {
            let note = "until then, without a last good version, it has no effect";
            self.report(origin, broken, note);
        } else {
            self.report(origin, broken, "");
        }
    }

    fn refuse(&mut self, origin: &Origin, broken: &Broken, key: ObjectKey) {
        let note = if key.kind == Kind::RequestAuthentication {
            "until then, without a last good version, every request by way of a waypoint to what it \
             may be for is refused"
                .to_owned()
        } else if ROOT_NAMESPACES.contains(&&*key.namespace) {
            "until then, without a last good version, every connection in the mesh is refused"
                .to_owned()
        } else {
            let namespace = &key.namespace;
            format!(
                "until then, without a last good version, all of namespace {namespace} is refused"
            )
        };
        let object = Arc::new(Object::UnreadablePolicy(key.clone()));
        self.provided
            .entry(key)
            .or_insert_with(|| (origin.clone(), object));
        self.report(origin, broken, &note);
    }

    fn report(&mut self, origin: &Origin, broken: &Broken, note: &str) {
        let mut finding = broken.finding.clone();
        if !note.is_empty() {
            finding.advice = format!("{} ({note})", finding.advice);
        }
        self.problems
            .push(finding.at(origin, &broken.object, Severity::Error, broken.cause));
    }
}
