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
//! A waypoint holds a rotation up while it is connected, like an agent; one that is away is not
//! waited for and not written down: a node's agent comes back, a pod of a waypoint does not.
//!
//! An agent of another make, which follows no trust stream, is not waited for: it learns of a new
//! root with its next certificate.
//!
//! The owner performs a [`Step`], writes it down and reports it with [`Rotation::performed`].
//!
//! # Several replicas
//!
//! Agents are spread over replicas of the control plane, which share what is written down. Each
//! has a machine of its own and tells the others in a [`Report`] which bundle it serves and which
//! agents hold it; a step looks at its own machine and at the reports of all the others that
//! count. These rules keep it right:
//!
//! 1. Every step is written over exactly the state that was looked at (compare and swap), so two
//!    replicas that both think they lead cannot take two steps where one is due.
//! 2. A replica counts until it was seen *not* to renew its report for 15 s, by the clock of
//!    whoever looks. One that counts but has not seen the bundle yet, or has a connected agent
//!    without it, holds the rotation up. One that does not count has its agents taken for away:
//!    they are waited for, within limits.
//! 3. Nobody signs beyond `leaves_until`, which is written down first and only grows while one
//!    root signs; the old root is dropped when that time is over. So a replica that is cut off may
//!    go on signing with the old root for a while and still signs nothing that outlives it: it
//!    needs no lease, and no clock but the one that certificates need anyway.
//! 4. A replica that is behind never sends an agent an older bundle than the agent holds: it reads
//!    again first, and if it cannot, it sends none. Otherwise an agent counted by one replica could
//!    lose the new root by another.

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

impl Phase {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Distributing { .. } => "distributing",
            Self::Retiring { .. } => "retiring",
        }
    }

    /// When it is over, unless a connected agent holds it up.
    pub fn until(&self) -> Option<SystemTime> {
        match self {
            Self::Steady => None,
            Self::Distributing { until, .. } | Self::Retiring { until } => Some(*until),
        }
    }
}

/// What the owner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sign with the next root from now on.
    SignWithNext,
    /// Trust the old root no more.
    DropOld,
}

/// What one replica tells the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The bundle that it serves.
    pub generation: u64,
    /// During a rotation, agents that hold that bundle, connected or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holding: Vec<String>,
    /// During a rotation, connected agents and waypoints that do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
}

impl Report {
    /// The agents that it speaks of.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &String> {
        let names = self.holding.iter().chain(&self.lacking);
        names.filter(|name| !is_waypoint(name))
    }
}

/// What a caller is known to hold.
#[derive(Clone, Copy, Debug, Default)]
struct Holder {
    connections: usize,
    held: u64,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Rotation {
    phase: Phase,
    /// Agents by node, connected or not.
    agents: BTreeMap<String, Holder>,
    /// Connected waypoints, by names that no node has.
    waypoints: BTreeMap<String, Holder>,
}

impl Rotation {
    /// A machine that stands where it was left, with the agents known from before, all away.
    pub(crate) fn resumed(phase: Phase, agents: &BTreeSet<String>) -> Self {
        let mut rotation = Self {
            phase,
            agents: BTreeMap::new(),
            waypoints: BTreeMap::new(),
        };
        rotation.know(agents);
        rotation
    }

    /// The agents to be known from now on: those that were not heard of in all of a rotation are
    /// forgotten, so that a node taken out of service holds up one rotation only.
    pub(crate) fn heard_of(&self) -> BTreeSet<String> {
        let heard = |agent: &Holder| agent.connections > 0 || agent.held > 0;
        let nodes = self.agents.iter().filter(|(_, agent)| heard(agent));
        nodes.map(|(node, _)| node.clone()).collect()
    }

    /// The phase that a rotation to this bundle begins with.
    pub(crate) fn beginning(&self, generation: u64, now: SystemTime, patience: Duration) -> Phase {
        Phase::Distributing {
            generation,
            until: now + patience,
            awaited: self.agents.keys().cloned().collect(),
        }
    }

    /// These agents are known too, away as far as this replica sees.
    pub(crate) fn know(&mut self, agents: &BTreeSet<String>) {
        for node in agents.iter().filter(|name| !is_waypoint(name)) {
            self.agents.entry(node.clone()).or_default();
        }
    }

    /// Connected agents that are not among these.
    pub(crate) fn connected_beside(&self, known: &BTreeSet<String>) -> Vec<String> {
        let here = self.agents.iter().filter(|(_, a)| a.connections > 0);
        let here = here.filter(|(node, _)| !known.contains(*node));
        here.map(|(node, _)| node.clone()).collect()
    }

    /// What the other replicas have to know, where this bundle is served.
    pub(crate) fn report(&self, generation: u64) -> Report {
        let mut report = Report {
            generation,
            ..Report::default()
        };
        if self.phase != Phase::Steady {
            for (node, agent) in &self.agents {
                if agent.held >= generation {
                    report.holding.push(node.clone());
                } else if agent.connections > 0 {
                    report.lacking.push(node.clone());
                }
            }
            let lacking = self.waypoints.iter().filter(|(_, w)| w.held < generation);
            report.lacking.extend(lacking.map(|(name, _)| name.clone()));
        }
        report
    }

    /// The owner has done and written down what leads to this phase.
    pub(crate) fn performed(&mut self, phase: Phase) {
        if phase == Phase::Steady {
            let known = self.heard_of();
            self.agents.retain(|node, _| known.contains(node));
        }
        self.phase = phase;
    }

    /// A caller has connected, once more perhaps.
    pub(crate) fn connected(&mut self, name: &str) {
        let callers = self.callers_like(name);
        callers.entry(name.to_owned()).or_default().connections += 1;
    }

    /// One of a caller's connections has ended.
    pub(crate) fn gone(&mut self, name: &str) {
        let callers = self.callers_like(name);
        let Some(holder) = callers.get_mut(name) else {
            return;
        };
        holder.connections = holder.connections.saturating_sub(1);
        if holder.connections == 0 && is_waypoint(name) {
            callers.remove(name);
        }
    }

    fn callers_like(&mut self, name: &str) -> &mut BTreeMap<String, Holder> {
        if is_waypoint(name) {
            &mut self.waypoints
        } else {
            &mut self.agents
        }
    }

    /// A caller says that it and its proxies hold the bundle of this generation.
    ///
    /// The latest word counts, not the highest: an agent that lost its state holds less.
    pub(crate) fn held(&mut self, name: &str, generation: u64) {
        if !is_waypoint(name) {
            self.agents.entry(name.to_owned()).or_default().held = generation;
        } else if let Some(waypoint) = self.waypoints.get_mut(name) {
            waypoint.held = generation;
        }
    }

    /// The step that is due, by what this replica and those others know.
    pub(crate) fn due(&self, now: SystemTime, others: &[Report]) -> Option<Step> {
        match &self.phase {
            Phase::Steady => None,
            Phase::Distributing {
                generation, until, ..
            } => {
                let (connected, away) = self.waiting_for(others);
                let is_served = others.iter().all(|other| other.generation >= *generation);
                let ready = is_served && connected.is_empty() && (away.is_empty() || now >= *until);
                ready.then_some(Step::SignWithNext)
            }
            Phase::Retiring { until } => (now >= *until).then_some(Step::DropOld),
        }
    }

    /// The agents that do not hold the bundle yet: those connected, and those away.
    pub(crate) fn waiting_for<'a>(&'a self, others: &'a [Report]) -> (Vec<&'a str>, Vec<&'a str>) {
        let Phase::Distributing {
            generation,
            awaited,
            ..
        } = &self.phase
        else {
            return (Vec::new(), Vec::new());
        };
        let here = self.agents.iter().chain(&self.waypoints);
        let here = here.filter(|(_, holder)| holder.connections > 0);
        let lacking_here = here.filter(|(_, holder)| holder.held < *generation);
        let elsewhere = |of: fn(&Report) -> &Vec<String>| {
            let reports = others
                .iter()
                .filter(|other| other.generation >= *generation);
            reports.flat_map(move |other| of(other).iter().map(String::as_str))
        };
        let mut lacking: BTreeSet<&str> = elsewhere(|other| &other.lacking).collect();
        lacking.extend(lacking_here.map(|(name, _)| name.as_str()));
        let mut holding: BTreeSet<&str> = elsewhere(|other| &other.holding).collect();
        let held = self.agents.iter().filter(|(_, a)| a.held >= *generation);
        holding.extend(held.map(|(node, _)| node.as_str()));
        let away = awaited.iter().map(String::as_str);
        let away = away.filter(|node| !lacking.contains(node) && !holding.contains(node));
        (lacking.iter().copied().collect(), away.collect())
    }
}

/// Callers' names: a waypoint's has a slash in it, and no node's has.
fn is_waypoint(name: &str) -> bool {
    name.contains('/')
}

#[cfg(test)]
mod tests;
