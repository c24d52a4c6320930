//! With `nodeTaint.enabled`: a node that comes with a startup taint loses it, and a node whose agent
//! is not ready gets new pods only when it is again.

use std::time::{Duration, Instant};

use ambit_e2e::cluster::{AGENTS, Cluster, Echo, Kubectl, Pod, SYSTEM};
use ambit_e2e::wait::wait_until;
use anyhow::{Context as _, Result, ensure};

const TAINT: &str = "ambit.mesh/agent-not-ready";
/// What a node of an installation of Istio may come with.
const ISTIOS: &str = "cni.istio.io/not-ready";
/// Until a taint is off a node whose agent is ready.
const OFF: Duration = Duration::from_secs(5);
/// Until a node is tainted: the agent that ends, its successor, and 10 s without a ready one.
const ON: Duration = Duration::from_secs(90);
/// Until agents are as they were.
const ROLLOUT: Duration = Duration::from_secs(120);
/// How long a pod that must not be scheduled is watched.
const STILL: Duration = Duration::from_secs(3);

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let enabled = ["--set", "nodeTaint.enabled=true"];
    cluster.release.upgrade(&enabled)?;
    let outcome = tainted(cluster);
    cluster.release.upgrade(&[])?;
    outcome
}

fn tainted(cluster: &Cluster) -> Result<String> {
    let (kubectl, node) = (&cluster.kubectl, cluster.node(1)?);
    for key in [TAINT, ISTIOS] {
        let taint = format!("{key}=:NoSchedule");
        kubectl.run(&["taint", "node", node, &taint, "--overwrite"])?;
    }
    let untainted = || {
        let ours = |key: &String| [TAINT, ISTIOS].contains(&key.as_str());
        taints(kubectl, node).is_ok_and(|keys| !keys.iter().any(ours))
    };
    let off = wait_until("the startup taints to be off", OFF, untainted)?;

    let broken = Broken::make(kubectl, node)?;
    let tainted = || taints(kubectl, node).is_ok_and(|keys| keys.iter().any(|key| key == TAINT));
    wait_until("the node to be tainted", ON, tainted)?;
    let shop = cluster.sandbox("node-taint")?;
    let late = Echo::one("late").on(node);
    shop.apply(&late.objects(&shop))?;
    shop.pods_that("a pod", OFF, &late.selector(), |pods| pods.len() == 1)?;
    let start = Instant::now();
    while start.elapsed() < STILL {
        let pods = shop.pods(&late.selector())?;
        let placed = pods.iter().find(|pod| !pod.node().is_empty());
        ensure!(placed.is_none(), "a pod was put on a node without an agent");
    }
    broken.mend()?;
    wait_until("the taint to be off", OFF, untainted)?;
    shop.ready_one(&late.selector())?;
    Ok(format!(
        "startup taints off after {:.1} s",
        off.as_secs_f32()
    ))
}

/// Keys of a node's taints.
fn taints(kubectl: &Kubectl, node: &str) -> Result<Vec<String>> {
    let path = "jsonpath={.spec.taints[*].key}";
    let keys = kubectl.run(&["get", "node", node, "-o", path])?;
    Ok(keys.split_whitespace().map(str::to_owned).collect())
}

/// An agent that cannot start on one node, until this is dropped.
struct Broken<'a> {
    kubectl: &'a Kubectl,
    image: String,
}

impl<'a> Broken<'a> {
    /// New agents have an image that is not there; the node's old one is deleted.
    fn make(kubectl: &'a Kubectl, node: &str) -> Result<Self> {
        let path = "jsonpath={.spec.template.spec.containers[0].image}";
        let image = kubectl.run(&["-n", SYSTEM, "get", AGENTS, "-o", path])?;
        let broken = Self { kubectl, image };
        broken.set_image("localhost/ambit-e2e-no-such-image:none")?;
        let agents = kubectl.pods(SYSTEM, "app=ambit-node-agent")?;
        let ready = |pod: &&Pod| pod.node() == node && pod.is_ready();
        let agent = agents.iter().find(ready).context("no agent to delete")?;
        let delete = ["-n", SYSTEM, "delete", "pod", agent.name(), "--wait=false"];
        kubectl.run(&delete)?;
        Ok(broken)
    }

    fn set_image(&self, image: &str) -> Result<()> {
        let image = format!("node-agent={image}");
        self.kubectl
            .run(&["-n", SYSTEM, "set", "image", AGENTS, &image])?;
        Ok(())
    }

    fn mend(&self) -> Result<()> {
        self.set_image(&self.image)?;
        self.kubectl.rolled_out(AGENTS, ROLLOUT)
    }
}

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.mend() {
            eprintln!("the agents are not as they were: {error:#}");
        }
    }
}
