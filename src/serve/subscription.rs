//! One discovery stream: what is sent on it, and in which order. A machine without I/O.
//!
//! ```text
//!  request(), published()          poll(), again and again
//!        |                            1. policies, new and changed ---- until all are acknowledged
//!        v                            2. request authentications ------ until all are acknowledged
//!  a delta server for each type       3. what routes may lead to ------- until it is acknowledged
//!                                     4. routes of services ------------ until all are acknowledged
//!                                     5. workloads and services ------- until all are acknowledged
//!                                     6. policies that are gone
//! ```
//!
//! An agent is told of all workloads, services and policies; a waypoint of those in its [`Scope`], of
//! routes and request authentications, and before all that of what it is to tell of requests, and of what users of its
//! own namespace give for TLS with hosts outside of the mesh, for which nothing waits. A waypoint keeps a request authentication that is gone while a service or workload names it, so that
//! none has to linger here.
//!
//! A waypoint acts on that nobody of the mesh is at an address, so that each that it asks for is answered by its alias
//! (as removed) once all who are there have been told of.
//!
//! Where routes have changed, workloads and services that come or change are told of first, so that no route leads to
//! what the waypoint does not know: all but services that it is to front, or ports of these, which it has not heard of;
//! what is gone, also a pod from a service or a subset, goes after them (`leading.rs`).
//!
//! Invariants: a workload never reaches an agent before a policy that it lists, and a policy
//! leaves it only after every workload that listed it has changed, be it gone or no matter of a waypoint any more; a service, or a new port of it,
//! reaches a waypoint after its routes and the request authentications that it names. A client that does not ask for
//! one of the types is not waited for on that type.

mod leading;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::Mesh;
use ambit_wire::delta::{
    ADDRESS_TYPE, AUTHENTICATION_TYPE, AUTHORIZATION_TYPE, CREDENTIAL_TYPE, Catalog, Entry,
    Outcome, ROUTES_TYPE, Server, TELEMETRY_TYPE,
};
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use ambit_wire::encode::routes_edit;

use self::leading::Leading;
use super::publication::{Publication, Shelf};
use super::scope::{Scope, named_by};

/// How often what routes lead to is told before them, where they change again each time.
const MAX_ROUNDS: u32 = 4;

/// The types that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Workloads and services.
    Address,
    /// Policies.
    Policy,
    /// Routes of services.
    Routes,
    /// What is told of requests.
    Telemetry,
    /// Request authentications.
    Authentication,
    /// What TLS with hosts outside of the mesh is spoken by.
    Credential,
}

impl Kind {
    /// Every type.
    pub(crate) const ALL: [Self; 6] = [
        Self::Address,
        Self::Policy,
        Self::Routes,
        Self::Telemetry,
        Self::Authentication,
        Self::Credential,
    ];

    /// The type of a type URL.
    pub(crate) fn of(type_url: &str) -> Option<Self> {
        match type_url {
            ADDRESS_TYPE => Some(Self::Address),
            AUTHORIZATION_TYPE => Some(Self::Policy),
            ROUTES_TYPE => Some(Self::Routes),
            TELEMETRY_TYPE => Some(Self::Telemetry),
            AUTHENTICATION_TYPE => Some(Self::Authentication),
            CREDENTIAL_TYPE => Some(Self::Credential),
            _ => None,
        }
    }

    /// The word for metrics, as Istio's control plane has it; the last four are our own.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Address => "wds",
            Self::Policy => "wads",
            Self::Routes => "routes",
            Self::Telemetry => "telemetry",
            Self::Authentication => "authentications",
            Self::Credential => "credentials",
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Subscription {
    addresses: Server,
    policies: Server,
    routes: Server,
    telemetry: Server,
    authentications: Server,
    credentials: Server,
    /// What a waypoint is told of; none for an agent, who is told everything but what is for waypoints.
    scope: Option<Scope>,
    /// Policies that are gone, or no matter of a waypoint any more, but that the client is not told about yet.
    lingering: HashMap<Arc<str>, Entry>,
    /// What a waypoint has been told of services.
    leading: Leading,
    /// What routes of publications up to this one lead to has been told.
    led_through: u64,
    /// How often that was so since routes were told.
    rounds: u32,
    /// Number of the newest publication taken in.
    seen: u64,
}

/// A type of resources as one stream has to see it.
struct Sight<'a> {
    kind: Kind,
    shelf: &'a Shelf,
    /// What is gone, and still stands where it was.
    gone: Option<&'a HashMap<Arc<str>, Entry>>,
    scope: Option<&'a Scope>,
    mesh: &'a Mesh,
}

impl Sight<'_> {
    fn shows(&self, name: &str) -> bool {
        match (self.scope, self.kind) {
            (None, Kind::Routes | Kind::Telemetry) => false,
            (None, Kind::Authentication | Kind::Credential) => false,
            (None, Kind::Address | Kind::Policy) => true,
            (Some(scope), Kind::Address) => scope.has_address(name, self.mesh),
            (Some(scope), Kind::Policy | Kind::Authentication) => scope.has_policy(name),
            (Some(scope), Kind::Routes) => scope.has_routes(name),
            (Some(scope), Kind::Telemetry) => scope.has_telemetry(name),
            (Some(scope), Kind::Credential) => scope.has_credential(name),
        }
    }
}

impl Catalog for Sight<'_> {
    fn get(&self, name: &str) -> Option<&Entry> {
        let shown = self.shelf.get(name).filter(|_| self.shows(name));
        shown.or_else(|| self.gone?.get(name))
    }

    /// Without those gone: nobody is to be told of them anew.
    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        let all: Box<dyn Iterator<Item = (&Arc<str>, &Entry)>> = match (self.scope, self.kind) {
            (Some(scope), Kind::Address) => {
                let names = scope.addresses(self.mesh);
                Box::new(names.into_iter().filter_map(|name| self.shelf.entry(&name)))
            }
            _ => Box::new(self.shelf.iter().filter(|(name, _)| self.shows(name))),
        };
        all
    }

    /// What a waypoint asks for by its address is what the mesh has there: of several that name one address
    /// the shelf knows one, and not the one that counts.
    fn named_by(&self, alias: &str) -> Option<Arc<str>> {
        if self.scope.is_some() && self.kind == Kind::Address {
            let mut there = named_by(alias, self.mesh);
            return there.find(|name| self.get(name).is_some());
        }
        let name = self.shelf.named_by(alias)?;
        self.shows(&name).then_some(name)
    }
}

/// What a stream sees of each type now.
struct Sights<'a> {
    addresses: Sight<'a>,
    policies: Sight<'a>,
    routes: Sight<'a>,
    telemetry: Sight<'a>,
    authentications: Sight<'a>,
    credentials: Sight<'a>,
}

impl<'a> Sights<'a> {
    fn new(
        now: &'a Publication,
        scope: Option<&'a Scope>,
        lingering: &'a HashMap<Arc<str>, Entry>,
    ) -> Self {
        let sight = |kind, shelf, gone| Sight {
            kind,
            shelf,
            gone,
            scope,
            mesh: &now.mesh,
        };
        Self {
            addresses: sight(Kind::Address, &now.addresses, None),
            policies: sight(Kind::Policy, &now.policies, Some(lingering)),
            routes: sight(Kind::Routes, &now.routes, None),
            telemetry: sight(Kind::Telemetry, &now.telemetry, None),
            authentications: sight(Kind::Authentication, &now.authentications, None),
            credentials: sight(Kind::Credential, &now.credentials, None),
        }
    }
}

impl Subscription {
    /// A stream that has asked for nothing yet; of a waypoint, if there is a scope.
    pub(crate) fn new(now: &Publication, scope: Option<Scope>) -> Self {
        Self {
            addresses: match scope {
                Some(_) => Server::new(ADDRESS_TYPE, now.sequence).answering(),
                None => Server::new(ADDRESS_TYPE, now.sequence),
            },
            policies: Server::new(AUTHORIZATION_TYPE, now.sequence),
            routes: Server::new(ROUTES_TYPE, now.sequence).editing(routes_edit),
            telemetry: Server::new(TELEMETRY_TYPE, now.sequence),
            authentications: Server::new(AUTHENTICATION_TYPE, now.sequence),
            credentials: Server::new(CREDENTIAL_TYPE, now.sequence),
            scope,
            lingering: HashMap::new(),
            leading: Leading::default(),
            led_through: 0,
            rounds: 0,
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
        if kind == Kind::Policy && !self.policies.is_subscribed() {
            self.keep_what_is_gone(&request, now);
        }
        let moved = match (kind, &mut self.scope) {
            (Kind::Address, Some(scope)) => {
                if !self.addresses.is_subscribed() {
                    self.leading.note_held(&request, scope, now);
                }
                scope.ask(
                    &request.resource_names_subscribe,
                    &request.resource_names_unsubscribe,
                    &now.mesh,
                )
            }
            _ => Vec::new(),
        };
        let sights = Sights::new(now, self.scope.as_ref(), &self.lingering);
        let outcome = match kind {
            Kind::Address => self.addresses.request(request, &sights.addresses),
            Kind::Policy => self.policies.request(request, &sights.policies),
            Kind::Routes => self.routes.request(request, &sights.routes),
            Kind::Telemetry => self.telemetry.request(request, &sights.telemetry),
            Kind::Authentication => {
                let sight = &sights.authentications;
                self.authentications.request(request, sight)
            }
            Kind::Credential => self.credentials.request(request, &sights.credentials),
        };
        self.addresses.changed(self.seen, &moved, &sights.addresses);
        Some((kind, outcome))
    }

    /// Takes a newer publication in.
    pub(crate) fn published(&mut self, now: &Publication, time: Instant) {
        if now.sequence <= self.seen {
            return;
        }
        let Some(changes) = now.since(self.seen) else {
            if let Some(scope) = &mut self.scope {
                drop(scope.refresh(&now.mesh, time));
                self.leading.look_at(scope);
            }
            self.resync(now);
            return;
        };
        let changes: Vec<_> = changes.map(Arc::clone).collect();
        for change in &changes {
            let scope = self.scope.as_ref();
            let is_shown = |name: &str| scope.is_none_or(|scope| scope.has_policy(name));
            for name in change.policies.iter().filter(|name| is_shown(name)) {
                self.lingering.remove(name);
            }
            let removed = change.removed_policies.iter();
            let removed = removed.filter(|(name, _)| is_shown(name));
            self.lingering.extend(removed.cloned());
            let sights = Sights::new(now, self.scope.as_ref(), &self.lingering);
            let sequence = change.sequence;
            self.policies
                .changed(sequence, &change.policies, &sights.policies);
            self.addresses
                .changed(sequence, &change.addresses, &sights.addresses);
            self.routes
                .changed(sequence, &change.routes, &sights.routes);
            self.telemetry
                .changed(sequence, &change.telemetry, &sights.telemetry);
            let authentications = &change.authentications;
            self.authentications
                .changed(sequence, authentications, &sights.authentications);
            self.credentials
                .changed(sequence, &change.credentials, &sights.credentials);
        }
        let scope = self.scope.as_ref();
        if scope.is_some_and(|scope| changes.iter().any(|changes| scope.is_moved_by(changes))) {
            self.look_at_scope(now, time);
        }
        self.seen = now.sequence;
    }

    /// When [`Self::look_at_scope`] is to be called, whether anything is published or not.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.scope.as_ref()?.due()
    }

    /// Looks again at what a waypoint is told of.
    pub(crate) fn look_at_scope(&mut self, now: &Publication, time: Instant) {
        let Some(scope) = &mut self.scope else { return };
        let moved = scope.refresh(&now.mesh, time);
        self.leading.look_at(scope);
        if moved.policies {
            self.keep_held_policies(now);
        }
        let sights = Sights::new(now, self.scope.as_ref(), &self.lingering);
        self.addresses
            .changed(now.sequence, &moved.addresses, &sights.addresses);
        self.routes
            .changed(now.sequence, &moved.routes, &sights.routes);
        if moved.policies {
            self.policies.resync(now.sequence, &sights.policies);
            self.telemetry.resync(now.sequence, &sights.telemetry);
            let sight = &sights.authentications;
            self.authentications.resync(now.sequence, sight);
        }
    }

    /// Compares everything, for a stream that has slept longer than the log reaches.
    fn resync(&mut self, now: &Publication) {
        self.keep_held_policies(now);
        let sights = Sights::new(now, self.scope.as_ref(), &self.lingering);
        self.policies.resync(now.sequence, &sights.policies);
        self.addresses.resync(now.sequence, &sights.addresses);
        self.routes.resync(now.sequence, &sights.routes);
        self.telemetry.resync(now.sequence, &sights.telemetry);
        let sight = &sights.authentications;
        self.authentications.resync(now.sequence, sight);
        self.credentials.resync(now.sequence, &sights.credentials);
        self.seen = now.sequence;
    }

    /// The next response that may be sent now.
    pub(crate) fn poll(&mut self, now: &Publication) -> Option<(Kind, DeltaDiscoveryResponse)> {
        let sights = Sights::new(now, self.scope.as_ref(), &self.lingering);
        if let Some(response) = self.telemetry.poll(&sights.telemetry) {
            return Some((Kind::Telemetry, response));
        }
        if let Some(response) = self.credentials.poll(&sights.credentials) {
            return Some((Kind::Credential, response));
        }
        if let Some(response) = self.policies.poll(&sights.policies) {
            return Some((Kind::Policy, response));
        }
        if !is_settled(&self.policies, self.seen) {
            return None;
        }
        if let Some(response) = self.authentications.poll(&sights.authentications) {
            return Some((Kind::Authentication, response));
        }
        if !is_settled(&self.authentications, self.seen) {
            return None;
        }
        match self.before_routes(now) {
            Before::Send(response) => return Some((Kind::Address, response)),
            Before::Wait => return None,
            Before::Nothing => {}
        }
        let sights = Sights::new(now, self.scope.as_ref(), &self.lingering);
        if let Some(response) = self.routes.poll(&sights.routes) {
            self.rounds = 0;
            return Some((Kind::Routes, response));
        }
        if !is_settled(&self.routes, self.seen) {
            return None;
        }
        if let Some(response) = self.addresses.poll(&sights.addresses) {
            if let Some(scope) = &self.scope {
                self.leading.note(&response, scope, now);
            }
            return Some((Kind::Address, response));
        }
        if !is_settled(&self.addresses, self.seen) {
            return None;
        }
        if self.lingering.is_empty() {
            return None;
        }
        let gone: Vec<Arc<str>> = self.lingering.drain().map(|(name, _)| name).collect();
        let sights = Sights::new(now, self.scope.as_ref(), &self.lingering);
        self.policies.changed(self.seen, &gone, &sights.policies);
        self.policies
            .poll(&sights.policies)
            .map(|response| (Kind::Policy, response))
    }

    /// What has to be told before routes that wait: what they may lead to. While that is under way, only routes that
    /// change again are waited for, and that not for ever.
    fn before_routes(&mut self, now: &Publication) -> Before {
        let Some(through) = self.routes.waits_through() else {
            return Before::Nothing;
        };
        if self.addresses.awaits_answer() {
            return Before::Wait;
        }
        let is_led = self.led_through >= through || self.rounds >= MAX_ROUNDS;
        let Some(scope) = self.scope.as_ref().filter(|_| !is_led) else {
            return Before::Nothing;
        };
        let sights = Sights::new(now, Some(scope), &self.lingering);
        let leading = &self.leading;
        let is_early = |name: &Arc<str>| {
            let is_there = sights.addresses.get(name).is_some();
            is_there && leading.is_early(name, scope, now)
        };
        let response = self.addresses.poll_some(&sights.addresses, is_early);
        if !self.addresses.waits_for(is_early) {
            self.led_through = self.seen;
            self.rounds += u32::from(response.is_some());
        }
        match response {
            Some(response) => {
                self.leading.note(&response, scope, now);
                Before::Send(response)
            }
            None => Before::Nothing,
        }
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
        let held = request.initial_resource_versions.iter();
        let held = held.map(|(name, version)| (name.as_str().into(), version.as_str().into()));
        self.linger(held.collect(), now);
    }

    /// So does what the client was told of here, whatever has taken it away.
    fn keep_held_policies(&mut self, now: &Publication) {
        let held = self.policies.held();
        let held = held.map(|(name, version)| (Arc::clone(name), Arc::clone(version)));
        self.linger(held.collect(), now);
    }

    /// Of policies that the client holds in these versions, what it is not told of any more lingers.
    fn linger(&mut self, held: Vec<(Arc<str>, Arc<str>)>, now: &Publication) {
        let scope = self.scope.as_ref();
        for (name, version) in held {
            let is_shown = scope.is_none_or(|scope| scope.has_policy(&name));
            if !is_shown || now.policies.get(&name).is_none() {
                // As the client has it: it is never sent.
                let held = Entry {
                    version,
                    body: bytes::Bytes::new(),
                    aliases: Arc::from([]),
                };
                self.lingering.insert(name, held);
            }
        }
    }
}

/// What has to happen before routes may be told.
enum Before {
    Send(DeltaDiscoveryResponse),
    /// What is under way is answered first.
    Wait,
    Nothing,
}

/// True if nothing waits and nothing is under way.
fn is_settled(server: &Server, seen: u64) -> bool {
    server.acked_through() >= seen
}

#[cfg(test)]
mod tests;
