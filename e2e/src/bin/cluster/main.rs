//! `make test-cluster`: installs ambit on a Kubernetes cluster by its chart and shows, scenario by
//! scenario, that it holds what it promises.
//!
//! Installing and uninstalling are scenarios too, the first and the last of every run. Whatever
//! ends it, all that it made is removed again.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table is its output"
)]

mod conformance;
mod figures;
mod scenarios;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use ambit_e2e::cluster::{Cluster, Options};
use ambit_e2e::interrupt::Interrupt;
use anyhow::Result;
use clap::Parser;

use crate::scenarios::{FIRST, LAST, MIDDLE, Scenario};

/// Runs scenarios on a Kubernetes cluster.
#[derive(Debug, Parser)]
struct Args {
    /// Only scenarios whose name is or holds one of these, and what has to come before and after.
    filter: Vec<String>,
    /// Print the names of the scenarios and end.
    #[arg(long)]
    list: bool,
    /// Print figures of speed and memory instead of the scenarios: capture, start, idle, many.
    #[arg(long)]
    bench: bool,
    /// Run the conformance suite of Gateway API instead of the scenarios, and write its report here.
    #[arg(long, value_name = "FILE")]
    conformance: Option<PathBuf>,
    /// Use the images that are there.
    #[arg(long)]
    no_build: bool,
    /// Leave the mesh installed.
    #[arg(long)]
    keep: bool,
    /// Take the mesh that is installed, and leave it.
    #[arg(long)]
    installed: bool,
    #[command(flatten)]
    cluster: Options,
}

/// A line of the table.
struct Row {
    name: &'static str,
    seconds: f32,
    outcome: Result<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        for scenario in [FIRST].iter().chain(MIDDLE).chain(&[LAST]) {
            println!("{:24} {}", scenario.name, scenario.shows);
        }
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(rows) => report(&rows),
        Err(error) => {
            eprintln!("test-cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<Vec<Row>> {
    let interrupt = Interrupt::install()?;
    let cluster = Cluster::open(&args.cluster)?;
    let mut rows = Vec::new();
    let shown = show(args, &cluster, &interrupt, &mut rows);
    if !args.keep && !args.installed {
        cluster.release.clear()?;
    }
    shown.map(|()| rows)
}

fn show(args: &Args, cluster: &Cluster, interrupt: &Interrupt, rows: &mut Vec<Row>) -> Result<()> {
    if !args.installed {
        if !args.no_build {
            println!("building the images");
            cluster.build_images(&args.cluster)?;
        }
        cluster.release.clear()?;
        rows.push(play(cluster, &FIRST));
        if rows.iter().any(|row| row.outcome.is_err()) {
            return Ok(());
        }
    }
    if args.bench {
        println!("{}", figures::measure(cluster, &args.filter)?.plain());
        return Ok(());
    }
    if let Some(report) = &args.conformance {
        println!("{}", conformance::run(cluster, report)?);
        return Ok(());
    }
    let wanted = |scenario: &&Scenario| {
        let meant = |word: &String| match MIDDLE.iter().any(|one| one.name == word) {
            true => scenario.name == word,
            false => scenario.name.contains(word),
        };
        args.filter.is_empty() || args.filter.iter().any(meant)
    };
    for scenario in MIDDLE.iter().filter(wanted) {
        interrupt.check()?;
        rows.push(play(cluster, scenario));
    }
    interrupt.check()?;
    if !args.keep && !args.installed {
        rows.push(play(cluster, &LAST));
    }
    Ok(())
}

fn play(cluster: &Cluster, scenario: &Scenario) -> Row {
    println!("{}: {}", scenario.name, scenario.shows);
    let start = Instant::now();
    let outcome = (scenario.run)(cluster);
    let seconds = start.elapsed().as_secs_f32();
    match &outcome {
        Ok(text) => println!("  ok: {text}"),
        Err(error) => {
            let folder = cluster.save_logs(scenario.name);
            println!("  FAILED: {error:#}\n  logs: {}", folder.display());
        }
    }
    Row {
        name: scenario.name,
        seconds,
        outcome,
    }
}

fn report(rows: &[Row]) -> ExitCode {
    println!("\n{:24} {:>8}  result", "scenario", "seconds");
    for row in rows {
        let result = match &row.outcome {
            Ok(text) => format!("ok: {text}"),
            Err(error) => format!("FAILED: {error:#}"),
        };
        println!("{:24} {:8.1}  {result}", row.name, row.seconds);
    }
    let failed = rows.iter().filter(|row| row.outcome.is_err()).count();
    println!("{} of {} failed", failed, rows.len());
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
