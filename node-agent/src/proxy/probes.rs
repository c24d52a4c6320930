//! Probes of the kubelet: plaintext from the node's own address that policy refuses and that is
//! let in all the same, if the host role says that the flow is one of the kubelet's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_wire::node::ProbeAnswer;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::pods::LocalPod;
use crate::link::{PodUid, ToHost};

/// How long the host role may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions under way: far more than a node has probes at a time.
const QUESTIONS: usize = 1024;
/// Questions under way about one pod: whoever connects to it by the node's address can have them
/// asked, and must not have those about other pods left unanswered.
const QUESTIONS_OF_A_POD: usize = 32;

/// One flow: the pod's uid, where the flow comes from, and the port in the pod.
type Flow = (Arc<str>, SocketAddr, u16);

/// Questions to the host role.
#[derive(Debug)]
pub(crate) struct Probes {
    asked: mpsc::Sender<ToHost>,
    waiting: Mutex<HashMap<Flow, oneshot::Sender<bool>>>,
}

impl Probes {
    /// Nothing asked yet; questions come out of the channel.
    pub(crate) fn new() -> (Self, mpsc::Receiver<ToHost>) {
        let (asked, questions) = mpsc::channel(QUESTIONS);
        let waiting = Mutex::default();
        (Self { asked, waiting }, questions)
    }

    /// Whether a flow is a probe; no answer in time means no.
    pub(crate) async fn is_probe(&self, pod: &LocalPod, source: SocketAddr, port: u16) -> bool {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        if !pod.node_ips.contains(&source.ip()) {
            return false;
        }
        let Ok(pod_uid) = PodUid::new(&pod.uid) else {
            return false;
        };
        let flow = (Arc::clone(&pod.uid), source, port);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            let of_pod = waiting.keys().filter(|flow| flow.0 == pod.uid).count();
            if of_pod >= QUESTIONS_OF_A_POD || waiting.len() >= QUESTIONS {
                return false;
            }
            waiting.insert(flow.clone(), sender);
        }
        let question = ToHost::AskProbe {
            pod_uid,
            source,
            port,
        };
        let answered = async {
            self.asked.send(question).await.ok()?;
            answer.await.ok()
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        self.waiting.lock().remove(&flow);
        answered.ok().flatten().unwrap_or(false)
    }

    /// Takes the host role's answer.
    pub(crate) fn answered(&self, answer: &ProbeAnswer) {
        let (Ok(source), Ok(port)) = (answer.source.parse(), u16::try_from(answer.port)) else {
            return;
        };
        let flow = (answer.pod_uid.as_str().into(), source, port);
        if let Some(waiting) = self.waiting.lock().remove(&flow) {
            // Whoever asked may have given up.
            waiting.send(answer.is_probe).ok();
        }
    }
}

#[cfg(test)]
mod tests;
