//! The node agent's program: which role it plays. Everything else is in the library.
//!
//! Without a subcommand it is the host role, which starts the same program again as `control` and
//! `proxy`. Those two give up their power before anything else happens in them, while the process
//! has one thread: no runtime, no logs and no files before that.

use std::process::ExitCode;

use ambit_kit::environment;
use ambit_node_agent::control::{self, ControlArgs};
use ambit_node_agent::host::client::{self, PodArgs};
use ambit_node_agent::host::ready::{self, ReadyArgs};
use ambit_node_agent::host::{self, HostArgs};
use ambit_node_agent::launch::{self, ProxyStart};
use ambit_node_agent::proxy::{self, ProxyArgs};
use anyhow::Context;
use clap::{Parser, Subcommand as _};

/// Per-node agent of the ambit service mesh.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "`ambit-node-agent pod --help` tells how to enrol and release pods."
)]
struct HostCli {
    #[command(flatten)]
    host: HostArgs,
}

/// Per-node agent of the ambit service mesh.
#[derive(Debug, Parser)]
#[command(version)]
struct RoleCli {
    #[command(subcommand)]
    role: Role,
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
    /// Succeed once the agent of this container has taken over the node; for its startup probe.
    Ready(ReadyArgs),
}

fn main() -> ExitCode {
    // Two parsers, because the settings of the host role may come from the environment, which the
    // other roles and `pod` must not take for theirs.
    let first = std::env::args_os().nth(1);
    let is_role = first.is_some_and(|word| Role::has_subcommand(&word.to_string_lossy()));
    let played = if is_role {
        play(RoleCli::parse().role)
    } else {
        be_host(&HostCli::parse().host)
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn be_host(args: &HostArgs) -> anyhow::Result<()> {
    environment::check(std::env::vars_os())?;
    host::run(args)
}

fn play(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Proxy { args, start } => {
            let (link, feed) = launch::enter_proxy(args.host_fd, args.feed_fd, &start)
                .context("the proxy role cannot lock itself in")?;
            proxy::run(&args, link, feed)
        }
        Role::Control(args) => control::run(&args),
        Role::Pod(args) => client::run(args),
        Role::Ready(args) => ready::run(&args),
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
