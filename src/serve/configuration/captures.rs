//! What agents say of captured pods, and what is recorded of it: here, or on the pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_kit::files::FileError;
use ambit_model::{TunnelProtocol, Workload};
use tokio::sync::oneshot;

use super::{CaptureChange, CaptureReply, Keeper, Redirection, answer_to};
use crate::config::PodOnNode;
use crate::serve::claims::ClaimError;

/// What became of one agent's change, and who waits to hear it.
pub(super) type Captured = (Arc<str>, CaptureReply, oneshot::Sender<CaptureReply>);

impl Keeper {
    /// Publishes changes that were applied, keeps the claims, and answers.
    pub(super) async fn record(&mut self, captures: Vec<Captured>) {
        self.publish();
        if self.marker.is_none() {
            self.metrics.captured_pods(self.claims.iter().count());
        }
        let nodes: BTreeSet<&Arc<str>> = captures.iter().map(|(node, ..)| node).collect();
        for node in nodes {
            if let Err(error) = self.keep(node).await {
                tracing::error!(%node, %error, "captured pods are not kept over a restart");
            }
        }
        for (_node, mut answer, reply) in captures {
            answer.sequence = self.publisher.sequence();
            answer_to(reply, answer);
        }
    }

    async fn keep(&self, node: &str) -> Result<(), FileError> {
        let (files, node, claims) = (self.files.clone(), node.to_owned(), self.claims.of(node));
        let kept = tokio::task::spawn_blocking(move || files.keep(&node, &claims)).await;
        // The runtime ends: so does this task.
        kept.unwrap_or(Ok(()))
    }

    /// Applies what an agent says.
    pub(super) fn capture(&mut self, node: &Arc<str>, change: CaptureChange) -> CaptureReply {
        let mut reply = CaptureReply::default();
        match change {
            CaptureChange::Captured(pods) => {
                for (uid, pod) in pods {
                    self.claim(node, uid, &pod, &mut reply);
                }
            }
            CaptureChange::Withdrawn(uid) => self.withdraw(node, &uid),
            CaptureChange::Settled(all) => {
                let mut claimed: BTreeSet<_> = self.claims.of(node).into_keys().collect();
                if self.marker.is_some() {
                    claimed.extend(self.configuration.recorded_on(node).map(|pod| pod.uid));
                }
                for uid in claimed.iter().filter(|uid| !all.contains(&***uid)) {
                    self.withdraw(node, uid);
                }
            }
            CaptureChange::Failed(uid, why) => {
                if let (Some(marker), Some(pod)) = (&self.marker, self.pod_on(node, &uid)) {
                    marker.mark(&pod, Redirection::Pending(why));
                }
            }
        }
        reply
    }

    fn claim(&mut self, node: &Arc<str>, uid: String, pod: &str, reply: &mut CaptureReply) {
        let home = self.configuration.node_of_pod(&uid);
        if let Some(home) = home.as_ref().filter(|home| *home != node) {
            // A reminder has no name with it.
            let known = self.configuration.pod_of_uid(&uid);
            let name = known.map(|pod| format!("{}/{}", pod.namespace, pod.name));
            let name = name.as_deref().unwrap_or(pod);
            let why = format!("pod {name} runs on node {home}, not on {node}");
            reply.refused.push((uid, why));
            return;
        }
        if self.marker.is_some() {
            return self.claim_on_pod(uid, home.is_some(), reply);
        }
        match self.claims.add(node, &uid, pod) {
            Err(error @ (ClaimError::TooMany | ClaimError::Uid)) => {
                reply.refused.push((uid, error.to_string()));
            }
            Ok(_new) if home.is_none() => reply.pending.push(uid),
            Ok(_new) => {
                let changes = self.configuration.set_captured(&uid, true);
                self.take_changes(changes);
                reply.recorded.push(uid);
            }
        }
    }

    /// Has a capture written on its pod, where every replica sees it.
    fn claim_on_pod(&mut self, uid: String, is_known: bool, reply: &mut CaptureReply) {
        let changes = self.configuration.set_withheld(&uid, false);
        self.take_changes(changes);
        let advertised = |workload: &Arc<Workload>| workload.protocol == TunnelProtocol::Hbone;
        let workload = self.configuration.mesh().workload_by_pod_uid(&uid);
        if workload.is_some_and(advertised) {
            return reply.recorded.push(uid);
        }
        if is_known
            && let (Some(marker), Some(pod)) = (&self.marker, self.configuration.pod_of_uid(&uid))
        {
            marker.mark(&pod, Redirection::Enabled);
        }
        reply.pending.push(uid);
    }

    fn withdraw(&mut self, node: &Arc<str>, uid: &str) {
        if let Some(marker) = &self.marker {
            // Of a pod that is not known, or is gone, nothing is advertised and nothing is kept.
            let Some(pod) = self.pod_on(node, uid) else {
                return;
            };
            // This replica stops advertising at once, the others when they see the record gone.
            marker.mark(&pod, Redirection::Absent);
            let changes = self.configuration.set_withheld(uid, true);
            self.take_changes(changes);
            return;
        }
        let home = self.configuration.node_of_pod(uid);
        if self.claims.remove(node, uid) && home.is_none_or(|home| home == *node) {
            let changes = self.configuration.set_captured(uid, false);
            self.take_changes(changes);
        }
    }

    /// The pod of that uid, if it is one of the node's.
    fn pod_on(&self, node: &Arc<str>, uid: &str) -> Option<PodOnNode> {
        let home = self.configuration.node_of_pod(uid)?;
        self.configuration.pod_of_uid(uid).filter(|_| home == *node)
    }
}
