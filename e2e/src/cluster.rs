//! ambit on a real Kubernetes cluster: how it is reached, installed by the chart, asked and driven.
//!
//! [`Cluster`] is what a scenario gets. Everything that talks to the cluster is a command with a
//! time-out and bounded output ([`bounded`]): `kubectl`, `helm`, or a shell on a node. A scenario's
//! objects live in namespaces of its own ([`Sandbox`]), which go when it ends.

pub mod bounded;
pub mod traffic;

mod access;
mod diagnosis;
mod figures;
mod images;
mod kubectl;
mod objects;
mod prometheus;
mod release;
mod sandbox;
mod view;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub use self::access::{Access, Options};
pub use self::bounded::Said;
pub use self::figures::Figures;
pub use self::kubectl::Kubectl;
pub use self::objects::{Echo, HTTP, LINES, peer_authentication};
pub use self::prometheus::{Prometheus, Sample};
pub use self::release::Release;
pub use self::sandbox::Sandbox;
pub use self::view::Pod;
pub use self::wire::Wire;

/// Namespace of the mesh.
pub const SYSTEM: &str = "ambit-system";
/// Its control planes.
pub const PLANES: &str = "deployment/ambit-control-plane";
/// Its agents.
pub const AGENTS: &str = "daemonset/ambit-node-agent";
/// The label that enrols a namespace or a pod.
pub const ENROL: &str = "ambit.mesh/dataplane-mode=ambient";
/// The annotation that records a capture.
pub const REDIRECTION: &str = "ambit.mesh/redirection";

/// One of the kinds of Gateway API, by the name of its definition.
const GATEWAY_CRD: &str = "httproutes.gateway.networking.k8s.io";

/// A cluster, and the mesh on it.
#[derive(Debug)]
pub struct Cluster {
    /// Its API.
    pub kubectl: Kubectl,
    /// Its nodes, by name.
    pub nodes: Vec<String>,
    /// What is installed.
    pub release: Release,
    tools: String,
    prometheus: Option<String>,
    dir: PathBuf,
    access: Arc<Access>,
}

impl Cluster {
    /// Reaches the cluster (the kit's is brought up if it is not) and clears it of what a killed
    /// run left behind.
    pub fn open(options: &Options) -> Result<Self> {
        let dir = repository()?.join("target/cluster-logs");
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        let access = Arc::new(Access::open(options)?);
        let kubectl = Kubectl::new(Arc::clone(&access));
        let nodes = kubectl.names(&["get", "nodes"])?;
        if nodes.len() < 2 {
            bail!("the scenarios need two nodes, the cluster has {nodes:?}");
        }
        sandbox::sweep(&kubectl)?;
        Ok(Self {
            release: Release::new(Arc::clone(&access), kubectl.clone()),
            kubectl,
            nodes,
            tools: options.tools_image.clone(),
            prometheus: options.prometheus_image.clone(),
            dir,
            access,
        })
    }

    /// Waits until nothing is left of what scenarios have made: their objects, and kube-proxy's rules for
    /// their services and for the ports of the mesh on them.
    pub fn clear(&self) -> Result<()> {
        sandbox::sweep(&self.kubectl)
    }

    /// Builds the images and puts them where the nodes find them.
    pub fn build_images(&self, options: &Options) -> Result<()> {
        images::build(&self.access, options)
    }

    /// An image of Prometheus on the nodes: the one that was given, or Debian's.
    pub fn prometheus_image(&self) -> Result<String> {
        match self.prometheus.as_deref() {
            Some(image) if !image.is_empty() => Ok(image.to_owned()),
            _ => images::prometheus(&self.access),
        }
    }

    /// A node by its number, from 0.
    pub fn node(&self, number: usize) -> Result<&str> {
        let found = self.nodes.get(number);
        found
            .map(String::as_str)
            .with_context(|| format!("the cluster has no node {number}"))
    }

    /// A namespace for a scenario.
    pub fn sandbox(&self, name: &str) -> Result<Sandbox> {
        Sandbox::create(self.kubectl.clone(), name, &self.tools)
    }

    /// A capture of what goes over a node's link.
    pub fn tap(&self, node: &str, name: &str) -> Result<Wire> {
        Wire::tap(&self.access, node, &self.dir, name)
    }

    /// Runs a shell script on a node, in all its namespaces, as root.
    pub fn on_node(&self, node: &str, script: &str) -> Result<String> {
        let mut command = self.access.node(node, "sh")?;
        command.args(["-c", script]);
        bounded::run(command, bounded::USUAL)
    }

    /// Makes sure that the objects of Gateway API are known.
    pub fn install_gateway_api(&self) -> Result<()> {
        let mut command = match self.access.kit() {
            Some(kube) => Command::new(kube),
            None => return self.kubectl.run(&["get", "crd", GATEWAY_CRD]).map(drop),
        };
        command.arg("crds");
        bounded::run(command, bounded::USUAL).map(drop)
    }

    /// Runs the conformance suite of Gateway API with these flags, however it ends.
    pub fn conformance(&self, flags: &[String], limit: Duration) -> Result<Said> {
        let mut command = self.access.conformance()?;
        command.args(flags);
        bounded::say(command, &[], limit)
    }

    /// Runs the program `ambit` as a user of the cluster, however it ends.
    pub fn ambit(&self, args: &[&str]) -> Result<Said> {
        let program = crate::mesh::binary("ambit")?;
        let mut command = self.access.client(&program.to_string_lossy());
        command.args(args);
        bounded::say(command, &[], bounded::USUAL)
    }

    /// Ends everything on a node at once, as the loss of power does, and boots it.
    pub fn reboot(&self, node: &str) -> Result<()> {
        self.access.reboot(node)
    }

    /// Runs a program where neither a pod nor a node is; none if there is no such place.
    pub fn outside(&self, program: &str, args: &[&str]) -> Option<Result<String>> {
        let mut command = self.access.outside(program)?;
        command.args(args);
        Some(bounded::run(command, bounded::USUAL))
    }

    /// Saves what helps to understand a failure; answers where.
    pub fn save_logs(&self, scenario: &str) -> PathBuf {
        diagnosis::save(&self.kubectl, &self.dir, scenario)
    }

    /// Where a scenario may write; kept after the run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The root of the repository.
fn repository() -> Result<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .parent()
        .context("the package has no parent folder")?;
    Ok(root.to_owned())
}
