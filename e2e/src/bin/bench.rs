//! `make bench`: prints tables, and writes the page when asked. See `ambit_e2e::bench`.

#![expect(clippy::print_stdout, reason = "the tables are the program's output")]

use std::path::PathBuf;
use std::time::Duration;

use ambit_e2e::bench::report::{Report, Section};
use ambit_e2e::bench::speed::Measure;
use ambit_e2e::bench::waypoint::traffic::Traffic;
use ambit_e2e::bench::{Effort, memory, relay, scale, serve, setting, speed, waypoint};
use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use nix::unistd::Uid;

/// Measures the mesh beside a raw relay, its memory, how it scales, and the waypoint beside other
/// proxies. Needs root.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; everything if not said.
    #[command(subcommand)]
    what: Option<What>,
    /// Rounds per figure.
    #[arg(long, global = true, default_value_t = 5)]
    runs: usize,
    /// Seconds per run.
    #[arg(long, global = true, default_value_t = 4)]
    seconds: u64,
    /// Only these kinds of traffic.
    #[arg(long, global = true, value_enum)]
    only: Vec<Measure>,
    /// Put the tables into this page too: `docs/benchmarks.md`.
    #[arg(long, global = true)]
    write: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Throughput, latency and CPU time beside the relays.
    Speed,
    /// Memory at rest and per idle connection.
    Memory,
    /// Thousands of workloads: time, memory, and what one change costs.
    Scale,
    /// The waypoint beside Envoy, HAProxy and nginx.
    Waypoint {
        /// Only these parts.
        #[arg(value_enum)]
        parts: Vec<waypoint::Part>,
        /// Only these kinds of traffic.
        #[arg(long, value_enum)]
        traffic: Vec<Traffic>,
    },
    /// Everything.
    All,
    /// One of the two relays (started by the bench itself).
    #[command(hide = true)]
    Relay(relay::RelayArgs),
    /// The server of the measurements (started by the bench itself).
    #[command(hide = true)]
    Serve,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.what.clone().unwrap_or(What::All) {
        What::Relay(relay) => relay::run(&relay),
        What::Serve => serve::run(),
        What::Speed => print(&args, &[speeds]),
        What::Memory => print(&args, &[memories]),
        What::Scale => print(&args, &[scales]),
        What::Waypoint { .. } => print(&args, &[waypoints]),
        What::All => print(&args, &[speeds, memories, scales, waypoints]),
    }
}

fn speeds(args: &Args) -> Result<Vec<Section>> {
    let measures = if args.only.is_empty() {
        &Measure::ALL[..]
    } else {
        &args.only
    };
    Ok(vec![speed::measure(measures, args.effort())?])
}

fn memories(_args: &Args) -> Result<Vec<Section>> {
    Ok(vec![memory::measure()?])
}

fn scales(_args: &Args) -> Result<Vec<Section>> {
    Ok(vec![scale::measure()?])
}

fn waypoints(args: &Args) -> Result<Vec<Section>> {
    let (parts, traffic) = match &args.what {
        Some(What::Waypoint { parts, traffic }) => (parts.as_slice(), traffic.as_slice()),
        _ => (&[][..], &[][..]),
    };
    let traffic = if traffic.is_empty() {
        &Traffic::ALL
    } else {
        traffic
    };
    waypoint::measure(parts, traffic, args.effort())
}

impl Args {
    fn effort(&self) -> Effort {
        Effort {
            runs: self.runs.max(1),
            time: Duration::from_secs(self.seconds.max(1)),
        }
    }
}

/// Measures one part.
type Measured = fn(&Args) -> Result<Vec<Section>>;

/// Measures each part, prints its table when it is done, and writes the page at the end.
fn print(args: &Args, parts: &[Measured]) -> Result<()> {
    if !Uid::effective().is_root() {
        bail!("the bench makes network namespaces and needs root: run it with sudo");
    }
    let mut report = Report {
        setting: setting(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        sections: Vec::new(),
    };
    println!("{}\n", report.setting);
    for part in parts {
        for section in part(args)? {
            println!("{}", section.plain());
            report.sections.push(section);
        }
    }
    if let Some(page) = &args.write {
        report.write(page)?;
    }
    Ok(())
}
