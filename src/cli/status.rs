//! `ambit status`: whether the mesh of a cluster is well, for people and for scripts.
//!
//! It looks with the rights of its caller and says what it could not see: what is not seen is
//! never taken for well.

mod gather;
mod pages;
mod render;
mod report;

use std::io::Write;
use std::process::ExitCode;

pub(super) use self::pages::{agent_version, control_plane_version};
use self::report::{Health, Report};
use super::access::{block_on, or_said};
use super::live::{Cluster, Live};
use crate::mesh_names::MeshNames;

/// How to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Tables
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// What to look at.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 all is well, 1 something is wrong, 2 that cannot be told.

Rights: list pods, namespaces, nodes, networkpolicies, authorizationpolicies, peerauthentications and events; in the \
namespace of the mesh also get deployments, daemonsets and leases, and get and create \
pods/portforward. What may not be seen is said and left out."
)]
pub struct Args {
    /// How to tell
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Every pod of the mesh in a line of its own
    #[arg(long)]
    pub pods: bool,
    /// The mesh
    #[command(flatten)]
    pub cluster: Cluster,
    /// Names of the mesh, where its control plane's own cannot be read
    #[command(flatten)]
    pub names: MeshNames,
}

/// Looks, tells, and answers how it is.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let gathered = block_on(async {
        let live = Live::new(&args.cluster).await?;
        Ok(Box::pin(gather::facts(&live, &args.names)).await)
    });
    let Some(facts) = or_said(gathered, err)? else {
        return Ok(Health::Unknown.exit_code().into());
    };
    let report = Report::of(&facts);
    match args.output {
        Output::Text => write!(out, "{}", render::text(&report, facts.now, args.pods))?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
    }
    Ok(report.health.exit_code().into())
}
