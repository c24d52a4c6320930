//! `ambit-node-agent pod`: asks the host role over `agent.sock`, for a person and for tests.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::api::{Answer, EnrolRequest, Nothing, ReleaseRequest, Request};
use super::names::PodUid;

/// How long an answer may take: an enrolment waits for the proxy, a release for every agent.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Asks the host role of this node.
#[derive(Clone, Debug, clap::Args)]
pub struct PodArgs {
    /// Folder of the agent's sockets.
    #[arg(
        long,
        env = "AMBIT_RUN_DIR",
        default_value = "/run/ambit",
        global = true
    )]
    run_dir: PathBuf,
    #[command(subcommand)]
    command: PodCommand,
}

/// What can be asked.
#[derive(Clone, Debug, clap::Subcommand)]
enum PodCommand {
    /// Capture the traffic of a running pod.
    Enrol(EnrolArgs),
    /// Stop capturing a pod; open connections live on.
    Release {
        /// Kubernetes' own uid of the pod.
        #[arg(long)]
        uid: String,
    },
    /// Show pods, proxies and counters.
    List,
    /// Start a new generation of the proxy and let the present one drain.
    ReplaceProxy,
}

/// The pod to capture.
#[derive(Clone, Debug, clap::Args)]
struct EnrolArgs {
    /// Path of its network namespace, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    #[arg(long)]
    netns: PathBuf,
    /// Kubernetes' own uid of the pod.
    #[arg(long)]
    uid: String,
    /// Kubernetes namespace.
    #[arg(long)]
    namespace: String,
    /// Name of the pod.
    #[arg(long)]
    name: String,
    /// Service account that the pod runs as.
    #[arg(long, default_value = "default")]
    service_account: String,
    /// An address of the pod; once for each.
    #[arg(long = "ip", required = true)]
    ips: Vec<IpAddr>,
}

/// Asks and prints the answer; an answer that says no is an error.
pub fn run(args: PodArgs) -> anyhow::Result<()> {
    let request = request_of(args.command)?;
    let answer = ask(&args.run_dir.join("agent.sock"), &request)?;
    let text = serde_json::to_string_pretty(&answer)?;
    writeln!(std::io::stdout(), "{text}")?;
    anyhow::ensure!(
        answer.ok,
        "{}",
        answer.error.unwrap_or_else(|| "refused".to_owned())
    );
    Ok(())
}

/// Sends one request and reads its answer.
pub fn ask(socket: &Path, request: &Request) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "cannot reach the node agent at {}: is it running, and are you root?",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream)
        .read_line(&mut answer)
        .context("the node agent did not answer")?;
    serde_json::from_str(&answer).context("the node agent's answer cannot be read")
}

fn request_of(command: PodCommand) -> anyhow::Result<Request> {
    Ok(match command {
        PodCommand::Enrol(args) => Request::Enrol(EnrolRequest {
            netns: Some(args.netns.display().to_string()),
            uid: PodUid::parse(&args.uid)?,
            namespace: args.namespace,
            name: args.name,
            service_account: args.service_account,
            ips: args.ips,
        }),
        PodCommand::Release { uid } => Request::Release(ReleaseRequest {
            uid: PodUid::parse(&uid)?,
        }),
        PodCommand::List => Request::List(Nothing {}),
        PodCommand::ReplaceProxy => Request::ReplaceProxy(Nothing {}),
    })
}
