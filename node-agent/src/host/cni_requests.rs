//! What the CNI plugin asks: pods that the container runtime is about to start, or ends.
//!
//! The runtime knows a pod's names and addresses, not whether it is of the mesh; that is a
//! [`Verdict`] of those who know the cluster. Only a verdict leads to a capture or to a pod that
//! starts without one: what nobody knows is refused, and the kubelet asks again.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::NetNs;

use super::agent_socket;
use super::api::{Answer, CniEnd, CniPod, EnrolRequest};
use super::names::PodUid;
use super::pods::{NamespaceId, PodState};
use super::roster::Verdict;
use super::state::Host;

/// How long ADD waits to be told of the pod.
const RECORD_TIME: Duration = Duration::from_millis(500);
/// The state in an answer about a pod that is not of the mesh.
const NOT_ENROLLED: &str = "not-enrolled";
/// The state in an answer about a pod of the mesh that could not be captured: the plugin lets it
/// start under no circumstances.
const NOT_CAPTURED: &str = "not-captured";

/// Why a request of the plugin was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum CniError {
    /// Nobody knows the pod.
    #[error(
        "whether pod {0} is of the mesh is not known on this node yet; see the agent's log for \
         whether the control plane is there"
    )]
    Unknown(PodUid),
    /// It should be captured.
    #[error("pod {0} is of the mesh but not captured; delete it, and a new one will be")]
    NotCaptured(PodUid),
    /// It is captured, but not where the runtime has it.
    #[error("pod {0} is captured in another network namespace than the runtime's")]
    OtherNamespace(PodUid),
}

impl CniError {
    fn answer(&self) -> Answer {
        let reason = match self {
            Self::Unknown(_) => "unknown_pod",
            Self::NotCaptured(_) => "not_captured",
            Self::OtherNamespace(_) => "other_namespace",
        };
        Answer::refused(reason, self)
    }
}

/// ADD: done when the pod is captured, or is none of ours.
pub(crate) async fn add(host: &Arc<Host>, pod: CniPod, descriptor: Option<OwnedFd>) -> Answer {
    // The control plane tells of a pod when it is bound to the node, so mostly before the runtime
    // does; without its word, the pod's namespace decides.
    let is_told = || host.roster.record(&pod.uid).is_some();
    host.wait_until(RECORD_TIME, is_told).await;
    if host.departure.asked.is_cancelled() {
        return Answer::in_state(NOT_ENROLLED);
    }
    match host.roster.verdict(&pod.uid, &pod.namespace) {
        Verdict::Leave => Answer::in_state(NOT_ENROLLED),
        Verdict::Unknown => CniError::Unknown(pod.uid).answer(),
        Verdict::Capture { service_account } => {
            let enrolment = enrolment(pod, service_account);
            let answer = agent_socket::enrol_as_asked(host, enrolment, descriptor).await;
            Answer {
                state: answer.state.or_else(|| Some(NOT_CAPTURED.to_owned())),
                ..answer
            }
        }
    }
}

/// CHECK: whether the pod is captured, if it should be, in the namespace that the runtime has.
pub(crate) fn check(host: &Host, pod: &CniPod, descriptor: Option<OwnedFd>) -> Answer {
    let held = host
        .pods
        .lock()
        .get(&pod.uid)
        .map(|held| (held.state, held.namespace));
    let asked = descriptor.and_then(|descriptor| NetNs::from_fd(descriptor).ok());
    let asked = asked.map(|netns| NamespaceId::of(&netns));
    match held {
        Some((PodState::Captured, found)) if asked.is_some_and(|asked| asked != found) => {
            CniError::OtherNamespace(pod.uid.clone()).answer()
        }
        Some((PodState::Captured, _)) => Answer::in_state(PodState::Captured.word()),
        _ if matches!(
            host.roster.verdict(&pod.uid, &pod.namespace),
            Verdict::Capture { .. }
        ) =>
        {
            CniError::NotCaptured(pod.uid.clone()).answer()
        }
        _ => Answer::in_state(NOT_ENROLLED),
    }
}

/// DEL: the pod's namespace still exists, and goes without another word: `vanished` notices.
pub(crate) fn del(end: &CniEnd) -> Answer {
    tracing::debug!(pod = %end.uid, container = %end.container, "the runtime ends a pod");
    Answer::done()
}

/// A service account that is not known is empty for all roles.
fn enrolment(pod: CniPod, service_account: Option<String>) -> EnrolRequest {
    EnrolRequest {
        netns: pod.netns,
        uid: pod.uid,
        namespace: pod.namespace,
        name: pod.name,
        service_account: service_account.unwrap_or_default(),
        ips: pod.ips,
    }
}

#[cfg(test)]
mod tests;
