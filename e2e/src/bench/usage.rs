//! What processes use, from `/proc`: CPU time and memory, with all their descendants.
//!
//! Seen from the machine's own pid namespace, so that children in namespaces of their own, such
//! as an agent's proxy role, are counted too.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::process;

/// Memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Resident, in kB.
    pub rss: f64,
    /// Resident, what is shared divided by its sharers, in kB.
    pub pss: f64,
}

/// A process and all that descend from it.
pub fn family(root: Pid) -> Vec<Pid> {
    let descendants = process::children(root.as_raw()).into_iter();
    std::iter::once(root)
        .chain(descendants.map(Pid::from_raw))
        .collect()
}

/// Keeps all threads of these processes, and what they start from now on, on one processor.
pub fn pin(pids: &[Pid], processor: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(processor)?;
    for pid in pids {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).context("listing threads")?;
        for thread in threads.flatten() {
            let name = thread.file_name();
            let thread = name.to_str().and_then(|name| name.parse().ok());
            let Some(thread) = thread else { continue };
            sched_setaffinity(Pid::from_raw(thread), &only)
                .with_context(|| format!("keeping process {pid} on processor {processor}"))?;
        }
    }
    Ok(())
}

/// CPU seconds that these processes have used so far, ended threads included, in steps of 10 ms
/// per process.
pub fn cpu(pids: &[Pid]) -> Result<f64> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("the kernel has no clock tick")?;
    let ticks: u64 = pids
        .iter()
        .filter_map(|pid| ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .sum();
    Ok(ticks as f64 / per_second as f64)
}

/// Time on a CPU of each living thread of some processes: for what is too little for [`cpu`].
#[derive(Debug)]
pub struct Threads(BTreeMap<String, u64>);

impl Threads {
    /// As it is now.
    pub fn of(pids: &[Pid]) -> Self {
        Self(pids.iter().flat_map(threads).collect())
    }

    /// CPU seconds used since. What a thread used that has ended meanwhile is lost.
    pub fn since(&self, before: &Self) -> f64 {
        let used = |(thread, now): (&String, &u64)| {
            let then = before.0.get(thread).copied().unwrap_or_default();
            now.saturating_sub(then)
        };
        let nanoseconds: u64 = self.0.iter().map(used).sum();
        nanoseconds as f64 / 1e9
    }
}

/// Memory of a process.
pub fn memory(pid: Pid) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let field = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Ok(Memory {
        rss: field("Rss:").context("no Rss in smaps_rollup")?,
        pss: field("Pss:").context("no Pss in smaps_rollup")?,
    })
}

/// The arguments a process was started with.
pub fn arguments(pid: Pid) -> Vec<String> {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    raw.split(|byte| *byte == 0)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

/// Clock ticks in user and system mode together, from a line as in proc_pid_stat(5); the program's
/// name, in brackets, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_name, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// The threads of a process, by id, and the nanoseconds that each was on a CPU.
fn threads(pid: &Pid) -> Vec<(String, u64)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let spent = |task: DirEntry| -> Option<(String, u64)> {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
        Some((task.file_name().into_string().ok()?, nanoseconds))
    };
    tasks.flatten().filter_map(spent).collect()
}

#[cfg(test)]
mod tests;
