//! What is to be written on pods, for everybody to see: whether their traffic is redirected.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::PodOnNode;

/// Marks ahead of whoever writes them: every pod of several full nodes.
pub(crate) const MARKS: usize = 4096;

/// What is to stand on one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Kubernetes' own uid: another pod of that name is not meant.
    pub(crate) uid: Arc<str>,
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// What is to be written.
    pub(crate) redirection: Redirection,
}

/// Whether the traffic of a pod is redirected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirection {
    /// It is: peers may tunnel to it.
    Enabled,
    /// It should be and is not, for this reason.
    Pending(String),
    /// It is not, and should not be.
    Absent,
}

/// The way to whoever writes marks.
#[derive(Clone, Debug)]
pub(crate) struct Marker(pub(crate) mpsc::Sender<Mark>);

impl Marker {
    /// Has it written; a mark that finds no room is written with the pod's next change.
    pub(super) fn mark(&self, pod: &PodOnNode, redirection: Redirection) {
        let mark = Mark {
            uid: Arc::clone(&pod.uid),
            namespace: Arc::clone(&pod.namespace),
            name: Arc::clone(&pod.name),
            redirection,
        };
        if let Err(error) = self.0.try_send(mark) {
            tracing::error!(pod = %pod.uid, %error, "a pod's redirection is not written on it");
        }
    }
}
