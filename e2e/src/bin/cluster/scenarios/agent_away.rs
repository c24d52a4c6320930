//! A node without its agent: captured pods refuse rather than leak, new pods of the mesh wait, others
//! start; and when the agent is back, all serve.

use std::time::{Duration, Instant};

use ambit_e2e::cluster::{AGENTS, Cluster, Echo, Kubectl, Pod, SYSTEM, Sandbox};
use ambit_e2e::wait::{wait_for, wait_until};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::pair::Pair;

/// Marks the node that is to have no agent.
const AWAY: &str = "ambit-e2e/agent";
const ROLLOUT: Duration = Duration::from_secs(120);
/// Until an agent that was told to stop is gone: it waits for a successor first.
const GONE: Duration = Duration::from_secs(60);
/// How long a pod that must not start is watched.
const STILL: Duration = Duration::from_secs(5);
const CAPTURE: Duration = Duration::from_secs(60);
/// New connections work within this time of an agent's return.
const BACK: Duration = Duration::from_secs(2);
const SECRET: &str = "agent-away-secret";

pub(super) fn run(cluster: &Cluster) -> Result<String> {
    let near = cluster.node(0)?;
    let shop = cluster.sandbox("agent-away")?;
    let pair = Pair::captured(cluster, &shop, CAPTURE)?;
    let (client, to) = (&pair.client, pair.to()?);
    let url = format!("http://{to}/?{SECRET}");
    shop.curl(client.name(), &url)?;

    let selective = Selective::make(&cluster.kubectl, near)?;
    let wire = cluster.tap(near, "agent-away")?;
    selective.send_away()?;
    shop.refused(client.name(), &url)?;
    let late = Echo::one("late").on(near);
    shop.apply(&late.objects(&shop))?;
    let outside = cluster.sandbox("agent-away-outside")?;
    let stranger = Echo::one("stranger").on(near);
    outside.apply(&stranger.objects(&outside))?;
    let stranger = outside.ready_one(&stranger.selector())?;
    waits(&shop, &late.selector())?;

    let back = selective.bring_back(&shop, client.name(), &url)?;
    let (late, selector) = (shop.ready_one(&late.selector())?, late.selector());
    shop.captured(&selector, CAPTURE)?;
    shop.curl(late.name(), &url)?;
    let word = "agent-away-in-the-clear";
    let clear = format!("http://{to}/?{word}");
    outside.curl(stranger.name(), &clear)?;
    let readable = wire.until(word)?.holding(SECRET.as_bytes()).count();
    ensure!(readable == 0, "{readable} packets could be read");
    Ok(format!(
        "a new connection {:.1} s after the agent was ready",
        back.as_secs_f32()
    ))
}

/// The pod does not start, and its events say why.
fn waits(shop: &Sandbox, selector: &str) -> Result<()> {
    let reason = || {
        let args = ["-n", &shop.name, "get", "events", "-o", "json"];
        let events: Value = shop.kubectl.json(&args).ok()?;
        events.to_string().contains("node agent").then_some(())
    };
    wait_for("an event about the node agent", GONE, reason)?;
    let start = Instant::now();
    while start.elapsed() < STILL {
        for pod in shop.pods(selector)? {
            ensure!(!pod.is_ready(), "{} started without its agent", pod.name());
        }
    }
    Ok(())
}

/// A DaemonSet that leaves a marked node out, until this is dropped.
struct Selective<'a> {
    kubectl: &'a Kubectl,
    node: &'a str,
}

impl<'a> Selective<'a> {
    fn make(kubectl: &'a Kubectl, node: &'a str) -> Result<Self> {
        let selective = Self { kubectl, node };
        let terms = json!([{ "matchExpressions": [
            { "key": AWAY, "operator": "NotIn", "values": ["away"] }
        ] }]);
        selective.patch(&json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms }
        } }))?;
        Ok(selective)
    }

    fn patch(&self, affinity: &Value) -> Result<()> {
        let patch = json!({ "spec": { "template": { "spec": { "affinity": affinity } } } });
        let patch = patch.to_string();
        let args = ["-n", SYSTEM, "patch", AGENTS, "--type=merge", "-p", &patch];
        self.kubectl.run(&args)?;
        self.kubectl.rolled_out(AGENTS, ROLLOUT)
    }

    fn agents(&self) -> Result<Vec<Pod>> {
        let all = self.kubectl.pods(SYSTEM, "app=ambit-node-agent")?;
        Ok(all
            .into_iter()
            .filter(|pod| pod.node() == self.node)
            .collect())
    }

    fn send_away(&self) -> Result<()> {
        let mark = format!("{AWAY}=away");
        let args = ["label", "node", self.node, &mark, "--overwrite"];
        self.kubectl.run(&args)?;
        let none = || self.agents().is_ok_and(|agents| agents.is_empty());
        wait_until("the agent to be gone", GONE, none)?;
        Ok(())
    }

    /// Answers how long after the agent was ready a new connection worked.
    fn bring_back(&self, shop: &Sandbox, client: &str, url: &str) -> Result<Duration> {
        self.unmark()?;
        let ready = || {
            let agents = self.agents().ok()?;
            agents.iter().any(Pod::is_ready).then(Instant::now)
        };
        let ready = wait_for("the agent to be ready", GONE, ready)?;
        let serves = || shop.curl(client, url).is_ok();
        wait_until("a new connection", BACK, serves)?;
        Ok(ready.elapsed())
    }

    fn unmark(&self) -> Result<()> {
        let unmark = format!("{AWAY}-");
        self.kubectl.run(&["label", "node", self.node, &unmark])?;
        Ok(())
    }
}

impl Drop for Selective<'_> {
    fn drop(&mut self) {
        let restored = self.unmark().and_then(|()| self.patch(&Value::Null));
        if let Err(error) = restored {
            eprintln!("the DaemonSet is not as it was: {error:#}");
        }
    }
}
