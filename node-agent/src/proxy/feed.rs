//! The feed: the model, the certificates and the trust bundle, as the control role sends them.
//!
//! One task ([`follow`]) owns the working copy of the mesh. A message of changes is applied as a
//! whole, policies before workloads before removals, and then one new snapshot is put in force;
//! connections that it refuses are cut. Nothing is served before the first state is complete.
//! A new control role comes with a new feed: its state replaces the old one as a whole, and until
//! it is complete the old one stays in force. What was bound to a waypoint until a moment ago is still
//! known as its own ([`former`](super::former)).

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_identity::{Credential, Trust};
use ambit_kit::clock;
use ambit_model::{
    Action, Change, Mesh, Policy, PolicyName, PolicyOrigin, Rule, Scope, Service, ServiceName,
    SpiffeId, TrustDomain, Workload, WorkloadUid,
};
use ambit_wire::decode::{self, Decoded};
use ambit_wire::node::{self, FeedAnswer, NamedResource, Resources, feed, feed_answer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

use super::datapath::DataPath;
use super::former::Former;
use super::ledger::Family;
use super::pods::LocalPods;
use crate::frames;

/// Shortest time between two walks over the mesh for series of workloads that are gone.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Namespaces whose policies may be for the whole mesh.
const ROOT_NAMESPACES: [&str; 2] = ["istio-system", "ambit-system"];

/// What the pages tell of the feed.
#[derive(Debug, Default)]
pub(crate) struct FeedState {
    /// Last report of the control role.
    pub(crate) status: Mutex<node::Status>,
    /// Last rejections, newest last.
    pub(crate) rejected: Mutex<Vec<String>>,
}

impl FeedState {
    /// Notes that the control role is gone, and the control plane out of hearing with it.
    pub(crate) fn is_away(&self) {
        let mut status = self.status.lock();
        if status.connected {
            status.connected = false;
            let now = clock::unix_millis(clock::wall());
            status.since_unix_ms = i64::try_from(now).unwrap_or(i64::MAX);
        }
    }
}

/// What the task of the feed works with.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Where snapshots and credentials go.
    pub(crate) path: Arc<DataPath>,
    /// The pods of this node.
    pub(crate) pods: Arc<LocalPods>,
    /// What the pages tell.
    pub(crate) state: Arc<FeedState>,
    /// Set once the first state is complete.
    pub(crate) synced: watch::Sender<bool>,
}

/// Follows one feed to its end; says on it what was applied and which identities are wanted.
pub(crate) async fn follow<S>(
    follower: &Follower,
    stream: S,
    wanted: &mut mpsc::Receiver<SpiffeId>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (from, mut to) = tokio::io::split(stream);
    let (frames_in, mut arrived) = mpsc::channel(4);
    // Reading is its own future, so that waiting for a frame never cancels half of one.
    let reading = read_all(from, frames_in);
    tokio::pin!(reading);
    let mut working = Working::new(follower.clone());
    let mut reading_ended = None;
    loop {
        tokio::select! {
            done = &mut reading, if reading_ended.is_none() => reading_ended = Some(done),
            frame = arrived.recv() => match frame {
                Some(frame) => {
                    for answer in working.take(frame) {
                        frames::write(&mut to, &answer).await?;
                    }
                }
                None => return reading_ended.unwrap_or(Ok(())),
            },
            () = clock::until(working.due()) => working.expire(clock::now()),
            Some(id) = wanted.recv() => {
                let kind = feed_answer::Kind::WantIdentity(id.to_string());
                frames::write(&mut to, &FeedAnswer { kind: Some(kind) }).await?;
            }
        }
    }
}

async fn read_all<R>(from: R, into: mpsc::Sender<feed::Kind>) -> io::Result<()>
where
    R: AsyncRead,
{
    let from = tokio::io::BufReader::with_capacity(16 << 10, from);
    tokio::pin!(from);
    while let Some(frame) = frames::read::<node::Feed, _>(&mut from).await? {
        let Some(kind) = frame.kind else { continue };
        if into.send(kind).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The working copy of the mesh behind one feed.
struct Working {
    follower: Follower,
    mesh: Mesh,
    complete: bool,
    swept: Instant,
    unswept: bool,
    former_of_services: Former<ServiceName>,
    former_of_pods: Former<WorkloadUid>,
}

/// What a message of changes did beyond the mesh itself.
#[derive(Default)]
struct Effects {
    errors: Vec<String>,
    /// Pods whose tunnels must not be used again.
    gone: HashSet<Arc<str>>,
    /// A policy, or a pod of this node, changed: open connections are looked at again.
    review: bool,
}

impl Working {
    fn new(follower: Follower) -> Self {
        let swept = clock::now();
        Self {
            follower,
            mesh: Mesh::default(),
            complete: false,
            swept,
            unswept: false,
            former_of_services: Former::default(),
            former_of_pods: Former::default(),
        }
    }

    fn take(&mut self, frame: feed::Kind) -> Vec<FeedAnswer> {
        match frame {
            feed::Kind::Resources(resources) => return self.resources(&resources),
            feed::Kind::Certificate(certificate) => self.certificate(certificate),
            feed::Kind::Trust(bundle) => self.trust(&bundle),
            feed::Kind::Status(status) => *self.follower.state.status.lock() = status,
            feed::Kind::ForgetIdentity(id) => match id.parse() {
                Ok(id) => self.follower.path.identities.forget(&id),
                Err(error) => self.reject(format!("identity to forget: {error}")),
            },
        }
        Vec::new()
    }

    fn certificate(&self, certificate: node::Certificate) {
        let identities = &self.follower.path.identities;
        let chain = certificate.chain.into_iter().map(Into::into).collect();
        match Credential::from_der(chain, certificate.key.into()) {
            Ok(credential) => identities.put(credential),
            Err(error) => self.reject(format!("certificate of {}: {error}", certificate.identity)),
        }
    }

    fn trust(&self, bundle: &node::TrustBundle) {
        let roots: Vec<Vec<u8>> = bundle.roots.iter().map(|root| root.to_vec()).collect();
        let trust = TrustDomain::new(&bundle.trust_domain)
            .map_err(|error| error.to_string())
            .and_then(|domain| Trust::new(domain, &roots).map_err(|error| error.to_string()));
        match trust {
            Ok(trust) => self.follower.path.identities.set_trust(trust),
            Err(error) => self.reject(format!("trust bundle: {error}")),
        }
    }

    fn resources(&mut self, resources: &Resources) -> Vec<FeedAnswer> {
        let &Resources {
            sequence, synced, ..
        } = resources;
        let effects = self.apply(resources);
        for error in &effects.errors {
            self.reject(error.clone());
        }
        if synced && !self.complete {
            self.complete = true;
            self.publish(&Effects {
                review: true,
                ..Effects::default()
            });
            // Said last: whoever waits for it decides by the snapshot at once.
            self.follower.synced.send_replace(true);
        } else if self.complete {
            self.publish(&effects);
        }
        let mut answers = Vec::new();
        if !effects.errors.is_empty() {
            let rejected = node::Rejected {
                sequence,
                errors: effects.errors,
            };
            answers.push(feed_answer::Kind::Rejected(rejected));
        }
        answers.push(feed_answer::Kind::Applied(sequence));
        answers
            .into_iter()
            .map(|kind| FeedAnswer { kind: Some(kind) })
            .collect()
    }

    fn apply(&mut self, resources: &Resources) -> Effects {
        let mut effects = Effects {
            review: !(resources.policies.is_empty() && resources.removed_policies.is_empty()),
            ..Effects::default()
        };
        for resource in &resources.policies {
            self.policy(resource, &mut effects);
        }
        for resource in &resources.addresses {
            self.address(resource, &mut effects);
        }
        for name in &resources.removed_addresses {
            self.removed_address(name, &mut effects);
        }
        for name in &resources.removed_policies {
            match PolicyName::parse(name) {
                Some(name) => self.mesh.apply(Change::RemovePolicy(name)),
                None => effects
                    .errors
                    .push(format!("{name}: not the name of a policy")),
            }
        }
        effects
    }

    fn policy(&mut self, resource: &NamedResource, effects: &mut Effects) {
        match decode::policy_from_bytes(&resource.body) {
            Ok(policy) => self.mesh.apply(Change::PutPolicy(Arc::new(policy))),
            Err(error) => {
                effects.errors.push(format!("{}: {error}", resource.name));
                let Some(name) = PolicyName::parse(&resource.name) else {
                    return;
                };
                // The last good version stays. Without one, whom it would have refused is not
                // known, so its whole scope is.
                if self.mesh.policy(&name).is_none() {
                    self.mesh
                        .apply(Change::PutPolicy(Arc::new(deny_scope_of(name))));
                }
            }
        }
    }

    fn address(&mut self, resource: &NamedResource, effects: &mut Effects) {
        match decode::address_from_bytes(&resource.body, &self.follower.path.trust_domain) {
            Ok(Decoded::Workload(workload)) => {
                let before = self.mesh.workload(&workload.uid).map(Arc::clone);
                if let Some(before) = &before {
                    if before.pod_uid != workload.pod_uid {
                        effects.gone.extend(instance(before));
                    }
                    self.unswept |= **before != workload;
                }
                if self.is_local(workload.pod_uid.as_deref()) {
                    effects.review = true;
                    self.rebound_pod(before.as_deref(), &workload);
                }
                self.mesh.apply(Change::PutWorkload(Arc::new(workload)));
            }
            Ok(Decoded::Service(service)) => {
                effects.review |= self.rebound(&service);
                self.mesh.apply(Change::PutService(Arc::new(service)));
            }
            Err(error) => effects.errors.push(format!("{}: {error}", resource.name)),
        }
    }

    /// Notes which waypoint a service is bound to; true if that is another one than before.
    fn rebound(&mut self, service: &Service) -> bool {
        let (name, after) = (&service.name, service.waypoint.as_ref());
        let before = self.mesh.service(name).and_then(|s| s.waypoint.as_ref());
        let former = &mut self.former_of_services;
        let changed = former.rebound(name, before, after, clock::now());
        if changed {
            self.mesh.keep_former_of(name, former.of(name));
        }
        changed
    }

    /// The same of a pod of this node.
    fn rebound_pod(&mut self, before: Option<&Workload>, now_is: &Workload) {
        let (uid, former) = (&now_is.uid, &mut self.former_of_pods);
        let same = before.filter(|before| before.pod_uid == now_is.pod_uid);
        let changed = match same {
            Some(before) => {
                let (before, after) = (before.waypoint.as_ref(), now_is.waypoint.as_ref());
                former.rebound(uid, before, after, clock::now())
            }
            None => former.forget(uid),
        };
        if changed {
            self.mesh.keep_former_of_workload(uid, former.of(uid));
        }
    }

    /// When [`Self::expire`] is to be called.
    fn due(&self) -> Option<Instant> {
        let (services, pods) = (self.former_of_services.due(), self.former_of_pods.due());
        services.into_iter().chain(pods).min()
    }

    /// Former waypoints whose time is over are as any other client.
    fn expire(&mut self, now: Instant) {
        for name in self.former_of_services.expire(now) {
            let left = self.former_of_services.of(&name);
            self.mesh.keep_former_of(&name, left);
        }
        for uid in self.former_of_pods.expire(now) {
            let left = self.former_of_pods.of(&uid);
            self.mesh.keep_former_of_workload(&uid, left);
        }
        if self.complete {
            self.publish(&Effects {
                review: true,
                ..Effects::default()
            });
        }
    }

    fn removed_address(&mut self, name: &str, effects: &mut Effects) {
        let uid = WorkloadUid::new(name);
        if let Some(workload) = self.mesh.workload(&uid) {
            effects.gone.extend(instance(workload));
            self.unswept = true;
            if self.former_of_pods.forget(&uid) {
                self.mesh.keep_former_of_workload(&uid, std::iter::empty());
            }
            self.mesh.apply(Change::RemoveWorkload(uid));
        } else if let Some(name) = ServiceName::parse(name) {
            let service = self.mesh.service(&name);
            effects.review |= service.is_some_and(|service| service.waypoint.is_some());
            if self.former_of_services.forget(&name) {
                self.mesh.keep_former_of(&name, std::iter::empty());
                effects.review = true;
            }
            self.mesh.apply(Change::RemoveService(name));
        }
    }

    fn is_local(&self, pod_uid: Option<&str>) -> bool {
        pod_uid.is_some_and(|uid| self.follower.pods.get(uid).is_some())
    }

    fn publish(&mut self, effects: &Effects) {
        let path = &self.follower.path;
        path.publish(self.mesh.clone());
        if !effects.gone.is_empty() {
            path.pool
                .purge(|key| effects.gone.contains(&key.destination_pod));
        }
        if effects.review {
            let cut = path.connections.review(&self.mesh);
            if cut > 0 {
                tracing::info!(cut, "changed policy refuses open connections");
            }
        }
        if self.unswept && self.swept.elapsed() > SWEEP_EVERY {
            path.series.sweep(&path.ledger, &self.mesh);
            (self.swept, self.unswept) = (clock::now(), false);
        }
    }

    fn reject(&self, what: String) {
        tracing::error!(%what, "refused what the control plane sent; the last good one stays");
        self.follower.path.ledger.count(Family::ConfigRejects, &[]);
        let mut rejected = self.follower.state.rejected.lock();
        if rejected.len() >= 32 {
            rejected.remove(0);
        }
        rejected.push(what);
    }
}

/// The key under which tunnels to a workload are pooled.
fn instance(workload: &Workload) -> Option<Arc<str>> {
    Some(
        workload
            .pod_uid
            .clone()
            .unwrap_or_else(|| workload.uid.as_str().into()),
    )
}

/// Refuses everything in the namespace of a policy that cannot be read, or everywhere if it may be
/// for the whole mesh.
fn deny_scope_of(name: PolicyName) -> Policy {
    let may_be_for_all = name.namespace.is_empty() || ROOT_NAMESPACES.contains(&&*name.namespace);
    let scope = if may_be_for_all {
        Scope::Global
    } else {
        Scope::Namespace
    };
    Policy {
        name,
        scope,
        action: Action::Deny,
        rules: vec![Rule::default()],
        dry_run: false,
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: None,
        requests: None,
    }
}

#[cfg(test)]
mod tests;
