//! The pages of a waypoint: metrics (15020), readiness (15021), administration (15000, the pod's
//! loopback). They change nothing.
//!
//! Metrics and readiness are shown in tunnels as well ([`Own`]): the agent of a captured scraper
//! takes a tunnel to this pod, as it does to any other that takes them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambit_kit::metrics::Registry;
use ambit_kit::pages::{self, Ask, Page, Routes};
use ambit_kit::process::ProcessMetrics;
use ambit_kit::sources::{Share, Sources};
use ambit_telemetry::Telemetry;
use ambit_tunnel::Pipe;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::drain::{Drain, Step};
use crate::identity::Identity;
use crate::proxy::Proxy;
use crate::upstream::link::Linker;

/// Connections in tunnels to the waypoint's own pages, at once.
const MOST: usize = 64;
/// The same of one client.
const OF_ONE: usize = 8;

/// What metrics and readiness are told from.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) registry: Registry,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) linker: Linker,
    pub(crate) identity: Identity,
    /// True once the control plane has told everything.
    pub(crate) complete: watch::Receiver<bool>,
    /// How far the waypoint is on its way out.
    pub(crate) drain: Arc<Drain>,
}

/// The pages that anybody may ask for.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) metrics: Arc<Routes>,
    pub(crate) ready: Arc<Routes>,
}

impl Pages {
    /// The pages of a waypoint that is shown from this.
    pub(crate) fn new(shown: &Shown) -> Self {
        shown.registry.register_collector(Box::new(ProcessMetrics));
        shown.telemetry.register(&shown.registry);
        Self {
            metrics: Arc::new(metrics(shown)),
            ready: Arc::new(ready(shown)),
        }
    }
}

/// The pages that this pod shows on its own address, by their ports.
#[derive(Debug)]
pub(crate) struct Own {
    address: IpAddr,
    pages: [(u16, Arc<Routes>); 2],
    turns: Semaphore,
    clients: Sources,
    stop: CancellationToken,
}

impl Own {
    /// The pages of this pod.
    pub(crate) fn new(args: &Args, pages: &Pages) -> Self {
        Self {
            address: args.pod_ip.to_canonical(),
            pages: [
                (args.metrics.port(), Arc::clone(&pages.metrics)),
                (args.ready.port(), Arc::clone(&pages.ready)),
            ],
            turns: Semaphore::new(MOST),
            clients: Sources::new(OF_ONE),
            stop: CancellationToken::new(),
        }
    }

    /// Connections to them end after what is asked for now.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// The address of this pod.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// What is shown at this address.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<&Arc<Routes>> {
        let mut pages = self.pages.iter();
        let (_, routes) = pages.find(|(port, _)| *port == address.port())?;
        (address.ip().to_canonical() == self.address).then_some(routes)
    }

    /// A client's share in them, for one connection; `None` if it has all that it may.
    pub(crate) fn share(&self, client: IpAddr) -> Option<Share> {
        self.clients.take(client)
    }

    /// Shows pages on a connection to its end; it waits while there are too many.
    pub(crate) async fn show(&self, routes: &Arc<Routes>, connection: Pipe, _share: Share) {
        let Ok(_turn) = self.turns.acquire().await else {
            return;
        };
        pages::serve_one(connection, Arc::clone(routes), self.stop.clone()).await;
    }
}

/// The metrics page.
fn metrics(shown: &Shown) -> Routes {
    let (registry, linker) = (shown.registry.clone(), shown.linker.clone());
    let telemetry = Arc::clone(&shown.telemetry);
    let booked = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let page = move |ask: Ask| {
        let stats = linker.stats();
        let results = [("ok", stats.handshakes), ("failed", stats.failures)];
        for (booked, (result, now)) in booked.iter().zip(results) {
            let before = booked.fetch_max(now, Ordering::Relaxed);
            telemetry.handshakes("client", result, now.saturating_sub(before));
        }
        let (content_type, text) = registry.render(ask.accept.as_deref());
        Page::new(http::StatusCode::OK, content_type, text)
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
fn ready(shown: &Shown) -> Routes {
    let (identity, complete) = (shown.identity.clone(), shown.complete.clone());
    let drain = Arc::clone(&shown.drain);
    Routes::new().get("/healthz/ready", "200 once traffic is served", move |_| {
        if drain.has_reached(Step::Leaving) {
            Page::not_ready("stopping\n")
        } else if !*complete.borrow() {
            Page::not_ready("the control plane has not told everything yet\n")
        } else if identity.papers().is_none() {
            Page::not_ready("there is no certificate yet\n")
        } else {
            Page::text("ready\n")
        }
    })
}

/// The admin pages.
pub(crate) fn admin(proxy: Arc<Proxy>) -> Routes {
    Routes::new().get("/config_dump", "what is known", move |_| {
        let view = proxy.view();
        let services: Vec<_> = view.mesh.services().map(|s| &**s).collect();
        let workloads: Vec<_> = view.mesh.workloads().map(|w| &**w).collect();
        let policies: Vec<_> = view.mesh.policies().map(|p| &**p).collect();
        let routes: Vec<_> = view.mesh.all_routes().map(|r| &**r).collect();
        let authentications: Vec<_> = view.mesh.authentications().map(|a| &**a).collect();
        Page::json(&serde_json::json!({
            "services": services, "workloads": workloads, "policies": policies,
            "routes": routes, "authentications": authentications,
        }))
    })
}

#[cfg(test)]
mod tests;
