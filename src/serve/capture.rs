//! The capture service: agents report what they captured, and learn the trust bundle.
//!
//! A withdrawal is answered when every connected agent has acknowledged that the pod is no longer
//! advertised over HBONE, or after a bounded wait: only then may its agent stop serving it.
//!
//! What an agent lists first on a stream may not be all that it captured: it may just have started
//! and still be hearing of its pods. So pods that it does not list are withdrawn only when the
//! stream has settled.
//!
//! Tasks: "capture stream" and "trust stream", one per call, ended by the client or the stop
//! token; waits for acknowledgements live inside the stream's task and end with it.

mod leaving;
mod places;
mod reported;
mod roster;
mod trust;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use ambit_model::TunnelProtocol;
use ambit_wire::node::capture_server::Capture;
use ambit_wire::node::{
    CaptureAnswer, CaptureReport, CapturedPod, RosterRequest, RosterUpdate, TrustAck,
    TrustAckAnswer, TrustRequest, TrustUpdate,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::caller::Caller;
use super::claims::{self, ClaimError, MAX_PER_NODE, MAX_UID};
use super::configuration::{CaptureChange, Handle, NotReady};
use super::gate;
use super::metrics::Metrics;
use super::progress::Progress;
use super::publication::Publication;
use crate::ca::Authority;

pub(crate) use self::leaving::Leaving;
use self::places::Place;
pub(crate) use self::places::Places;
pub(crate) use self::reported::Reported;
use self::reported::Reporter;

/// Answers between a stream's task and its connection: a node's pods released at once.
const ANSWERS: usize = 256;
/// A client that takes no answer for this long has gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for other agents' acknowledgements: one that is stuck must not keep a pod from
/// ending.
const ACKNOWLEDGEMENTS: Duration = Duration::from_secs(2);
/// When a stream has settled.
const SETTLED: Duration = Duration::from_secs(3);
/// How often what was reported is told again, where it is recorded on the pods.
const REMIND: Duration = Duration::from_secs(5);
/// Withdrawals waiting for acknowledgements on one stream.
const WAITING: usize = 4096;
/// Longest reason for a failed capture that is passed on.
const LONGEST_REASON: usize = 512;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Captures {
    /// Who knows the pods and publishes.
    pub(crate) configuration: Handle,
    /// How far the agents have come.
    pub(crate) progress: Progress,
    /// Who makes the trust bundle.
    pub(crate) authority: Arc<Authority>,
    /// What connected agents have captured.
    pub(crate) reported: Reported,
    /// How many streams each node has open.
    pub(crate) places: Places,
    /// Whether the mesh leaves its nodes, if it can be asked to.
    pub(crate) leaving: Option<Leaving>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Where the streams' tasks run.
    pub(crate) tasks: Tasks,
}

#[tonic::async_trait]
impl Capture for Captures {
    type ReportStream = Pin<Box<dyn Stream<Item = Result<CaptureAnswer, Status>> + Send>>;
    type RosterStream = Pin<Box<dyn Stream<Item = Result<RosterUpdate, Status>> + Send>>;
    type TrustStream = Pin<Box<dyn Stream<Item = Result<TrustUpdate, Status>> + Send>>;

    async fn report(
        &self,
        request: Request<Streaming<CaptureReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let caller = gate::caller_of(&request)?;
        let node = Arc::clone(caller.node()?);
        let place = self.places.enter("report", &node)?;
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let stream = ReportStream {
            _place: place,
            reporter: self.reported.of_stream(&node),
            node,
            reports: request.into_inner(),
            answers,
            publications: self.configuration.publications(),
            service: self.clone(),
            pending: BTreeSet::new(),
            reported: BTreeSet::new(),
            settles_at: None,
            remind_at: Some(Instant::now() + REMIND),
            withdrawals: JoinSet::new(),
        };
        let stop = self.tasks.token();
        self.tasks.spawn("capture stream", stream.run(caller, stop));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn trust(
        &self,
        request: Request<TrustRequest>,
    ) -> Result<Response<Self::TrustStream>, Status> {
        let mut caller = gate::caller_of(&request)?;
        let place = self.places.enter("trust", &caller.name)?;
        let held = request.into_inner().have_generation;
        let (updates, receiver) = mpsc::channel(1);
        let stream = trust::stream(
            Arc::clone(&self.authority),
            Arc::clone(&caller.name),
            held,
            updates,
        );
        let stop = self.tasks.token();
        self.tasks.spawn("trust stream", async move {
            let _place = place;
            tokio::select! {
                () = stream => {}
                () = caller.dismissed() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn roster(
        &self,
        request: Request<RosterRequest>,
    ) -> Result<Response<Self::RosterStream>, Status> {
        let mut caller = gate::caller_of(&request)?;
        let node = Arc::clone(caller.node()?);
        let place = self.places.enter("roster", &node)?;
        let roster = self.configuration.roster(&node).await;
        let roster = roster.map_err(|error| Status::unavailable(error.to_string()))?;
        let (updates, receiver) = mpsc::channel(1);
        let stop = self.tasks.token();
        let leaving = self.leaving.clone();
        self.tasks.spawn("roster stream", async move {
            let _place = place;
            tokio::select! {
                () = roster::stream(roster, leaving, updates) => {}
                () = caller.dismissed() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn trust_held(
        &self,
        request: Request<TrustAck>,
    ) -> Result<Response<TrustAckAnswer>, Status> {
        let node = gate::caller_of(&request)?.name;
        let generation = request.into_inner().generation;
        tracing::debug!(%node, generation, "an agent holds a trust bundle");
        self.authority.held(&node, generation);
        Ok(Response::new(TrustAckAnswer::default()))
    }
}

/// One agent's reports.
struct ReportStream {
    _place: Place,
    node: Arc<str>,
    reporter: Reporter,
    reports: Streaming<CaptureReport>,
    answers: mpsc::Sender<Result<CaptureAnswer, Status>>,
    publications: watch::Receiver<Option<Arc<Publication>>>,
    service: Captures,
    /// Of `reported`, those that were reported before they were known.
    pending: BTreeSet<String>,
    /// Everything that this stream said is captured.
    reported: BTreeSet<String>,
    /// When the rest is withdrawn; set by the stream's snapshot.
    settles_at: Option<Instant>,
    /// When what was reported is told again.
    remind_at: Option<Instant>,
    /// Waits for acknowledgements; each hands back the pod's uid.
    withdrawals: JoinSet<String>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the agent closed it")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(Status),
    #[error("the agent takes no answers")]
    Stuck,
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error("the agent withdraws more pods at once than a node can have")]
    TooMany,
    #[error("the agent withdraws what is no pod's uid: {0}")]
    NoUid(ClaimError),
    #[error("its node is not let in any more")]
    Dismissed,
    #[error("the control plane stops")]
    Stopping,
}

impl ReportStream {
    async fn run(mut self, mut caller: Caller, stop: CancellationToken) {
        let end = tokio::select! {
            ended = self.serve() => match ended {
                Ok(()) => End::Closed,
                Err(end) => end,
            },
            () = caller.dismissed() => End::Dismissed,
            () = stop.cancelled() => End::Stopping,
        };
        if let End::NotReady(not_ready) = &end {
            // The agent learns why and comes again; if it is gone already, nobody has to.
            drop(
                self.answers
                    .try_send(Err(Status::unavailable(not_ready.to_string()))),
            );
        }
        tracing::info!(node = %self.node, "an agent's reports of captured pods have ended: {end}");
    }

    async fn serve(&mut self) -> Result<(), End> {
        loop {
            tokio::select! {
                report = self.reports.message() => match report {
                    Ok(Some(report)) => self.take_report(report).await?,
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(End::Broken(status)),
                },
                changed = self.publications.changed(), if !self.pending.is_empty() => {
                    changed.map_err(|_gone| End::Stopping)?;
                    self.look_for_pending().await?;
                }
                Some(withdrawn) = self.withdrawals.join_next() => {
                    let withdrawn = withdrawn.unwrap_or_default();
                    let answer = CaptureAnswer { withdrawn, ..CaptureAnswer::default() };
                    self.answer(answer).await?;
                }
                () = clock::until(self.remind_at) => {
                    self.remind_at = Some(Instant::now() + REMIND);
                    self.remind().await?;
                }
                () = clock::until(self.settles_at) => {
                    self.settles_at = None;
                    self.tell(CaptureChange::Settled(self.reported.clone())).await?;
                }
                () = self.answers.closed() => return Ok(()),
            }
        }
    }

    async fn take_report(&mut self, report: CaptureReport) -> Result<(), End> {
        if report.is_snapshot {
            self.reported.clear();
            self.pending.clear();
            self.reporter.begin();
            self.settles_at = Some(Instant::now() + SETTLED);
        }
        let mut pods = Vec::new();
        for pod in report.snapshot.into_iter().chain(report.captured) {
            match self.keep(&pod) {
                Ok(()) => pods.push((pod.uid, format!("{}/{}", pod.namespace, pod.name))),
                Err(error) => {
                    // No more of it than of a uid comes into the log.
                    let uid = pod.uid.chars().take(MAX_UID).collect();
                    self.refuse(uid, error.to_string()).await?;
                }
            }
        }
        if !pods.is_empty() {
            self.tell(CaptureChange::Captured(pods)).await?;
        }
        if let Some(leaving) = self.service.leaving.as_ref().filter(|_| report.left) {
            leaving.has_left(&self.node);
        }
        if let Some(failed) = report.failed {
            let why = failed.message.chars().take(LONGEST_REASON).collect();
            let change = CaptureChange::Failed(failed.uid, why);
            self.tell(change).await?;
        }
        if !report.withdraw.is_empty() {
            self.withdraw(report.withdraw).await?;
        }
        Ok(())
    }

    /// Remembers a pod that is said to be captured, within what one node can have.
    fn keep(&mut self, pod: &CapturedPod) -> Result<(), ClaimError> {
        claims::check_uid(&pod.uid)?;
        if self.reported.len() >= MAX_PER_NODE && !self.reported.contains(&pod.uid) {
            return Err(ClaimError::TooMany);
        }
        self.reporter.captured(pod);
        self.reported.insert(pod.uid.clone());
        Ok(())
    }

    /// Tells again what was reported: whatever became of its record meanwhile, it is so.
    async fn remind(&mut self) -> Result<(), End> {
        if self.service.configuration.records_here() || self.reported.is_empty() {
            return Ok(());
        }
        let pods = self.reported.iter().map(|uid| (uid.clone(), String::new()));
        let pods: Vec<_> = pods.collect();
        self.tell(CaptureChange::Captured(pods)).await
    }

    async fn tell(&mut self, change: CaptureChange) -> Result<(), End> {
        let reply = self
            .service
            .configuration
            .capture(&self.node, change)
            .await?;
        self.pending.extend(reply.pending);
        for recorded in reply.recorded {
            self.pending.remove(&recorded);
            self.answer(CaptureAnswer {
                recorded,
                ..CaptureAnswer::default()
            })
            .await?;
        }
        for (refused, message) in reply.refused {
            self.refuse(refused, message).await?;
        }
        Ok(())
    }

    async fn refuse(&self, refused: String, message: String) -> Result<(), End> {
        tracing::warn!(node = %self.node, pod = refused, "a report of capture was refused: {message}");
        self.answer(CaptureAnswer {
            refused,
            message,
            ..CaptureAnswer::default()
        })
        .await
    }

    async fn withdraw(&mut self, uid: String) -> Result<(), End> {
        if self.withdrawals.len() >= WAITING {
            return Err(End::TooMany);
        }
        claims::check_uid(&uid).map_err(End::NoUid)?;
        self.pending.remove(&uid);
        self.reported.remove(&uid);
        self.reporter.released(&uid);
        let change = CaptureChange::Withdrawn(uid.clone());
        let sequence = self
            .service
            .configuration
            .capture(&self.node, change)
            .await?
            .sequence;
        let (progress, metrics) = (self.service.progress.clone(), self.service.metrics.clone());
        self.withdrawals.spawn(async move {
            let behind = progress.reached(sequence, ACKNOWLEDGEMENTS).await;
            if !behind.is_empty() {
                metrics.withdrawals_unanswered.inc();
                let nodes = behind.join(", ");
                tracing::warn!(
                    pod = uid,
                    "released though some agents did not answer: {nodes}"
                );
            }
            uid
        });
        Ok(())
    }

    /// Answers for pods that have become known since they were reported.
    async fn look_for_pending(&mut self) -> Result<(), End> {
        let Some(now) = self.publications.borrow_and_update().clone() else {
            return Ok(());
        };
        let known = |uid: &String| now.mesh.workload_by_pod_uid(uid).is_some();
        let found: Vec<String> = self
            .pending
            .iter()
            .filter(|uid| known(uid))
            .cloned()
            .collect();
        for uid in found {
            let Some(workload) = now.mesh.workload_by_pod_uid(&uid) else {
                continue;
            };
            let own = workload.node == self.node;
            if own && workload.protocol != TunnelProtocol::Hbone {
                // It is being recorded.
                continue;
            }
            self.pending.remove(&uid);
            if own {
                let recorded = uid;
                self.answer(CaptureAnswer {
                    recorded,
                    ..CaptureAnswer::default()
                })
                .await?;
            } else {
                let message = format!("the pod runs on node {}", workload.node);
                self.refuse(uid, message).await?;
            }
        }
        Ok(())
    }

    async fn answer(&self, answer: CaptureAnswer) -> Result<(), End> {
        let sent = self.answers.send_timeout(Ok(answer), WRITE_PATIENCE).await;
        sent.map_err(|_late_or_gone| End::Stuck)
    }
}
