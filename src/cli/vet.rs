//! `ambit vet [PATH]`: reads a folder, or the objects of the cluster, as the control plane would and
//! tells what is wrong.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::access::{block_on, or_said};
use super::live::{Cluster, Live, read};
use crate::config::Configuration;
use crate::config::directory::Scanner;
use crate::config::objects::Kind;
use crate::config::problem::{Problem, Severity};
use crate::mesh_names::MeshNames;

/// Something is wrong.
const ERRORS: u8 = 1;
/// The folder or the cluster is not there, or not all of it can be read.
const USAGE: u8 = 2;

/// What to read.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 no errors, 1 errors, 2 not everything could be read.

Rights in a cluster: list pods, services, endpointslices, nodes, namespaces, serviceaccounts, \
networkpolicies, authorizationpolicies, peerauthentications, httproutes, grpcroutes, tlsroutes, tcproutes, \
referencegrants, virtualservices, destinationrules, serviceentries, workloadentries, telemetries, requestauthentications, sidecars and envoyfilters; get deployments in the namespace of the mesh."
)]
pub struct Args {
    /// Folder of YAML files, or a single file; without one, the objects of the cluster
    pub path: Option<PathBuf>,
    /// Say only what is wrong
    #[arg(long, short)]
    pub quiet: bool,
    /// The mesh
    #[command(flatten)]
    pub cluster: Cluster,
    /// Names of the mesh
    #[command(flatten)]
    pub names: MeshNames,
}

/// Prints every problem; fails if one is an error.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let Some(path) = &args.path else {
        return in_cluster(args, out, err);
    };
    if let Err(error) = std::fs::metadata(path) {
        let path = path.display();
        writeln!(err, "{path}: {error}; name a folder of YAML files")?;
        return Ok(USAGE.into());
    }
    let mut scanner = Scanner::new(path, None);
    let mut configuration = Configuration::new(args.names.settings());
    configuration.apply(scanner.scan());
    let place = counted(scanner.files().count(), "file");
    tell(args, &configuration, &place, out)
}

/// The same with the objects of a cluster.
fn in_cluster(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let objects = block_on(async {
        let live = Live::new(&args.cluster).await?;
        Ok(Box::pin(read(&live, Kind::ALL, &args.names)).await)
    });
    let Some(objects) = or_said(objects, err)? else {
        return Ok(USAGE.into());
    };
    let code = tell(args, &objects.configuration, "the cluster", out)?;
    for why in &objects.unread {
        writeln!(err, "not read: {why}")?;
    }
    let is_known = code != ExitCode::SUCCESS || objects.unread.is_empty();
    Ok(if is_known { code } else { USAGE.into() })
}

fn tell(
    args: &Args,
    configuration: &Configuration,
    place: &str,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let problems = configuration.problems();
    for problem in &problems {
        writeln!(out, "{}: {problem}", word(problem.severity))?;
    }
    let errors = count(&problems, Severity::Error);
    if !args.quiet {
        let warnings = count(&problems, Severity::Warning);
        writeln!(
            out,
            "{} in {place}: {}, {}",
            counted(configuration.objects().len(), "object"),
            counted(errors, "error"),
            counted(warnings, "warning"),
        )?;
    }
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ERRORS.into()
    })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems
        .iter()
        .filter(|problem| problem.severity == severity)
        .count()
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests;
