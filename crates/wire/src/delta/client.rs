//! The subscribing end: which versions it holds, and how it answers.
//!
//! A subscription to one type: to everything that the server tells of by itself, and to names
//! that are asked for beside that ([`Client::want`]). The caller sends [`Client::connect`]'s request first on
//! every new stream, gives every response to [`Client::receive`], applies the [`Update`] and then
//! sends [`Client::answer`]. Answering late is allowed and meant: the server takes an ACK as "in
//! force", so it is sent when whoever uses the resources has applied them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::MORE;
use crate::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Resource, Status};

/// The name that stands for everything.
const EVERYTHING: &str = "*";
/// gRPC code INVALID_ARGUMENT, what a NACK carries.
const INVALID_ARGUMENT: i32 = 3;
/// A NACK names at most this many resources, so that a bad push cannot make a huge answer.
const MAX_NAMED_REJECTIONS: usize = 32;
/// A reason is cut to this many characters in a NACK.
const MAX_REASON: usize = 256;

/// The subscribing end of one type.
#[derive(Clone, Debug)]
pub struct Client {
    type_url: Arc<str>,
    /// Version by name; an empty version was rejected, with or without an older state in force.
    held: HashMap<Arc<str>, Arc<str>>,
    /// Names that are asked for beside everything.
    asked: BTreeSet<Arc<str>>,
}

/// One resource that passed the check.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// Its name.
    pub name: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// Its encoding.
    pub body: Bytes,
}

/// What it says may be a secret: how long it is will do.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("length", &self.body.len())
            .finish()
    }
}

/// One resource that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its name.
    pub name: Arc<str>,
    /// Why, for a person.
    pub reason: String,
}

/// What a response changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// To be given to [`Client::answer`].
    pub nonce: String,
    /// New or changed.
    pub changed: Vec<Received>,
    /// Gone.
    pub removed: Vec<Arc<str>>,
    /// Not applied; their last good state stays.
    pub rejected: Vec<Rejection>,
    /// False if more responses belong to the same state.
    pub complete: bool,
}

impl Client {
    /// A subscription to everything of a type; nothing is held yet.
    pub fn new(type_url: impl Into<Arc<str>>) -> Self {
        Self {
            type_url: type_url.into(),
            held: HashMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// The type.
    pub fn type_url(&self) -> &str {
        &self.type_url
    }

    /// Notes a resource kept from an earlier life.
    pub fn restore(&mut self, name: impl Into<Arc<str>>, version: impl Into<Arc<str>>) {
        self.held.insert(name.into(), version.into());
    }

    /// How many resources are held or were rejected.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The first request on a new stream.
    pub fn connect(&self, node: Node) -> DeltaDiscoveryRequest {
        let versions = self
            .held
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_string()))
            .collect();
        // An empty list means everything; beside names that has to be said.
        let everything = (!self.asked.is_empty()).then(|| EVERYTHING.to_owned());
        let asked = self.asked.iter().map(|name| name.to_string());
        DeltaDiscoveryRequest {
            node: Some(node),
            type_url: self.type_url.to_string(),
            initial_resource_versions: versions,
            resource_names_subscribe: everything.into_iter().chain(asked).collect(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// Asks for resources by name or alias, and leaves others; also on the streams to come.
    pub fn want(&mut self, ask: &[Arc<str>], leave: &[Arc<str>]) -> DeltaDiscoveryRequest {
        for name in leave {
            self.asked.remove(name);
        }
        self.asked.extend(ask.iter().cloned());
        let texts = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect();
        DeltaDiscoveryRequest {
            type_url: self.type_url.to_string(),
            resource_names_subscribe: texts(ask),
            resource_names_unsubscribe: texts(leave),
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// Takes a response in. `check` says whether a resource can be used.
    pub fn receive(
        &mut self,
        response: DeltaDiscoveryResponse,
        mut check: impl FnMut(&Received) -> Result<(), String>,
    ) -> Update {
        let mut update = Update {
            nonce: response.nonce,
            changed: Vec::with_capacity(response.resources.len()),
            removed: Vec::with_capacity(response.removed_resources.len()),
            rejected: Vec::new(),
            complete: response.system_version_info != MORE,
        };
        for name in response.removed_resources {
            let name: Arc<str> = name.into();
            self.held.remove(&name);
            update.removed.push(name);
        }
        for resource in response.resources {
            match self
                .open(resource)
                .and_then(|received| match check(&received) {
                    Ok(()) => Ok(received),
                    Err(reason) => Err(Rejection {
                        name: received.name,
                        reason,
                    }),
                }) {
                Ok(received) => {
                    self.held
                        .insert(Arc::clone(&received.name), Arc::clone(&received.version));
                    update.changed.push(received);
                }
                Err(rejection) => {
                    self.reject(&rejection.name);
                    update.rejected.push(rejection);
                }
            }
        }
        update
    }

    /// Notes that a resource cannot be used, so that the next stream asks for it again.
    pub fn reject(&mut self, name: &Arc<str>) {
        if !name.is_empty() {
            self.held.insert(Arc::clone(name), "".into());
        }
    }

    /// The answer to a response: an ACK, or a NACK that names what was rejected.
    pub fn answer(&self, nonce: &str, rejected: &[Rejection]) -> DeltaDiscoveryRequest {
        let error_detail = (!rejected.is_empty()).then(|| Status {
            code: INVALID_ARGUMENT,
            message: describe(rejected),
        });
        DeltaDiscoveryRequest {
            type_url: self.type_url.to_string(),
            response_nonce: nonce.to_owned(),
            error_detail,
            ..DeltaDiscoveryRequest::default()
        }
    }

    fn open(&self, resource: Resource) -> Result<Received, Rejection> {
        let name: Arc<str> = resource.name.into();
        let rejected = |reason: String| Rejection {
            name: Arc::clone(&name),
            reason,
        };
        if name.is_empty() {
            return Err(rejected("a resource without a name".to_owned()));
        }
        let Some(packed) = resource.resource else {
            return Err(rejected("a resource without a body".to_owned()));
        };
        if packed.type_url != *self.type_url {
            return Err(rejected(format!(
                "of type `{}`, not of the subscribed `{}`",
                shortened(&packed.type_url),
                self.type_url
            )));
        }
        Ok(Received {
            name,
            version: resource.version.into(),
            body: packed.value,
        })
    }
}

fn describe(rejected: &[Rejection]) -> String {
    let named = rejected.iter().take(MAX_NAMED_REJECTIONS);
    let mut lines: Vec<String> = named
        .map(|r| format!("{}: {}", shortened(&r.name), shortened(&r.reason)))
        .collect();
    if let Some(more) = rejected
        .len()
        .checked_sub(MAX_NAMED_REJECTIONS)
        .filter(|n| *n > 0)
    {
        lines.push(format!("and {more} more"));
    }
    lines.join("; ")
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests;
