//! Finds out the facts: objects from the API server, pages from the processes.

use std::collections::BTreeMap;
use std::time::Duration;

use ambit_kit::clock;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};

use super::pages::Streams;
use super::report::Facts;
use crate::cli::live::{
    AGENT_ADMIN, AGENTS, CONTROL_PLANE_ADMIN, CONTROL_PLANES, Live, LiveObjects, Wanted, pages_of,
    read,
};
use crate::cli::standing;
use crate::cluster::call::{CallError, call};
use crate::config::objects::Kind;
use crate::config::problem::Problem;
use crate::mesh_names::MeshNames;

/// What tells whom the mesh captures, and what is wrong with its policies.
const KINDS: &[Kind] = &[
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::NetworkPolicy,
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::RequestAuthentication,
];
/// Pages of a control plane.
const PAGES: &[&str] = &["/metrics", "/ca", "/debug/agents", "/debug/captures"];
/// The Lease of the leader.
const LEASE: &str = "ambit-control-plane";
/// An agent that is behind for longer is stale.
const CATCHING_UP: Duration = Duration::from_secs(2);

/// Asks everybody.
pub(super) async fn facts(live: &Live, names: &MeshNames) -> Facts {
    let said = |error: CallError| error.to_string();
    let control_planes = live.pods(CONTROL_PLANES).await.map_err(said);
    let agents = live.pods(AGENTS).await.map_err(said);
    let mut wanted = pages_of(control_planes.iter().flatten(), CONTROL_PLANE_ADMIN, PAGES);
    wanted.extend(pages_of(
        agents.iter().flatten(),
        AGENT_ADMIN,
        &["/metrics"],
    ));
    let (answers, objects, leader, events) = tokio::join!(
        Box::pin(live.pages(wanted)),
        Box::pin(read(live, KINDS, names)),
        Box::pin(leader(live)),
        Box::pin(events(live)),
    );
    let pages: BTreeMap<_, _> = answers
        .into_iter()
        .map(|(wanted, page)| ((wanted.pod, wanted.path), page.map_err(|e| e.to_string())))
        .collect();
    let LiveObjects {
        configuration,
        agents: agent_set,
        documents,
        unread,
    } = objects;
    let mut facts = Facts {
        now: i64::try_from(clock::unix_seconds(clock::wall())).unwrap_or(i64::MAX),
        control_planes,
        agents,
        agent_nodes: agent_set.map(|set| set.nodes),
        nodes: configuration.nodes().map(ToString::to_string).collect(),
        leader,
        pages,
        later: BTreeMap::new(),
        pods: standing::of_pods(&configuration),
        namespaces: configuration
            .enrolled_namespaces()
            .iter()
            .map(ToString::to_string)
            .collect(),
        problems: seen_whole(configuration.problems()),
        policies: documents
            .into_iter()
            .filter(|(kind, _)| kind.is_policy())
            .map(|(_, document)| document)
            .collect(),
        unread,
    };
    facts.complete(&events);
    facts.later = Box::pin(later(live, &facts)).await;
    facts
}

/// Without those of which too little is read here to be told: keys of issuers and waypoints are known to the control
/// plane, which has written what it found into the objects' status.
fn seen_whole(mut problems: Vec<Problem>) -> Vec<Problem> {
    let unseen = Kind::RequestAuthentication.name();
    problems.retain(|problem| problem.object.split(' ').next() != Some(unseen));
    problems
}

impl Facts {
    /// Adds what others say of pods.
    fn complete(&mut self, events: &[Event]) {
        let reasons = standing::reasons(events);
        let pages = self.pages.iter();
        let captures: Vec<&str> = pages
            .filter(|((_, path), _)| *path == "/debug/captures")
            .filter_map(|(_, page)| page.as_deref().ok())
            .collect();
        let older = standing::older_connections(&captures).unwrap_or_default();
        for pod in &mut self.pods {
            pod.older_connections = older.get(&*pod.uid).copied();
            if pod.standing == standing::Standing::Pending {
                pod.why = reasons.get(&*pod.uid).cloned();
            }
        }
    }
}

async fn leader(live: &Live) -> Result<Option<(String, i64)>, String> {
    let leases: Api<Lease> = Api::namespaced(live.client.clone(), &live.namespace);
    let lease = match call(leases.get(LEASE)).await {
        Ok(lease) => lease,
        Err(CallError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    Ok(lease.spec.and_then(|spec| {
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty())?;
        Some((holder, spec.renew_time?.0.as_second()))
    }))
}

/// What agents say of pods that they cannot capture; without the right to see it, nothing.
async fn events(live: &Live) -> Vec<Event> {
    let events: Api<Event> = Api::all(live.client.clone());
    let failures = ListParams::default().fields("reason=NotCaptured");
    let found = call(events.list(&failures)).await;
    found.map(|found| found.items).unwrap_or_default()
}

/// Where an agent was behind, how far it is a moment later.
async fn later(live: &Live, facts: &Facts) -> BTreeMap<String, Streams> {
    let path = "/debug/agents";
    let behind = facts.pages.keys().filter(|(pod, found)| {
        let is_behind = |now: Streams| {
            let mut streams = now.streams.iter();
            streams.any(|stream| stream.acknowledged < now.sequence)
        };
        *found == path && facts.streams(pod).is_some_and(is_behind)
    });
    let wanted: Vec<Wanted> = behind
        .map(|(pod, _)| Wanted {
            pod: pod.clone(),
            port: CONTROL_PLANE_ADMIN,
            path,
        })
        .collect();
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    tokio::time::sleep(CATCHING_UP).await;
    let answers = live.pages(wanted).await;
    let read = |(wanted, page): (Wanted, Result<String, _>)| {
        let streams = serde_json::from_str(&page.ok()?).ok()?;
        Some((wanted.pod, streams))
    };
    answers.into_iter().filter_map(read).collect()
}
