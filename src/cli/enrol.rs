//! `ambit enrol NAMESPACE...` and `ambit release NAMESPACE...`: label namespaces, and wait until
//! their pods are captured, or are no longer.
//!
//! Both are the same with the other sign. Doing it twice is the same as once.

mod cut;
mod namespaces;
mod progress;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::Duration;

use ambit_kit::clock;
use anyhow::Context as _;
use tokio::time::Instant;

use self::namespaces::Namespaces;
use self::progress::{Progress, Wish};
use super::access::{block_on, or_said};
use super::live::{Cluster, Live};
use crate::mesh_names::MeshNames;

/// Not every pod is as was asked.
const UNFINISHED: u8 = 1;
/// It cannot be asked for, or not be seen.
const IMPOSSIBLE: u8 = 2;
/// How often it is looked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whom to enrol.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 as asked, 1 not every pod in time, or connections that may not be cut, \
2 it cannot be asked for.

Rights: get and patch namespaces, list pods and events in them; get deployments in the namespace of \
the mesh. --cut-existing: patch pods there. Counting older connections: list pods, and get and create \
pods/portforward in the namespace of the mesh."
)]
pub struct Args {
    /// Namespaces whose pods are to be captured
    #[arg(required = true, value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Wait until every pod is captured, and say why one is not
    #[arg(long)]
    pub wait: bool,
    /// Then cut the connections that are older than their pods' capture; waits
    #[arg(long)]
    pub cut_existing: bool,
    /// How long to wait, such as 90s or 2m
    #[arg(long, default_value = "2m", value_parser = clock::parse_span)]
    pub timeout: Duration,
    /// The mesh
    #[command(flatten)]
    pub cluster: Cluster,
    /// Names of the mesh, where its control plane's own cannot be read
    #[command(flatten)]
    pub names: MeshNames,
}

/// Whom to release.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 as asked, 1 not every pod in time, 2 it cannot be asked for.

Rights: get and patch namespaces, list pods and events in them; get deployments in the namespace of \
the mesh."
)]
pub struct ReleaseArgs {
    /// Namespaces whose pods are no longer to be captured
    #[arg(required = true, value_name = "NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Wait until no pod is captured any more
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 90s or 2m
    #[arg(long, default_value = "2m", value_parser = clock::parse_span)]
    pub timeout: Duration,
    /// The mesh
    #[command(flatten)]
    pub cluster: Cluster,
    /// Names of the mesh, where its control plane's own cannot be read
    #[command(flatten)]
    pub names: MeshNames,
}

/// Labels the namespaces; waits, and cuts, if it is to.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let command = Command {
        namespaces: &args.namespaces,
        cluster: &args.cluster,
        names: &args.names,
        wish: Wish::Captured,
        waits: args.wait || args.cut_existing,
        cuts: args.cut_existing,
        timeout: args.timeout,
    };
    command.run(out, err)
}

/// Takes the label off; waits if it is to.
pub fn release(
    args: &ReleaseArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let command = Command {
        namespaces: &args.namespaces,
        cluster: &args.cluster,
        names: &args.names,
        wish: Wish::Released,
        waits: args.wait,
        cuts: false,
        timeout: args.timeout,
    };
    command.run(out, err)
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Command<'a> {
    namespaces: &'a [String],
    cluster: &'a Cluster,
    names: &'a MeshNames,
    wish: Wish,
    waits: bool,
    /// Whether connections that are older than their pods' capture are cut.
    cuts: bool,
    timeout: Duration,
}

impl Command<'_> {
    fn run(self, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
        let done = block_on(self.carry_out(out, err));
        Ok(or_said(done, err)?.unwrap_or_else(|| IMPOSSIBLE.into()))
    }

    async fn carry_out(
        self,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> anyhow::Result<ExitCode> {
        let live = Live::new(self.cluster).await?;
        let (names, unread) = Box::pin(live.names(self.names)).await;
        if let Some(why) = unread {
            writeln!(err, "warning: {why}")?;
        }
        let namespaces = Namespaces::new(&live, self.namespaces, &names);
        namespaces.label(self.wish, out).await?;
        if !self.waits {
            return Ok(ExitCode::SUCCESS);
        }
        let (progress, code) = Box::pin(self.follow(&namespaces, out, err)).await?;
        if self.cuts {
            let is_cut = Box::pin(cut::all(&live, &progress, out, err)).await?;
            return Ok(if is_cut { code } else { UNFINISHED.into() });
        }
        if self.wish == Wish::Captured {
            Box::pin(cut::count(&live, &progress, out, err)).await?;
        }
        Ok(code)
    }

    async fn follow(
        self,
        namespaces: &Namespaces<'_>,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> anyhow::Result<(Progress, ExitCode)> {
        let deadline = Instant::now() + self.timeout;
        let look = || async {
            let found = namespaces.look(self.wish).await;
            found.context("cannot see how far it is")
        };
        // Whether somebody looks at a line that changes.
        let shows = io::stderr().is_terminal();
        let mut progress = look().await?;
        while !progress.is_over() && Instant::now() < deadline {
            if shows {
                write!(err, "\r{}\x1b[K", progress.bar())?;
                err.flush()?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            match look().await {
                Ok(now) => progress = now,
                Err(error) => writeln!(err, "{error:#}; asked again")?,
            }
        }
        if shows {
            write!(err, "\r\x1b[K")?;
        }
        write!(out, "{}", progress.report())?;
        if progress.is_over() {
            return Ok((progress, ExitCode::SUCCESS));
        }
        write!(err, "{}", progress.complaint())?;
        Ok((progress, UNFINISHED.into()))
    }
}
