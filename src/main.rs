//! `ambit`: the control plane and the command line of the mesh. Arguments and dispatch only.
//!
//! Under the name `kubectl-ambit` (a link is enough) it is kubectl's plugin `kubectl ambit`.

use std::io;
use std::process::ExitCode;

use ambit::cli::{
    self, crds, enrol, explain, proxy_config, status, uninstall, version, vet, waypoint,
};
use ambit::control_plane;
use ambit_kit::environment;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// A sidecarless service mesh
#[derive(Debug, Parser)]
#[command(name = "ambit", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell node agents what a cluster or a folder holds, and sign their certificates
    ControlPlane(Box<control_plane::Args>),
    /// Tell what is wrong with the objects of a folder, or of the cluster
    Vet(vet::Args),
    /// Tell what would happen to a connection, and which objects decide it
    Explain(explain::Args),
    /// Print the CustomResourceDefinitions of the policies that are read
    Crds,
    /// Capture the pods of namespaces
    Enrol(enrol::Args),
    /// No longer capture the pods of namespaces
    Release(enrol::ReleaseArgs),
    /// Tell whether the mesh of a cluster is well
    Status(status::Args),
    /// Make, list and delete waypoints
    Waypoint(waypoint::Args),
    /// Have the mesh leave every node, before what it is made of is deleted
    Uninstall(uninstall::Args),
    /// Tell what the agent of a node knows and does
    ProxyConfig(proxy_config::Args),
    /// Print the versions of this program and of the mesh
    Version(version::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let program = std::env::args_os().next();
    let command = Args::command().bin_name(cli::called(program.as_deref()));
    let args = Args::from_arg_matches(&command.get_matches())?;
    let code = match args.command {
        Command::ControlPlane(args) => {
            environment::check(std::env::vars_os())?;
            control_plane::run(*args)?;
            ExitCode::SUCCESS
        }
        Command::Vet(args) => vet::run(&args, &mut out, &mut err)?,
        Command::Explain(args) => explain::run(&args, &mut out, &mut err)?,
        Command::Crds => crds::run(&mut out)?,
        Command::Enrol(args) => enrol::run(&args, &mut out, &mut err)?,
        Command::Release(args) => enrol::release(&args, &mut out, &mut err)?,
        Command::Status(args) => status::run(&args, &mut out, &mut err)?,
        Command::Waypoint(args) => waypoint::run(&args, &mut out, &mut err)?,
        Command::Uninstall(args) => uninstall::run(&args, &mut out, &mut err)?,
        Command::ProxyConfig(args) => proxy_config::run(&args, &mut out, &mut err)?,
        Command::Version(args) => version::run(&args, &mut out, &mut err)?,
    };
    Ok(code)
}
