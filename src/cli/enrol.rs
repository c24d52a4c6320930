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
use super::access::block_on;
use super::live::{Cluster, Live};

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

Rights: get and patch namespaces, list pods and events in them. \
--cut-existing: patch pods there. Counting older connections: list pods, and get and create \
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
}

/// Whom to release.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 as asked, 1 not every pod in time, 2 it cannot be asked for.

Rights: get and patch namespaces, list pods and events in them."
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
}

/// Labels the namespaces; waits, and cuts, if it is to.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    let command = Command {
        wish: Wish::Captured,
        timeout: args.timeout,
        shows: io::stderr().is_terminal(),
    };
    let done = block_on(async {
        let live = Live::new(&args.cluster).await?;
        let namespaces = Namespaces::new(&live, &args.namespaces);
        namespaces.label(command.wish, out).await?;
        if !args.wait && !args.cut_existing {
            return Ok(ExitCode::SUCCESS);
        }
        let (progress, code) = Box::pin(command.follow(&namespaces, out, err)).await?;
        if !args.cut_existing {
            Box::pin(cut::count(&live, &progress, out, err)).await?;
            return Ok(code);
        }
        let is_cut = Box::pin(cut::all(&live, &progress, out, err)).await?;
        Ok(if is_cut { code } else { UNFINISHED.into() })
    });
    finish(done, err)
}

/// Takes the label off; waits if it is to.
pub fn release(
    args: &ReleaseArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let command = Command {
        wish: Wish::Released,
        timeout: args.timeout,
        shows: io::stderr().is_terminal(),
    };
    let done = block_on(async {
        let live = Live::new(&args.cluster).await?;
        let namespaces = Namespaces::new(&live, &args.namespaces);
        namespaces.label(command.wish, out).await?;
        if !args.wait {
            return Ok(ExitCode::SUCCESS);
        }
        let (_, code) = Box::pin(command.follow(&namespaces, out, err)).await?;
        Ok(code)
    });
    finish(done, err)
}

fn finish(done: anyhow::Result<ExitCode>, err: &mut impl Write) -> anyhow::Result<ExitCode> {
    match done {
        Ok(code) => Ok(code),
        Err(error) => {
            writeln!(err, "error: {error:#}")?;
            Ok(IMPOSSIBLE.into())
        }
    }
}

/// What to wait for.
#[derive(Clone, Copy, Debug)]
struct Command {
    wish: Wish,
    timeout: Duration,
    /// Whether somebody looks at a line that changes.
    shows: bool,
}

impl Command {
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
        let mut progress = look().await?;
        while !progress.is_over() && Instant::now() < deadline {
            if self.shows {
                write!(err, "\r{}\x1b[K", progress.bar())?;
                err.flush()?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            match look().await {
                Ok(now) => progress = now,
                Err(error) => writeln!(err, "{error:#}; asked again")?,
            }
        }
        if self.shows {
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
