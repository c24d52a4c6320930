//! The control role: between the control plane and this node. No power over the node, no byte of a
//! workload.
//!
//! It holds the node's token, the streams to the control plane, the workloads' keys and what is
//! kept for times without a control plane. Its tasks:
//! - [`role`]: owns what is known, publishes snapshots ([`model`]), tells readers ([`backlog`])
//! - discovery and trust (`ambit_uplink`), [`capture`], [`roster`]: one stream each to the control plane
//! - certificates (`ambit_uplink`): one short task per certificate
//! - [`feed`]: one task per living proxy generation; [`in_force`] knows how far each has read
//! - [`kept`]: writes files; [`host`]: the stream to the host role
//!
//! The end of that stream ends the role: keeper last, so that what was known is kept.

mod backlog;
mod capture;
mod feed;
mod host;
mod in_force;
mod kept;
mod model;
mod role;
mod roster;
#[cfg(test)]
mod testing;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_kit::signals::StopSignals;
use ambit_kit::tasks::Tasks;
use ambit_uplink::{Access, Discovery, Target, node_of, trust};
use ambit_wire::node::control_to_host::Kind as ToHost;
use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::launch;
use backlog::Backlog;
use capture::Capture;
use host::FromHost;
use kept::Kept;
use model::Model;
use role::{Event, Parts, Role};

/// Events in line for the role, which handles one within microseconds.
const EVENTS: usize = 256;
/// Messages of one task in line before that.
const FORWARDED: usize = 16;
/// Reports of capture in line: more than a node has pods.
const REPORTS: usize = 4096;
/// How long tasks may take to end.
const END_TIME: Duration = Duration::from_secs(5);

/// What the host role tells the control role on its command line.
#[derive(Clone, Debug, clap::Args)]
pub struct ControlArgs {
    /// Inherited descriptor of the stream to the host role.
    #[arg(long)]
    pub host_fd: RawFd,
    /// Name of the node.
    #[arg(long)]
    pub node: String,
    /// The control plane, HOST:PORT.
    #[arg(long)]
    pub control_plane: String,
    /// File with the node's token.
    #[arg(long)]
    pub token_file: PathBuf,
    /// File with the roots (PEM) that the control plane is verified against.
    #[arg(long)]
    pub root_cert: PathBuf,
    /// Name in the control plane's certificate.
    #[arg(long, default_value = "ambit-control-plane")]
    pub server_name: String,
    /// Directory for kept state, on a tmpfs; this role uses `control` in it.
    #[arg(long)]
    pub state_dir: PathBuf,
    /// The node's own addresses.
    #[arg(long)]
    pub node_ip: Vec<IpAddr>,
    /// Name of the cluster.
    #[arg(long, default_value = "Kubernetes")]
    pub cluster: String,
    /// Trust domain of the mesh.
    #[arg(long, default_value = "cluster.local")]
    pub trust_domain: String,
    /// Log lines as JSON.
    #[arg(long)]
    pub log_json: bool,
    /// Log level, such as `info` or `info,ambit_node_agent=debug`.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}

/// Gives up root and serves until the host role is gone. Call it first thing in `main`, while
/// there is one thread.
pub fn run(args: &ControlArgs) -> anyhow::Result<()> {
    // What only root can read is read before root is given up.
    let access = Access::open(Target {
        address: args.control_plane.clone(),
        server_name: args.server_name.clone(),
        cluster: args.cluster.clone(),
        token_file: args.token_file.clone(),
        root_file: args.root_cert.clone(),
    })
    .context("the control role cannot reach a control plane")?;
    let state = args.state_dir.join("control");
    let host = launch::enter_control(args.host_fd, &[&state])
        .context("the control role cannot give up root")?;
    let _logs = ambit_kit::logs::init(args.log_json, &args.log_level)?;
    let runtime = crate::runtime::one_thread().context("the runtime cannot start")?;
    runtime.block_on(serve(args, access, &state, host))
}

/// Serves the host role until it closes its stream, or a signal comes.
async fn serve(
    args: &ControlArgs,
    access: Arc<Access>,
    state: &Path,
    host: OwnedFd,
) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen().context("signals cannot be handled")?;
    let stream = UnixStream::from_std(host.into()).context("no stream to the host role")?;
    let tasks = Tasks::new();
    let mut lines = start(args, access, state, &tasks)?;
    let ended = tokio::select! {
        ended = host::read(&stream, &lines.from_host) => ended,
        ended = host::write(&stream, &mut lines.to_host) => ended,
        signal = signals.asked() => {
            tracing::info!(signal, "the control role ends");
            Ok(())
        }
    };
    // The keeper writes the rest and ends; every other task may be cut anywhere.
    tasks.stop();
    if tokio::time::timeout(END_TIME, lines.keeper).await.is_err() {
        tracing::error!("state could not be written in time");
    }
    ended.context("the stream to the host role broke")
}

/// What connects the started tasks with the host role.
struct Lines {
    from_host: mpsc::Sender<FromHost>,
    to_host: mpsc::Receiver<ToHost>,
    keeper: JoinHandle<()>,
}

/// Starts every task of the role.
fn start(
    args: &ControlArgs,
    access: Arc<Access>,
    state: &Path,
    tasks: &Tasks,
) -> anyhow::Result<Lines> {
    let (kept, restored) =
        Kept::open(state, clock::wall()).context("the directory for kept state is unusable")?;
    let model = &restored.model;
    tracing::info!(
        addresses = model.addresses.len(),
        policies = model.policies.len(),
        certificates = restored.certificates.len(),
        faults = restored.faults,
        "kept state"
    );
    let channel = access.channel()?;
    let models = Arc::new(ArcSwap::from_pointee(Model::default()));
    let backlog = Backlog::default();
    let (events, inbox) = mpsc::channel(EVENTS);
    let (reports, reported) = mpsc::channel(REPORTS);
    let (host, to_host) = mpsc::channel(REPORTS);

    let found = forward(tasks, "discovered", &events, Event::Discovered);
    let address = args
        .node_ip
        .first()
        .copied()
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let node = node_of(&args.node, &address.to_string(), &args.cluster);
    let trust_domain: Arc<str> = args.trust_domain.as_str().into();
    let way = (Arc::clone(&access), channel.clone());
    let subscriptions = model::subscriptions(model, &trust_domain);
    // An agent asks for everything; nobody ever sends here.
    let (_wants, wanted) = mpsc::channel(1);
    let discovery = Discovery::new(way, node, subscriptions, wanted, found);
    drop(tasks.spawn("discovery", discovery.run()));

    let have = model.trust.as_ref().map_or(0, |trust| trust.generation);
    let trusted = forward(tasks, "trusted", &events, Event::Trusted);
    drop(tasks.spawn(
        "trust",
        trust::run(Arc::clone(&access), channel.clone(), have, trusted),
    ));

    let roster = roster::run(Arc::clone(&access), channel.clone(), host.clone());
    drop(tasks.spawn("roster", roster));

    let told = forward(tasks, "withdrawn", &events, Event::Withdrawn);
    let capture = Capture::new(Arc::clone(&access), channel.clone(), reported, told);
    drop(tasks.spawn("capture", capture.run()));

    let keeping = kept::keep(kept, backlog.clone(), Arc::clone(&models), tasks.token());
    let keeper = tasks.spawn("keeper", keeping);

    let from_host = forward(tasks, "host", &events, Event::Host);
    let parts = Parts {
        access,
        channel,
        trust_domain,
        models,
        keeper: backlog,
        reports,
        host,
        events,
        tasks: tasks.clone(),
    };
    let role = Role::new(parts, restored, rand::random());
    drop(tasks.spawn("role", role.run(inbox)));
    Ok(Lines {
        from_host,
        to_host,
        keeper,
    })
}

/// A channel whose messages become events of the role.
fn forward<T: Send + 'static>(
    tasks: &Tasks,
    name: &'static str,
    events: &mpsc::Sender<Event>,
    event: impl Fn(T) -> Event + Send + 'static,
) -> mpsc::Sender<T> {
    let (sender, mut receiver) = mpsc::channel(FORWARDED);
    let events = events.clone();
    let forwarding = async move {
        while let Some(message) = receiver.recv().await {
            if events.send(event(message)).await.is_err() {
                return;
            }
        }
    };
    drop(tasks.spawn(name, forwarding));
    sender
}

#[cfg(test)]
mod tests;
