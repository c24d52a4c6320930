//! The configuration task: the one owner of the configuration, the claims of captured pods and
//! what is published.
//!
//! Batches from the source and requests of the services come in by bounded channels; whatever came
//! together is applied together and published once. Nothing is answered before the source's first
//! batch, which holds everything there is, has been applied: a control plane that knows half of
//! the policies serves nothing.
//!
//! Task: [`Keeper::run`], one, ended by the stop token. Being cancelled loses nothing that was
//! answered: claims are on disk before their agent hears that they are recorded.

mod captures;
mod handle;
mod marks;
mod problems;
mod rosters;
mod secrets;
mod survey;

use std::sync::Arc;

use ambit_kit::clock;
use ambit_model::{Change, SpiffeId, TunnelProtocol};
use tokio::runtime::{Handle as Runtime, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::handle::Request;
use self::rosters::{Rosters, Touched};
use self::survey::Survey;
use super::Enrolled;
use super::claims::{ClaimFiles, Claims};
use super::gate::Callers;
use super::metrics::Metrics;
use super::publication::{Publication, Publisher};
use super::tokens::Subject;
use crate::config::credentials;
use crate::config::keys::Wanted;
use crate::config::objects::Kind;
use crate::config::objects::gateway::GatewayKey;
use crate::config::{Batch, Configuration};
use crate::credentials::{Errand as Reading, Found as Read};
use crate::jwks::{Errand, Found};
use crate::mesh_config::MeshConfig;

pub(crate) use self::handle::{CaptureChange, CaptureReply, Handle, NotReady};
pub(crate) use self::marks::{MARKS, Mark, Marker, Redirection};
pub(crate) use self::rosters::Roster;
pub(crate) use self::survey::{NodeFeed, StatusFeed, WaypointFeed};

/// Requests waiting for the task: every agent of a large mesh at once.
const REQUESTS: usize = 4096;
/// Key sets that wait for the task.
const FOUND: usize = 16;
/// Requests answered by one publication.
const TOGETHER: usize = 256;

/// The task's state.
#[derive(Debug)]
pub(crate) struct Keeper {
    configuration: Configuration,
    publisher: Publisher,
    claims: Claims,
    files: ClaimFiles,
    callers: Callers,
    metrics: Metrics,
    published: watch::Sender<Option<Arc<Publication>>>,
    requests: mpsc::Receiver<Request>,
    rosters: Rosters,
    /// Where captures are recorded on the pods; none where this process is the record.
    marker: Option<Marker>,
    survey: Survey,
    /// What holds for the whole mesh, if somebody says it.
    mesh: Option<watch::Receiver<MeshConfig>>,
    /// Tells where keys are wanted from.
    wanted: watch::Sender<Arc<Wanted>>,
    /// What was found there.
    found: mpsc::Receiver<Found>,
    /// For whoever fetches them.
    errand: Option<Errand>,
    /// Tells which Secrets are wanted.
    secrets: watch::Sender<Arc<credentials::Wanted>>,
    /// What was read of them.
    read: mpsc::Receiver<Read>,
    /// For whoever reads them.
    reading: Option<Reading>,
}

/// Whoever writes what this task has found out, where somebody does.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    /// Of captures, on pods.
    pub(crate) marker: Option<Marker>,
    /// Of what is said of policies.
    pub(crate) statuses: Option<StatusFeed>,
    /// Of taints, on nodes.
    pub(crate) nodes: Option<NodeFeed>,
    /// Of what waypoints are made of.
    pub(crate) waypoints: Option<WaypointFeed>,
}

impl Keeper {
    /// Takes the configuration over, with the claims that were kept.
    pub(crate) fn new(
        mut configuration: Configuration,
        files: ClaimFiles,
        callers: Callers,
        metrics: Metrics,
        writers: Writers,
    ) -> (Self, Handle) {
        let Writers {
            marker,
            statuses,
            nodes,
            waypoints,
        } = writers;
        let claims = files.load();
        for (_node, uid) in claims.iter() {
            // Nothing is known yet, so nothing changes yet.
            drop(configuration.set_captured(uid, true));
        }
        metrics.captured_pods(claims.iter().count());
        let (published, receiver) = watch::channel(None);
        let (sender, requests) = mpsc::channel(REQUESTS);
        let (wanted, wants) = watch::channel(Arc::default());
        let (finder, found) = mpsc::channel(FOUND);
        let (secrets, wants_secrets) = watch::channel(Arc::default());
        let (reader, read) = mpsc::channel(FOUND);
        let records_here = marker.is_none();
        let keeper = Self {
            configuration,
            publisher: Publisher::new(clock::now()),
            claims,
            files,
            callers,
            metrics,
            published,
            requests,
            rosters: Rosters::default(),
            marker,
            survey: Survey::new(statuses, nodes, waypoints),
            mesh: None,
            wanted,
            found,
            errand: Some(Errand {
                wanted: wants,
                found: finder,
            }),
            secrets,
            read,
            reading: Some(Reading {
                wanted: wants_secrets,
                found: reader,
            }),
        };
        (keeper, Handle::new(sender, receiver, records_here))
    }

    /// The same, told of what holds for the whole mesh.
    pub(crate) fn told(mut self, mesh: Option<watch::Receiver<MeshConfig>>) -> Self {
        self.mesh = mesh;
        self.take_mesh();
        self
    }

    /// Enrolled namespaces and their changes.
    pub(crate) fn enrolled(&self) -> Enrolled {
        self.rosters.enrolled()
    }

    /// What is to be fetched of keys, for the one who does it.
    pub(crate) fn errand(&mut self) -> Option<Errand> {
        self.errand.take()
    }

    /// Which Secrets are to be read, for the one who does it.
    pub(crate) fn reading(&mut self) -> Option<Reading> {
        self.reading.take()
    }

    /// Serves the channels until asked to stop.
    pub(crate) async fn run(mut self, mut batches: mpsc::Receiver<Batch>, stop: CancellationToken) {
        let mut requests = Vec::new();
        let mut source_is_there = true;
        loop {
            let ready = self.publisher.sequence() > 0;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                batch = batches.recv(), if source_is_there => match batch {
                    Some(batch) => at_length(|| self.take_batch(batch)),
                    None => {
                        source_is_there = false;
                        tracing::error!("the source of the configuration is gone; serving the last state");
                    }
                },
                () = changed(&mut self.mesh), if ready => {
                    self.take_mesh();
                    self.publish();
                }
                Some(Found { source, fetched }) = self.found.recv(), if ready => {
                    self.survey.note_keys(clock::now());
                    let changes = self.configuration.take_keys(&source, fetched);
                    self.take_changes(changes);
                    self.publish();
                }
                Some(read) = self.read.recv(), if ready => self.take_secret(read),
                () = self.survey.is_due(), if ready => {
                    self.survey.look(&self.configuration, &self.metrics, clock::now());
                }
                count = self.requests.recv_many(&mut requests, TOGETHER), if ready => {
                    if count == 0 {
                        return;
                    }
                    self.answer(requests.drain(..)).await;
                }
            }
        }
    }

    /// Takes over what holds for the whole mesh.
    fn take_mesh(&mut self) {
        let Some(mesh) = &mut self.mesh else { return };
        let now = mesh.borrow_and_update().clone();
        self.publisher.tell(&now.telemetry);
        let collectors = now.telemetry.providers.keys().cloned();
        self.configuration.set_collectors(collectors.collect());
        self.survey.note_collectors(clock::now());
        self.survey.note_mesh(now.problem, clock::now());
    }

    fn take_batch(&mut self, batch: Batch) {
        let touched = Touched::by(&batch, &self.configuration);
        let is_first = self.publisher.sequence() == 0;
        let of_callers = match &self.callers {
            Callers::Agents(agents) => {
                is_first || agents.may_be_changed_by(&batch, &self.configuration)
            }
            Callers::Nodes(_) => false,
        };
        self.survey.note(&batch, clock::now());
        let has = |kind: Kind| batch.events.iter().any(|event| event.key().kind == kind);
        // What is told depends on which Gateways there are, and Gateways and namespaces ask for some of it.
        let tells = [
            Kind::Telemetry,
            Kind::Gateway,
            Kind::GatewayClass,
            Kind::Namespace,
        ];
        let tells = tells.into_iter().any(has);
        let of_keys = has(Kind::RequestAuthentication);
        let of_secrets = has(Kind::DestinationRule);
        let changes = self.configuration.apply(batch);
        if tells {
            let rules = self.configuration.telemetry_rules();
            self.publisher.tell_rules(rules.iter());
        }
        self.rosters.refresh(&touched, &self.configuration);
        self.take_changes(changes);
        if of_keys {
            let wanted = self.configuration.wanted_keys();
            self.configuration.keep_keys(&wanted);
            self.wanted.send_replace(Arc::new(wanted));
        }
        if of_secrets {
            self.want_secrets();
        }
        match &self.callers {
            Callers::Nodes(tokens) => {
                let nodes = self.configuration.nodes().cloned().map(Subject::Node);
                let waypoints = self.configuration.our_waypoints();
                let waypoints = waypoints
                    .map(|GatewayKey { namespace, name }| Subject::Waypoint(namespace, name));
                for error in tokens.admit(nodes.chain(waypoints)) {
                    tracing::error!(%error, "a node or waypoint cannot be let in");
                }
            }
            Callers::Agents(agents) if of_callers => agents.look_at(&self.configuration),
            Callers::Agents(_) => {}
        }
        self.publish();
    }

    /// Takes changes of the model over, and sees to it that each pod's capture is what its own
    /// node's agent claims.
    fn take_changes(&mut self, changes: Vec<Change>) {
        let mut queue = std::collections::VecDeque::from(changes);
        while let Some(change) = queue.pop_front() {
            self.publisher.apply(&change);
            let Change::PutWorkload(workload) = &change else {
                continue;
            };
            let Some(uid) = &workload.pod_uid else {
                continue;
            };
            let claimed = self.claims.holds(&workload.node, uid);
            let advertised = workload.protocol == TunnelProtocol::Hbone;
            if self.marker.is_none() && claimed != advertised {
                queue.extend(self.configuration.set_captured(uid, claimed));
            }
        }
    }

    fn publish(&mut self) {
        if let Some(publication) = self
            .publisher
            .publish(self.configuration.mesh(), clock::now())
        {
            self.metrics.published(&publication);
            self.published.send_replace(Some(publication));
        }
    }

    /// Applies all requests, publishes once, keeps the claims, and answers.
    async fn answer(&mut self, requests: impl Iterator<Item = Request>) {
        let mut captures = Vec::new();
        for request in requests {
            match request {
                Request::Capture {
                    node,
                    change,
                    reply,
                } => {
                    let answer = self.capture(&node, change);
                    captures.push((node, answer, reply));
                }
                Request::MayAsk {
                    node,
                    identity,
                    reply,
                } => answer_to(reply, self.may_ask(&node, &identity)),
                Request::Roster { node, reply } => {
                    answer_to(reply, self.rosters.subscribe(node, &self.configuration));
                }
                Request::Judge {
                    namespace,
                    object,
                    reply,
                } => {
                    let verdict = at_length(|| self.configuration.judge(&namespace, &object));
                    answer_to(reply, verdict);
                }
                Request::Problems { reply } => {
                    answer_to(reply, self.survey.problems().cloned().collect());
                }
            }
        }
        if !captures.is_empty() {
            self.record(captures).await;
        }
    }

    fn may_ask(&self, node: &str, identity: &SpiffeId) -> bool {
        identity.trust_domain() == &*self.configuration.settings().trust_domain
            && self.configuration.pods_on_node(node).any(|pod| {
                *pod.namespace == *identity.namespace()
                    && *pod.service_account == *identity.service_account()
            })
    }
}

/// Waits until something else holds for the whole mesh; for ever if nobody says so.
async fn changed(mesh: &mut Option<watch::Receiver<MeshConfig>>) {
    if let Some(told) = mesh {
        if told.changed().await.is_ok() {
            return;
        }
        *mesh = None;
    }
    std::future::pending::<()>().await;
}

/// Does what may take a while, as many regular expressions do, without keeping other tasks waiting.
fn at_length<T>(work: impl FnOnce() -> T) -> T {
    match Runtime::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn answer_to<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        tracing::debug!("whoever asked has gone away meanwhile");
    }
}

#[cfg(test)]
mod tests;
