//! Where each pod stands with the mesh: captured, not yet, or not to be. Pure: what the objects say
//! by the very rules of the control plane.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Event;
use serde::Serialize;

use crate::cluster::redirection::ANNOTATION;
use crate::config::objects::pod::Pod;
use crate::config::objects::{Kind, ObjectKey};
use crate::config::{Configuration, PodOnNode, translate};

/// Why a pod of an enrolled namespace is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LeftOut {
    /// It shares the network of its node.
    HostNetwork,
    /// Its own label says so.
    ItsLabel,
    /// It has a proxy of its own.
    Sidecar,
}

/// Where a pod stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// To be captured, and is.
    Captured,
    /// To be captured, and has not started yet: it starts when it is captured.
    Starting,
    /// To be captured, runs, and is not.
    Pending,
    /// No longer to be captured, and still is.
    Releasing,
    /// Of an enrolled namespace, and not to be captured.
    LeftOut(LeftOut),
}

/// One pod of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PodStanding {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) uid: Arc<str>,
    pub(super) node: Arc<str>,
    pub(super) standing: Standing,
    /// Why it is not captured, as its agent says.
    pub(super) why: Option<String>,
    /// Connections that are older than its capture; unknown if nobody tells.
    pub(super) older_connections: Option<u32>,
    /// When it was made, RFC 3339.
    #[serde(skip)]
    pub(super) created: Option<Arc<str>>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNetwork => "on the network of its node",
            Self::ItsLabel => "its own label opts it out",
            Self::Sidecar => "it has a proxy of its own",
        })
    }
}

/// Every pod that the mesh has to do with, in order; pods that have ended are none.
pub(super) fn of_pods(configuration: &Configuration) -> Vec<PodStanding> {
    let enrolled = configuration.enrolled_namespaces();
    let objects = configuration.objects();
    let stand = |described: PodOnNode| {
        let key = ObjectKey::new(
            Kind::Pod,
            Arc::clone(&described.namespace),
            Arc::clone(&described.name),
        );
        let pod = objects.pod(&key)?;
        let is_of_mesh = enrolled.contains(&described.namespace);
        let standing = standing(&described, pod, is_of_mesh)?;
        let node = pod.spec.node_name.as_ref();
        Some(PodStanding {
            node: node.map_or_else(|| "".into(), |node| node.shared()),
            created: pod.metadata.creation_timestamp.clone(),
            namespace: described.namespace,
            name: described.name,
            uid: described.uid,
            standing,
            why: None,
            older_connections: None,
        })
    };
    let mut pods: Vec<PodStanding> = configuration.pods().filter_map(stand).collect();
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    pods
}

fn standing(described: &PodOnNode, pod: &Pod, is_of_mesh: bool) -> Option<Standing> {
    let marked = pod.metadata.annotation(ANNOTATION);
    let (is_captured, is_refused) = (
        translate::is_recorded(pod),
        marked.is_some_and(|mark| &**mark == "pending"),
    );
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(match (described.enrolled, is_captured) {
        (true, true) => Standing::Captured,
        (false, true) => Standing::Releasing,
        (true, false) if is_refused || pod.status.phase.as_deref() == Some("Running") => {
            Standing::Pending
        }
        (true, false) => Standing::Starting,
        (false, false) if is_of_mesh => Standing::LeftOut(left_out(described, pod)),
        (false, false) => return None,
    })
}

fn left_out(described: &PodOnNode, pod: &Pod) -> LeftOut {
    let opted = |label: &&str| pod.metadata.labels.contains_key(*label);
    if described.host_network {
        LeftOut::HostNetwork
    } else if translate::LABELS.iter().any(opted) {
        LeftOut::ItsLabel
    } else {
        LeftOut::Sidecar
    }
}

/// Why pods, by uid, are not captured: the last word of events about that.
pub(super) fn reasons(events: &[Event]) -> BTreeMap<String, String> {
    let mut last: BTreeMap<String, (String, String)> = BTreeMap::new();
    for event in events {
        let (Some(uid), Some(message)) = (&event.involved_object.uid, &event.message) else {
            continue;
        };
        let at = event.last_timestamp.as_ref().map(|at| at.0.to_string());
        let at = at.unwrap_or_default();
        if last.get(uid).is_none_or(|(known, _)| *known <= at) {
            let why = message.split_once(": ").map_or(&**message, |(_, why)| why);
            last.insert(uid.clone(), (at, why.to_owned()));
        }
    }
    last.into_iter().map(|(uid, (_, why))| (uid, why)).collect()
}

/// How many older connections each pod, by uid, has; from the page `/debug/captures` of every
/// control plane, each of which knows the agents that are connected to it.
pub(super) fn older_connections(pages: &[&str]) -> Option<BTreeMap<String, u32>> {
    #[derive(serde::Deserialize)]
    struct Reported {
        uid: String,
        older_connections: u32,
    }
    let mut all = BTreeMap::new();
    for page in pages {
        let nodes: BTreeMap<String, Vec<Reported>> = serde_json::from_str(page).ok()?;
        let pods = nodes.into_values().flatten();
        all.extend(pods.map(|pod| (pod.uid, pod.older_connections)));
    }
    Some(all)
}

#[cfg(test)]
pub(super) mod tests;
