//! Memory of the agents: at rest, and per idle connection.
//!
//! On a mesh of its own that has carried nothing else, so that no memory is there already that
//! idle connections could hide in.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::Pid;

use super::figures::{Goal, show};
use super::report::Section;
use super::usage::{Memory, arguments, family, memory};
use super::ways::{Bed, Way};
use super::{load, note};
use crate::mesh::Agent;
use crate::wait::wait_for;

/// Idle connections from one pod to another.
const CONNECTIONS: usize = 10_000;
/// Opened and closed before: what is allocated once is not counted as theirs.
const FIRST: usize = 200;
/// How long memory may take to come to rest.
const REST: Duration = Duration::from_secs(20);
/// Memory rests when it changes by less than this from one look to the next, in kB.
const STILL: f64 = 64.0;
/// An agent's processes.
pub(super) const ROLES: [&str; 3] = ["host", "control", "proxy"];

/// What each role of an agent uses.
pub(super) type Roles = [Memory; 3];

/// Measures on a mesh of its own and answers the table.
pub fn measure() -> Result<Section> {
    note("building a fresh mesh for memory");
    let bed = Bed::new(&[Way::Mesh])?;
    let track = bed.track(Way::Mesh)?;
    drop(load::idle(track.route(), FIRST)?);
    let agents: [&Agent; 2] = [bed.world.mesh.agent(1)?, bed.world.mesh.agent(2)?];
    let rest = at_rest(agents)?;
    note(&format!("opening {CONNECTIONS} connections"));
    let opened = load::idle(track.route(), CONNECTIONS)
        .with_context(|| agents.map(Agent::log_end).concat())?;
    let held = at_rest(agents)?;
    drop(opened);

    let mut rows = Vec::new();
    let ends = ["client's agent", "server's agent"];
    for ((end, rest), held) in ends.iter().zip(&rest).zip(&held) {
        for ((role, rest), held) in ROLES.iter().zip(rest).zip(held) {
            let goal = (*role == "proxy").then_some(Goal::AtMost(20.0));
            let row = Row {
                what: format!("{end}, {role} role at rest: MB"),
                goal,
            };
            rows.push(row.cells(rest.rss / 1024.0, rest.pss / 1024.0));
            if held.rss - rest.rss > STILL {
                let (rss, pss) = (held.rss - rest.rss, held.pss - rest.pss);
                let row = Row {
                    what: format!("{end}, {role} role, per idle connection: kB"),
                    goal: None,
                };
                rows.push(row.cells(rss / CONNECTIONS as f64, pss / CONNECTIONS as f64));
            }
        }
        let total = |roles: &Roles, of: fn(&Memory) -> f64| roles.iter().map(of).sum::<f64>();
        let each = |of| (total(held, of) - total(rest, of)) / CONNECTIONS as f64;
        let row = Row {
            what: format!("{end}, all roles, per idle connection: kB"),
            goal: Some(Goal::AtMost(4.0)),
        };
        rows.push(row.cells(each(|memory| memory.rss), each(|memory| memory.pss)));
    }
    Ok(Section {
        title: "Memory".to_owned(),
        note: format!(
            "Resident memory (RSS; PSS divides what processes share) of a mesh with two captured \
             pods, before and while {CONNECTIONS} connections through it are open and idle. \
             Sockets' memory is the kernel's and not counted. Targets are held against RSS."
        ),
        head: ["figure", "RSS", "PSS", "target", ""]
            .map(str::to_owned)
            .to_vec(),
        rows,
    })
}

struct Row {
    what: String,
    goal: Option<Goal>,
}

impl Row {
    fn cells(self, rss: f64, pss: f64) -> Vec<String> {
        let target = self.goal.map_or_else(String::new, |goal| goal.text(""));
        let verdict = self.goal.map_or("", |goal| goal.verdict(rss));
        vec![self.what, show(rss), show(pss), target, verdict.to_owned()]
    }
}

/// Both agents' memory once it no longer changes.
fn at_rest(agents: [&Agent; 2]) -> Result<[Roles; 2]> {
    let look = || -> Result<[Roles; 2]> {
        let [client, server] = agents;
        Ok([roles(client)?, roles(server)?])
    };
    let total = |both: &[Roles; 2]| both.iter().flatten().map(|role| role.rss).sum::<f64>();
    resting(look, total)
}

/// What is seen once its size, in kB, no longer changes.
pub(super) fn resting<T>(look: impl Fn() -> Result<T>, size: impl Fn(&T) -> f64) -> Result<T> {
    let mut last = size(&look()?);
    let mut since = 0;
    wait_for("memory to come to rest", REST, || {
        let now = match look() {
            Ok(now) => now,
            Err(error) => return Some(Err(error)),
        };
        let still = (size(&now) - last).abs() < STILL;
        since = if still { since + 1 } else { 0 };
        if !still {
            last = size(&now);
        }
        (since > LOOKS).then_some(Ok(now))
    })?
}

/// Looks in a row without a change: at 10 ms or more apart, a second at least.
const LOOKS: usize = 100;

/// The memory of an agent's roles: the last started process of each.
pub(super) fn roles(agent: &Agent) -> Result<Roles> {
    let program = agent.program().context("the agent is not running")?;
    let processes = family(program.pid());
    let of = |role: &str| -> Result<Memory> {
        let plays = |pid: &&Pid| {
            let named = arguments(**pid).get(1).cloned().unwrap_or_default();
            if role == "host" {
                **pid == program.pid()
            } else {
                named == role
            }
        };
        let found = processes.iter().rev().find(plays);
        memory(*found.with_context(|| format!("the agent has no {role} role"))?)
    };
    let [host, control, proxy] = ROLES;
    Ok([of(host)?, of(control)?, of(proxy)?])
}
