//! `ambit explain SRC DST:PORT`: what would happen to a connection, and which objects decide it,
//! without any traffic, or to a request on it (`--method`, `--path`, `--header`); in a cluster, or in a folder of objects (`--from dir:PATH`).
//!
//! The steps are those of the very functions that the node agents call. In a cluster they are taken
//! over what the two agents in question know at that moment, so that an agent that is behind shows.
//! What cannot be known from files is assumed: pods that are enrolled are also captured.

mod place;
mod request;
mod route;
mod story;
mod views;
mod waypoint;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use ambit_decide::EgressMode;

use self::request::RequestArgs;
use self::story::{Question, Story};
use self::views::Views;
use super::access::{block_on, or_said};
use super::live::{Cluster, Live, read as read_live};
use crate::config::Configuration;
use crate::config::directory::Scanner;
use crate::config::objects::Kind;
use crate::config::problem::Severity;
use crate::mesh_names::MeshNames;

/// The connection would be refused.
const REFUSED: u8 = 1;
/// The question cannot be answered.
const USAGE: u8 = 2;

/// What to explain.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 it would be allowed, 1 refused, 2 that cannot be told.

Rights in a cluster: list pods, services, endpointslices, nodes, namespaces, serviceaccounts, \
networkpolicies, authorizationpolicies, peerauthentications, httproutes, grpcroutes, tlsroutes, tcproutes, \
referencegrants, virtualservices, destinationrules, serviceentries, workloadentries, telemetries and requestauthentications; in the namespace of the mesh get deployments and \
daemonsets, and get and create pods/portforward. Without the last, the objects decide and not \
what the agents know."
)]
pub struct Args {
    /// A folder of objects, `dir:PATH`, instead of the cluster
    #[arg(long, value_name = "dir:PATH")]
    pub from: Option<DirectoryPath>,
    /// The pod that connects: NAMESPACE/NAME or an address
    #[arg(value_name = "SRC")]
    pub source: String,
    /// Where it connects to: an address, a host name, or NAMESPACE/NAME of a service or a pod
    #[arg(value_name = "DST:PORT")]
    pub destination: String,
    /// Which pods of the folder to take for captured
    #[arg(long, value_enum, default_value_t, requires = "from")]
    pub captured: Captured,
    /// What happens to unknown destinations: ALLOW_ANY or REGISTRY_ONLY; in a cluster, what its
    /// agents do
    #[arg(long)]
    pub egress: Option<EgressMode>,
    /// The request
    #[command(flatten)]
    pub request: RequestArgs,
    /// The mesh
    #[command(flatten)]
    pub cluster: Cluster,
    /// Names of the mesh
    #[command(flatten)]
    pub names: MeshNames,
}

/// A folder, written `dir:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryPath(pub PathBuf);

impl FromStr for DirectoryPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("dir:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err(format!("`{text}` is not a source; write dir:PATH")),
        }
    }
}

/// Which pods to take for captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Captured {
    /// Those whose labels or namespace enrol them
    #[default]
    Enrolled,
    /// Every pod with a network of its own
    All,
    /// None
    None,
}

/// Prints the explanation; succeeds if the connection would be allowed.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Some(folder) = &args.from else {
        return in_cluster(args, out, err);
    };
    if let Err(error) = std::fs::metadata(&folder.0) {
        let folder = folder.0.display();
        writeln!(err, "{folder}: {error}; name a folder of YAML files")?;
        return Ok(USAGE.into());
    }
    let configuration = read(args, folder);
    let problems = configuration.problems();
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    if errors > 0 {
        let folder = folder.0.display();
        writeln!(
            err,
            "{errors} errors in the objects; see `ambit vet {folder}`"
        )?;
    }
    let nobody = Views::default();
    match Story::of(&configuration, &args.question(None), &nobody) {
        Ok(story) => tell(&story, out),
        Err(error) => {
            writeln!(err, "{error}")?;
            Ok(USAGE.into())
        }
    }
}

/// The same with the objects of a cluster, and what its agents know.
fn in_cluster(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let asked = block_on(async {
        let live = Live::new(&args.cluster).await?;
        let kinds = Kind::ALL.iter().filter(|kind| !kind.is_for_sidecars());
        let kinds: Vec<Kind> = kinds.copied().collect();
        let objects = Box::pin(read_live(&live, &kinds, &args.names)).await;
        let question = args.question(objects.egress());
        let nobody = Views::default();
        let nodes = Story::of(&objects.configuration, &question, &nobody);
        let nodes = nodes.map(|story| story.nodes).unwrap_or_default();
        let views = Box::pin(Views::of_agents(&live, &nodes)).await;
        Ok((objects, views))
    });
    let Some((objects, views)) = or_said(asked, err)? else {
        return Ok(USAGE.into());
    };
    let unread = &objects.unread;
    for why in unread {
        writeln!(err, "warning: {why}")?;
    }
    let question = args.question(objects.egress());
    match Story::of(&objects.configuration, &question, &views) {
        // What could not be read may hold what refuses it.
        Ok(story) if !unread.is_empty() && !views.are_complete() => {
            write!(out, "{}", story.text)?;
            writeln!(
                err,
                "error: it cannot be told, for not everything could be read"
            )?;
            Ok(USAGE.into())
        }
        Ok(story) => tell(&story, out),
        Err(error) => {
            writeln!(err, "{error}")?;
            Ok(USAGE.into())
        }
    }
}

fn tell(story: &Story<'_>, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    write!(out, "{}", story.text)?;
    Ok(if story.allowed {
        ExitCode::SUCCESS
    } else {
        REFUSED.into()
    })
}

impl Args {
    /// With what agents are told to do with unknown destinations, if that is known.
    fn question(&self, egress: Option<&str>) -> Question<'_> {
        let known = egress.and_then(|mode| mode.parse().ok());
        Question {
            source: &self.source,
            destination: &self.destination,
            egress: self.egress.or(known).unwrap_or_default(),
            request: &self.request,
        }
    }
}

fn read(args: &Args, folder: &DirectoryPath) -> Configuration {
    let mut configuration = Configuration::new(args.names.settings());
    configuration.apply(Scanner::new(&folder.0, None).scan());
    let pods = configuration.pods().filter(|pod| match args.captured {
        Captured::Enrolled => pod.enrolled,
        Captured::All => true,
        Captured::None => false,
    });
    let captured: Vec<Arc<str>> = pods.map(|pod| pod.uid).collect();
    for uid in captured {
        configuration.set_captured(&uid, true);
    }
    configuration
}

#[cfg(test)]
mod tests;
