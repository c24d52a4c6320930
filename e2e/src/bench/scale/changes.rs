//! One pod that changes: how long until the agent has it, and what that costs.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;

use super::super::figures::median;
use super::super::usage::{Threads, family};
use super::objects;
use crate::mesh::{Mesh, sum_of};
use crate::wait::wait_until;

/// Changes whose time is taken one by one.
pub(super) const WATCHED: usize = 20;
/// Changes whose cost is taken together, with nobody looking meanwhile.
pub(super) const COSTED: usize = 100;
/// Longest wait for one change.
const CHANGE: Duration = Duration::from_secs(10);
/// Between two changes: longer than the control plane waits for more of them.
const PACE: Duration = Duration::from_millis(100);
/// The resources that the agent was sent, as its proxy knows.
const RECEIVED: &str = "ambit_discovery_received_resources_total";

/// What one change costs, on average.
#[derive(Debug)]
pub(super) struct Cost {
    /// Milliseconds of CPU.
    pub(super) control_plane: f64,
    /// Milliseconds of CPU, all roles.
    pub(super) agent: f64,
    /// Bytes of resources sent.
    pub(super) bytes: f64,
    /// Resources sent.
    pub(super) resources: f64,
}

/// Writes the pod that changes.
pub(super) fn apply(mesh: &Mesh, ready: bool) -> Result<()> {
    mesh.configuration
        .apply("changed", &objects::changed(ready))
}

/// Milliseconds from a change to the agent's proxy having it: the median of several.
pub(super) fn watched(mesh: &Mesh) -> Result<f64> {
    let pages = mesh.agent(1)?.pages();
    let mut taken = Vec::new();
    for turn in 0..WATCHED {
        let before = pages.metric(RECEIVED, &[])?;
        let start = Instant::now();
        apply(mesh, turn % 2 == 1)?;
        wait_until("a change to reach the agent", CHANGE, || {
            pages.metric(RECEIVED, &[]).is_ok_and(|now| now > before)
        })?;
        taken.push(start.elapsed().as_secs_f64() * 1e3);
    }
    median(&taken).context("nothing was changed")
}

/// What many changes at a steady pace cost, less what as long a time without changes does.
pub(super) fn costed(mesh: &Mesh) -> Result<Cost> {
    let running = mesh.control_plane.program();
    let control_plane = family(running.context("the control plane ended")?.pid());
    let agent = mesh.agent(1)?.program();
    let agent = family(agent.context("the agent ended")?.pid());
    let time = PACE * u32::try_from(COSTED)?;

    let idle = || -> Result<()> {
        thread::sleep(time);
        Ok(())
    };
    let changes = || -> Result<()> {
        let start = Instant::now();
        for (turn, due) in (0..COSTED).zip(0_u32..) {
            apply(mesh, turn % 2 == 1)?;
            let next = start + PACE * (due + 1);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    };
    // Once before: what follows the first state, such as writing it down, is no change's cost.
    idle()?;
    let without = spent(&control_plane, &agent, idle)?;
    let before = mesh.control_plane.metrics()?;
    let with = spent(&control_plane, &agent, changes)?;
    let after = mesh.control_plane.metrics()?;

    let sent = |name: &str| sum_of(&after, name, &[]) - sum_of(&before, name, &[]);
    let resources = sent("ambit_xds_resources_total");
    if resources < COSTED as f64 {
        bail!("{COSTED} changes were made, {resources} resources were sent");
    }
    let [control_plane, agent] = with;
    let [control_plane_idle, agent_idle] = without;
    let each = |with: f64, without: f64| (with - without) * 1e3 / COSTED as f64;
    Ok(Cost {
        control_plane: each(control_plane, control_plane_idle),
        agent: each(agent, agent_idle),
        bytes: sent("ambit_xds_sent_bytes_total") / COSTED as f64,
        resources: resources / COSTED as f64,
    })
}

/// CPU seconds of the control plane and of the agent while `work` runs.
fn spent(
    control_plane: &[Pid],
    agent: &[Pid],
    work: impl FnOnce() -> Result<()>,
) -> Result<[f64; 2]> {
    let before = [Threads::of(control_plane), Threads::of(agent)];
    work()?;
    let [control_before, agent_before] = before;
    let control_plane = Threads::of(control_plane).since(&control_before);
    Ok([control_plane, Threads::of(agent).since(&agent_before)])
}
