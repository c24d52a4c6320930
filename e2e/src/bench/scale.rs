//! Thousands of workloads: how long until an agent has them, what they weigh, and whether one
//! changed pod costs more among many than among few.
//!
//! One control plane and one agent, both real; the pods exist as objects only. Two sizes, ten
//! times apart: what grows with the mesh shows in their ratio.

mod changes;
mod objects;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use self::changes::{COSTED, WATCHED};
use self::objects::Size;
use super::figures::{Goal, show};
use super::memory::roles;
use super::note;
use super::report::Section;
use super::usage::memory;
use crate::lab::Lab;
use crate::mesh::{Mesh, Options, sum_of};
use crate::wait::wait_until;

const SMALL: Size = Size {
    workloads: 2_000,
    services: 200,
    policies: 50,
};
const LARGE: Size = Size {
    workloads: 20_000,
    services: 2_000,
    policies: 500,
};
/// Longest wait for a whole mesh to be read, sent and taken.
const SPREAD: Duration = Duration::from_secs(120);
/// The most that a change may cost among many, compared to among few.
const NO_GROWTH: Option<Goal> = Some(Goal::AtMost(1.5));

/// A figure of one size: its name, its value, and what the ratio of the two sizes should be.
type Figure = (&'static str, f64, Option<Goal>);

/// Measures both sizes and answers the table.
pub fn measure() -> Result<Section> {
    let small = measure_size(SMALL)?;
    let large = measure_size(LARGE)?;
    let rows = small
        .into_iter()
        .zip(large)
        .map(|((what, few, goal), (_, many, _))| {
            let ratio = many / few;
            vec![
                what.to_owned(),
                show(few),
                show(many),
                format!("{ratio:.2}"),
                goal.map_or_else(String::new, |goal| goal.text("")),
                goal.map_or("", |goal| goal.verdict(ratio)).to_owned(),
            ]
        });
    let workloads = |size: Size| format!("{} workloads", show(f64::from(size.workloads)));
    let head = [
        "figure",
        &workloads(SMALL),
        &workloads(LARGE),
        "ratio",
        "target",
        "",
    ];
    Ok(Section {
        title: "Scale".to_owned(),
        note: format!(
            "One control plane and one agent; {} and {} services, {} and {} policies. A change is \
             a pod that turns ready or unready, in a file of its own: the median of {WATCHED} for \
             the time, the mean of {COSTED} for the cost, less what the processes use without \
             changes.",
            SMALL.services, LARGE.services, SMALL.policies, LARGE.policies
        ),
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    })
}

fn measure_size(size: Size) -> Result<Vec<Figure>> {
    note(&format!("scale: {} workloads", size.workloads));
    let lab = Lab::new(1)?;
    let node = [("cluster", objects::cluster())];
    let mut mesh = Mesh::start(&lab, &node, &Options::default())?;
    mesh.agent_mut(1)?.terminate()?;
    mesh.control_plane.terminate()?;
    for (name, text) in size.files() {
        mesh.configuration.apply(&name, &text)?;
    }
    changes::apply(&mesh, true)?;

    let read = start_control_plane(&mut mesh, size)?;
    let known = start_agent(&mut mesh, size)?;
    let running = mesh.control_plane.program();
    let control_plane = memory(running.context("the control plane ended")?.pid())?;
    let [host, control, proxy] = roles(mesh.agent(1)?)?.map(|role| role.rss / 1024.0);
    let latency = changes::watched(&mesh)?;
    let cost = changes::costed(&mesh)?;
    Ok(vec![
        ("control plane: start to all read, s", read, None),
        ("agent: start to all known, s", known, None),
        ("control plane: RSS, MB", control_plane.rss / 1024.0, None),
        ("agent, host role: RSS, MB", host, None),
        ("agent, control role: RSS, MB", control, None),
        ("agent, proxy role: RSS, MB", proxy, None),
        ("one change: ms until the agent has it", latency, NO_GROWTH),
        (
            "one change: control plane's CPU, ms",
            cost.control_plane,
            NO_GROWTH,
        ),
        ("one change: agent's CPU, ms", cost.agent, NO_GROWTH),
        ("one change: bytes sent", cost.bytes, NO_GROWTH),
        ("one change: resources sent", cost.resources, NO_GROWTH),
    ])
}

/// Seconds from its start until it serves every object.
fn start_control_plane(mesh: &mut Mesh, size: Size) -> Result<f64> {
    let start = Instant::now();
    mesh.control_plane.start_again()?;
    let wanted = size.known();
    wait_until("the control plane to have read everything", SPREAD, || {
        mesh.control_plane
            .metrics()
            .is_ok_and(|page| knows(&page, &wanted))
    })
    .with_context(|| mesh.control_plane.log())?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds from its start, with nothing kept, until its proxy knows every object.
fn start_agent(mesh: &mut Mesh, size: Size) -> Result<f64> {
    let agent = mesh.agent_mut(1)?;
    fs::remove_dir_all(agent.state_dir()).context("removing what the agent kept")?;
    let start = Instant::now();
    agent.start()?;
    let wanted = size.known();
    wait_until("the agent to know everything", SPREAD, || {
        let pages = agent.pages();
        pages.is_ready() && pages.metrics().is_ok_and(|page| knows(&page, &wanted))
    })
    .with_context(|| agent.log_end())?;
    Ok(start.elapsed().as_secs_f64())
}

fn knows(page: &str, wanted: &[(&str, f64)]) -> bool {
    wanted
        .iter()
        .all(|(name, count)| sum_of(page, name, &[]) >= *count)
}
