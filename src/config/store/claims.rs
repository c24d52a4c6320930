//! What only one object can have: a pod's address, a service's virtual address, a pod's uid, a host of a
//! namespace's service entries and the address that was given to it.
//!
//! The oldest claimant has it; of equal age, the one whose name comes first. Who claimed first in
//! time of arrival does not matter, so that a restart changes nothing. Nodes have a say in addresses of
//! pods: see [`Objects::owner`](super::Objects::owner).

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::objects::{Object, ObjectKey};

/// Something that only one object can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// Address of a pod of its own network.
    PodAddress(IpAddr),
    /// Uid of a pod.
    PodUid(Arc<str>),
    /// Virtual address of a service.
    ServiceAddress(IpAddr),
    /// Host of a service entry of a namespace.
    Host(Arc<str>, Arc<str>),
    /// Address that was given to a host of a service entry.
    HostAddress(IpAddr),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodAddress(address) => write!(f, "the address {address}"),
            Self::PodUid(uid) => write!(f, "the uid {uid}"),
            Self::ServiceAddress(address) => write!(f, "the virtual address {address}"),
            Self::Host(namespace, host) => write!(f, "the host {host} of namespace {namespace}"),
            Self::HostAddress(address) => write!(f, "the given address {address}"),
        }
    }
}

/// Older first; an object without a time of creation comes after all that have one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claimant {
    age: (bool, Option<Arc<str>>),
    key: ObjectKey,
}

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claimants: HashMap<Claim, Vec<Claimant>>,
    contested: BTreeSet<Claim>,
}

impl Claims {
    pub(super) fn add(&mut self, object: &Object) {
        for (claim, claimant) in claims_of(object) {
            let claimants = self.claimants.entry(claim.clone()).or_default();
            if let Err(place) = claimants.binary_search(&claimant) {
                claimants.insert(place, claimant);
            }
            if claimants.len() > 1 {
                self.contested.insert(claim);
            }
        }
    }

    pub(super) fn remove(&mut self, object: &Object) {
        for (claim, claimant) in claims_of(object) {
            let Some(claimants) = self.claimants.get_mut(&claim) else {
                continue;
            };
            claimants.retain(|other| *other != claimant);
            if claimants.len() < 2 {
                self.contested.remove(&claim);
            }
            if claimants.is_empty() {
                self.claimants.remove(&claim);
            }
        }
    }

    /// Whether more than one object claims it.
    pub(super) fn is_contested(&self, claim: &Claim) -> bool {
        self.contested.contains(claim)
    }

    /// Who has it, by age.
    pub(super) fn owner(&self, claim: &Claim) -> Option<&ObjectKey> {
        Some(&self.claimants.get(claim)?.first()?.key)
    }

    /// Everybody who claims it, the oldest first.
    pub(super) fn claimants(&self, claim: &Claim) -> impl Iterator<Item = &ObjectKey> {
        self.claimants
            .get(claim)
            .into_iter()
            .flatten()
            .map(|claimant| &claimant.key)
    }

    /// What more than one object claims.
    pub(super) fn contested(&self) -> impl Iterator<Item = &Claim> {
        self.contested.iter()
    }
}

/// What an object claims.
pub(super) fn claims_on(object: &Object) -> Vec<Claim> {
    match object {
        Object::Pod(pod) if !pod.is_finished() => {
            let own = pod
                .addresses()
                .into_iter()
                .filter(|_| !pod.spec.host_network);
            own.map(Claim::PodAddress)
                .chain([Claim::PodUid(pod.uid())])
                .collect()
        }
        Object::Service(service) if !service.is_external_name() => service
            .addresses()
            .into_iter()
            .map(Claim::ServiceAddress)
            .collect(),
        Object::ServiceEntry(entry) => {
            let namespace = object.key().namespace;
            let hosts = entry.spec.hosts.iter();
            let hosts = hosts.map(|host| Claim::Host(Arc::clone(&namespace), Arc::clone(host)));
            let given = entry.recorded().map(|(_, value)| Claim::HostAddress(value));
            hosts.chain(given).collect()
        }
        _ => Vec::new(),
    }
}

fn claims_of(object: &Object) -> impl Iterator<Item = (Claim, Claimant)> {
    let age = match object {
        Object::Pod(pod) => pod.metadata.age(),
        Object::Service(service) => service.metadata.age(),
        Object::ServiceEntry(entry) => entry.metadata.age(),
        _ => (true, None),
    };
    let claimant = Claimant {
        age,
        key: object.key(),
    };
    claims_on(object)
        .into_iter()
        .map(move |claim| (claim, claimant.clone()))
}
