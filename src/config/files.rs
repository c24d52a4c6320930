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

mod resolve;

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use self::resolve::{Broken, Resolve};
use super::documents::{self, Document};
use super::objects::{self, Identity, Object, ObjectKey};
use super::problem::{Cause, Finding, Origin, Problem};
use super::sniff::sniff;
use super::store::ObjectEvent;

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

#[cfg(test)]
mod tests;
