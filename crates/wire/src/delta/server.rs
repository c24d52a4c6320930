//! The serving end, for one stream and one type: what the client holds, what it still has to be
//! told, and up to which change it has acknowledged.
//!
//! ```text
//!   request(subscribe) -> dirty names --poll()--> under way (one response) --ACK or NACK--> held
//!   changed(sequence)  ->     ^                                                  |
//!                             +---- changed again while under way ---------------+
//! ```
//!
//! The names that a client has to hear about wait in the order in which they changed; what is sent
//! is always the catalog's state at the time of sending. So a slow client gets fewer, newer
//! resources, and what waits for it is never more than one entry per name.
//!
//! Of a type whose resources can be edited, what the client has is remembered, and where that is known
//! only an edit is sent. It is known if the client has not refused it, and is on this stream: from its first
//! request only where it has what the catalog has. An edit that is refused is followed by the whole.
//!
//! A client may have to know that it has been told of all that has an alias ([`Server::answering`]): what came of
//! that by itself says nothing of the rest.

mod edits;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{ANNOUNCE_CHUNKS, Catalog, Entry, MORE};
use crate::discovery::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
pub use edits::Edit;
use edits::Edits;
use waiting::Waiting;

/// Resources in one response to a client that understands [`MORE`]: small enough that a stream's
/// other types are not held up for long.
const MAX_CHUNK_RESOURCES: usize = 1000;
/// Bytes of bodies in one such response.
const MAX_CHUNK_BYTES: usize = 1024 * 1024;
/// Names that one client may ask for one by one; more are answered once and then not followed.
const MAX_ASKED: usize = 100_000;
/// Longest name that is looked for: no resource has a longer one.
const LONGEST_NAME: usize = 1024;

/// What a request was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new or changed subscription.
    Subscribed,
    /// The response under way was applied.
    Acked,
    /// The response under way was applied but for what the message names.
    Nacked(String),
    /// It answers a response that is not under way, and changes nothing.
    Stale,
}

/// The serving end of one type on one stream.
#[derive(Debug)]
pub struct Server {
    type_url: Arc<str>,
    interest: Interest,
    started: bool,
    chunks: bool,
    /// Version by name, of everything the client was told or said it holds.
    held: HashMap<Arc<str>, Arc<str>>,
    /// What of that can be edited.
    edits: Option<Edits>,
    waiting: Waiting,
    /// Asked for by name and not there, or told by now: answered as removed.
    unknown: Vec<Arc<str>>,
    /// Whether an alias that is asked for is answered once all that waits has been told.
    answers_last: bool,
    under_way: Option<UnderWay>,
    /// The client waits for a first answer, even an empty one.
    owes_answer: bool,
    latest: u64,
    nonce: u64,
    nacks: u64,
}

#[derive(Debug)]
enum Interest {
    Everything,
    Names(HashSet<Arc<str>>),
}

#[derive(Debug)]
struct UnderWay {
    nonce: String,
    /// The oldest change in it.
    oldest: u64,
    /// What is in it of a type that can be edited.
    sent: Vec<Sent>,
}

/// A resource that was sent.
#[derive(Debug)]
struct Sent {
    name: Arc<str>,
    /// True if it was an edit.
    is_edit: bool,
}

impl Server {
    /// A stream on which the client has not asked for this type yet. `sequence` is the number of
    /// the newest change that the catalog given to the first [`Server::request`] contains.
    pub fn new(type_url: impl Into<Arc<str>>, sequence: u64) -> Self {
        Self {
            type_url: type_url.into(),
            interest: Interest::Names(HashSet::new()),
            started: false,
            chunks: false,
            held: HashMap::new(),
            edits: None,
            waiting: Waiting::default(),
            unknown: Vec::new(),
            answers_last: false,
            under_way: None,
            owes_answer: false,
            latest: sequence,
            nonce: 0,
            nacks: 0,
        }
    }

    /// The same for a type whose resources can be edited, and clients that can do so.
    pub fn editing(mut self, edit: Edit) -> Self {
        self.edits = Some(Edits::new(edit));
        self
    }

    /// The same for clients that have to know that they have been told of all that has an alias. Each that they
    /// ask for is answered as removed once nothing waits any more, be there something by it or not.
    pub fn answering(mut self) -> Self {
        self.answers_last = true;
        self
    }

    /// Takes a request in. Call [`Server::poll`] afterwards.
    pub fn request(&mut self, request: DeltaDiscoveryRequest, catalog: &impl Catalog) -> Outcome {
        let subscribes = !self.started
            || !request.resource_names_subscribe.is_empty()
            || !request.resource_names_unsubscribe.is_empty();
        let outcome = self.answered(&request);
        if !subscribes {
            return outcome;
        }
        if !self.started {
            self.start(&request);
        }
        self.subscribe(request, catalog);
        if outcome == Outcome::Stale {
            Outcome::Subscribed
        } else {
            outcome
        }
    }

    /// Notes changed names (new, changed or gone). `sequence` grows from call to call; the catalog
    /// given to later calls of [`Server::poll`] must contain the change.
    pub fn changed<'a>(
        &mut self,
        sequence: u64,
        names: impl IntoIterator<Item = &'a Arc<str>>,
        catalog: &impl Catalog,
    ) {
        self.latest = self.latest.max(sequence);
        if !self.started {
            return;
        }
        for name in names {
            if self.wants(name, catalog) {
                self.waiting.push(sequence, Arc::clone(name));
            }
        }
    }

    /// Notes that anything may have changed, for a caller that has lost count of the names: costs
    /// one comparison per resource. `sequence` is that of the newest change in the catalog.
    pub fn resync(&mut self, sequence: u64, catalog: &impl Catalog) {
        self.latest = self.latest.max(sequence);
        if !self.started {
            return;
        }
        match &self.interest {
            Interest::Everything => self.mark_differences(catalog),
            Interest::Names(asked) => {
                let known = |name: &Arc<str>| {
                    let found = catalog.get(name).map(|_| Arc::clone(name));
                    found.or_else(|| catalog.named_by(name))
                };
                let names: Vec<Arc<str>> = asked.iter().filter_map(known).collect();
                for name in names {
                    self.waiting.push(self.latest, name);
                }
                self.mark_vanished(catalog);
            }
        }
    }

    /// The next response, if one is due and none is under way.
    pub fn poll(&mut self, catalog: &impl Catalog) -> Option<DeltaDiscoveryResponse> {
        if self.under_way.is_some() || !self.started {
            return None;
        }
        let oldest = self.waiting.oldest();
        let mut response = DeltaDiscoveryResponse::default();
        let sent = self.fill(&mut response, catalog);
        let more = self.waiting.oldest().is_some();
        let empty = response.resources.is_empty() && response.removed_resources.is_empty();
        if empty && !self.owes_answer {
            return None;
        }
        self.owes_answer = false;
        self.nonce += 1;
        response.type_url = self.type_url.to_string();
        response.nonce = self.nonce.to_string();
        if more {
            MORE.clone_into(&mut response.system_version_info);
        }
        // An answer without changes still has to be acknowledged: that says "in force".
        let oldest = oldest.unwrap_or(self.latest);
        self.under_way = Some(UnderWay {
            nonce: response.nonce.clone(),
            oldest,
            sent,
        });
        Some(response)
    }

    /// The next response, with those of the names that wait of which this is true, if there are some and none is under
    /// way. A client that waits for a first answer gets all of it by [`Server::poll`]; only one that returns, and
    /// understands [`MORE`], may be told some of it before.
    pub fn poll_some(
        &mut self,
        catalog: &impl Catalog,
        is_such: impl Fn(&Arc<str>) -> bool,
    ) -> Option<DeltaDiscoveryResponse> {
        let owes_answer = self.owes_answer;
        let is_back = self.chunks && !self.held.is_empty();
        if self.under_way.is_some() || !self.started || owes_answer && !is_back {
            return None;
        }
        let such = self.waiting.take(is_such);
        let others = std::mem::replace(&mut self.waiting, such);
        let unknown = std::mem::take(&mut self.unknown);
        self.owes_answer = false;
        let response = self.poll(catalog);
        self.owes_answer = owes_answer;
        self.unknown = unknown;
        self.waiting.put_back(others);
        response.map(|mut response| {
            if self.chunks && (owes_answer || self.waiting.oldest().is_some()) {
                MORE.clone_into(&mut response.system_version_info);
            }
            response
        })
    }

    /// The newest change that waits to be told, if any does.
    pub fn waits_through(&self) -> Option<u64> {
        self.waiting.newest()
    }

    /// Whether names wait of which this is true.
    pub fn waits_for(&self, is_such: impl Fn(&Arc<str>) -> bool) -> bool {
        self.waiting.names().any(is_such)
    }

    /// Every change up to this number, and the state at the time of the subscription, has been
    /// answered by the client.
    pub fn acked_through(&self) -> u64 {
        let under_way = self.under_way.as_ref().map(|u| u.oldest);
        let oldest = under_way.into_iter().chain(self.waiting.oldest()).min();
        oldest.map_or(self.latest, |oldest| oldest.saturating_sub(1))
    }

    /// True if the client has asked for this type.
    pub fn is_subscribed(&self) -> bool {
        self.started
    }

    /// Names of what the client was told or said it holds, with the versions.
    pub fn held(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.held.iter()
    }

    /// True if a response waits for its answer.
    pub fn awaits_answer(&self) -> bool {
        self.under_way.is_some()
    }

    /// How many responses the client refused in part.
    pub fn nacks(&self) -> u64 {
        self.nacks
    }

    fn answered(&mut self, request: &DeltaDiscoveryRequest) -> Outcome {
        let matches = |u: &mut UnderWay| u.nonce == request.response_nonce;
        let Some(under_way) = self.under_way.take_if(matches) else {
            return Outcome::Stale;
        };
        match &request.error_detail {
            None => Outcome::Acked,
            Some(status) => {
                self.nacks += 1;
                self.refused(under_way.sent);
                Outcome::Nacked(status.message.clone())
            }
        }
    }

    /// Of what was refused is not known which: so the client may have none of it. What it was to make of
    /// what it has it is sent whole.
    fn refused(&mut self, sent: Vec<Sent>) {
        for Sent { name, is_edit } in sent {
            if let Some(edits) = &mut self.edits {
                edits.forget(&name);
            }
            if is_edit {
                self.held.insert(Arc::clone(&name), "".into());
                self.waiting.push(self.latest, name);
            }
        }
    }

    fn start(&mut self, request: &DeltaDiscoveryRequest) {
        self.started = true;
        self.owes_answer = true;
        if request.resource_names_subscribe.is_empty() {
            self.interest = Interest::Everything;
        }
        let metadata = request
            .node
            .as_ref()
            .and_then(|node| node.metadata.as_ref());
        self.chunks = metadata.is_some_and(|m| m.fields.contains_key(ANNOUNCE_CHUNKS));
        let versions = &request.initial_resource_versions;
        self.held = versions
            .iter()
            .map(|(n, v)| (n.as_str().into(), v.as_str().into()))
            .collect();
    }

    fn subscribe(&mut self, request: DeltaDiscoveryRequest, catalog: &impl Catalog) {
        // Until then it can have dropped nothing of what it said that it holds.
        let first = self.nonce == 0;
        let mut compare = first;
        for name in request.resource_names_subscribe {
            if name == "*" {
                self.interest = Interest::Everything;
                compare = true;
                continue;
            }
            self.ask(name.into(), first, catalog);
        }
        for name in request.resource_names_unsubscribe {
            self.unask(&name);
        }
        if matches!(self.interest, Interest::Everything) {
            if compare {
                self.mark_differences(catalog);
            }
        } else if first {
            self.mark_vanished(catalog);
        }
    }

    /// A name asked for is answered, also if the client was told before: it may have dropped it.
    /// Only the versions of a stream's first request say what it holds.
    fn ask(&mut self, name: Arc<str>, first: bool, catalog: &impl Catalog) {
        if name.len() > LONGEST_NAME {
            return;
        }
        let known = if catalog.get(&name).is_some() {
            Some(Arc::clone(&name))
        } else {
            catalog.named_by(&name)
        };
        if let Interest::Names(asked) = &mut self.interest
            && asked.len() < MAX_ASKED
        {
            asked.insert(Arc::clone(&name));
        }
        let is_alias = known.as_ref() != Some(&name);
        if let Some(known) = &known {
            if !first && let Some(version) = self.held.get_mut(known) {
                // None that there is. That it goes is told all the same.
                *version = "".into();
            }
            self.waiting.push(self.latest, Arc::clone(known));
        }
        let answers = known.is_none() || self.answers_last && is_alias;
        if answers && self.unknown.len() < MAX_ASKED {
            self.unknown.push(name);
        }
    }

    fn unask(&mut self, name: &str) {
        if name == "*" {
            if matches!(self.interest, Interest::Everything) {
                self.interest = Interest::Names(HashSet::new());
                self.waiting = Waiting::default();
            }
            return;
        }
        if let Interest::Names(asked) = &mut self.interest {
            asked.remove(name);
            self.held.remove(name);
        }
    }

    /// Everything whose version the client does not hold, and everything it holds that is gone.
    fn mark_differences(&mut self, catalog: &impl Catalog) {
        for (name, entry) in catalog.iter() {
            if self.held.get(name) != Some(&entry.version) {
                self.waiting.push(self.latest, Arc::clone(name));
            } else if let Some(edits) = &mut self.edits {
                edits.note(name, entry);
            }
        }
        self.mark_vanished(catalog);
    }

    fn mark_vanished(&mut self, catalog: &impl Catalog) {
        for name in self.held.keys().filter(|name| catalog.get(name).is_none()) {
            self.waiting.push(self.latest, Arc::clone(name));
        }
    }

    fn wants(&self, name: &Arc<str>, catalog: &impl Catalog) -> bool {
        match &self.interest {
            Interest::Everything => true,
            Interest::Names(asked) => {
                asked.contains(name)
                    || self.held.contains_key(name)
                    || catalog
                        .get(name)
                        .is_some_and(|entry| entry.aliases.iter().any(|a| asked.contains(a)))
            }
        }
    }

    fn fill(&mut self, response: &mut DeltaDiscoveryResponse, catalog: &impl Catalog) -> Vec<Sent> {
        let mut bytes = 0;
        let mut sent = Vec::new();
        if !self.answers_last {
            self.answer(response, catalog);
        }
        while !(self.chunks
            && (bytes >= MAX_CHUNK_BYTES || response.resources.len() >= MAX_CHUNK_RESOURCES))
        {
            let Some((_, name)) = self.waiting.pop() else {
                self.answer(response, catalog);
                return sent;
            };
            match catalog.get(&name) {
                Some(entry) if self.held.get(&name) == Some(&entry.version) => {}
                Some(entry) => {
                    let body = match &mut self.edits {
                        Some(edits) => {
                            let edit = edits.edit(&name, self.held.get(&name), entry);
                            edits.note(&name, entry);
                            let (name, is_edit) = (Arc::clone(&name), edit.is_some());
                            sent.push(Sent { name, is_edit });
                            edit
                        }
                        None => None,
                    };
                    let body = body.unwrap_or_else(|| entry.body.clone());
                    bytes += body.len();
                    response.resources.push(self.resource(&name, entry, body));
                    self.held.insert(name, Arc::clone(&entry.version));
                }
                None => {
                    if let Some(edits) = &mut self.edits {
                        edits.forget(&name);
                    }
                    if self.held.remove(&name).is_some() {
                        response.removed_resources.push(name.to_string());
                    }
                }
            }
        }
        sent
    }

    /// Names what was asked for and is not there; of those that wait for the end of all, what is there has been told.
    fn answer(&mut self, response: &mut DeltaDiscoveryResponse, catalog: &impl Catalog) {
        for name in self.unknown.drain(..) {
            let is_there = catalog.get(&name).is_some()
                || !self.answers_last && catalog.named_by(&name).is_some();
            if !is_there {
                response.removed_resources.push(name.to_string());
            }
        }
    }

    fn resource(&self, name: &Arc<str>, entry: &Entry, body: Bytes) -> Resource {
        let aliases = match self.interest {
            Interest::Everything => Vec::new(),
            Interest::Names(_) => entry.aliases.iter().map(ToString::to_string).collect(),
        };
        Resource {
            name: name.to_string(),
            version: entry.version.to_string(),
            resource: Some(Any {
                type_url: self.type_url.to_string(),
                value: body,
            }),
            aliases,
        }
    }
}

#[cfg(test)]
mod tests;
