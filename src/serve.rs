//! The serving half of the control plane: discovery, certificates and capture over TLS on 15012,
//! metrics and readiness on 15014, the admission webhook on 15017.
//!
//! ```text
//!  source --batches--> configuration task --Publication--> discovery streams --> agents
//!                        ^  one owner         (watch)          |
//!                        |                                     v
//!  agents --reports--> capture streams <----- acknowledged ----+ progress
//!  agents --requests-> certificates ---> authority (crate::ca)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `configuration.rs` | the one task that owns configuration and claims, and publishes |
//! | `publication.rs` | what is published: persistent maps and a short log of changes |
//! | `subscription.rs`, `scope.rs` | what one stream is sent, in which order: machines without I/O |
//! | `discovery.rs`, `progress.rs` | streams of agents, and how far they have come |
//! | `capture.rs`, `claims.rs` | which pods agents captured; the trust bundle |
//! | `certificates.rs` | signs for agents what is theirs |
//! | `gate.rs`, `caller.rs` | who calls, and who is refused |
//! | `tokens.rs` | node tokens of our own |
//! | `agents.rs`, `caller_pods.rs` | tokens of a cluster, bound to the agents' pods |
//! | `webhook.rs` | judges policies before they are written |
//! | `tls.rs`, `pages.rs`, `metrics.rs` | ports and what they show |
//!
//! Invariants: no call passes without an agent's token; nothing is served before everything was read
//! once; HBONE is advertised for a pod only while its own node's agent claims it.

mod agents;
mod caller;
mod caller_pods;
mod capture;
mod certificates;
mod claims;
mod configuration;
mod discovery;
mod gate;
mod metrics;
mod pages;
mod progress;
mod publication;
mod scope;
mod subscription;
mod tls;
mod tokens;
mod webhook;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::files::FileError;
use ambit_kit::logs::Logs;
use ambit_kit::metrics::Registry;
use ambit_kit::process::ProcessMetrics;
use ambit_kit::seldom::Seldom;
use ambit_kit::sources;
use ambit_kit::tasks::Tasks;
use ambit_wire::ca::istio_certificate_service_server::IstioCertificateServiceServer;
use ambit_wire::discovery::aggregated_discovery_service_server::AggregatedDiscoveryServiceServer;
use ambit_wire::node::capture_server::CaptureServer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use self::agents::Agents;
use self::caller::Reason;
use self::capture::{Captures, Places, Reported};
use self::certificates::Certificates;
use self::claims::ClaimFiles;
use self::configuration::Keeper;
use self::discovery::Discovery;
use self::gate::{Callers, Gate};
use self::metrics::Metrics;
use self::pages::Shown;
use self::progress::Progress;
use self::tls::{OwnCertificate, Port};
use self::tokens::Tokens;
use self::webhook::Webhook;
use crate::ca::{Authority, Bundle, Replica};
use crate::config::{Batch, Configuration};
use crate::credentials::{self, Reader};
use crate::jwks;
use crate::mesh_config::MeshConfig;

pub use self::agents::{
    AgentSettings, Review, ReviewError, TokenOwner, TokenReviewer, TrustedAgent,
};
pub use self::caller_pods::CallerPods;
pub(crate) use self::capture::Leaving;
pub(crate) use self::configuration::{
    MARKS, Mark, Marker, NodeFeed, Redirection, StatusFeed, WaypointFeed, Writers,
};
pub use self::tls::TlsError;
pub use self::tokens::TokenError;

/// Largest discovery request: the versions of a mesh of several hundred thousand workloads.
const MAX_DISCOVERY_REQUEST: usize = 64 * 1024 * 1024;
/// Largest certificate request.
const MAX_CERTIFICATE_REQUEST: usize = 64 * 1024;
/// How often an idle connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(10));
/// Calls at once on one connection: an agent has three streams and a burst of certificates.
const MAX_STREAMS: u32 = 256;
/// Largest headers of one call: a token and little else.
const MAX_HEADERS: u32 = 16 * 1024;

/// What the serving half needs.
#[derive(Debug)]
pub struct Settings {
    /// Where state is kept.
    pub state: PathBuf,
    /// File of further tokens.
    pub tokens: Option<PathBuf>,
    /// In a cluster, how agents are known by its tokens, instead of by tokens of ours.
    pub agents: Option<AgentSettings>,
    /// What drives the authority's rotations.
    pub replica: Replica,
    /// How often keys of issuers are fetched.
    pub jwks_refresh: Duration,
    /// Where Secrets are read that destination rules name, if they are.
    pub credentials: Option<Reader>,
    /// Names in the port's certificate.
    pub dns_names: Vec<String>,
    /// The port of the services.
    pub services: TcpListener,
    /// The port of metrics and readiness.
    pub metrics: TcpListener,
    /// The port of the admission webhook.
    pub webhook: Option<TcpListener>,
    /// The port of administration.
    pub admin: Option<TcpListener>,
    /// Who writes to the cluster what was found out.
    pub(crate) writers: Writers,
    /// What holds for the whole mesh, if somebody says it.
    pub mesh: Option<watch::Receiver<MeshConfig>>,
    /// Whether the mesh leaves its nodes, if it can be asked to.
    pub(crate) leaving: Option<Leaving>,
    /// The logs, if their level can be changed.
    pub logs: Option<Logs>,
}

/// Why serving could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The claims of captured pods.
    #[error(transparent)]
    Claims(#[from] FileError),
    /// The port.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Rotates the root when that is due, and shows how far it is.
fn follow_roots(authority: &Arc<Authority>, replica: Replica, metrics: &Metrics, tasks: &Tasks) {
    let (rotating, stop) = (Arc::clone(authority), tasks.token());
    tasks.spawn(
        "root rotation",
        async move { rotating.run(replica, stop).await },
    );
    tasks.spawn(
        "trust metrics",
        watch_trust(authority.bundle(), metrics.clone(), tasks.token()),
    );
}

/// Serves the pages for everybody, and those for who is on this machine.
fn show(shown: &Shown, metrics: TcpListener, admin: Option<TcpListener>, tasks: &Tasks) {
    let public = pages::public(shown);
    tasks.spawn(
        "pages",
        ambit_kit::pages::serve(metrics, public, tasks.token()),
    );
    if let Some(admin) = admin {
        let pages = pages::admin(shown);
        tasks.spawn(
            "admin pages",
            ambit_kit::pages::serve(admin, pages, tasks.token()),
        );
    }
}

/// Enrolled namespaces and their changes; nothing before the configuration has been read.
pub type Enrolled = watch::Receiver<Option<Arc<BTreeSet<Arc<str>>>>>;

/// Starts every task of the serving half; they end with `tasks`. Tells enrolled namespaces.
pub fn start(
    settings: Settings,
    configuration: Configuration,
    batches: mpsc::Receiver<Batch>,
    authority: Arc<Authority>,
    tasks: &Tasks,
) -> Result<Enrolled, ServeError> {
    let registry = Registry::new();
    registry.register_collector(Box::new(ProcessMetrics));
    let metrics = Metrics::new(&registry);
    let names = configuration.settings();
    let root_namespaces = names.root_namespaces.clone().into();
    let callers = match settings.agents {
        Some(agents) => Callers::Agents(Agents::new(agents, tasks.clone())),
        None => Callers::Nodes(Tokens::open(
            &settings.state,
            &names.cluster_domain,
            settings.tokens.as_deref(),
        )?),
    };
    let claims = ClaimFiles::open(&settings.state)?;
    let (own, renew_at) = OwnCertificate::make(Arc::clone(&authority), settings.dns_names)?;
    let accept =
        |listener, port| tls::accept(listener, port, Arc::clone(&own), metrics.clone(), tasks);
    let accepted = accept(settings.services, Port::SERVICES)?;
    let reviewers = settings
        .webhook
        .map(|listener| accept(listener, Port::WEBHOOK));
    let reviewers = reviewers.transpose()?;
    let (keeper, handle) = Keeper::new(
        configuration,
        claims,
        callers.clone(),
        metrics.clone(),
        settings.writers,
    );
    let mut keeper = keeper.told(settings.mesh);
    let enrolled = keeper.enrolled();
    if let Some(errand) = keeper.errand() {
        tasks.spawn(
            "keys",
            jwks::run(errand, settings.jwks_refresh, &registry, tasks.token()),
        );
    }
    if let (Some(errand), Some(reader)) = (keeper.reading(), settings.credentials) {
        tasks.spawn(
            "credentials",
            credentials::run(errand, reader, tasks.token()),
        );
    }
    let progress = Progress::default();

    tasks.spawn("configuration", keeper.run(batches, tasks.token()));
    let stop = tasks.token();
    tasks.spawn(
        "own certificate",
        async move { own.renew(renew_at, stop).await },
    );
    follow_roots(&authority, settings.replica, &metrics, tasks);

    let reported = Reported::default();
    if let Some(reviewers) = reviewers {
        Webhook::new(handle.clone(), &registry).start(reviewers, tasks);
    }
    let shown = Shown {
        reported: reported.clone(),
        registry,
        configuration: handle.clone(),
        progress: progress.clone(),
        authority: Arc::clone(&authority),
        tasks: tasks.clone(),
        logs: settings.logs,
    };
    show(&shown, settings.metrics, settings.admin, tasks);

    let gate = Gate {
        callers,
        metrics: metrics.clone(),
        told: Arc::new(
            Reason::ALL
                .map(|reason| (reason.word(), Seldom::default()))
                .into(),
        ),
    };
    let discovery = Discovery {
        publications: handle.publications(),
        progress: progress.clone(),
        metrics: metrics.clone(),
        tasks: tasks.clone(),
        root_namespaces,
    };
    let certificates = Certificates {
        authority: Arc::clone(&authority),
        configuration: handle.clone(),
        metrics: metrics.clone(),
    };
    let captures = Captures {
        configuration: handle,
        progress,
        authority,
        reported,
        places: Places::default(),
        leaving: settings.leaving,
        metrics,
        tasks: tasks.clone(),
    };
    let discovery = AggregatedDiscoveryServiceServer::new(discovery)
        .max_decoding_message_size(MAX_DISCOVERY_REQUEST)
        .max_encoding_message_size(usize::MAX);
    let certificates = IstioCertificateServiceServer::new(certificates)
        .max_decoding_message_size(MAX_CERTIFICATE_REQUEST);
    let router = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .add_service(gate.before(discovery))
        .add_service(gate.before(certificates))
        .add_service(gate.before(CaptureServer::new(captures)));
    let stop = tasks.token();
    tasks.spawn("services", async move {
        let stopped = stop.cancelled_owned();
        let incoming = ReceiverStream::new(accepted);
        // On the heap: the future holds all three services.
        let served = Box::pin(router.serve_with_incoming_shutdown(incoming, stopped));
        if let Err(error) = served.await {
            tracing::error!(%error, "the services have ended");
        }
    });
    Ok(enrolled)
}

/// Keeps the metrics of the roots current.
async fn watch_trust(
    mut bundles: watch::Receiver<Arc<Bundle>>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    loop {
        metrics.trust(&bundles.borrow_and_update().clone());
        tokio::select! {
            changed = bundles.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests;
