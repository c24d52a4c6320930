//! The capture stream: one task that reports which pods this node captured, and asks the control
//! plane to withdraw those that are about to be released.
//!
//! A withdrawal is answered in every case: by the control plane, at once where there is none to
//! ask (then nobody learns of new pods either) or nobody was told of the pod, or when the time is
//! over.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_uplink::{Access, Backoff, in_time};
use ambit_wire::node::capture_client::CaptureClient;
use ambit_wire::node::{CaptureAnswer, CaptureFailure, CaptureReport, CapturedPod};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// How long the control plane may take to withdraw a pod everywhere.
const WITHDRAW_TIME: Duration = Duration::from_secs(3);
/// Reports in the way to the control plane.
const REPORTS: usize = 64;

/// What the role tells the task.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// A pod is captured.
    Captured(CapturedPod),
    /// A pod, by its uid, is about to be released.
    Withdraw(String),
    /// A pod, by its uid, cannot be captured, and why; empty if nobody wants it captured any more.
    Failed(String, String),
    /// How many connections of a captured pod, by its uid, are older than its capture; of no other.
    Older(String, u32),
    /// The mesh has left this node.
    Left,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct Capture {
    access: Arc<Access>,
    channel: Channel,
    reports: mpsc::Receiver<Report>,
    /// Uids of pods that nobody tunnels to any more.
    withdrawn: mpsc::Sender<String>,
    captured: BTreeMap<String, CapturedPod>,
    withdrawing: BTreeMap<String, Instant>,
    /// Pods that could not be captured, and why; told again on every stream.
    failed: BTreeMap<String, String>,
    /// Whether the mesh has left this node; told again on every stream.
    left: bool,
}

/// An open stream.
struct Opened {
    outgoing: mpsc::Sender<CaptureReport>,
    answers: Streaming<CaptureAnswer>,
}

/// What a moment of waiting brought.
enum Next {
    Report(Option<Report>),
    Answer(Option<CaptureAnswer>),
    Overdue,
}

impl Capture {
    /// Nothing captured yet.
    pub(crate) fn new(
        access: Arc<Access>,
        channel: Channel,
        reports: mpsc::Receiver<Report>,
        withdrawn: mpsc::Sender<String>,
    ) -> Self {
        let (captured, withdrawing) = (BTreeMap::new(), BTreeMap::new());
        Self {
            access,
            channel,
            reports,
            withdrawn,
            captured,
            withdrawing,
            failed: BTreeMap::new(),
            left: false,
        }
    }

    /// Keeps a stream open until the role ends.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let opening = Box::pin(open(Arc::clone(&self.access), self.channel.clone()));
            let Some(opened) = self.apart(opening).await else {
                return;
            };
            let ended = match opened {
                Ok(stream) => self.stream(stream, &mut backoff).await,
                Err(status) => Err(status),
            };
            if ended.is_ok() {
                return;
            }
            let wait = backoff.wait_after("capture", &ended);
            if self.apart(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Without a stream until `over`; `None` if the role has ended. There is nobody to wait for:
    /// withdrawals are answered at once, and the next stream begins without those pods.
    async fn apart<F: Future>(&mut self, over: F) -> Option<F::Output> {
        for uid in std::mem::take(&mut self.withdrawing).into_keys() {
            self.withdrawn.send(uid).await.ok()?;
        }
        tokio::pin!(over);
        loop {
            let report = tokio::select! {
                report = self.reports.recv() => report?,
                output = &mut over => return Some(output),
            };
            if let Report::Withdraw(uid) = &report {
                self.withdrawn.send(uid.clone()).await.ok()?;
            }
            self.note(report);
            self.withdrawing.clear();
        }
    }

    /// One stream, to its end; `Ok` if the role has ended.
    async fn stream(&mut self, opened: Opened, backoff: &mut Backoff) -> Result<(), Status> {
        let Opened {
            outgoing,
            mut answers,
        } = opened;
        let snapshot = CaptureReport {
            snapshot: self.captured.values().cloned().collect(),
            is_snapshot: true,
            left: self.left,
            ..CaptureReport::default()
        };
        send(&outgoing, snapshot).await?;
        for (uid, message) in self.failed.clone() {
            send(&outgoing, failure(uid, message)).await?;
        }
        loop {
            let overdue = self.withdrawing.values().min().copied();
            let next = tokio::select! {
                report = self.reports.recv() => Next::Report(report),
                answer = answers.message() => Next::Answer(answer?),
                () = clock::until(overdue) => Next::Overdue,
            };
            match next {
                Next::Report(None) => return Ok(()),
                // What a failed capture leaves does not take back why it failed.
                Next::Report(Some(Report::Withdraw(uid))) if self.is_unheard_of(&uid) => {
                    self.withdrawn.send(uid).await.ok();
                }
                Next::Report(Some(report)) => send(&outgoing, self.note(report)).await?,
                Next::Answer(None) => return Err(Status::unavailable("the stream ended")),
                Next::Answer(Some(answer)) => {
                    backoff.reset();
                    self.take(answer).await;
                }
                Next::Overdue => self.give_up_overdue().await,
            }
        }
    }

    /// Whether the control plane was never told that a pod is captured, or knows that it is not.
    fn is_unheard_of(&self, uid: &str) -> bool {
        !self.captured.contains_key(uid) && !self.withdrawing.contains_key(uid)
    }

    fn note(&mut self, report: Report) -> CaptureReport {
        match report {
            Report::Failed(uid, message) if message.is_empty() => {
                self.failed.remove(&uid);
                withdrawal(uid)
            }
            Report::Older(uid, count) => {
                let pod = self.captured.get_mut(&uid).map(|pod| {
                    pod.older_connections = count;
                    pod.clone()
                });
                CaptureReport {
                    captured: pod,
                    ..CaptureReport::default()
                }
            }
            Report::Left => {
                self.left = true;
                CaptureReport {
                    left: true,
                    ..CaptureReport::default()
                }
            }
            Report::Failed(uid, message) => {
                self.failed.insert(uid.clone(), message.clone());
                failure(uid, message)
            }
            Report::Captured(mut pod) => {
                let before = self.captured.get(&pod.uid);
                pod.older_connections = before.map_or(0, |before| before.older_connections);
                self.failed.remove(&pod.uid);
                self.withdrawing.remove(&pod.uid);
                self.captured.insert(pod.uid.clone(), pod.clone());
                CaptureReport {
                    captured: Some(pod),
                    ..CaptureReport::default()
                }
            }
            Report::Withdraw(uid) => {
                self.captured.remove(&uid);
                self.withdrawing
                    .insert(uid.clone(), clock::now() + WITHDRAW_TIME);
                withdrawal(uid)
            }
        }
    }

    async fn take(&mut self, answer: CaptureAnswer) {
        if !answer.recorded.is_empty() {
            tracing::debug!(pod = answer.recorded, "peers are told to tunnel to the pod");
        }
        if !answer.refused.is_empty() {
            let (pod, reason) = (&answer.refused, &answer.message);
            tracing::warn!(pod, reason, "the control plane does not advertise the pod");
        }
        if self.withdrawing.remove(&answer.withdrawn).is_some() {
            self.withdrawn.send(answer.withdrawn).await.ok();
        }
    }

    async fn give_up_overdue(&mut self) {
        let now = clock::now();
        let overdue: Vec<String> = self
            .withdrawing
            .extract_if(.., |_, due| *due <= now)
            .map(|(uid, _)| uid)
            .collect();
        for uid in overdue {
            tracing::warn!(
                pod = uid,
                "not every peer has confirmed in time; released all the same"
            );
            self.withdrawn.send(uid).await.ok();
        }
    }
}

fn failure(uid: String, message: String) -> CaptureReport {
    CaptureReport {
        failed: Some(CaptureFailure { uid, message }),
        ..CaptureReport::default()
    }
}

fn withdrawal(uid: String) -> CaptureReport {
    CaptureReport {
        withdraw: uid,
        ..CaptureReport::default()
    }
}

async fn send(outgoing: &mpsc::Sender<CaptureReport>, report: CaptureReport) -> Result<(), Status> {
    // A control plane that does not read is one that is away.
    let sent = tokio::time::timeout(WITHDRAW_TIME, outgoing.send(report)).await;
    match sent {
        Ok(Ok(())) => Ok(()),
        _ => Err(Status::unavailable(
            "the control plane does not take reports",
        )),
    }
}

async fn open(access: Arc<Access>, channel: Channel) -> Result<Opened, Status> {
    let (outgoing, reports) = mpsc::channel(REPORTS);
    let request = access
        .request(ReceiverStream::new(reports))
        .map_err(|error| Status::internal(error.to_string()))?;
    let mut client = CaptureClient::new(channel);
    let answers = in_time(client.report(request)).await?;
    Ok(Opened {
        outgoing,
        answers: answers.into_inner(),
    })
}
