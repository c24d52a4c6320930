//! A mesh on a lab: the control plane on the wan, one node agent in each node's namespace, and
//! the folder of objects they work from.
//!
//! The programs are those that cargo built beside the running one. Each part is a process of its
//! own, which a scenario may kill and start again; all of them end when the mesh is dropped.

mod agent;
mod binaries;
mod configuration;
mod control_plane;
mod pages;
mod waypoint;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

pub use self::agent::{Agent, Enrolment};
pub use self::binaries::binary;
pub use self::configuration::Configuration;
pub use self::control_plane::ControlPlane;
pub use self::pages::{AccessLine, Pages, series as series_of, sum as sum_of};
pub use self::waypoint::Waypoint;
use crate::lab::Lab;
use crate::wait::wait_until;

/// How long a part may take to start, even on a busy machine.
pub const START: Duration = Duration::from_secs(30);

/// What may differ from one mesh to the next.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More arguments for the control plane.
    pub control_plane: Vec<String>,
    /// More arguments for every agent.
    pub agent: Vec<String>,
    /// A folder with the only programs that the agents find; else they find all of them.
    pub programs: Option<PathBuf>,
    /// More objects, as file name and text.
    pub objects: Vec<(String, String)>,
    /// Pods of a world that are those of its waypoint, the Gateway `waypoint`.
    pub waypoints: Vec<String>,
    /// Services of a world that are bound to it.
    pub bound: Vec<String>,
}

/// A control plane and its agents.
#[derive(Debug)]
pub struct Mesh {
    /// The agents, by node: index 0 is that of node 1.
    pub agents: Vec<Agent>,
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The objects.
    pub configuration: Configuration,
}

impl Mesh {
    /// Starts everything on `lab` with these objects (file name and text) and waits until every
    /// agent is ready.
    pub fn start(lab: &Lab, objects: &[(&str, String)], options: &Options) -> Result<Self> {
        let configuration = Configuration::create(&lab.dir().join("config"))?;
        let more = options
            .objects
            .iter()
            .map(|(name, text)| (name.as_str(), text));
        for (name, text) in objects.iter().map(|(name, text)| (*name, text)).chain(more) {
            configuration.apply(name, text)?;
        }
        let control_plane = ControlPlane::start(lab, configuration.dir(), &options.control_plane)?;
        let mut agents = Vec::new();
        for node in lab.nodes() {
            let token = control_plane.token(&node.name)?;
            let home = lab.memory_dir().join(&node.name);
            let outputs: PathBuf = lab.dir().to_path_buf();
            let mut agent = Agent::new(Arc::clone(node), &home, outputs)?;
            agent.configure(&token, &control_plane.root(), options);
            agent.start()?;
            agents.push(agent);
        }
        let mesh = Self {
            agents,
            control_plane,
            configuration,
        };
        mesh.await_ready()?;
        Ok(mesh)
    }

    /// The agent of a node, by the node's number.
    pub fn agent(&self, node: u8) -> Result<&Agent> {
        let found = self.agents.iter().find(|agent| agent.node().number == node);
        found.with_context(|| format!("this mesh has no agent on node {node}"))
    }

    /// The agent of a node, to kill or start it.
    pub fn agent_mut(&mut self, node: u8) -> Result<&mut Agent> {
        let found = self
            .agents
            .iter_mut()
            .find(|agent| agent.node().number == node);
        found.with_context(|| format!("this mesh has no agent on node {node}"))
    }

    /// Waits until every agent says it is ready.
    pub fn await_ready(&self) -> Result<()> {
        for agent in &self.agents {
            let name = &agent.node().name;
            let ready = wait_until(&format!("the agent of {name} to be ready"), START, || {
                agent.pages().is_ready()
            });
            ready.with_context(|| format!("its log ends:\n{}", agent.log_end()))?;
        }
        Ok(())
    }

    /// Waits until every agent would reach the pod with this uid through a tunnel, or until none
    /// would.
    pub fn await_advertised(&self, uid: &str, expected: bool, limit: Duration) -> Result<()> {
        for agent in &self.agents {
            let name = &agent.node().name;
            let what = format!(
                "{name} to {} pod {uid} over HBONE",
                if expected { "reach" } else { "not reach" }
            );
            wait_until(&what, limit, || {
                agent.pages().advertises(uid) == Some(expected)
            })?;
        }
        Ok(())
    }
}

/// Where something of a mesh lies below `dir`; its folder is made.
fn folder(dir: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    Ok(dir.to_path_buf())
}
