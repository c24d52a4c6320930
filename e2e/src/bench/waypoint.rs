//! The waypoint beside Envoy, HAProxy and nginx, one hop and in a mesh.
//!
//! The proxy under test has a processor of its own; clients, servers and, in a mesh, agents share
//! another one. All of them do the same work: they serve requests on kept connections, add what
//! proxies add (`x-forwarded-for`, `x-request-id`), count, and write a line for each request.
//!
//! - [`plain`]: one hop without tunnels, all four
//! - [`tunnels`]: agent → waypoint → agent, where only Envoy can take the waypoint's place
//! - [`growth`]: thousands of routes and endpoints
//! - [`features`]: what policies, tokens, the access log and traces cost per request
//!
//! [`proxies`] is how each is configured, [`traffic`] what is asked of it, [`rounds`] the table.

mod features;
mod growth;
mod plain;
mod proxies;
mod rounds;
pub mod traffic;
mod tunnels;

use std::thread::available_parallelism;

use anyhow::{Context as _, Result, bail};
use nix::unistd::Pid;

use self::traffic::Traffic;
use super::report::Section;
use super::{Effort, usage};
use crate::lab::{Pod, Program};
use crate::mesh::Options;
use crate::programs;
use crate::world::World;

/// The processor of what is measured.
const MEASURED: usize = 0;
/// The processor of everything else.
const REST: usize = 1;

/// What is measured of waypoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// One hop without tunnels, beside Envoy, HAProxy and nginx; and memory.
    Plain,
    /// In a mesh, beside Envoy.
    Mesh,
    /// Among thousands of routes and endpoints.
    Growth,
    /// What each feature costs.
    Features,
}

/// Measures these parts, or everything, each in a world of its own, with these kinds of traffic.
pub fn measure(parts: &[Part], kinds: &[Traffic], effort: Effort) -> Result<Vec<Section>> {
    if available_parallelism()
        .context("counting processors")?
        .get()
        <= REST
    {
        bail!("the waypoint is measured on a processor of its own: two are needed");
    }
    // What is started from here on stays there too, unless it is what is measured.
    usage::pin(&[Pid::this()], REST)?;
    let mut sections = Vec::new();
    let asked = |part| parts.is_empty() || parts.contains(&part);
    if asked(Part::Plain) {
        sections.extend(plain::measure(kinds, effort)?);
    }
    if asked(Part::Mesh) {
        sections.extend(tunnels::measure(kinds, effort)?);
    }
    if asked(Part::Growth) {
        sections.push(growth::measure(effort)?);
    }
    if asked(Part::Features) {
        sections.push(features::measure(kinds, effort)?);
    }
    Ok(sections)
}

/// Objects and wires for a client, the service `server` and the waypoint that it is bound to.
fn options() -> Options {
    Options {
        waypoints: vec!["waypoint".to_owned()],
        bound: vec!["server".to_owned()],
        ..Options::default()
    }
}

/// Says what the ports of all services speak.
fn name_ports(world: &World) -> Result<()> {
    let file = world.mesh.configuration.dir().join("pods.yaml");
    let text = std::fs::read_to_string(file).context("reading the objects")?;
    let text = text.replace("name: p80\n", "name: http\n");
    let text = text.replace("name: p9000\n", "name: http2\n");
    world.mesh.configuration.apply("pods", &text)
}

/// The server behind all proxies: nginx, with what [`traffic`] asks for.
fn backend(world: &World, pod: &Pod) -> Result<Program> {
    let dir = world.dir("backend");
    traffic::write_files(&dir)?;
    programs::nginx(pod, &dir, &traffic::site(&dir), traffic::HTTP1)
}
