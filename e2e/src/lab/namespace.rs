//! One network namespace with a name: made, entered, removed with all that runs in it.
//!
//! Programs enter through `ip netns exec`, which also puts `/etc/netns/NAME/*` over `/etc`, so a
//! real program finds the services' names in its hosts file. Helper code of ours enters on a
//! thread that then ends.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::shell;
use crate::wait::wait_until;

/// How long killed programs may take to leave a namespace.
const LEAVE: Duration = Duration::from_secs(5);

/// A named network namespace; dropping it ends what runs inside and removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    /// Makes the namespace, its loopback up, IPv6 usable at once, forwarding if asked.
    pub fn create(name: &str, forwarding: bool) -> Result<Self> {
        shell::run("ip", &["netns", "add", name])?;
        let handle = File::open(path_of(name)).with_context(|| format!("opening {name}"))?;
        let namespace = Self {
            name: name.to_owned(),
            handle,
        };
        namespace.batch("link set lo up\n")?;
        namespace.sysctl(&[
            // Always allowed; BBR, a common default, throttles local links.
            "net.ipv4.tcp_congestion_control=reno",
            "net.ipv6.conf.all.disable_ipv6=0",
            "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.all.accept_dad=0",
        ])?;
        if forwarding {
            namespace.sysctl(&["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
        }
        fs::create_dir_all(namespace.etc()).context("making /etc/netns/NAME")?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds it.
    pub fn path(&self) -> PathBuf {
        path_of(&self.name)
    }

    /// The folder whose files replace those of `/etc` for programs run inside.
    pub fn etc(&self) -> PathBuf {
        etc_of(&self.name)
    }

    /// Runs `work` on a thread inside, which then ends: no thread ever comes back out.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || -> Result<T> {
            setns(&self.handle, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("entering namespace {}", self.name))?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .map_err(|_panic| anyhow!("a thread inside {} panicked", self.name))?
    }

    /// `ip -batch` inside: all lines or an error.
    pub fn batch(&self, lines: &str) -> Result<()> {
        shell::feed("ip", &["-n", &self.name, "-batch", "-"], lines)
            .with_context(|| format!("setting up links in {}:\n{lines}", self.name))?;
        Ok(())
    }

    /// Sets kernel parameters inside, each `name=value`.
    pub fn sysctl(&self, settings: &[&str]) -> Result<()> {
        let mut command = self.enter("sysctl");
        shell::finish(command.arg("-q").arg("-w").args(settings), "sysctl")?;
        Ok(())
    }

    /// A program inside, with the pod's own `/etc/hosts`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// A program inside that keeps the machine's own mounts, as a host-network pod would.
    pub fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Ends every program in the namespace and removes it: also for those of a run that died.
pub(super) fn remove(name: &str) {
    let emptied = wait_until("a namespace to empty", LEAVE, || {
        let pids = programs_in(name);
        for pid in &pids {
            // It may have ended between the look and the signal: that is what is wanted.
            kill(*pid, Signal::SIGKILL).ok();
        }
        pids.is_empty()
    });
    emptied.ok();
    shell::run("ip", &["netns", "del", name]).ok();
    fs::remove_dir_all(etc_of(name)).ok();
}

fn programs_in(name: &str) -> Vec<Pid> {
    let listed = shell::run("ip", &["netns", "pids", name]).unwrap_or_default();
    listed
        .lines()
        .filter_map(|line| line.trim().parse().ok().map(Pid::from_raw))
        .collect()
}

fn path_of(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

fn etc_of(name: &str) -> PathBuf {
    PathBuf::from("/etc/netns").join(name)
}
