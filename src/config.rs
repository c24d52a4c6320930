//! The configuration: from files of Kubernetes objects to the mesh model, change by change.
//!
//! Data flows downwards through these modules, and nothing flows back:
//!
//! | module | does |
//! |---|---|
//! | [`apiserver`] | watches a cluster, keeps last good objects |
//! | [`directory`] | watches a folder, reads changed files, keeps last good objects |
//! | [`documents`] | cuts a file into documents and parses each |
//! | [`objects`] | reads documents as typed objects, with errors that lead to the field |
//! | [`store`] | all objects in force, indexed |
//! | [`translate`] | pure functions from objects to the model |
//! | [`credentials`] | Secrets that destination rules name, as far as they were read |
//! | [`keys`] | public keys of issuers, as far as they were fetched |
//! | [`node_agents`] | how the agents of nodes are doing |
//! | [`statuses`] | what is said of each policy and route on itself |
//! | [`verdict`] | what is said of a policy or a route before it is written |
//! | [`waypoints`] | which pods are waypoints, what is bound to them, what is said of Gateways |
//!
//! [`Configuration`] ties them together for the serving half: it takes batches in and gives
//! changes of the model out. It is plain data without tasks; its owner is one task.

pub mod apiserver;
pub mod credentials;
pub mod directory;
pub mod documents;
pub mod files;
pub mod keys;
pub mod last_good;
pub mod node_agents;
pub mod objects;
pub mod problem;
pub mod statuses;
pub mod store;
pub mod translate;
pub mod verdict;
pub mod waypoints;

mod allocation;
mod issuers;
mod pods;
mod problems;
mod recompute;
mod settings;
mod sniff;

#[cfg(test)]
pub(crate) mod fixture;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ambit_model::{Change, Mesh, PolicyName, ServiceName, WorkloadUid};

use self::allocation::Allocations;
use self::credentials::Credentials;
use self::keys::Keys;
use self::objects::pod::Pod;
use self::objects::{Kind, Object, ObjectKey};
use self::problem::{Finding, Problem, Severity};
use self::statuses::Shown;
use self::store::{Claim, ObjectEvent, Objects};
use self::translate::{Dirty, Inputs, Judged, RouteVerdicts, VirtualVerdicts};

pub use self::pods::PodOnNode;
pub use self::settings::{CaptureRecord, EXCLUDED_NAMESPACES, ROOT_NAMESPACES, Settings};

/// A batch this large is translated as a whole if it is also an eighth of all objects.
const LARGE_BATCH: usize = 64;

/// What a source saw at one time. The first one holds everything that there is.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Objects that came, changed or went.
    pub events: Vec<ObjectEvent>,
    /// Files that were read, each with all that is wrong in it now.
    pub problems: Vec<(Arc<str>, Vec<Problem>)>,
    /// Objects of a source that shows more of them than what is read; none for one that is gone.
    pub shown: Vec<(ObjectKey, Option<Shown>)>,
}

/// All objects in force and the model that they make.
#[derive(Debug, Default)]
pub struct Configuration {
    settings: Settings,
    objects: Objects,
    captured: HashSet<Arc<str>>,
    withheld: HashSet<Arc<str>>,
    mesh: Mesh,
    /// Regular expressions of routes that were judged before.
    judged: Judged,
    /// Keys of issuers.
    keys: Keys,
    /// What users give for TLS with hosts outside of the mesh.
    credentials: Credentials,
    /// Names of the collectors that the mesh has for traces, once they were told.
    collectors: Option<BTreeSet<Arc<str>>>,
    /// Workloads of slices' endpoints that are not pods: their names cannot be told from the
    /// slice's once it is gone.
    outside: HashMap<ObjectKey, BTreeSet<WorkloadUid>>,
    /// Services and workloads of service entries.
    outside_hosts: HashMap<ObjectKey, (BTreeSet<ServiceName>, BTreeSet<WorkloadUid>)>,
    /// Addresses that were given to hosts of those.
    allocations: Allocations,
    /// Name of the static policy while it is in the model.
    static_strict: Option<PolicyName>,
    file_problems: BTreeMap<Arc<str>, Vec<Problem>>,
    policy_findings: BTreeMap<ObjectKey, Vec<(Severity, Finding)>>,
    /// What is said of routes, by the service that they name as a parent.
    route_verdicts: BTreeMap<ObjectKey, RouteVerdicts>,
    /// What is said of virtual services, by the service that they are for.
    virtual_verdicts: BTreeMap<ObjectKey, VirtualVerdicts>,
    /// Objects as their source shows them, where it shows more than what is read.
    shown: BTreeMap<ObjectKey, Shown>,
}

impl Configuration {
    /// Nothing known yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Takes a batch in; what changes in the model is already in [`Self::mesh`] on return.
    pub fn apply(&mut self, batch: Batch) -> Vec<Change> {
        for (file, problems) in batch.problems {
            if problems.is_empty() {
                self.file_problems.remove(&file);
            } else {
                self.file_problems.insert(file, problems);
            }
        }
        for (key, shown) in batch.shown {
            match shown {
                Some(shown) => self.shown.insert(key, shown),
                None => self.shown.remove(&key),
            };
        }
        let large = batch.events.len() >= LARGE_BATCH.max(self.objects.len() / 8);
        let mut dirty = if large {
            Dirty::everything()
        } else {
            Dirty::default()
        };
        for event in batch.events {
            self.end_withholding(&event);
            dirty.apply(&self.settings, &mut self.objects, event);
        }
        self.recompute(dirty)
    }

    /// A pod is withheld until its record says the same.
    fn end_withholding(&mut self, event: &ObjectEvent) {
        if self.withheld.is_empty() {
            return;
        }
        let uid = match event {
            ObjectEvent::Put { object, .. } => match &**object {
                Object::Pod(pod) if !translate::is_recorded(pod) => Some(pod.uid()),
                _ => None,
            },
            ObjectEvent::Remove { key, .. } => self.objects.pod(key).map(Pod::uid),
        };
        if let Some(uid) = uid {
            self.withheld.remove(&uid);
        }
    }

    /// Notes that an agent captured a pod, or released it.
    pub fn set_captured(&mut self, pod_uid: &str, captured: bool) -> Vec<Change> {
        let changed = set(&mut self.captured, pod_uid, captured);
        self.recompute_pod_if(changed, pod_uid)
    }

    /// Withholds a pod that is about to be released, whatever is recorded of it; or no longer.
    pub fn set_withheld(&mut self, pod_uid: &str, withheld: bool) -> Vec<Change> {
        let changed = set(&mut self.withheld, pod_uid, withheld);
        self.recompute_pod_if(changed, pod_uid)
    }

    /// The model as it is now.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// All objects in force.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Names and defaults of the mesh.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Names of all nodes for which there is an object.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.objects.of_kind(Kind::Node).map(|(key, _)| &key.name)
    }

    /// Namespaces whose pods are captured unless they opt out.
    pub fn enrolled_namespaces(&self) -> BTreeSet<Arc<str>> {
        translate::enrolled_namespaces(&self.settings, &self.objects)
    }

    /// The `PeerAuthentication` that decides whether a pod accepts plaintext.
    pub fn peer_authentication_of(&self, namespace: &str, pod: &str) -> Option<ObjectKey> {
        let key = ObjectKey::new(Kind::Pod, namespace, pod);
        let labels = &self.objects.pod(&key)?.metadata.labels;
        translate::deciding_peer_authentication(&self.inputs(), namespace, labels)
    }

    /// Takes over which collectors the mesh has for traces.
    pub fn set_collectors(&mut self, names: BTreeSet<Arc<str>>) {
        self.collectors = Some(names);
    }

    /// What translation may look at.
    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            settings: &self.settings,
            objects: &self.objects,
            captured: &self.captured,
            withheld: &self.withheld,
            judged: &self.judged,
            keys: &self.keys,
            credentials: &self.credentials,
            collectors: self.collectors.as_ref(),
            allocations: &self.allocations,
        }
    }

    fn recompute_pod_if(&mut self, changed: bool, pod_uid: &str) -> Vec<Change> {
        let mut dirty = Dirty::default();
        if changed && let Some(pod) = self.objects.owner(&Claim::PodUid(pod_uid.into())) {
            dirty.pod(pod);
        }
        self.recompute(dirty)
    }
}

/// Puts a uid into a set or takes it out; true if that changes the set.
fn set(uids: &mut HashSet<Arc<str>>, uid: &str, is_in: bool) -> bool {
    if is_in {
        uids.insert(uid.into())
    } else {
        uids.remove(uid)
    }
}

#[cfg(test)]
mod tests;
