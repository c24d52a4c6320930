//! One discovery stream: what is sent on it, and in which order. A machine without I/O.
//!
//! ```text
//!  request(), published()          poll(), again and again
//!        |                            1. policies, new and changed ---- until all are acknowledged
//!        v                            2. workloads and services ------- until all are acknowledged
//!  two delta servers, one per type    3. policies that are gone
//! ```
//!
//! Invariants: a workload never reaches an agent before a policy that it lists, and a policy
//! leaves it only after every workload that listed it has changed. A client that does not ask for
//! one of the types is not waited for on that type.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_wire::delta::{ADDRESS_TYPE, AUTHORIZATION_TYPE, Catalog, Entry, Outcome, Server};
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use super::publication::{Publication, Shelf};

/// The types that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Workloads and services.
    Address,
    /// Policies.
    Policy,
}

impl Kind {
    /// Every type.
    pub(crate) const ALL: [Self; 2] = [Self::Address, Self::Policy];

    /// The type of a type URL.
    pub(crate) fn of(type_url: &str) -> Option<Self> {
        match type_url {
            ADDRESS_TYPE => Some(Self::Address),
            AUTHORIZATION_TYPE => Some(Self::Policy),
            _ => None,
        }
    }

    /// The word for metrics, as Istio's control plane has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Address => "wds",
            Self::Policy => "wads",
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Subscription {
    addresses: Server,
    policies: Server,
    /// Policies that are gone but that the client is not told about yet.
    lingering: HashMap<Arc<str>, Entry>,
    /// Number of the newest publication taken in.
    seen: u64,
}

/// The policies as one stream has to see them: those gone still stand where they were.
struct Lingering<'a> {
    policies: &'a Shelf,
    gone: &'a HashMap<Arc<str>, Entry>,
}

impl Catalog for Lingering<'_> {
    fn get(&self, name: &str) -> Option<&Entry> {
        self.policies.get(name).or_else(|| self.gone.get(name))
    }

    /// Without those gone: nobody is to be told of them anew.
    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.policies.iter()
    }

    fn named_by(&self, alias: &str) -> Option<Arc<str>> {
        self.policies.named_by(alias)
    }
}

impl Subscription {
    /// A stream that has asked for nothing yet.
    pub(crate) fn new(now: &Publication) -> Self {
        Self {
            addresses: Server::new(ADDRESS_TYPE, now.sequence),
            policies: Server::new(AUTHORIZATION_TYPE, now.sequence),
            lingering: HashMap::new(),
            seen: now.sequence,
        }
    }

    /// Takes a request in; `None` if it is about a type that is not served.
    pub(crate) fn request(
        &mut self,
        request: DeltaDiscoveryRequest,
        now: &Publication,
    ) -> Option<(Kind, Outcome)> {
        let kind = Kind::of(&request.type_url)?;
        let outcome = match kind {
            Kind::Address => self.addresses.request(request, &now.addresses),
            Kind::Policy => {
                if !self.policies.is_subscribed() {
                    self.keep_what_is_gone(&request, now);
                }
                let view = Lingering {
                    policies: &now.policies,
                    gone: &self.lingering,
                };
                self.policies.request(request, &view)
            }
        };
        Some((kind, outcome))
    }

    /// Takes a newer publication in.
    pub(crate) fn published(&mut self, now: &Publication) {
        if now.sequence <= self.seen {
            return;
        }
        match now.since(self.seen) {
            None => {
                let view = Lingering {
                    policies: &now.policies,
                    gone: &self.lingering,
                };
                self.policies.resync(now.sequence, &view);
                self.addresses.resync(now.sequence, &now.addresses);
            }
            Some(changes) => {
                for change in changes {
                    for name in &change.policies {
                        self.lingering.remove(name);
                    }
                    self.lingering
                        .extend(change.removed_policies.iter().cloned());
                    let view = Lingering {
                        policies: &now.policies,
                        gone: &self.lingering,
                    };
                    self.policies
                        .changed(change.sequence, &change.policies, &view);
                    self.addresses
                        .changed(change.sequence, &change.addresses, &now.addresses);
                }
            }
        }
        self.seen = now.sequence;
    }

    /// The next response that may be sent now.
    pub(crate) fn poll(&mut self, now: &Publication) -> Option<(Kind, DeltaDiscoveryResponse)> {
        let view = Lingering {
            policies: &now.policies,
            gone: &self.lingering,
        };
        if let Some(response) = self.policies.poll(&view) {
            return Some((Kind::Policy, response));
        }
        if !is_settled(&self.policies, self.seen) {
            return None;
        }
        if let Some(response) = self.addresses.poll(&now.addresses) {
            return Some((Kind::Address, response));
        }
        if self.lingering.is_empty() || !is_settled(&self.addresses, self.seen) {
            return None;
        }
        let gone: Vec<Arc<str>> = self.lingering.drain().map(|(name, _)| name).collect();
        self.policies.changed(self.seen, &gone, &now.policies);
        self.policies
            .poll(&now.policies)
            .map(|response| (Kind::Policy, response))
    }

    /// The client has answered every change up to this number. A client that has not asked for
    /// workloads yet has answered nothing: it may still act on what it kept from before.
    pub(crate) fn acknowledged(&self) -> u64 {
        if self.addresses.is_subscribed() {
            self.addresses.acked_through()
        } else {
            0
        }
    }

    /// What a returning client holds and what is gone meanwhile lingers like any other: its
    /// workloads may still list it.
    fn keep_what_is_gone(&mut self, request: &DeltaDiscoveryRequest, now: &Publication) {
        for (name, version) in &request.initial_resource_versions {
            if now.policies.get(name).is_none() {
                let held = Entry {
                    version: version.as_str().into(),
                    body: bytes::Bytes::new(),
                    aliases: Arc::from([]),
                };
                self.lingering.insert(name.as_str().into(), held);
            }
        }
    }
}

/// True if nothing waits and nothing is under way.
fn is_settled(server: &Server, seen: u64) -> bool {
    server.acked_through() >= seen
}

#[cfg(test)]
mod tests;
