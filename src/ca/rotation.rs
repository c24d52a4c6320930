//! When the next root may sign, and when the old one may go: a machine without I/O.
//!
//! ```text
//!            requested                 everybody holds both           last leaf of the
//!                                      (or waited long enough         old root expired
//!                                       for those who are away)
//!  Steady ------------> Distributing ---------------------> Retiring ------------------> Steady
//!  bundle: old          bundle: old, next                   bundle: old, next            bundle: next
//!  signs:  old          signs:  old                         signs:  next                 signs:  next
//! ```
//!
//! An agent that is *connected* and has not said that it holds the bundle holds the rotation up,
//! for as long as it is connected: signing earlier would break its traffic. One that is *away*
//! (known from before, no connection now) is waited for a bounded time only; when it comes back it
//! gets the bundle before anything else, and what it cannot verify until then is new connections
//! from peers with certificates of the new root.
//!
//! An agent of another make, which follows no trust stream, is not waited for: it learns of a new
//! root with its next certificate.
//!
//! The owner performs a [`Step`], writes it down and reports it with [`Rotation::performed`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Where a rotation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// One root, trusted and signing.
    Steady,
    /// The next root is in the bundle of this generation and does not sign yet.
    Distributing {
        /// Bundle that everybody has to hold.
        generation: u64,
        /// Until when agents that are away are waited for.
        until: SystemTime,
        /// Agents known when it began.
        awaited: Vec<String>,
    },
    /// The next root signs; the old one is still trusted.
    Retiring {
        /// When the last leaf of the old root has expired.
        until: SystemTime,
    },
}

/// What the owner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sign with the next root from now on.
    SignWithNext,
    /// Trust the old root no more.
    DropOld,
}

/// What an agent is known to hold.
#[derive(Clone, Copy, Debug, Default)]
struct Agent {
    connections: usize,
    held: u64,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Rotation {
    phase: Phase,
    agents: BTreeMap<String, Agent>,
}

impl Rotation {
    /// A machine that stands where it was left, with the agents known from before, all away.
    pub(crate) fn resumed(phase: Phase, agents: &BTreeSet<String>) -> Self {
        let away = |node: &String| (node.clone(), Agent::default());
        Self {
            phase,
            agents: agents.iter().map(away).collect(),
        }
    }

    /// The agents to be known from now on: those that were not heard of in all of a rotation are
    /// forgotten, so that a node taken out of service holds up one rotation only.
    pub(crate) fn heard_of(&self) -> BTreeSet<String> {
        let heard = |agent: &Agent| agent.connections > 0 || agent.held > 0;
        let nodes = self.agents.iter().filter(|(_, agent)| heard(agent));
        nodes.map(|(node, _)| node.clone()).collect()
    }

    /// The phase that a rotation asked for now begins with, or `None` while one is under way.
    pub(crate) fn requested(
        &self,
        generation: u64,
        now: SystemTime,
        patience: Duration,
    ) -> Option<Phase> {
        let awaited = self.agents.keys().cloned().collect();
        matches!(self.phase, Phase::Steady).then(|| Phase::Distributing {
            generation,
            until: now + patience,
            awaited,
        })
    }

    /// The owner has done and written down what leads to this phase.
    pub(crate) fn performed(&mut self, phase: Phase) {
        if phase == Phase::Steady {
            let known = self.heard_of();
            self.agents.retain(|node, _| known.contains(node));
        }
        self.phase = phase;
    }

    /// An agent has connected, once more perhaps.
    pub(crate) fn connected(&mut self, node: &str) {
        self.agents.entry(node.to_owned()).or_default().connections += 1;
    }

    /// One of an agent's connections has ended.
    pub(crate) fn gone(&mut self, node: &str) {
        if let Some(agent) = self.agents.get_mut(node) {
            agent.connections = agent.connections.saturating_sub(1);
        }
    }

    /// An agent says that it and its proxies hold the bundle of this generation.
    ///
    /// The latest word counts, not the highest: an agent that lost its state holds less.
    pub(crate) fn held(&mut self, node: &str, generation: u64) {
        self.agents.entry(node.to_owned()).or_default().held = generation;
    }

    /// The step that is due.
    pub(crate) fn due(&self, now: SystemTime) -> Option<Step> {
        match &self.phase {
            Phase::Steady => None,
            Phase::Distributing { until, .. } => {
                let (connected, away) = self.waiting_for();
                let ready = connected.is_empty() && (away.is_empty() || now >= *until);
                ready.then_some(Step::SignWithNext)
            }
            Phase::Retiring { until } => (now >= *until).then_some(Step::DropOld),
        }
    }

    /// The agents that do not hold the bundle yet: those connected, and those away.
    pub(crate) fn waiting_for(&self) -> (Vec<&str>, Vec<&str>) {
        let Phase::Distributing {
            generation,
            awaited,
            ..
        } = &self.phase
        else {
            return (Vec::new(), Vec::new());
        };
        let lacks = |node: &str| {
            self.agents
                .get(node)
                .is_none_or(|agent| agent.held < *generation)
        };
        let is_connected = |node: &str| {
            self.agents
                .get(node)
                .is_some_and(|agent| agent.connections > 0)
        };
        let away = awaited.iter().map(String::as_str);
        let away = away
            .filter(|node| lacks(node) && !is_connected(node))
            .collect();
        let connected = self.agents.keys().map(String::as_str);
        let connected = connected
            .filter(|node| lacks(node) && is_connected(node))
            .collect();
        (connected, away)
    }
}

#[cfg(test)]
mod tests;
