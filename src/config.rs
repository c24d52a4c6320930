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
//! | [`node_agents`] | how the agents of nodes are doing |
//! | [`statuses`] | what is said of each policy on itself |
//! | [`verdict`] | what is said of a policy before it is written |
//!
//! [`Configuration`] ties them together for the serving half: it takes batches in and gives
//! changes of the model out. It is plain data without tasks; its owner is one task.

pub mod apiserver;
pub mod directory;
pub mod documents;
pub mod files;
pub mod last_good;
pub mod node_agents;
pub mod objects;
pub mod problem;
pub mod statuses;
pub mod store;
pub mod translate;
pub mod verdict;

mod sniff;

#[cfg(test)]
pub(crate) mod fixture;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Change, Mesh, PolicyName, WorkloadUid};

use self::objects::pod::Pod;
use self::objects::{Kind, Object, ObjectKey};
use self::problem::{Cause, Finding, Problem, Severity};
use self::statuses::Shown;
use self::store::{Claim, ObjectEvent, Objects};
use self::translate::{Dirty, Inputs, Output};

/// A batch this large is translated as a whole if it is also an eighth of all objects.
const LARGE_BATCH: usize = 64;

/// Namespaces whose policies are for the whole mesh, unless set otherwise.
pub const ROOT_NAMESPACES: [&str; 2] = ["ambit-system", "istio-system"];

/// Namespaces whose pods are never captured, unless set otherwise.
pub const EXCLUDED_NAMESPACES: [&str; 2] = ["kube-system", "ambit-system"];

/// Names and defaults of the mesh, under meshConfig's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the cluster, part of workloads' names.
    pub cluster: Arc<str>,
    /// Trust domain of identities.
    pub trust_domain: Arc<str>,
    /// Domain of service names.
    pub cluster_domain: Arc<str>,
    /// Namespaces whose policies are for the whole mesh.
    pub root_namespaces: Vec<Arc<str>>,
    /// Namespaces whose pods are never captured.
    pub excluded_namespaces: Vec<Arc<str>>,
    /// Where it is recorded which pods are captured.
    pub captures: CaptureRecord,
}

/// Where it is recorded which pods are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureRecord {
    /// With this process, which every agent reports to.
    #[default]
    Reports,
    /// On the pods, where every replica of the control plane reads it.
    Annotations,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster: "Kubernetes".into(),
            trust_domain: "cluster.local".into(),
            cluster_domain: "cluster.local".into(),
            root_namespaces: ROOT_NAMESPACES.map(Into::into).into(),
            excluded_namespaces: EXCLUDED_NAMESPACES.map(Into::into).into(),
            captures: CaptureRecord::default(),
        }
    }
}

impl Settings {
    /// True if policies of that namespace are for the whole mesh.
    pub fn is_root(&self, namespace: &str) -> bool {
        self.root_namespaces.iter().any(|root| **root == *namespace)
    }

    /// True if pods of that namespace are never captured.
    pub fn is_excluded(&self, namespace: &str) -> bool {
        let mut excluded = self.excluded_namespaces.iter();
        excluded.any(|excluded| **excluded == *namespace)
    }
}

/// What a source saw at one time. The first one holds everything that there is.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Objects that came, changed or went.
    pub events: Vec<ObjectEvent>,
    /// Files that were read, each with all that is wrong in it now.
    pub problems: Vec<(Arc<str>, Vec<Problem>)>,
    /// Policies of a source that shows more of them than what is read; none for one that is gone.
    pub shown: Vec<(ObjectKey, Option<Shown>)>,
}

/// A pod that runs on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOnNode {
    /// Kubernetes' own uid, or `NAMESPACE.NAME` if its file gives none.
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its service account.
    pub service_account: Arc<str>,
    /// Its addresses; none yet if it is just being started.
    pub ips: Vec<IpAddr>,
    /// Ports that the kubelet connects to.
    pub probe_ports: BTreeSet<u16>,
    /// When it was asked to cut its connections that are older than its capture, in Unix seconds.
    pub cut_existing: Option<u64>,
    /// True if it shares the network of its node.
    pub host_network: bool,
    /// Whether its labels or those of its namespace ask for capture.
    pub enrolled: bool,
}

/// All objects in force and the model that they make.
#[derive(Debug, Default)]
pub struct Configuration {
    settings: Settings,
    objects: Objects,
    captured: HashSet<Arc<str>>,
    withheld: HashSet<Arc<str>>,
    mesh: Mesh,
    /// Workloads of slices' endpoints that are not pods: their names cannot be told from the
    /// slice's once it is gone.
    outside: HashMap<ObjectKey, BTreeSet<WorkloadUid>>,
    /// Name of the static policy while it is in the model.
    static_strict: Option<PolicyName>,
    file_problems: BTreeMap<Arc<str>, Vec<Problem>>,
    policy_findings: BTreeMap<ObjectKey, Vec<(Severity, Finding)>>,
    /// Policies as their source shows them, where it shows more than what is read.
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

    /// Pods that run on a node, those without an address yet included: whose identities the node's
    /// agent may ask for.
    pub fn pods_on_node(&self, node: &str) -> impl Iterator<Item = PodOnNode> {
        let pods = self
            .objects
            .pods_on_node(node)
            .filter(|(_, pod)| !pod.is_finished());
        pods.map(|(key, pod)| self.describe(key, pod))
    }

    /// Pods of all nodes, and those that have none yet.
    pub fn pods(&self) -> impl Iterator<Item = PodOnNode> {
        let pods = self
            .objects
            .of_kind(Kind::Pod)
            .filter_map(|(key, object)| match object {
                Object::Pod(pod) if !pod.is_finished() => Some((key, pod)),
                _ => None,
            });
        pods.map(|(key, pod)| self.describe(key, pod))
    }

    /// Namespaces whose pods are captured unless they opt out.
    pub fn enrolled_namespaces(&self) -> BTreeSet<Arc<str>> {
        translate::enrolled_namespaces(&self.settings, &self.objects)
    }

    fn describe(&self, key: &ObjectKey, pod: &Pod) -> PodOnNode {
        PodOnNode {
            ips: pod.addresses(),
            probe_ports: pod.probe_ports(),
            cut_existing: translate::cut_existing(pod),
            host_network: pod.spec.host_network,
            uid: pod.uid(),
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
            service_account: pod.service_account(),
            enrolled: translate::enrolled(&self.settings, &self.objects, key),
        }
    }

    /// The `PeerAuthentication` that decides whether a pod accepts plaintext.
    pub fn peer_authentication_of(&self, namespace: &str, pod: &str) -> Option<ObjectKey> {
        let key = ObjectKey::new(Kind::Pod, namespace, pod);
        let labels = &self.objects.pod(&key)?.metadata.labels;
        translate::deciding_peer_authentication(&self.inputs(), namespace, labels)
    }

    /// What translation may look at.
    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            settings: &self.settings,
            objects: &self.objects,
            captured: &self.captured,
            withheld: &self.withheld,
        }
    }

    /// Pods of a node that are recorded as captured.
    pub fn recorded_on(&self, node: &str) -> impl Iterator<Item = PodOnNode> {
        let recorded = |(_, pod): &(&ObjectKey, &Pod)| translate::is_recorded(pod);
        let pods = self.objects.pods_on_node(node).filter(recorded);
        pods.map(|(key, pod)| self.describe(key, pod))
    }

    /// The pod of that uid.
    pub fn pod_of_uid(&self, pod_uid: &str) -> Option<PodOnNode> {
        let key = self.objects.owner(&Claim::PodUid(pod_uid.into()))?;
        Some(self.describe(key, self.objects.pod(key)?))
    }

    /// Name of the node that a pod runs on, by the pod's uid.
    pub fn node_of_pod(&self, pod_uid: &str) -> Option<Arc<str>> {
        let pod = self.objects.owner(&Claim::PodUid(pod_uid.into()))?;
        Some(self.objects.pod(pod)?.spec.node_name.as_ref()?.shared())
    }

    /// Everything that is wrong now, in the order of files.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.file_problems.values().flatten().cloned().collect();
        problems.extend(self.objects.contradictions());
        for (key, findings) in &self.policy_findings {
            if let Some(origin) = self.objects.origin(key) {
                problems.extend(findings.iter().map(|(severity, finding)| {
                    finding
                        .clone()
                        .at(origin, key, *severity, Cause::NotEnforced)
                }));
            }
        }
        let outdone = translate::outdone(&self.settings, &self.objects);
        problems.extend(outdone.into_iter().filter_map(|(key, finding)| {
            let origin = self.objects.origin(key)?;
            Some(finding.at(origin, key, Severity::Error, Cause::Contradiction))
        }));
        let closed = translate::closed_by(&self.settings, &self.objects);
        problems.extend(closed.into_iter().filter_map(|(key, finding)| {
            let origin = self.objects.origin(key)?;
            Some(finding.at(origin, key, Severity::Warning, Cause::Blocked))
        }));
        problems.sort();
        problems
    }

    fn recompute_pod_if(&mut self, changed: bool, pod_uid: &str) -> Vec<Change> {
        let mut dirty = Dirty::default();
        if changed && let Some(pod) = self.objects.owner(&Claim::PodUid(pod_uid.into())) {
            dirty.pod(pod);
        }
        self.recompute(dirty)
    }

    fn recompute(&mut self, dirty: Dirty) -> Vec<Change> {
        let mut changes = Vec::new();
        for output in dirty.outputs(&self.objects) {
            self.recompute_one(output, &mut changes);
        }
        changes.sort_by_key(rank);
        for change in &changes {
            self.mesh.apply(change.clone());
        }
        changes
    }

    fn recompute_one(&mut self, output: Output, changes: &mut Vec<Change>) {
        let inputs = Inputs {
            settings: &self.settings,
            objects: &self.objects,
            captured: &self.captured,
            withheld: &self.withheld,
        };
        match output {
            Output::Workload(key) => {
                let uid = inputs.workload_uid(&key);
                changes.extend(workload_change(&self.mesh, uid, inputs.workload(&key)));
            }
            Output::Service(key) => {
                let name = inputs.service_name(&key);
                let change = match (self.mesh.service(&name), inputs.service(&key)) {
                    (Some(old), Some(new)) if **old == new => None,
                    (_, Some(new)) => Some(Change::PutService(Arc::new(new))),
                    (Some(_), None) => Some(Change::RemoveService(name)),
                    (None, None) => None,
                };
                changes.extend(change);
            }
            Output::Policy(key) => {
                let translated = inputs.policy(&key);
                let name = inputs.policy_name(&key);
                changes.extend(policy_change(&self.mesh, name, translated.policy));
                if translated.findings.is_empty() {
                    self.policy_findings.remove(&key);
                } else {
                    self.policy_findings.insert(key, translated.findings);
                }
            }
            Output::StaticStrict => {
                let policy = inputs.static_strict();
                let name = policy.as_ref().map(|policy| policy.name.clone());
                let known = std::mem::replace(&mut self.static_strict, name.clone());
                if let Some(name) = name.or(known) {
                    changes.extend(policy_change(&self.mesh, name, policy));
                }
            }
            Output::OutsideEndpoints(key) => {
                let workloads = inputs.outside_endpoints(&key);
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
        }
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

/// Policies come before the workloads that list them, and go after them.
fn rank(change: &Change) -> u8 {
    match change {
        Change::PutPolicy(_) => 0,
        Change::PutService(_) => 1,
        Change::PutWorkload(_) => 2,
        Change::RemoveWorkload(_) => 3,
        Change::RemoveService(_) => 4,
        Change::RemovePolicy(_) => 5,
    }
}

fn workload_change(
    mesh: &Mesh,
    uid: WorkloadUid,
    workload: Option<ambit_model::Workload>,
) -> Option<Change> {
    match (mesh.workload(&uid), workload) {
        (Some(old), Some(new)) if **old == new => None,
        (_, Some(new)) => Some(Change::PutWorkload(Arc::new(new))),
        (Some(_), None) => Some(Change::RemoveWorkload(uid)),
        (None, None) => None,
    }
}

fn policy_change(
    mesh: &Mesh,
    name: PolicyName,
    policy: Option<ambit_model::Policy>,
) -> Option<Change> {
    match (mesh.policy(&name), policy) {
        (Some(old), Some(new)) if **old == new => None,
        (_, Some(new)) => Some(Change::PutPolicy(Arc::new(new))),
        (Some(_), None) => Some(Change::RemovePolicy(name)),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests;
