//! Keeps new pods off nodes whose agent is not ready, by a taint, where an installation wants that.
//!
//! A taint that a node came with is taken off once its agent is ready; a node whose agent has not
//! been ready for a while gets one. A node without an agent is none of ours: it stays as it is. Before
//! an uninstall every taint of ours goes.
//!
//! Task: "node taints", one; it works while its replica leads. What is to be done is decided by
//! [`Watchman`], without I/O. A node is read right before it is written, and written in that version
//! only: a taint that somebody else puts there meanwhile is not lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

use super::call::{CallError, call};
use super::{AGENT, FIELD_MANAGER};
use crate::config::node_agents::{Agent, NodeAgents};
use crate::serve::NodeFeed;

/// Our taint.
const TAINT: &str = "ambit.mesh/agent-not-ready";
/// Taints that nodes may come with: whoever moves here need not change how nodes are made.
const STARTUP: [&str; 2] = [TAINT, "cni.istio.io/not-ready"];
/// How long an agent may be not ready before its node is tainted. While agents are replaced, one is
/// always ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// When what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Put our taint there.
    Set,
    /// Take these off.
    Clear(&'static [&'static str]),
}

/// What is to be done, and when to look again although nothing has changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    acts: Vec<(Arc<str>, Act)>,
    again: Option<Instant>,
}

/// Since when which node has had no ready agent.
#[derive(Debug, Default)]
struct Watchman {
    unready: BTreeMap<Arc<str>, Instant>,
}

impl Watchman {
    /// What is to be done to these nodes, which are all there are.
    fn plan(&mut self, nodes: &[NodeAgents], leaving: bool, now: Instant) -> Plan {
        let mut before = std::mem::take(&mut self.unready);
        let mut plan = Plan::default();
        for node in nodes {
            let has = |keys: &[&str]| node.taints.iter().any(|key| keys.contains(&&**key));
            let act = match node.agent {
                _ if leaving => has(&[TAINT]).then_some(Act::Clear(&[TAINT])),
                Agent::None => None,
                Agent::Ready => has(&STARTUP).then_some(Act::Clear(&STARTUP)),
                Agent::Unready if has(&[TAINT]) => None,
                Agent::Unready => {
                    let since = before.remove(&node.node).unwrap_or(now);
                    self.unready.insert(Arc::clone(&node.node), since);
                    let due = since + PATIENCE;
                    if due > now {
                        plan.again = Some(plan.again.map_or(due, |again| again.min(due)));
                    }
                    (due <= now).then_some(Act::Set)
                }
            };
            plan.acts
                .extend(act.map(|act| (Arc::clone(&node.node), act)));
        }
        plan
    }
}

impl Act {
    /// The taints that a node has after it; none if it has them already.
    fn on(self, mut taints: Vec<Taint>) -> Option<Vec<Taint>> {
        let before = taints.len();
        match self {
            Self::Set if taints.iter().any(|taint| taint.key == TAINT) => {}
            Self::Set => taints.push(Taint {
                key: TAINT.to_owned(),
                effect: "NoSchedule".to_owned(),
                ..Taint::default()
            }),
            Self::Clear(keys) => taints.retain(|taint| !keys.contains(&taint.key.as_str())),
        }
        (taints.len() != before).then_some(taints)
    }
}

/// Keeps taints from now on by what comes by the feed.
pub(super) fn start(
    client: Client,
    namespace: &str,
    leads: watch::Receiver<bool>,
    leaving: watch::Receiver<bool>,
    tasks: &Tasks,
) -> NodeFeed {
    let (sender, nodes) = watch::channel(Arc::default());
    let keeper = Keeper {
        api: Api::all(client),
        nodes,
        leads,
        leaving,
    };
    let stop = tasks.token();
    tasks.spawn("node taints", async move {
        tokio::select! {
            () = keeper.run() => {}
            () = stop.cancelled() => {}
        }
    });
    NodeFeed {
        namespace: namespace.into(),
        daemon_set: AGENT.into(),
        sender,
    }
}

struct Keeper {
    api: Api<Node>,
    nodes: watch::Receiver<Arc<Vec<NodeAgents>>>,
    leads: watch::Receiver<bool>,
    leaving: watch::Receiver<bool>,
}

impl Keeper {
    async fn run(mut self) {
        let mut watchman = Watchman::default();
        loop {
            let leaving = *self.leaving.borrow_and_update();
            let nodes = Arc::clone(&self.nodes.borrow_and_update());
            let again = if *self.leads.borrow_and_update() {
                let plan = watchman.plan(&nodes, leaving, clock::now());
                self.carry_out(plan).await
            } else {
                watchman = Watchman::default();
                None
            };
            tokio::select! {
                changed = self.nodes.changed() => if changed.is_err() { return },
                // Who elects, or waits for an uninstall, may be gone already.
                Ok(()) = self.leads.changed() => {}
                Ok(()) = self.leaving.changed() => {}
                () = clock::until(again) => {}
            }
        }
    }

    /// Answers when to look again.
    async fn carry_out(&self, plan: Plan) -> Option<Instant> {
        let mut again = plan.again;
        for (node, act) in plan.acts {
            if !*self.leads.borrow() {
                return None;
            }
            match self.write(&node, act).await {
                Ok(()) | Err(CallError::Missing(_)) => {}
                Err(error) => {
                    tracing::warn!(%node, %error, "the node's taint is not as it should be; tried again");
                    again = Some(clock::now() + AGAIN);
                }
            }
        }
        again
    }

    async fn write(&self, name: &str, act: Act) -> Result<(), CallError> {
        let node = call(self.api.get(name)).await?;
        let there = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        // What the watch will show soon has been done already.
        let Some(taints) = act.on(there) else {
            return Ok(());
        };
        let patch = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "spec": {"taints": taints},
        });
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        call(self.api.patch(name, &parameters, &Patch::Merge(patch))).await?;
        match act {
            Act::Set => tracing::warn!(
                node = name,
                "tainted with {TAINT}: its agent has not been ready for {PATIENCE:?}"
            ),
            Act::Clear(_) => tracing::info!(node = name, "its taint is taken off"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
