//! A program that runs in the background until its owner is dropped.
//!
//! It leads a process group of its own and is killed with it; its output goes to files, which
//! may be read while it runs.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::wait::wait_for;

/// A running program, or one that has ended and not been dropped yet.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Program {
    /// Starts `command`; its output goes to `DIR/NAME.out` and `DIR/NAME.err`, appended to what
    /// an earlier program of that name left there.
    pub fn start(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let stdout = dir.join(format!("{name}.out"));
        let stderr = dir.join(format!("{name}.err"));
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(appended(&stdout)?)
            .stderr(appended(&stderr)?)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        })
    }

    /// Its process id; also that of its process group.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Sends a signal to the program and all that it started.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        killpg(self.pid(), signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Where its output goes.
    pub fn output_file(&self) -> &Path {
        &self.stdout
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || self.child.try_wait().transpose())?
            .with_context(|| format!("waiting for {}", self.name))
    }

    /// Waits for its end, which must be a success; answers what it printed.
    pub fn finish(&mut self, limit: Duration) -> Result<String> {
        let status = self.wait(limit)?;
        if !status.success() {
            bail!(
                "{} ended with {status}: {}{}",
                self.name,
                self.errors(),
                self.output()
            );
        }
        Ok(self.output())
    }

    /// Asks it to end, with SIGTERM, and waits.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait(limit)
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        read(&self.stdout)
    }

    /// What it printed on stderr so far.
    pub fn errors(&self) -> String {
        read(&self.stderr)
    }
}

/// A failed scenario ends with what its programs had to complain of: their files go with the lab.
#[expect(clippy::print_stderr, reason = "said with the failure of a test")]
impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            for file in [&self.stdout, &self.stderr] {
                let text = complaints(&read(file));
                if !text.is_empty() {
                    eprintln!("--- {}:\n{text}", file.display());
                }
            }
        }
        // The group outlives its leader while children run, so it is killed in any case.
        killpg(self.pid(), Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}

/// The last lines that are no mere information.
fn complaints(text: &str) -> String {
    const LAST: usize = 20;
    let words = ["WARN", "ERROR", "\"warn\"", "\"error\"", "panicked"];
    let is_one = |line: &&str| words.iter().any(|word| line.contains(word));
    let mut last: Vec<_> = text.lines().rev().filter(is_one).take(LAST).collect();
    last.reverse();
    last.join("\n")
}

fn appended(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

fn read(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
