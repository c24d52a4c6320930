//! The node agent's program: which role it plays. Everything else is in the library.
//!
//! Without a subcommand it is the host role, which starts the same program again as `control` and
//! `proxy`. Those two give up their power before anything else happens in them, while the process
//! has one thread: no runtime, no logs and no files before that.

use std::process::ExitCode;

use ambit_kit::environment;
use ambit_node_agent::control::{self, ControlArgs};
use ambit_node_agent::host::client::{self, PodArgs};
use ambit_node_agent::host::{self, HostArgs};
use ambit_node_agent::launch::{self, ProxyStart};
use ambit_node_agent::proxy::{self, ProxyArgs};
use anyhow::Context;
use clap::{Args as _, Parser};

/// Per-node agent of the ambit service mesh.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    host: Option<HostArgs>,
}

/// What the program does instead of being the host role.
#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Talk to the control plane; started by the host role.
    #[command(hide = true)]
    Control(ControlArgs),
    /// Carry the pods' traffic; started by the host role.
    #[command(hide = true)]
    Proxy {
        #[command(flatten)]
        args: ProxyArgs,
        #[command(flatten)]
        start: ProxyStart,
    },
    /// Enrol and release pods of this node, and see how its agent is doing.
    Pod(PodArgs),
}

fn main() -> ExitCode {
    match play(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn play(cli: Cli) -> anyhow::Result<()> {
    match cli.role {
        Some(Role::Proxy { args, start }) => {
            let (link, feed) = launch::enter_proxy(args.host_fd, args.feed_fd, &start)
                .context("the proxy role cannot lock itself in")?;
            proxy::run(&args, link, feed)
        }
        Some(Role::Control(args)) => control::run(&args),
        Some(Role::Pod(args)) => client::run(args),
        None => {
            let settings = HostArgs::augment_args(clap::Command::default());
            let known = settings.get_arguments().filter_map(clap::Arg::get_env);
            environment::all_read(known, std::env::vars_os())?;
            host::run(
                &cli.host
                    .context("the host role needs its arguments; see --help")?,
            )
        }
    }
}

/// There may be no logs yet, or no more.
#[expect(
    clippy::print_stderr,
    reason = "the last words of the program, for a person"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("ambit-node-agent: {error:#}");
}
