//! The pages of the node agent: admin (15000, the node's loopback), metrics (15020), readiness
//! (15021). Paths are those of Istio's node proxy.

use std::sync::Arc;

use ambit_kit::logs::Logs;
use ambit_kit::metrics::Registry;
use ambit_kit::pages::{Ask, Page, Routes};
use serde_json::{Value, json};

use super::datapath::DataPath;
use super::feed::FeedState;
use super::gauges::Gauges;
use super::pods::LocalPods;

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

/// The admin pages.
pub(crate) fn admin(shown: &Shown, registry: Arc<Registry>, logs: Logs) -> Routes {
    let (config, connections) = (shown.clone(), shown.clone());
    let level = logs.clone();
    metrics(shown, registry)
        .get(
            "/config_dump",
            "the model, certificates and pods as JSON",
            move |_: Ask| Page::json(&config_dump(&config)),
        )
        .get(
            "/debug/connections",
            "open connections as JSON",
            move |_: Ask| Page::json(&connections.path.connections.list(LISTED_CONNECTIONS)),
        )
        .get("/logging", "the log level in force", move |_: Ask| {
            Page::text(format!("{}\n", level.level()))
        })
        .post(
            "/logging",
            "set the log level: ?level=info,ambit_node_agent=debug",
            move |ask: Ask| set_level(&logs, &ask),
        )
}

/// The metrics pages.
pub(crate) fn metrics(shown: &Shown, registry: Arc<Registry>) -> Routes {
    let page = {
        let path = Arc::clone(&shown.path);
        move |ask: Ask| {
            path.connections.book();
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
pub(crate) fn readiness(shown: &Shown) -> Routes {
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
    registry.register_collector(Box::new(Gauges {
        path: Arc::clone(&shown.path),
        pods: Arc::clone(&shown.pods),
        feed: Arc::clone(&shown.feed),
    }));
    registry
}

fn set_level(logs: &Logs, ask: &Ask) -> Page {
    let Some(level) = ask.parameter("level") else {
        return Page::bad_request("say which: POST /logging?level=debug\n");
    };
    match logs.set_level(&level) {
        Ok(()) => Page::text(format!("{}\n", logs.level())),
        Err(error) => Page::bad_request(format!("{error}\n")),
    }
}

fn config_dump(shown: &Shown) -> Value {
    let mesh = shown.path.mesh();
    let certificates: Vec<Value> = shown
        .path
        .identities
        .list()
        .iter()
        .map(|credential| {
            json!({
                "identity": credential.id(),
                "serial": credential.serial(),
                "valid_from": ambit_kit::clock::rfc3339(credential.not_before()),
                "valid_until": ambit_kit::clock::rfc3339(credential.not_after()),
            })
        })
        .collect();
    let pods: Vec<Value> = shown
        .pods
        .all()
        .iter()
        .map(|pod| json!({ "uid": pod.uid, "identity": pod.identity, "addresses": pod.ips }))
        .collect();
    let status = shown.feed.status.lock().clone();
    json!({
        "generation": shown.generation,
        "egress": format!("{:?}", shown.path.egress),
        "control_plane": {
            "connected": status.connected,
            "since_unix_ms": status.since_unix_ms,
            "rejected": *shown.feed.rejected.lock(),
        },
        "trust": shown.path.identities.trust().map(|trust| json!({
            "trust_domain": trust.trust_domain().as_str(),
            "roots": trust.root_count(),
        })),
        "certificates": certificates,
        "pods": pods,
        "workloads": mesh.workloads().collect::<Vec<_>>(),
        "services": mesh.services().collect::<Vec<_>>(),
        "policies": mesh.policies().collect::<Vec<_>>(),
    })
}
