//! The proxy role: everything that reads bytes from workloads, with no power over the node.
//!
//! It is started confined (own uid, no capabilities, empty root, empty network namespace, seccomp)
//! and works with what it is given: the link to the host role, the feed of the control role,
//! listeners and sockets. In the order in which things happen:
//! - [`attachment`]: the link; pods, listeners and sockets arrive
//! - [`feed`]: the model, certificates and trust arrive
//! - [`accept`] hands connections to [`crate::outbound`], [`crate::inbound`], [`crate::passthrough`]
//! - [`datapath`], [`reach`], [`stock`], [`identities`], [`pods`]: what a connection needs
//! - [`names`]: questions about names, of pods and of the proxy itself
//! - [`connections`], [`ledger`], [`access_log`], [`gauges`], [`pages`]: what is told of it, with
//!   what [`ambit_telemetry`] has for both proxies
//! - [`succession`], [`generations`]: the neighbour generation during a replacement

pub(crate) mod accept;
pub(crate) mod access_log;
pub(crate) mod attachment;
pub(crate) mod baggage;
pub(crate) mod connections;
pub(crate) mod datapath;
pub(crate) mod descriptors;
pub(crate) mod feed;
#[cfg(test)]
pub(crate) mod fixtures;
pub(crate) mod former;
pub(crate) mod gauges;
pub(crate) mod generations;
pub(crate) mod identities;
pub(crate) mod ledger;
pub(crate) mod names;
pub(crate) mod pages;
pub(crate) mod pods;
pub(crate) mod probes;
pub(crate) mod reach;
pub(crate) mod stock;
pub(crate) mod succession;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ambit_decide::EgressMode;
use ambit_kit::logs::Logs;
use ambit_kit::signals::StopSignals;
use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

use crate::link::ProxyEnd;
use attachment::{Attachment, Parts};
use datapath::DataPath;
use pods::{Caps, LocalPods, Place};

/// Freed memory that stays with the process for the next bytes on their way.
const FREED_MEMORY: i32 = 8 << 20;
/// Identities that may be waited for at once; each pod wants one.
const WANTED: usize = 256;

/// What the host role tells a proxy on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct ProxyArgs {
    /// Inherited descriptor of the link to the host role.
    #[arg(long)]
    pub host_fd: i32,
    /// Inherited descriptor of the feed of the control role.
    #[arg(long)]
    pub feed_fd: i32,
    /// Number of this generation, counted by the host role.
    #[arg(long)]
    pub generation: u64,
    /// Name of the node.
    #[arg(long)]
    pub node: String,
    /// Name of the cluster.
    #[arg(long, default_value = "Kubernetes")]
    pub cluster: String,
    /// Trust domain of the mesh.
    #[arg(long, default_value = "cluster.local")]
    pub trust_domain: String,
    /// What happens to connections to unknown destinations.
    #[arg(long, default_value = "ALLOW_ANY")]
    pub egress: EgressMode,
    /// A resolver that names are asked of, ADDRESS:PORT; once for each.
    #[arg(long = "dns-upstream")]
    pub resolvers: Vec<SocketAddr>,
    /// Most connections that one pod may have open.
    #[arg(long, default_value_t = 12_000)]
    pub pod_connections: usize,
    /// Most TLS handshakes under way towards one pod; with one client an eighth of them.
    #[arg(long, default_value_t = 512)]
    pub pod_handshakes: usize,
    /// Threads that carry traffic; 0 is one for each processor.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Log lines as JSON.
    #[arg(long)]
    pub log_json: bool,
    /// Log level, such as `info` or `info,ambit_node_agent=debug`.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

/// Serves until drained or until the host role is gone. The process is confined already.
pub fn run(args: &ProxyArgs, link: OwnedFd, feed: OwnedFd) -> anyhow::Result<()> {
    let logs = ambit_kit::logs::init(args.log_json, &args.log_level)?;
    if !ambit_netsys::limits::keep_freed_memory(FREED_MEMORY) {
        tracing::debug!("the allocator gives back memory at once; bulk transfers cost more CPU");
    }
    ambit_identity::warm_up();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if args.threads > 0 {
        builder.worker_threads(args.threads);
    }
    let runtime = builder
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(serve(args, link, feed, logs))
}

async fn serve(args: &ProxyArgs, link: OwnedFd, feed: OwnedFd, logs: Logs) -> anyhow::Result<()> {
    let (wanted, wants) = mpsc::channel(WANTED);
    let ledger = ledger::Ledger::default();
    let log = access_log::AccessLog::start(ledger.clone()).context("no thread for the log")?;
    let place = Place {
        node: args.node.as_str().into(),
        cluster: args.cluster.as_str().into(),
        trust_domain: args.trust_domain.as_str().into(),
    };
    let (probes, questions) = probes::Probes::new();
    let path = DataPath::new(
        identities::Identities::new(wanted),
        probes,
        ambit_tunnel::Settings::default(),
        args.egress,
        Arc::clone(&place.trust_domain),
        (ledger, log.clone()),
    );
    let path = Arc::new(path.with_resolvers(args.resolvers.clone()));
    let pods = Arc::new(LocalPods::default());
    let state = Arc::new(feed::FeedState::default());
    let synced = watch::Sender::new(false);
    let shown = pages::Shown {
        path: Arc::clone(&path),
        pods: Arc::clone(&pods),
        feed: Arc::clone(&state),
        ready: synced.subscribe(),
        generation: args.generation,
    };
    let registry = Arc::new(pages::registry(&shown));
    let caps = Caps {
        connections: args.pod_connections,
        handshakes: args.pod_handshakes,
    };
    let mut signals = StopSignals::listen().context("signals cannot be handled")?;
    let attachment = Attachment::new(Parts {
        link: ProxyEnd::new(link).context("the link to the host role is unusable")?,
        follower: feed::Follower {
            path,
            pods,
            state,
            synced,
        },
        place,
        caps,
        routes: pages::routes_of(shown, registry, logs),
        wanted: wants,
        questions,
    });
    let asked_to_leave = async move {
        let signal = signals.asked().await;
        tracing::info!(
            signal,
            "asked to leave; the host role starts the next generation"
        );
    };
    attachment.run(feed, asked_to_leave).await;
    tokio::task::block_in_place(|| log.flush());
    Ok(())
}
