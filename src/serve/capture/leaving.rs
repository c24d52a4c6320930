//! The mesh leaves its nodes before it is uninstalled: whether that has been asked for, and whom to
//! tell which node it has left.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

/// The seam between agents' streams and whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    /// True from the moment on that it is asked for.
    pub(crate) asked: watch::Receiver<bool>,
    /// Takes the names of nodes that it has left.
    pub(crate) left: mpsc::Sender<Arc<str>>,
}

impl Leaving {
    /// Tells that a node has been left; what finds no room is told with the agent's next stream.
    pub(super) fn has_left(&self, node: &Arc<str>) {
        tracing::info!(%node, "the mesh has left the node");
        if let Err(error) = self.left.try_send(Arc::clone(node)) {
            tracing::error!(%node, %error, "that is not passed on");
        }
    }

    /// Resolves when it is asked for; where nobody can ask, never.
    pub(super) async fn asked(leaving: &mut Option<Self>) {
        if let Some(leaving) = leaving
            && leaving.asked.wait_for(|asked| *asked).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
