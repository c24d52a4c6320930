//! One agent's reports of what it captured, and what it is answered.
//!
//! A withdrawal is answered when every connected agent has acknowledged that the pod is no longer
//! advertised over HBONE, or after a bounded wait: only then may its agent stop serving it.
//!
//! What an agent lists first on a stream may not be all that it captured: it may just have started
//! and still be hearing of its pods. So pods that it does not list are withdrawn only when the
//! stream has settled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_model::TunnelProtocol;
use ambit_wire::node::{CaptureAnswer, CaptureReport, CapturedPod};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::Captures;
use super::places::Place;
use super::reported::Reporter;
use crate::serve::caller::Caller;
use crate::serve::claims::{self, ClaimError, MAX_PER_NODE, MAX_UID};
use crate::serve::configuration::{CaptureChange, NotReady};
use crate::serve::publication::Publication;

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

/// One agent's reports.
pub(super) struct ReportStream {
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
    /// That of a node, on which nothing has come yet.
    pub(super) fn new(
        service: Captures,
        place: Place,
        node: Arc<str>,
        reports: Streaming<CaptureReport>,
        answers: mpsc::Sender<Result<CaptureAnswer, Status>>,
    ) -> Self {
        Self {
            _place: place,
            reporter: service.reported.of_stream(&node),
            node,
            reports,
            answers,
            publications: service.configuration.publications(),
            service,
            pending: BTreeSet::new(),
            reported: BTreeSet::new(),
            settles_at: None,
            remind_at: Some(Instant::now() + REMIND),
            withdrawals: JoinSet::new(),
        }
    }

    /// Serves it to its end.
    pub(super) async fn run(mut self, mut caller: Caller, stop: CancellationToken) {
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
