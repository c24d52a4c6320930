//! How a cluster is reached: the one that a kubeconfig names, or the kit's.
//!
//! The kit is one program, `kube`, that makes a cluster of namespaces on this machine; `kube run` is
//! a client outside the pods, `kube node` a shell on a node. If it had to be brought up it is taken
//! down again when the last owner goes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::bounded;

/// On a fresh machine it installs packages first.
const UP: Duration = Duration::from_secs(300);
const DOWN: Duration = Duration::from_secs(60);

/// Which cluster, and how to get at it.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A cluster with two nodes and nothing of value on it; without, the kit's is used.
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Folder of the kit.
    #[arg(long, env = "KUBE_KIT")]
    pub(super) kit: Option<PathBuf>,
    /// Command that puts images on the nodes of --kubeconfig, such as `kind load docker-image`.
    #[arg(long, env = "IMAGE_LOADER")]
    pub(super) image_loader: Option<String>,
    /// Command for a program on a node of --kubeconfig, such as `docker exec`; without, the
    /// scenarios that look at nodes are not run.
    #[arg(long, env = "NODE_SHELL")]
    node_shell: Option<String>,
    /// Command that reboots a node of --kubeconfig, such as `docker restart`; without, no node is.
    #[arg(long, env = "NODE_REBOOT")]
    node_reboot: Option<String>,
    /// Command that runs the conformance suite of Gateway API on --kubeconfig, such as a binary made
    /// of it by `go test -c`.
    #[arg(long, env = "CONFORMANCE_SUITE")]
    conformance_suite: Option<String>,
    /// Image of the scenarios' pods: sh, curl, nginx and socat.
    #[arg(long, env = "TOOLS_IMAGE", default_value = "localhost/tools:local")]
    pub(super) tools_image: String,
    /// Image of Prometheus, such as `docker.io/prom/prometheus`; without, the kit makes one of
    /// Debian's /usr/bin/prometheus.
    #[arg(long, env = "PROMETHEUS_IMAGE")]
    pub(super) prometheus_image: Option<String>,
}

/// The way to a cluster.
#[derive(Debug)]
pub struct Access {
    way: Way,
    /// Brought up here, so taken down here.
    made: bool,
}

#[derive(Debug)]
enum Way {
    Kit {
        kube: PathBuf,
    },
    Given {
        kubeconfig: PathBuf,
        node_shell: Vec<String>,
        node_reboot: Vec<String>,
        conformance: Vec<String>,
    },
}

/// What a boot does to a node of the kit.
const REBOOT: &str = include_str!("reboot.sh");

impl Access {
    /// Finds the cluster; brings the kit's up if that one is meant and not there.
    pub fn open(options: &Options) -> Result<Self> {
        let named = |path: &&PathBuf| !path.as_os_str().is_empty();
        if let Some(kubeconfig) = options.kubeconfig.as_ref().filter(named) {
            let words = |text: &Option<String>| {
                let text = text.as_deref().unwrap_or_default();
                text.split_whitespace().map(str::to_owned).collect()
            };
            let way = Way::Given {
                kubeconfig: kubeconfig.clone(),
                node_shell: words(&options.node_shell),
                node_reboot: words(&options.node_reboot),
                conformance: words(&options.conformance_suite),
            };
            return Ok(Self { way, made: false });
        }
        let Some(kit) = options.kit.as_ref().filter(named) else {
            bail!("no cluster: set KUBECONFIG, or KUBE_KIT to the folder of the cluster kit");
        };
        let kube = kit.join("kube");
        let up = ready(&kube);
        if !up {
            let mut command = Command::new(&kube);
            command.arg("up");
            bounded::run(command, UP)
                .context("bringing the kit's cluster up (if one is left half dead: `kube down`)")?;
        }
        Ok(Self {
            way: Way::Kit { kube },
            made: !up,
        })
    }

    /// The kit's program, if that is the way.
    pub(super) fn kit(&self) -> Option<&Path> {
        match &self.way {
            Way::Kit { kube } => Some(kube),
            Way::Given { .. } => None,
        }
    }

    /// `kubectl` or `helm` with the right to do everything.
    pub(super) fn client(&self, program: &str) -> Command {
        match &self.way {
            Way::Kit { kube } => words(kube, &["run", program]),
            Way::Given { kubeconfig, .. } => {
                let mut command = Command::new(program);
                command.env("KUBECONFIG", kubeconfig);
                command
            }
        }
    }

    /// A program where neither a pod nor a node is, if there is such a place.
    pub(super) fn outside(&self, program: &str) -> Option<Command> {
        self.kit().map(|kube| words(kube, &["run", program]))
    }

    /// A program on a node, as root.
    pub(super) fn node(&self, node: &str, program: &str) -> Result<Command> {
        match &self.way {
            Way::Kit { kube } => Ok(words(kube, &["node", node, program])),
            Way::Given { node_shell, .. } => {
                let missing = "set NODE_SHELL to look at nodes, such as `docker exec`";
                given(node_shell, &[node, program]).context(missing)
            }
        }
    }

    /// The conformance suite of Gateway API.
    pub(super) fn conformance(&self) -> Result<Command> {
        match &self.way {
            Way::Kit { kube } => Ok(words(kube, &["conformance"])),
            Way::Given {
                kubeconfig,
                conformance,
                ..
            } => {
                let missing =
                    "set CONFORMANCE_SUITE to the suite, such as a binary made by `go test -c`";
                let mut command = given(conformance, &["-test.v"]).context(missing)?;
                command.env("KUBECONFIG", kubeconfig);
                Ok(command)
            }
        }
    }

    /// Ends everything on a node at once and starts its container runtime and its kubelet again.
    pub(super) fn reboot(&self, node: &str) -> Result<()> {
        let (command, input) = match &self.way {
            Way::Kit { kube } => (words(kube, &["node", node, "sh", "-s"]), REBOOT),
            Way::Given { node_reboot, .. } => {
                let missing = "set NODE_REBOOT to reboot nodes, such as `docker restart`";
                (given(node_reboot, &[node]).context(missing)?, "")
            }
        };
        bounded::succeed(command, input.as_bytes(), DOWN)?;
        Ok(())
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let (true, Way::Kit { kube }) = (self.made, &self.way) {
            bounded::run(words(kube, &["down"]), DOWN).ok();
        }
    }
}

fn ready(kube: &Path) -> bool {
    let command = words(kube, &["k", "get", "--raw", "/readyz"]);
    bounded::run(command, DOWN).is_ok()
}

/// A command that the user gave, with further arguments.
fn given(command: &[String], args: &[&str]) -> Option<Command> {
    let (program, first) = command.split_first()?;
    let mut command = Command::new(program);
    command.args(first).args(args);
    Some(command)
}

fn words(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}
