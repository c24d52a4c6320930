//! What one file provides, also while it is broken.
//!
//! A document that cannot be read never takes effect by its absence:
//!
//! - If it can be told which object it is, the last good version of that object stays.
//! - If not, everything that the file used to provide and no longer shows stays.
//! - A policy without a last good version refuses everything in its namespace, or in the mesh if
//!   its namespace cannot be told.
//!
//! Pure: last good versions come from the state before or, on the first reading, from a closure.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::documents::{self, Document};
use super::objects::{self, Identity, Kind, Object, ObjectKey};
use super::problem::{Cause, Finding, Origin, Problem, Severity};
use super::sniff::sniff;
use super::store::ObjectEvent;

/// Namespace that a policy is put into whose own cannot be told: a root namespace.
const WHOLE_MESH: &str = "ambit-system";

type Provided = BTreeMap<ObjectKey, (Origin, Arc<Object>)>;

/// A file as it was last read.
#[derive(Clone, Debug, Default)]
pub struct FileState {
    documents: Vec<ReadDocument>,
    provided: Provided,
}

/// What reading a file brought.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The file's state from now on.
    pub state: FileState,
    /// What changed.
    pub events: Vec<ObjectEvent>,
    /// All that is wrong in the file.
    pub problems: Vec<Problem>,
}

/// One document, with the digest that tells whether it has to be parsed again.
#[derive(Clone, Debug)]
struct ReadDocument {
    digest: Arc<[u8]>,
    items: Arc<[Item]>,
}

/// One object of a document.
#[derive(Clone, Debug)]
struct Item {
    number: Option<u32>,
    outcome: Result<Arc<Object>, Arc<Broken>>,
}

/// Something that could not be read as an object.
#[derive(Clone, Debug)]
struct Broken {
    identity: Identity,
    object: String,
    cause: Cause,
    finding: Finding,
    /// Tells it from other broken policies of the same file.
    tag: String,
}

impl FileState {
    /// Objects that it provides and that could be read at some time.
    pub fn good_objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        let objects = self.provided.values().map(|(_, object)| object);
        objects.filter(|object| !matches!(***object, Object::UnreadablePolicy(_)))
    }

    /// All that it provides, as if it had just been read for the first time.
    pub fn provide(&self, file: &Arc<str>) -> Vec<ObjectEvent> {
        Self::default().events(file, &self.provided)
    }

    /// Reads the file anew.
    pub fn read(
        &self,
        file: &Arc<str>,
        contents: Result<&[u8], String>,
        last_good: impl FnOnce() -> Vec<Arc<Object>>,
    ) -> Reading {
        let cut = contents
            .map(documents::split)
            .map(|cut| cut.map_err(|e| e.to_string()));
        match cut {
            Ok(Ok(documents)) => self.read_documents(file, &documents, last_good),
            Ok(Err(what)) | Err(what) => self.keep_all(file, what, last_good),
        }
    }

    /// The file is gone, and with it all that it provided.
    pub fn remove(&self, file: &Arc<str>) -> Vec<ObjectEvent> {
        self.events(file, &Provided::new())
    }

    fn read_documents(
        &self,
        file: &Arc<str>,
        documents: &[Document<'_>],
        last_good: impl FnOnce() -> Vec<Arc<Object>>,
    ) -> Reading {
        let known: BTreeMap<&[u8], &ReadDocument> = self
            .documents
            .iter()
            .map(|document| (&*document.digest, document))
            .collect();
        let mut read = Vec::with_capacity(documents.len());
        let mut resolve = Resolve::default();
        for document in documents {
            let digest = digest(&SHA256, document.bytes);
            let known = known.get(digest.as_ref()).map(|known| (*known).clone());
            let parsed = known.unwrap_or_else(|| ReadDocument {
                digest: digest.as_ref().into(),
                items: parse(document, digest.as_ref()),
            });
            for item in parsed.items.iter() {
                let origin = Origin {
                    file: Arc::clone(file),
                    document: document.number,
                    line: document.line,
                    item: item.number,
                };
                resolve.add(origin, &item.outcome);
            }
            read.push(parsed);
        }
        let lost = if resolve.broken.is_empty() {
            Provided::new()
        } else {
            self.lost(file, &resolve.provided, last_good)
        };
        let (provided, problems) = resolve.finish(lost);
        let events = self.events(file, &provided);
        Reading {
            state: Self {
                documents: read,
                provided,
            },
            events,
            problems,
        }
    }

    /// A file that cannot be read at all may hold policies that nobody has seen yet.
    fn keep_all(
        &self,
        file: &Arc<str>,
        what: String,
        last_good: impl FnOnce() -> Vec<Arc<Object>>,
    ) -> Reading {
        let mut resolve = Resolve::default();
        let broken = Broken {
            identity: Identity {
                policy: true,
                ..Identity::default()
            },
            object: String::new(),
            cause: Cause::UnreadableFile,
            finding: Finding::new("", what, "make it readable or remove it"),
            tag: tag(file.as_bytes()),
        };
        resolve.add(Origin::file(file), &Err(Arc::new(broken)));
        let lost = self.lost(file, &resolve.provided, last_good);
        let (provided, problems) = resolve.finish(lost);
        let events = self.events(file, &provided);
        Reading {
            state: Self {
                documents: Vec::new(),
                provided,
            },
            events,
            problems,
        }
    }

    /// Good objects that the file used to provide and does not show now.
    fn lost(
        &self,
        file: &Arc<str>,
        provided: &Provided,
        last_good: impl FnOnce() -> Vec<Arc<Object>>,
    ) -> Provided {
        let good = |(key, (_, object)): &(&ObjectKey, &(Origin, Arc<Object>))| {
            !matches!(**object, Object::UnreadablePolicy(_)) && !provided.contains_key(*key)
        };
        if self.documents.is_empty() && self.provided.is_empty() {
            let kept = last_good()
                .into_iter()
                .map(|o| (o.key(), (Origin::file(file), o)));
            return kept
                .filter(|(key, _)| !provided.contains_key(key))
                .collect();
        }
        let lost = self.provided.iter().filter(good);
        lost.map(|(key, provided)| (key.clone(), provided.clone()))
            .collect()
    }

    fn events(&self, file: &Arc<str>, provided: &Provided) -> Vec<ObjectEvent> {
        let gone = self
            .provided
            .keys()
            .filter(|key| !provided.contains_key(*key));
        let gone = gone.map(|key| ObjectEvent::Remove {
            file: Arc::clone(file),
            key: key.clone(),
        });
        let put = provided.iter().filter(|(key, new)| {
            self.provided.get(*key).is_none_or(|old| {
                old.0 != new.0 || !(Arc::ptr_eq(&old.1, &new.1) || old.1 == new.1)
            })
        });
        let put = put.map(|(_, (origin, object))| ObjectEvent::Put {
            origin: origin.clone(),
            object: Arc::clone(object),
        });
        put.chain(gone).collect()
    }
}

fn parse(document: &Document<'_>, digest: &[u8]) -> Arc<[Item]> {
    let tag = tag(digest);
    let value = match documents::parse(document) {
        Ok(value) => value,
        Err(error) => {
            let identity = sniff(document.bytes);
            let broken = Broken {
                object: identity.words(""),
                identity,
                cause: Cause::Syntax,
                finding: Finding::new("", format!("not YAML: {error}"), "correct it"),
                tag,
            };
            return Arc::new([Item {
                number: None,
                outcome: Err(Arc::new(broken)),
            }]);
        }
    };
    let items = objects::items(value).into_iter().map(|(number, value)| {
        let outcome = objects::read(value).map(Arc::new).map_err(|error| {
            Arc::new(Broken {
                identity: error.identity,
                object: error.object,
                cause: error.cause,
                finding: error.finding,
                tag: format!(
                    "{tag}{}",
                    number.map(|n| format!("-{n}")).unwrap_or_default()
                ),
            })
        });
        Item { number, outcome }
    });
    items.collect()
}

/// Short, and of characters that names may hold.
fn tag(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .take(5)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Finds out what a file provides.
#[derive(Default)]
struct Resolve {
    provided: Provided,
    broken: Vec<(Origin, Arc<Broken>)>,
    problems: Vec<Problem>,
}

impl Resolve {
    fn add(&mut self, origin: Origin, outcome: &Result<Arc<Object>, Arc<Broken>>) {
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

    fn finish(mut self, mut lost: Provided) -> (Provided, Vec<Problem>) {
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
        } else {
            self.report(origin, broken, "");
        }
    }

    fn refuse(&mut self, origin: &Origin, broken: &Broken, key: ObjectKey) {
        let note = if &*key.namespace == WHOLE_MESH {
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

#[cfg(test)]
mod tests;
