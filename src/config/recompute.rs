//! What changes in the model when some of it is computed anew: nothing where the outcome is the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_model::{Change, Mesh, Policy, PolicyName, Workload, WorkloadUid};

use super::Configuration;
use super::allocation::HostOf;
use super::objects::ObjectKey;
use super::store::Claim;
use super::translate::{Dirty, Inputs, Output, TranslatedEntry, TranslatedRoutes};

impl Configuration {
    /// Computes anew what is dirty, and puts it in force.
    pub(super) fn recompute(&mut self, dirty: Dirty) -> Vec<Change> {
        let mut changes = Vec::new();
        let outputs = dirty.outputs(&self.objects);
        self.allocate(&outputs);
        for output in outputs {
            self.recompute_one(output, &mut changes);
        }
        changes.sort_by_key(rank);
        for change in &changes {
            self.mesh.apply(change.clone());
        }
        changes
    }

    fn recompute_one(&mut self, output: Output, changes: &mut Vec<Change>) {
        match output {
            Output::Workload(key) => {
                let inputs = self.inputs();
                let uid = inputs.workload_uid(&key);
                changes.extend(workload_change(&self.mesh, uid, inputs.workload(&key)));
            }
            Output::Service(key) => {
                changes.extend(service_change(&self.mesh, &self.inputs(), &key));
            }
            Output::Routes(key) => changes.extend(self.recompute_routes(key)),
            Output::Policy(key) => changes.extend(self.recompute_policy(key)),
            Output::Authentication(key) => changes.extend(self.recompute_authentication(&key)),
            Output::StaticStrict => changes.extend(self.recompute_static_strict()),
            Output::OutsideEndpoints(key) => self.recompute_outside(key, changes),
            Output::ServiceEntry(key) => self.recompute_entry(key, changes),
        }
    }

    fn recompute_policy(&mut self, key: ObjectKey) -> Option<Change> {
        let inputs = self.inputs();
        let translated = inputs.policy(&key);
        let change = policy_change(&self.mesh, inputs.policy_name(&key), translated.policy);
        if translated.findings.is_empty() {
            self.policy_findings.remove(&key);
        } else {
            self.policy_findings.insert(key, translated.findings);
        }
        change
    }

    fn recompute_routes(&mut self, service: ObjectKey) -> Option<Change> {
        let inputs = self.inputs();
        let TranslatedRoutes {
            routes,
            verdicts,
            virtual_services,
        } = inputs.routes(&service);
        let name = inputs.service_name(&service);
        let change = change(self.mesh.routes(&name), routes, Change::PutRoutes, || {
            Change::RemoveRoutes(name)
        });
        if virtual_services.is_empty() {
            self.virtual_verdicts.remove(&service);
        } else {
            let service = service.clone();
            self.virtual_verdicts.insert(service, virtual_services);
        }
        if verdicts.is_empty() {
            self.route_verdicts.remove(&service);
        } else {
            self.route_verdicts.insert(service, verdicts);
        }
        change
    }

    fn recompute_authentication(&self, key: &ObjectKey) -> Option<Change> {
        let inputs = self.inputs();
        let name = inputs.policy_name(key);
        let (was, is) = (self.mesh.authentication(&name), inputs.authentication(key));
        change(was, is, Change::PutAuthentication, || {
            Change::RemoveAuthentication(name)
        })
    }

    fn recompute_static_strict(&mut self) -> Option<Change> {
        let policy = self.inputs().static_strict();
        let name = policy.as_ref().map(|policy| policy.name.clone());
        let known = std::mem::replace(&mut self.static_strict, name.clone());
        policy_change(&self.mesh, name.or(known)?, policy)
    }

    fn recompute_outside(&mut self, key: ObjectKey, changes: &mut Vec<Change>) {
        let workloads = self.inputs().outside_endpoints(&key);
        let now = workloads
            .iter()
            .map(|workload| workload.uid.clone())
            .collect();
        let gone = self.outside.remove(&key).unwrap_or_default();
        changes.extend(gone.difference(&now).cloned().map(Change::RemoveWorkload));
        for workload in workloads {
            let uid = workload.uid.clone();
            changes.extend(workload_change(&self.mesh, uid, Some(workload)));
        }
        if !now.is_empty() {
            self.outside.insert(key, now);
        }
    }

    /// Gives addresses to hosts of service entries that are to be computed anew.
    fn allocate(&mut self, outputs: &BTreeSet<Output>) {
        let entries = outputs.iter().filter_map(|output| match output {
            Output::ServiceEntry(key) => Some((key, self.objects.service_entry(key)?)),
            _ => None,
        });
        let takers = entries.filter(|(_, entry)| entry.takes_allocation());
        let hosts = takers.flat_map(|(key, entry)| {
            let hosts = entry.spec.hosts.iter();
            hosts.map(|host| (Arc::clone(&key.namespace), Arc::clone(host)))
        });
        let hosts: BTreeSet<HostOf> = hosts.collect();
        if hosts.is_empty() {
            return;
        }
        let objects = &self.objects;
        self.allocations.give(hosts, |(namespace, host)| {
            let claim = Claim::Host(Arc::clone(namespace), Arc::clone(host));
            objects.owner(&claim).is_some()
        });
    }

    fn recompute_entry(&mut self, key: ObjectKey, changes: &mut Vec<Change>) {
        let TranslatedEntry {
            services,
            workloads,
        } = self.inputs().service_entry(&key);
        let named = services.iter().map(|service| service.name.clone());
        let listed = workloads.iter().map(|workload| workload.uid.clone());
        let now = (named.collect(), listed.collect());
        let gone = self.outside_hosts.remove(&key).unwrap_or_default();
        changes.extend(
            gone.1
                .difference(&now.1)
                .cloned()
                .map(Change::RemoveWorkload),
        );
        // One that another entry has now is no longer this one's to take away.
        let gone = gone.0.difference(&now.0);
        let gone = gone.filter(|name| !self.inputs().is_of_another(&key, name));
        changes.extend(gone.cloned().map(Change::RemoveService));
        for service in services {
            let name = service.name.clone();
            let old = self.mesh.service(&name);
            changes.extend(change(old, Some(service), Change::PutService, || {
                Change::RemoveService(name)
            }));
        }
        for workload in workloads {
            let uid = workload.uid.clone();
            changes.extend(workload_change(&self.mesh, uid, Some(workload)));
        }
        if now != Default::default() {
            self.outside_hosts.insert(key, now);
        }
    }
}

/// Policies come before the workloads that list them, and go after them.
fn rank(change: &Change) -> u8 {
    match change {
        Change::PutPolicy(_) | Change::PutAuthentication(_) => 0,
        Change::PutService(_) => 1,
        Change::PutWorkload(_) => 2,
        Change::PutRoutes(_) => 3,
        Change::RemoveRoutes(_) => 4,
        Change::RemoveWorkload(_) => 5,
        Change::RemoveService(_) => 6,
        Change::RemovePolicy(_) | Change::RemoveAuthentication(_) => 7,
    }
}

fn workload_change(mesh: &Mesh, uid: WorkloadUid, workload: Option<Workload>) -> Option<Change> {
    change(mesh.workload(&uid), workload, Change::PutWorkload, || {
        Change::RemoveWorkload(uid)
    })
}

fn policy_change(mesh: &Mesh, name: PolicyName, policy: Option<Policy>) -> Option<Change> {
    change(mesh.policy(&name), policy, Change::PutPolicy, || {
        Change::RemovePolicy(name)
    })
}

fn service_change(mesh: &Mesh, inputs: &Inputs<'_>, key: &ObjectKey) -> Option<Change> {
    let name = inputs.service_name(key);
    let service = inputs.service(key);
    if service.is_none() && inputs.is_of_entry(&name) {
        return None;
    }
    change(mesh.service(&name), service, Change::PutService, || {
        Change::RemoveService(name)
    })
}

/// From what is in force to what it is now.
fn change<T: PartialEq>(
    old: Option<&Arc<T>>,
    new: Option<T>,
    put: fn(Arc<T>) -> Change,
    gone: impl FnOnce() -> Change,
) -> Option<Change> {
    match (old, new) {
        (Some(old), Some(new)) if **old == new => None,
        (_, Some(new)) => Some(put(Arc::new(new))),
        (Some(_), None) => Some(gone()),
        (None, None) => None,
    }
}
