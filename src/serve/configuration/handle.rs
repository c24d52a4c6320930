//! The way to the configuration task: what it can be asked and told, with a bounded wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::SpiffeId;
use tokio::sync::{mpsc, oneshot, watch};

use super::rosters::Roster;
use crate::config::problem::Problem;
use crate::config::verdict::{Read, Verdict};
use crate::serve::publication::Publication;

/// Longest wait of a service for the task's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an agent tells about captured pods.
#[derive(Clone, Debug)]
pub(crate) enum CaptureChange {
    /// These too: uid and `namespace/name`.
    Captured(Vec<(String, String)>),
    /// This one no longer.
    Withdrawn(String),
    /// This one, by its uid, cannot be captured, and why.
    Failed(String, String),
    /// These, by their uids, and no others.
    Settled(BTreeSet<String>),
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CaptureReply {
    /// Number of the publication that contains it.
    pub(crate) sequence: u64,
    /// Pods now advertised over HBONE.
    pub(crate) recorded: Vec<String>,
    /// Pods that are not known yet; they count as soon as they are.
    pub(crate) pending: Vec<String>,
    /// Pods that this agent may not claim, and why.
    pub(crate) refused: Vec<(String, String)>,
}

/// What the task is asked.
#[derive(Debug)]
pub(super) enum Request {
    Capture {
        node: Arc<str>,
        change: CaptureChange,
        reply: oneshot::Sender<CaptureReply>,
    },
    MayAsk {
        node: Arc<str>,
        identity: SpiffeId,
        reply: oneshot::Sender<bool>,
    },
    Roster {
        node: Arc<str>,
        reply: oneshot::Sender<watch::Receiver<Arc<Roster>>>,
    },
    Judge {
        namespace: Arc<str>,
        object: Read,
        reply: oneshot::Sender<Verdict>,
    },
    Problems {
        reply: oneshot::Sender<Vec<Problem>>,
    },
}

/// The task did not answer: it is gone, or the first read is not over.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has not been read yet; try again")]
pub(crate) struct NotReady;

/// The way to the task; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    published: watch::Receiver<Option<Arc<Publication>>>,
    records_here: bool,
}

impl Handle {
    /// The way over these channels.
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        published: watch::Receiver<Option<Arc<Publication>>>,
        records_here: bool,
    ) -> Self {
        Self {
            requests,
            published,
            records_here,
        }
    }

    /// True if this process is the record of captures, not the pods.
    pub(crate) fn records_here(&self) -> bool {
        self.records_here
    }

    /// What is served; `None` before the first read is over.
    pub(crate) fn publications(&self) -> watch::Receiver<Option<Arc<Publication>>> {
        self.published.clone()
    }

    /// Tells what an agent says about captured pods.
    pub(crate) async fn capture(
        &self,
        node: &Arc<str>,
        change: CaptureChange,
    ) -> Result<CaptureReply, NotReady> {
        let node = Arc::clone(node);
        self.ask(|reply| Request::Capture {
            node,
            change,
            reply,
        })
        .await
    }

    /// True if a pod with that identity runs on that node.
    pub(crate) async fn may_ask(
        &self,
        node: &Arc<str>,
        identity: &SpiffeId,
    ) -> Result<bool, NotReady> {
        let (node, identity) = (Arc::clone(node), identity.clone());
        self.ask(|reply| Request::MayAsk {
            node,
            identity,
            reply,
        })
        .await
    }

    /// What the agent of that node is told of it, and its changes.
    pub(crate) async fn roster(
        &self,
        node: &Arc<str>,
    ) -> Result<watch::Receiver<Arc<Roster>>, NotReady> {
        let node = Arc::clone(node);
        self.ask(|reply| Request::Roster { node, reply }).await
    }

    /// What is wrong with an object that is about to be written.
    pub(crate) async fn judge(
        &self,
        namespace: &Arc<str>,
        object: Read,
    ) -> Result<Verdict, NotReady> {
        let namespace = Arc::clone(namespace);
        self.ask(|reply| Request::Judge {
            namespace,
            object,
            reply,
        })
        .await
    }

    /// Everything that is wrong with the configuration now.
    pub(crate) async fn problems(&self) -> Result<Vec<Problem>, NotReady> {
        self.ask(|reply| Request::Problems { reply }).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, NotReady> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.requests.send(request(reply)).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .ok()
            .flatten()
            .ok_or(NotReady)
    }
}
