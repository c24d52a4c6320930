//! Endpoints that are known by a host name: for each address that the name leads to there is one, which
//! has the workload's name with that address behind it. The mesh does not know of these: whoever writes
//! the records of a name must not have a say in who is at an address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::{Workload, WorkloadUid};

use super::View;
use crate::outside::address::forbidden;
use crate::outside::names::{Use, Wanted};

/// A host name by which endpoints are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    /// The workloads that it stands for.
    workloads: imbl::OrdSet<WorkloadUid>,
    /// Where it leads, as far as that is known.
    told: Arc<[IpAddr]>,
    /// Those of them where a name may lead, as long as the mesh is what it is.
    addresses: Arc<[IpAddr]>,
    /// Whether somebody goes there.
    pub(crate) used: Arc<Use>,
}

/// All of them.
pub(crate) type Nameds = imbl::OrdMap<Arc<str>, Named>;

/// The name that a workload is known by, if it has no address.
pub(super) fn name_of(workload: &Workload) -> Option<Arc<str>> {
    let name = workload.hostname.trim_end_matches('.');
    (workload.addresses.is_empty() && !name.is_empty()).then(|| name.to_ascii_lowercase().into())
}

impl View {
    /// The names that have to be resolved, and for which namespaces.
    pub(crate) fn outside_names(&self) -> impl Iterator<Item = Wanted<'_>> {
        self.named.iter().map(|(name, named)| {
            let workloads = named.workloads.iter();
            let workloads = workloads.filter_map(|uid| self.mesh.workload(uid));
            Wanted {
                name,
                used: &named.used,
                namespaces: workloads.map(|workload| &workload.namespace).collect(),
            }
        })
    }

    /// An endpoint that stands for an address of a name.
    pub(crate) fn face(&self, uid: &WorkloadUid) -> Option<&Arc<Workload>> {
        self.faces.get(uid)
    }

    /// What tells that somebody goes to a workload that is known by a name.
    pub(super) fn used(&self, workload: &Workload) -> Option<Arc<Use>> {
        if workload.hostname.is_empty() {
            return None;
        }
        let name = workload.hostname.trim_end_matches('.').to_ascii_lowercase();
        self.named.get(&*name).map(|named| Arc::clone(&named.used))
    }

    /// A workload as endpoints have it: as it is, or once for each address of its name.
    pub(super) fn faces_of(&self, workload: &Arc<Workload>) -> Vec<Arc<Workload>> {
        let Some(name) = name_of(workload) else {
            return vec![Arc::clone(workload)];
        };
        let addresses = self.named.get(&name).map(|named| &named.addresses);
        let addresses = addresses.into_iter().flat_map(|all| all.iter());
        let faces = addresses.map(|address| {
            Arc::new(Workload {
                uid: WorkloadUid::new(format!("{}/{address}", workload.uid)),
                addresses: vec![*address],
                ..Workload::clone(workload)
            })
        });
        faces.collect()
    }

    /// Notes that a workload is known by a name, or is not any more.
    pub(super) fn name(&mut self, workload: &Workload) {
        if let Some(name) = name_of(workload) {
            let named = self.named.entry(name).or_default();
            named.workloads.insert(workload.uid.clone());
        }
    }

    /// The same of one that is gone, or has another name.
    pub(super) fn unname(&mut self, workload: &Workload) {
        if let Some(name) = name_of(workload)
            && let Some(named) = self.named.get_mut(&name)
        {
            named.workloads.remove(&workload.uid);
            if named.workloads.is_empty() {
                self.named.remove(&name);
            }
        }
    }

    /// A name leads to these addresses from now on, but for those where no name leads.
    pub(crate) fn resolved(&mut self, name: &Arc<str>, addresses: &[IpAddr], now: Instant) {
        if let Some(named) = self.named.get_mut(name) {
            named.told = addresses.into();
            self.lead(name, now);
        }
    }

    /// The mesh has changed: addresses that names lead to may have become its own, or no longer be.
    pub(crate) fn look_at_names_again(&mut self, now: Instant) {
        let names: Vec<Arc<str>> = self.named.keys().cloned().collect();
        for name in names {
            self.lead(&name, now);
        }
    }

    /// Has the endpoints of a name be at those of its addresses where it may lead.
    fn lead(&mut self, name: &Arc<str>, now: Instant) {
        let Some(named) = self.named.get(name) else {
            return;
        };
        let may = |address: &&IpAddr| forbidden(self, **address).is_none();
        if named.told.iter().filter(may).eq(named.addresses.iter()) {
            return;
        }
        let addresses = named.told.iter().filter(may).copied().collect();
        let known = named.workloads.iter();
        let known = known.filter_map(|uid| self.mesh.workload(uid).cloned());
        let known: Vec<Arc<Workload>> = known.collect();
        let before: Vec<_> = known.iter().map(|one| self.faces_of(one)).collect();
        if let Some(named) = self.named.get_mut(name) {
            named.addresses = addresses;
        }
        for (workload, before) in known.iter().zip(before) {
            let faces = self.faces_of(workload);
            self.exchange(&before, &faces, now);
        }
    }
}

#[cfg(test)]
mod tests;
