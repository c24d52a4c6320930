//! What is served: the mesh at one moment, already encoded, and what changed lately.
//!
//! A [`Publication`] is made of persistent maps. The [`Publisher`] (one, owned by the configuration
//! task) applies changes, encodes the changed objects only, and publishes a clone: O(change), not
//! O(mesh). Streams take the newest one and walk its log from where they stand; a stream that
//! slept longer than the log reaches compares versions instead.
//!
//! Invariants: the log's entries are consecutive and end at the publication's own sequence; an
//! object whose encoding did not change is not in it. Every service has routes, if only empty ones:
//! a waypoint that has not been told them knows that, and serves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use ambit_model::{
    Change, Mesh, MeshTelemetry, OutsideCredential, RequestAuthentication, ServiceName,
    ServiceRoutes, TelemetryRules, WorkloadUid,
};
use ambit_wire::delta::{Catalog, Entry};
use ambit_wire::encode;

/// Changes that the log reaches back: a stream walks it many times a second, so this is generous.
const LOG_LENGTH: usize = 512;

/// The mesh at one moment, as it is served.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    /// Number of the newest change in it.
    pub(crate) sequence: u64,
    /// When it was published.
    pub(crate) at: Instant,
    /// The mesh.
    pub(crate) mesh: Mesh,
    /// Workloads and services, encoded.
    pub(crate) addresses: Shelf,
    /// Policies, encoded.
    pub(crate) policies: Shelf,
    /// Routes of services, encoded.
    pub(crate) routes: Shelf,
    /// What waypoints tell of requests, encoded.
    pub(crate) telemetry: Shelf,
    /// Request authentications, encoded.
    pub(crate) authentications: Shelf,
    /// What TLS with hosts outside of the mesh is spoken by, encoded.
    pub(crate) credentials: Shelf,
    log: imbl::Vector<Arc<Changes>>,
}

/// The names that one publication changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Number of the change.
    pub(crate) sequence: u64,
    /// New and changed policies.
    pub(crate) policies: BTreeSet<Arc<str>>,
    /// Policies that are gone, as they were.
    pub(crate) removed_policies: Vec<(Arc<str>, Entry)>,
    /// New, changed and gone workloads and services.
    pub(crate) addresses: BTreeSet<Arc<str>>,
    /// New, changed and gone routes.
    pub(crate) routes: BTreeSet<Arc<str>>,
    /// What is told of requests that is new or has changed.
    pub(crate) telemetry: BTreeSet<Arc<str>>,
    /// New, changed and gone request authentications.
    pub(crate) authentications: BTreeSet<Arc<str>>,
    /// New, changed and gone credentials of users.
    pub(crate) credentials: BTreeSet<Arc<str>>,
    /// True if services are among the addresses, or pods that are or were bound to a waypoint.
    pub(crate) bindings: bool,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.policies.is_empty()
            && self.removed_policies.is_empty()
            && self.addresses.is_empty()
            && self.routes.is_empty()
            && self.telemetry.is_empty()
            && self.authentications.is_empty()
            && self.credentials.is_empty()
    }
}

impl Publication {
    /// The changes after a sequence number; `None` if the log does not reach back that far.
    pub(crate) fn since(&self, sequence: u64) -> Option<impl Iterator<Item = &Arc<Changes>>> {
        let behind = usize::try_from(self.sequence.saturating_sub(sequence)).ok()?;
        let skipped = self.log.len().checked_sub(behind)?;
        Some(self.log.iter().skip(skipped))
    }
}

/// Encoded resources by name, with their aliases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    entries: imbl::HashMap<Arc<str>, Entry>,
    aliases: imbl::HashMap<Arc<str>, Arc<str>>,
}

impl Shelf {
    /// The resource of that name, with the name.
    pub(crate) fn entry(&self, name: &str) -> Option<(&Arc<str>, &Entry)> {
        self.entries.get_key_value(name)
    }

    /// True if that changed anything.
    fn put(&mut self, name: &Arc<str>, entry: Entry) -> bool {
        let before = self.entries.get(name);
        if before.is_some_and(|before| before.version == entry.version) {
            return false;
        }
        self.forget_aliases(name);
        for alias in entry.aliases.iter() {
            self.aliases.insert(Arc::clone(alias), Arc::clone(name));
        }
        self.entries.insert(Arc::clone(name), entry);
        true
    }

    fn remove(&mut self, name: &str) -> Option<Entry> {
        self.forget_aliases(name);
        self.entries.remove(name)
    }

    fn forget_aliases(&mut self, name: &str) {
        let Some(entry) = self.entries.get(name) else {
            return;
        };
        for alias in entry.aliases.iter() {
            // A host-network pod shares its alias with others: only its own entry goes.
            if self
                .aliases
                .get(alias)
                .is_some_and(|owner| **owner == *name)
            {
                self.aliases.remove(alias);
            }
        }
    }
}

impl Catalog for Shelf {
    fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.entries.iter()
    }

    fn named_by(&self, alias: &str) -> Option<Arc<str>> {
        self.aliases.get(alias).cloned()
    }
}

/// Applies changes and publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    latest: Publication,
    pending: Changes,
}

impl Publisher {
    /// Nothing yet.
    pub(crate) fn new(now: Instant) -> Self {
        let latest = Publication {
            sequence: 0,
            at: now,
            mesh: Mesh::default(),
            addresses: Shelf::default(),
            policies: Shelf::default(),
            routes: Shelf::default(),
            telemetry: Shelf::default(),
            authentications: Shelf::default(),
            credentials: Shelf::default(),
            log: imbl::Vector::new(),
        };
        Self {
            latest,
            pending: Changes::default(),
        }
    }

    /// Number of the newest publication.
    pub(crate) fn sequence(&self) -> u64 {
        self.latest.sequence
    }

    /// Encodes one change; it is seen with the next publication.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::PutWorkload(workload) => {
                self.pending.bindings |=
                    workload.waypoint.is_some() || self.was_bound(&workload.uid);
                self.put_address(encode::workload_entry(workload));
            }
            Change::PutService(service) => {
                self.pending.bindings = true;
                self.put_address(encode::service_entry(service));
                if self.latest.routes.get(&service.name.to_string()).is_none() {
                    self.put_no_routes(&service.name);
                }
            }
            Change::PutPolicy(policy) => self.put_policy(encode::policy_entry(policy)),
            Change::RemoveWorkload(uid) => {
                self.pending.bindings |= self.was_bound(uid);
                self.remove_address(uid.as_str());
            }
            Change::RemoveService(name) => {
                self.pending.bindings = true;
                self.remove_address(&name.to_string());
                self.remove_routes(&name.to_string());
            }
            Change::RemovePolicy(name) => self.remove_policy(&name.to_string()),
            Change::PutRoutes(routes) => self.put_routes(encode::routes_entry(routes)),
            Change::PutAuthentication(object) => self.put_authentication(object),
            Change::RemoveAuthentication(name) => self.remove_authentication(&name.to_string()),
            Change::RemoveRoutes(service) => {
                let name = service.to_string();
                match self.latest.addresses.get(&name) {
                    Some(_) => self.put_no_routes(service),
                    None => self.remove_routes(&name),
                }
            }
        }
    }

    /// Encodes what waypoints tell of requests in the whole mesh; it is seen with the next publication.
    pub(crate) fn tell(&mut self, mesh: &MeshTelemetry) {
        self.put_telemetry(encode::telemetry_entry(mesh));
    }

    /// The same of the rules of all objects.
    pub(crate) fn tell_rules<'r>(&mut self, rules: impl Iterator<Item = &'r TelemetryRules>) {
        let entries: BTreeMap<Arc<str>, Entry> = rules.map(encode::telemetry_rules_entry).collect();
        let names = self.latest.telemetry.iter().map(|(name, _)| name);
        let names = names.filter(|name| ***name != *encode::MESH_TELEMETRY);
        let gone = names.filter(|name| !entries.contains_key(*name));
        for name in gone.cloned().collect::<Vec<_>>() {
            drop(self.latest.telemetry.remove(&name));
            self.pending.telemetry.insert(name);
        }
        entries
            .into_iter()
            .for_each(|entry| self.put_telemetry(entry));
    }

    /// The same of one credential of a user for TLS with hosts outside of the mesh. Without one it is not told of
    /// any more.
    pub(crate) fn tell_credential(&mut self, name: &str, given: Option<&OutsideCredential>) {
        let Some(given) = given else {
            if self.latest.credentials.remove(name).is_some() {
                self.pending.credentials.insert(name.into());
            }
            return;
        };
        let (name, entry) = encode::credential_entry(name, given);
        if self.latest.credentials.put(&name, entry) {
            self.pending.credentials.insert(name);
        }
    }

    fn put_telemetry(&mut self, (name, entry): (Arc<str>, Entry)) {
        if self.latest.telemetry.put(&name, entry) {
            self.pending.telemetry.insert(name);
        }
    }

    fn put_authentication(&mut self, object: &RequestAuthentication) {
        let (name, entry) = encode::authentication_entry(object);
        if self.latest.authentications.put(&name, entry) {
            self.pending.authentications.insert(name);
        }
    }

    fn remove_authentication(&mut self, name: &str) {
        if self.latest.authentications.remove(name).is_some() {
            self.pending.authentications.insert(name.into());
        }
    }

    /// Whether a pod was bound to a waypoint at the last publication.
    fn was_bound(&self, uid: &WorkloadUid) -> bool {
        let before = self.latest.mesh.workload(uid);
        before.is_some_and(|before| before.waypoint.is_some())
    }

    /// Publishes what was applied, with the mesh that it led to. Nothing changed means no new
    /// publication, but for the first.
    pub(crate) fn publish(&mut self, mesh: &Mesh, now: Instant) -> Option<Arc<Publication>> {
        if self.pending.is_empty() && self.latest.sequence > 0 {
            return None;
        }
        let mut changes = std::mem::take(&mut self.pending);
        self.latest.sequence += 1;
        self.latest.at = now;
        self.latest.mesh = mesh.clone();
        changes.sequence = self.latest.sequence;
        self.latest.log.push_back(Arc::new(changes));
        while self.latest.log.len() > LOG_LENGTH {
            self.latest.log.pop_front();
        }
        Some(Arc::new(self.latest.clone()))
    }

    fn put_address(&mut self, (name, entry): (Arc<str>, Entry)) {
        if self.latest.addresses.put(&name, entry) {
            self.pending.addresses.insert(name);
        }
    }

    fn remove_address(&mut self, name: &str) {
        if self.latest.addresses.remove(name).is_some() {
            self.pending.addresses.insert(name.into());
        }
    }

    fn put_routes(&mut self, (name, entry): (Arc<str>, Entry)) {
        if self.latest.routes.put(&name, entry) {
            self.pending.routes.insert(name);
        }
    }

    fn put_no_routes(&mut self, service: &ServiceName) {
        self.put_routes(encode::routes_entry(&ServiceRoutes {
            service: service.clone(),
            ports: BTreeMap::new(),
        }));
    }

    fn remove_routes(&mut self, name: &str) {
        if self.latest.routes.remove(name).is_some() {
            self.pending.routes.insert(name.into());
        }
    }

    fn put_policy(&mut self, (name, entry): (Arc<str>, Entry)) {
        self.pending
            .removed_policies
            .retain(|(removed, _)| *removed != name);
        if self.latest.policies.put(&name, entry) {
            self.pending.policies.insert(name);
        }
    }

    fn remove_policy(&mut self, name: &str) {
        if let Some(before) = self.latest.policies.remove(name) {
            self.pending.policies.remove(name);
            self.pending.removed_policies.push((name.into(), before));
        }
    }
}

#[cfg(test)]
mod tests;
