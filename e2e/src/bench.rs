//! `make bench`: what the mesh costs beside the least that could be paid, and how it scales.
//!
//! [`speed`] holds it against a raw relay ([`relay`]) on one lab, [`memory`] and [`scale`] look at
//! it alone; [`waypoint`] holds the L7 proxy against others. Targets are printed beside the figures; nothing is asserted, for machines differ.

pub mod figures;
pub mod load;
pub mod memory;
pub mod relay;
pub mod report;
pub mod scale;
pub mod serve;
pub mod speed;
pub mod usage;
pub mod waypoint;
pub mod ways;

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use crate::shell;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds; the figures are their medians.
    pub runs: usize,
    /// How long each run takes.
    pub time: Duration,
}

/// The machine in a line: processor, kernel, and how this program was built.
pub fn setting() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("a processor without a name", |(_, model)| model);
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = shell::run("uname", &["-r"]).unwrap_or_default();
    let build = if cfg!(debug_assertions) {
        "development build: figures say little"
    } else {
        "release build"
    };
    format!("{count} × {model}, Linux {}, {build}", kernel.trim())
}

/// Tells a person how far the run is, on stderr: stdout is for the tables.
fn note(what: &str) {
    writeln!(std::io::stderr(), "bench: {what}").ok();
}

/// One line on stdout, at once: what a program started by the bench is waited for by.
fn say(what: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{what}").and_then(|()| out.flush()).ok();
}
