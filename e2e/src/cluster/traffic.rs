//! Steady traffic out of a pod, and what became of it.
//!
//! The program (`src/bin/traffic.rs`) is put into the pod over `kubectl exec`; it needs nothing of
//! the image. It prints a line for each failure and a summary at its end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::{Cluster, Sandbox};
use crate::lab::Program;
use crate::wait::wait_until;

/// Where the program lies in a pod.
const PLACE: &str = "/tmp/traffic";
/// The file that ends it.
const STOP: &str = "/tmp/traffic.stop";
/// Until a connection that is to be kept has had its first exchange.
const OPENING: Duration = Duration::from_secs(15);
/// For connections under way at the end.
const FAREWELL: Duration = Duration::from_secs(30);

/// Traffic that goes on.
#[derive(Debug)]
pub struct Traffic<'a> {
    sandbox: &'a Sandbox,
    pod: String,
    program: Program,
}

/// What became of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Connections begun, or exchanges on the one that was held.
    pub tried: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Half of them were answered after so many milliseconds.
    pub p50_ms: f64,
    /// All but one of a hundred were.
    pub p99_ms: f64,
    /// The slowest was.
    pub worst_ms: f64,
    /// Each failure: when, how and why.
    #[serde(skip)]
    pub failures: Vec<String>,
}

impl<'a> Traffic<'a> {
    /// New connections at a steady rate for at most that long, each with a request over HTTP.
    pub fn calls(
        cluster: &Cluster,
        sandbox: &'a Sandbox,
        pod: &str,
        to: SocketAddr,
        (per_second, at_most): (u32, Duration),
    ) -> Result<Self> {
        let words = ["call", &to.to_string(), &per_second.to_string()].map(str::to_owned);
        Self::start(cluster, sandbox, pod, &words, at_most)
    }

    /// One connection that is kept, with an exchange ten times a second; the first is done.
    pub fn hold(
        cluster: &Cluster,
        sandbox: &'a Sandbox,
        pod: &str,
        to: SocketAddr,
        at_most: Duration,
    ) -> Result<Self> {
        let words = ["hold", &to.to_string()].map(str::to_owned);
        let mut held = Self::start(cluster, sandbox, pod, &words, at_most)?;
        wait_until("the first exchange on a connection", OPENING, || {
            held.program.errors().contains("held") || !held.program.is_running()
        })?;
        held.goes_on()?;
        Ok(held)
    }

    fn start(
        cluster: &Cluster,
        sandbox: &'a Sandbox,
        pod: &str,
        words: &[String],
        at_most: Duration,
    ) -> Result<Self> {
        let kubectl = &sandbox.kubectl;
        sandbox.exec(pod, &["rm", "-f", STOP])?;
        sandbox.bring(pod, "traffic")?;
        let mut command = kubectl.command(&["-n", &sandbox.name, "exec", pod, "--", PLACE]);
        command.args(words).arg(at_most.as_secs().to_string());
        let name = format!(
            "{}-{pod}-{}",
            sandbox.name,
            words.join("-").replace(['[', ']'], "")
        );
        Ok(Self {
            program: Program::start(&name, command, cluster.dir())?,
            pod: pod.to_owned(),
            sandbox,
        })
    }

    /// An error if it has ended, which it does early only if a held connection broke.
    pub fn goes_on(&mut self) -> Result<()> {
        if !self.program.is_running() {
            bail!(
                "the traffic ended: {}{}",
                self.program.output(),
                self.program.errors()
            );
        }
        Ok(())
    }

    /// Lets it go on to its end, or ends it now.
    pub fn finish(mut self, now: bool, limit: Duration) -> Result<Report> {
        if now {
            self.sandbox.exec(&self.pod, &["touch", STOP])?;
        }
        let said = self.program.finish(limit.saturating_add(FAREWELL))?;
        let mut lines: Vec<&str> = said.lines().collect();
        let last = lines.pop().context("the traffic program said nothing")?;
        let mut report: Report =
            serde_json::from_str(last).with_context(|| format!("reading {last:?}"))?;
        report.failures = lines.into_iter().map(str::to_owned).collect();
        Ok(report)
    }
}

impl Report {
    /// An error with the first failures if there is one.
    pub fn flawless(&self) -> Result<()> {
        if self.failed > 0 || self.tried == 0 {
            let first: Vec<_> = self.failures.iter().take(5).cloned().collect();
            bail!(
                "{} of {} failed: {}",
                self.failed,
                self.tried,
                first.join("; ")
            );
        }
        Ok(())
    }
}
