//! The mesh of a running cluster, with the rights of whoever asks: its processes' pages and its
//! objects.
//!
//! The admin pages listen on loopback addresses on purpose: 15000 of an agent on that of its node,
//! 15016 of a control plane on that of its pod. They are reached by port-forward, for which the
//! container runtime connects from within the pod's network, also where that is the node's own. The
//! API server's proxy (`pods/proxy`) would connect to the pod's address, where nobody answers.

mod names;
mod objects;
mod page;

use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};

use super::access::{Access, AccessError};
use crate::cluster::call::{CallError, call};
use crate::mesh_names::MeshNames;

pub(super) use self::objects::{LiveObjects, read};
pub(super) use self::page::PageError;

/// Labels of the agents' pods, and of the control plane's.
pub(super) const AGENTS: &str = "app.kubernetes.io/name=ambit-node-agent";
pub(super) const CONTROL_PLANES: &str = "app.kubernetes.io/name=ambit-control-plane";
/// Ports of the admin pages.
pub(super) const AGENT_ADMIN: u16 = 15000;
pub(super) const CONTROL_PLANE_ADMIN: u16 = 15016;
/// Pages asked for at once.
const AT_ONCE: usize = 16;
/// Longest wait for one page.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which mesh.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Cluster {
    /// Namespace of the mesh
    #[arg(
        long = "mesh-namespace",
        env = "AMBIT_NAMESPACE",
        default_value = "ambit-system"
    )]
    pub namespace: String,
    /// The cluster
    #[command(flatten)]
    pub access: Access,
}

/// A page of a process: pod, port and path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) pod: String,
    pub(super) port: u16,
    pub(super) path: &'static str,
}

/// The way to a mesh.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl Live {
    /// Nothing is asked yet.
    pub(super) async fn new(cluster: &Cluster) -> Result<Self, AccessError> {
        Ok(Self {
            client: cluster.access.client().await?,
            namespace: cluster.namespace.clone(),
        })
    }

    /// Names as the control plane has them; those given, and why, if they cannot be read.
    pub(super) async fn names(&self, given: &MeshNames) -> (MeshNames, Option<String>) {
        names::of_control_plane(&self.client, &self.namespace, given).await
    }

    /// Pods of the mesh itself, by label.
    pub(super) async fn pods(&self, label: &str) -> Result<Vec<Pod>, CallError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let parameters = ListParams::default().labels(label);
        Ok(call(pods.list(&parameters)).await?.items)
    }

    /// The text of a page.
    pub(super) async fn page(&self, wanted: &Wanted) -> Result<String, PageError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        match tokio::time::timeout(PATIENCE, Box::pin(page::fetch(&pods, wanted))).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(PageError::Late(PATIENCE)),
        }
    }

    /// Many pages, a bounded number at once; in any order.
    pub(super) async fn pages(
        &self,
        wanted: Vec<Wanted>,
    ) -> Vec<(Wanted, Result<String, PageError>)> {
        let asked = wanted.into_iter().map(|wanted| async move {
            let answer = self.page(&wanted).await;
            (wanted, answer)
        });
        let asked = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
        Box::pin(asked.collect()).await
    }
}

/// These pages of those that run and are not about to end.
pub(super) fn pages_of<'a>(
    pods: impl IntoIterator<Item = &'a Pod>,
    port: u16,
    paths: &[&'static str],
) -> Vec<Wanted> {
    let alive = pods.into_iter().filter(|pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
    });
    let names = alive.filter_map(|pod| pod.metadata.name.clone());
    names
        .flat_map(|pod| {
            paths.iter().map(move |path| Wanted {
                pod: pod.clone(),
                port,
                path,
            })
        })
        .collect()
}

/// What a pod's condition `Ready` says.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The node that a pod runs on; empty if it has none yet.
pub(super) fn node_of(pod: &Pod) -> &str {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}
