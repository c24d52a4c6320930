//! The pages of the node agent: admin (15000, the node's loopback), metrics (15020), readiness
//! (15021). Paths are those of Istio's node proxy.
//!
//! Invariant: they change nothing. Whoever runs on the node can ask for them, root or not.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_identity::Credential;
use ambit_kit::clock;
use ambit_kit::logs::Logs;
use ambit_kit::metrics::Registry;
use ambit_kit::pages::{Ask, Page, Routes};
use ambit_model::{Policy, Service, SpiffeId, TrustDomain, Workload};
use serde::Serialize;

use super::datapath::DataPath;
use super::feed::FeedState;
use super::gauges::Gauges;
use super::pods::{LocalPod, LocalPods};
use super::succession::PageRoutes;
use crate::ports;

/// Connections listed on one page: enough for a person, little enough for a browser.
const LISTED_CONNECTIONS: usize = 10_000;

/// What the pages show.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// What the connections share.
    pub(crate) path: Arc<DataPath>,
    /// The pods of this node.
    pub(crate) pods: Arc<LocalPods>,
    /// What came over the feed.
    pub(crate) feed: Arc<FeedState>,
    /// True once traffic is served.
    pub(crate) ready: tokio::sync::watch::Receiver<bool>,
    /// Number of this generation.
    pub(crate) generation: u64,
}

/// The pages of each port.
pub(crate) fn routes_of(shown: Shown, registry: Arc<Registry>, logs: Logs) -> PageRoutes {
    Box::new(move |port| match port {
        ports::ADMIN => Some(admin(&shown, Arc::clone(&registry), logs.clone())),
        ports::METRICS => Some(metrics(&shown, Arc::clone(&registry))),
        ports::READY => Some(readiness(&shown)),
        _ => None,
    })
}

/// The admin pages.
fn admin(shown: &Shown, registry: Arc<Registry>, logs: Logs) -> Routes {
    let (config, connections) = (shown.clone(), shown.clone());
    metrics(shown, registry)
        .get(
            "/config_dump",
            "the model, certificates and pods as JSON",
            move |_: Ask| config_dump(&config),
        )
        .get(
            "/debug/connections",
            "open connections as JSON",
            move |_: Ask| Page::json(&connections.path.connections.list(LISTED_CONNECTIONS)),
        )
        .get("/logging", "the log level in force", move |_: Ask| {
            Page::text(format!("{}\n", logs.level()))
        })
}

/// The metrics pages.
fn metrics(shown: &Shown, registry: Arc<Registry>) -> Routes {
    let page = {
        let path = Arc::clone(&shown.path);
        move |ask: Ask| {
            path.book();
            let (content_type, text) = registry.render(ask.accept.as_deref());
            Page::new(http::StatusCode::OK, content_type, text)
        }
    };
    Routes::new()
        .get(
            "/metrics",
            "counters and gauges for Prometheus",
            page.clone(),
        )
        .get("/stats/prometheus", "the same as /metrics", page)
}

/// The readiness page.
fn readiness(shown: &Shown) -> Routes {
    let ready = shown.ready.clone();
    Routes::new().get(
        "/healthz/ready",
        "200 once traffic is served",
        move |_: Ask| {
            if *ready.borrow() {
                Page::text("ready\n")
            } else {
                Page::not_ready("the first model from the control plane has not come yet\n")
            }
        },
    )
}

/// Everything that `/metrics` shows.
pub(crate) fn registry(shown: &Shown) -> Registry {
    let registry = Registry::new();
    registry.register_collector(Box::new(shown.path.ledger.clone()));
    registry.register_collector(Box::new(shown.path.names.durations.clone()));
    registry.register_collector(Box::new(Gauges {
        path: Arc::clone(&shown.path),
        pods: Arc::clone(&shown.pods),
        feed: Arc::clone(&shown.feed),
    }));
    registry
}

/// `/config_dump`. Written by a serializer from the root on, so that what cannot be written is an
/// error page and not a panic.
#[derive(Serialize)]
struct Dump<'a> {
    generation: u64,
    egress: String,
    control_plane: ControlPlane,
    trust: Option<Trust>,
    certificates: Vec<Certificate>,
    pods: Vec<Pod>,
    workloads: Vec<&'a Workload>,
    services: Vec<&'a Service>,
    policies: Vec<&'a Policy>,
}

#[derive(Serialize)]
struct ControlPlane {
    connected: bool,
    since_unix_ms: i64,
    rejected: Vec<String>,
}

#[derive(Serialize)]
struct Trust {
    trust_domain: TrustDomain,
    roots: usize,
}

#[derive(Serialize)]
struct Certificate {
    identity: SpiffeId,
    serial: String,
    valid_from: String,
    valid_until: String,
}

#[derive(Serialize)]
struct Pod {
    uid: Arc<str>,
    identity: SpiffeId,
    addresses: Vec<IpAddr>,
    connections: usize,
}

fn config_dump(shown: &Shown) -> Page {
    let (path, feed) = (&shown.path, &shown.feed);
    let mesh = path.mesh();
    let status = *feed.status.lock();
    let certificate = |credential: &Arc<Credential>| Certificate {
        identity: credential.id().clone(),
        serial: credential.serial().to_owned(),
        valid_from: clock::rfc3339(credential.not_before()),
        valid_until: clock::rfc3339(credential.not_after()),
    };
    let pod = |pod: &Arc<LocalPod>| Pod {
        uid: Arc::clone(&pod.uid),
        identity: pod.identity.clone(),
        addresses: pod.ips.clone(),
        connections: path.connections.count(Some(&pod.uid)),
    };
    Page::json(&Dump {
        generation: shown.generation,
        egress: path.egress.to_string(),
        control_plane: ControlPlane {
            connected: status.connected,
            since_unix_ms: status.since_unix_ms,
            rejected: feed.rejected.lock().clone(),
        },
        trust: path.identities.trust().map(|trust| Trust {
            trust_domain: trust.trust_domain().clone(),
            roots: trust.root_count(),
        }),
        certificates: path.identities.list().iter().map(certificate).collect(),
        pods: shown.pods.all().iter().map(pod).collect(),
        workloads: mesh.workloads().map(|w| &**w).collect(),
        services: mesh.services().map(|s| &**s).collect(),
        policies: mesh.policies().map(|p| &**p).collect(),
    })
}

#[cfg(test)]
mod tests;
