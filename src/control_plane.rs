//! `ambit control-plane`: reads the configuration, serves it to the agents and signs their
//! certificates. Arguments and wiring only; the work is done in [`crate::config`],
//! [`crate::serve`] and [`crate::ca`].
//!
//! A wrong argument or a port that is taken ends it at once; a wrong configuration never does.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::clock;
use ambit_kit::logs::{self, Logs, LogsError};
use ambit_kit::signals::StopSignals;
use ambit_kit::tasks::Tasks;
use ambit_model::{SpiffeIdError, TrustDomain};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::ca::{self, Authority, AuthorityError, Replica};
use crate::cluster;
use crate::cluster::authority::Place;
use crate::cluster::leaving;
use crate::cluster::root_publisher::Publisher;
use crate::cluster::user_secrets::UserSecrets;
use crate::cluster::waypoints::Maker;
use crate::cluster::waypoints::settings::{SettingsError, WaypointSettings};
use crate::config::directory::{self, WatchError};
use crate::config::{self, Batch, CaptureRecord, Configuration, apiserver};
use crate::credentials::Reader;
use crate::mesh_config::{MeshConfigError, MeshConfigFile};
use crate::mesh_names::MeshNames;
use crate::serve::{self, AgentSettings, ServeError, Writers};

/// Names that the port's certificate always has; agents ask for the first one.
const OWN_NAMES: [&str; 2] = ["ambit-control-plane", "localhost"];
/// How long streams may take to end when the program is asked to stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Arguments of `ambit control-plane`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the configuration comes from: `kube`, the cluster that this runs in or that
    /// KUBECONFIG names, or `dir:PATH`, a folder of Kubernetes YAML; watched.
    #[arg(long, env = "AMBIT_FROM", value_name = "kube|dir:PATH")]
    pub from: Source,
    /// Folder for roots, tokens and what else outlives the process.
    #[arg(long, env = "AMBIT_STATE", value_name = "DIR")]
    pub state: PathBuf,
    /// Address of discovery, certificates and capture, over TLS.
    #[arg(long, env = "AMBIT_LISTEN", default_value = "0.0.0.0:15012")]
    pub listen: SocketAddr,
    /// Address of /metrics and /ready.
    #[arg(long, env = "AMBIT_METRICS", default_value = "0.0.0.0:15014")]
    pub metrics: SocketAddr,
    /// Address of the admission webhook, or `none`.
    #[arg(
        long,
        env = "AMBIT_WEBHOOK",
        default_value = "none",
        value_name = "ADDR|none"
    )]
    pub webhook: OptionalAddress,
    /// Address of the admin pages (/ca, /ca/rotate, /logging, ...), or `none`.
    #[arg(
        long,
        env = "AMBIT_ADMIN",
        default_value = "127.0.0.1:15016",
        value_name = "ADDR|none"
    )]
    pub admin: OptionalAddress,
    /// File of further tokens, a line `NODE TOKEN` each.
    #[arg(long, env = "AMBIT_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Namespace that this runs in, with the node agents.
    #[arg(long, env = "AMBIT_NAMESPACE", default_value = "ambit-system")]
    pub namespace: String,
    /// Name of the pod that this runs in.
    #[arg(long, env = "AMBIT_POD", default_value = "ambit-control-plane")]
    pub pod: String,
    /// Secret with the authority to sign by, as cert-manager writes it (tls.crt, tls.key, ca.crt);
    /// without it Secret `cacerts` if it is there, else one that is made.
    #[arg(long, env = "AMBIT_CA_SECRET", value_name = "NAME")]
    pub ca_secret: Option<String>,
    /// In a cluster: keep new pods off nodes whose agent is not ready, by the taint
    /// ambit.mesh/agent-not-ready, and take that off where it is.
    #[arg(long, env = "AMBIT_NODE_TAINT")]
    pub node_taint: bool,
    /// In a cluster: let in Istio's ztunnel, DaemonSet istio-system/ztunnel, as the agent of its nodes.
    #[arg(long, env = "AMBIT_TRUST_ZTUNNEL")]
    pub trust_ztunnel: bool,
    /// In a cluster: make waypoints of Gateways of class ambit-waypoint, as this file says.
    #[arg(long, env = "AMBIT_WAYPOINTS", value_name = "FILE")]
    pub waypoints: Option<PathBuf>,
    /// What holds for the whole mesh, under the names of Istio's meshConfig: a YAML file; watched.
    #[arg(long, env = "AMBIT_MESH_CONFIG", value_name = "FILE")]
    pub mesh_config: Option<PathBuf>,
    /// Read Secrets that DestinationRules name (credentialName), and hand them to waypoints of their
    /// namespaces: those of the cluster (kube), or of a folder with NAMESPACE/NAME/tls.crt and so on (dir:PATH).
    #[arg(long, env = "AMBIT_OUTSIDE_CREDENTIALS", value_name = "kube|dir:PATH")]
    pub outside_credentials: Option<Source>,
    /// Names of the mesh.
    #[command(flatten)]
    pub names: MeshNames,
    /// Longest life of a workload's certificate.
    #[arg(long, env = "AMBIT_CERTIFICATE_TTL", default_value = "24h", value_parser = clock::parse_span)]
    pub certificate_ttl: Duration,
    /// How long a rotation of the root waits for agents that are away.
    #[arg(long, env = "AMBIT_ROTATION_PATIENCE", default_value = "10m", value_parser = clock::parse_span)]
    pub rotation_patience: Duration,
    /// How often the keys of issuers of tokens are fetched (RequestAuthentication).
    #[arg(long, env = "AMBIT_JWKS_REFRESH", default_value = "20m", value_parser = clock::parse_span)]
    pub jwks_refresh: Duration,
    /// A further name or address in the port's certificate; may be repeated.
    #[arg(
        long = "dns-name",
        env = "AMBIT_DNS_NAMES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub dns_names: Vec<String>,
    /// Log level, such as `info` or `info,ambit=debug`.
    #[arg(long, env = "AMBIT_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// Log as JSON.
    #[arg(long, env = "AMBIT_LOG_JSON")]
    pub log_json: bool,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of YAML files.
    Directory(PathBuf),
    /// A Kubernetes cluster.
    Cluster,
}

/// A text names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no source of configuration: expected kube or dir:PATH")]
pub struct SourceError(String);

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
            Self::Cluster => f.write_str("kube"),
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Directory(path.into())),
            None if text == "kube" => Ok(Self::Cluster),
            _ => Err(SourceError(text.to_owned())),
        }
    }
}

/// An address, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalAddress(pub Option<SocketAddr>);

impl FromStr for OptionalAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            Ok(Self(None))
        } else {
            text.parse().map(|addr| Self(Some(addr)))
        }
    }
}

/// Why the control plane could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// The logs.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// The runtime or its signals.
    #[error("the runtime could not be started: {0}")]
    Runtime(io::Error),
    /// The trust domain.
    #[error("--trust-domain: {0}")]
    TrustDomain(#[from] SpiffeIdError),
    /// The state folder.
    #[error("cannot make the state folder {path}: {source}")]
    State {
        /// Which folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A port.
    #[error("cannot listen on {address} ({flag}): {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// The argument that named it.
        flag: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The certificate authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The authority of a cluster.
    #[error(transparent)]
    SharedAuthority(#[from] cluster::authority::OpenError),
    /// The API server of the cluster.
    #[error("no way to the cluster: {0}; run in a pod, or name a file with KUBECONFIG")]
    Cluster(Box<kube::Error>),
    /// Secrets of a cluster that there is none of.
    #[error("--outside-credentials=kube: there is no cluster to read Secrets of (--from)")]
    NoCluster,
    /// The settings of waypoints.
    #[error(transparent)]
    Waypoints(#[from] SettingsError),
    /// The settings of the mesh.
    #[error(transparent)]
    MeshConfig(#[from] MeshConfigError),
    /// The source of the configuration.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The serving half.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs the control plane until SIGTERM or SIGINT.
pub fn run(args: Args) -> Result<(), ControlPlaneError> {
    let logs = logs::init(args.log_json, &args.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ControlPlaneError::Runtime)?;
    runtime.block_on(serve_until_asked(args, logs))
}

async fn serve_until_asked(args: Args, logs: Logs) -> Result<(), ControlPlaneError> {
    let mut signals = StopSignals::listen().map_err(ControlPlaneError::Runtime)?;
    let tasks = Tasks::new();
    start(args, logs, &tasks).await?;
    let signal = signals.asked().await;
    tracing::info!("{signal}: stopping; agents serve on with what they have");
    if let Err(unfinished) = tasks.finish(FAREWELL).await {
        tracing::warn!("{unfinished}");
    }
    Ok(())
}

async fn start(args: Args, logs: Logs, tasks: &Tasks) -> Result<(), ControlPlaneError> {
    let trust_domain = TrustDomain::new(&args.names.trust_domain)?;
    let waypoints = args
        .waypoints
        .as_deref()
        .map(WaypointSettings::read)
        .transpose()?;
    let mesh = args.mesh_config.as_deref().map(MeshConfigFile::open);
    let mesh = mesh.transpose()?;
    fs::create_dir_all(&args.state).map_err(|source| ControlPlaneError::State {
        path: args.state.clone(),
        source,
    })?;
    let services = listen(args.listen, "--listen").await?;
    let metrics = listen(args.metrics, "--metrics").await?;
    let webhook = listen_if(args.webhook, "--webhook").await?;
    let admin = listen_if(args.admin, "--admin").await?;
    let authority = ca::Settings {
        trust_domain,
        certificate_life: args.certificate_ttl,
        patience: args.rotation_patience,
    };
    let from = args.from.to_string();
    let Ground {
        batches,
        authority,
        replica,
        names,
        in_cluster,
    } = match &args.from {
        Source::Directory(path) => in_folder(&args, path, authority)?,
        Source::Cluster => in_cluster(&args, authority, tasks).await?,
    };
    let (writers, agents, client, leaving) = match in_cluster {
        Some((client, agents)) => {
            let leaving = leaving::start(&client, &args.namespace, tasks);
            let taints = args.node_taint.then(|| leaving.asked.clone());
            let mut writers =
                cluster::start(&client, &args.namespace, &replica.leads, taints, tasks);
            if let Some(settings) = waypoints {
                let maker = Maker {
                    settings,
                    trust_domain: args.names.trust_domain.as_str().into(),
                    leads: replica.leads.clone(),
                    leaving: leaving.asked.clone(),
                };
                writers.waypoints = Some(maker.start(client.clone(), tasks));
            }
            (writers, Some(agents), Some(client), Some(leaving))
        }
        None => (Writers::default(), None, None, None),
    };
    let own_names = OWN_NAMES.into_iter().map(str::to_owned);
    let of_service = ["", ".svc", ".svc.cluster.local"]
        .map(|end| format!("ambit-control-plane.{}{end}", args.namespace));
    let leads = replica.leads.clone();
    let settings = serve::Settings {
        state: args.state,
        tokens: args.tokens,
        agents,
        replica,
        jwks_refresh: args.jwks_refresh,
        credentials: credentials(args.outside_credentials, client.as_ref())?,
        dns_names: own_names.chain(of_service).chain(args.dns_names).collect(),
        services,
        metrics,
        webhook,
        admin,
        writers,
        mesh: mesh.as_ref().map(MeshConfigFile::subscribe),
        leaving: leaving.clone(),
        logs: Some(logs),
    };
    let bundle = authority.bundle();
    let waypoints = settings
        .writers
        .waypoints
        .as_ref()
        .map(|feed| feed.0.subscribe());
    if let Some(client) = client.as_ref().filter(|_| args.webhook.0.is_some()) {
        cluster::webhook::start(client.clone(), bundle.clone(), leads.clone(), tasks);
    }
    let configuration = Configuration::new(config::Settings {
        reads_credentials: settings.credentials.is_some(),
        ..names
    });
    let enrolled = serve::start(settings, configuration, batches, authority, tasks)?;
    if let Some(mesh) = mesh {
        mesh.start(tasks);
    }
    if let (Some(client), Some(leaving)) = (client, leaving) {
        let publisher = Publisher {
            bundle,
            enrolled,
            waypoints,
            system: args.namespace.as_str().into(),
            leads,
            leaving: leaving.asked,
        };
        publisher.start(client, tasks);
    }
    tracing::info!(
        listen = %args.listen, metrics = %args.metrics, from,
        "the control plane serves"
    );
    Ok(())
}

/// Who reads Secrets that destination rules name.
fn credentials(
    from: Option<Source>,
    client: Option<&Client>,
) -> Result<Option<Reader>, ControlPlaneError> {
    match (from, client) {
        (None, _) => Ok(None),
        (Some(Source::Directory(path)), _) => Ok(Some(Reader::Folder(path))),
        (Some(Source::Cluster), Some(client)) => {
            let secrets = UserSecrets::new(client.clone());
            Ok(Some(Reader::Cluster(secrets)))
        }
        (Some(Source::Cluster), None) => Err(ControlPlaneError::NoCluster),
    }
}

/// What the control plane stands on.
struct Ground {
    batches: mpsc::Receiver<Batch>,
    authority: Arc<Authority>,
    replica: Replica,
    names: config::Settings,
    in_cluster: Option<(Client, AgentSettings)>,
}

fn in_folder(
    args: &Args,
    path: &Path,
    authority: ca::Settings,
) -> Result<Ground, ControlPlaneError> {
    let authority = Authority::open(&args.state, authority, clock::wall())?;
    // One name for each file: inotify knows absolute ones only.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok(Ground {
        batches: directory::watch(&path, Some(&args.state))?,
        authority: Arc::new(authority),
        replica: Replica::alone(),
        names: args.names.settings(),
        in_cluster: None,
    })
}

async fn in_cluster(
    args: &Args,
    authority: ca::Settings,
    tasks: &Tasks,
) -> Result<Ground, ControlPlaneError> {
    let client = Client::try_default().await;
    let client = client.map_err(|error| ControlPlaneError::Cluster(Box::new(error)))?;
    let place = Place {
        namespace: args.namespace.clone(),
        pod: args.pod.clone(),
        ca_secret: args.ca_secret.clone(),
    };
    let (authority, replica) = cluster::authority::open(&client, &place, authority, tasks).await?;
    let agents = cluster::agents(&client, &args.namespace, args.trust_ztunnel);
    Ok(Ground {
        batches: apiserver::watch(&client, &args.namespace, tasks),
        authority,
        replica,
        names: config::Settings {
            captures: CaptureRecord::Annotations,
            ..args.names.settings()
        },
        in_cluster: Some((client, agents)),
    })
}

async fn listen_if(
    address: OptionalAddress,
    flag: &'static str,
) -> Result<Option<TcpListener>, ControlPlaneError> {
    match address.0 {
        Some(address) => listen(address, flag).await.map(Some),
        None => Ok(None),
    }
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ControlPlaneError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| ControlPlaneError::Listen {
        address,
        flag,
        source,
    })
}

#[cfg(test)]
mod tests;
