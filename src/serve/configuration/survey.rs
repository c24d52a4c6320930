//! What is looked over as a whole a while after changes, not with each of them: what is to be said
//! of every policy and route, what is wrong with the configuration, how many pods are recorded as captured, and
//! how the agents of nodes are doing.
//! Changes that come close together are looked over once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_kit::clock;
use tokio::sync::watch;

use super::problems::Told;
use crate::config::node_agents::NodeAgents;
use crate::config::objects::Kind;
use crate::config::problem::Problem;
use crate::config::statuses::Report;
use crate::config::waypoints::report::Waypoints;
use crate::config::{Batch, CaptureRecord, Configuration};
use crate::serve::metrics::Metrics;

/// How long after a change of a policy, a route, an agent or a node: somebody is waiting for what follows.
const SOON: Duration = Duration::from_millis(200);
/// How long after a change that only the number of pods, or where routes lead, depends on.
const LATER: Duration = Duration::from_secs(2);
/// How long after any change it is asked what is wrong: that walks over all objects.
const SELDOM: Duration = Duration::from_secs(1);

/// The way to whoever writes what is said of policies; nothing before the first look.
#[derive(Clone, Debug)]
pub(crate) struct StatusFeed(pub(crate) watch::Sender<Option<Arc<Report>>>);

/// The way to whoever makes waypoints; nothing before the first look.
#[derive(Clone, Debug)]
pub(crate) struct WaypointFeed(pub(crate) watch::Sender<Option<Arc<Waypoints>>>);

/// The way to whoever acts on how the agents of nodes are doing.
#[derive(Clone, Debug)]
pub(crate) struct NodeFeed {
    /// Namespace of the agents.
    pub(crate) namespace: Arc<str>,
    /// Their DaemonSet.
    pub(crate) daemon_set: Arc<str>,
    /// Takes all nodes.
    pub(crate) sender: watch::Sender<Arc<Vec<NodeAgents>>>,
}

/// Something that is looked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Nodes,
    Policies,
    Problems,
    Waypoints,
}

/// When what is to be looked over again, and who wants to know.
#[derive(Debug)]
pub(super) struct Survey {
    statuses: Option<StatusFeed>,
    nodes: Option<NodeFeed>,
    waypoints: Option<WaypointFeed>,
    told: Told,
    /// What is wrong with what holds for the whole mesh.
    of_mesh: Option<Problem>,
    due: BTreeMap<Look, Instant>,
}

impl Survey {
    /// For whoever wants to know, if somebody does.
    pub(super) fn new(
        statuses: Option<StatusFeed>,
        nodes: Option<NodeFeed>,
        waypoints: Option<WaypointFeed>,
    ) -> Self {
        Self {
            statuses,
            nodes,
            waypoints,
            told: Told::default(),
            of_mesh: None,
            due: BTreeMap::new(),
        }
    }

    /// Notes a batch.
    pub(super) fn note(&mut self, batch: &Batch, now: Instant) {
        self.look_at(Look::Problems, now + SELDOM);
        for (key, _) in &batch.shown {
            let look = if key.kind.is_judged() {
                Look::Policies
            } else {
                Look::Waypoints
            };
            if look != Look::Waypoints || self.waypoints.is_some() {
                self.look_at(look, now + SOON);
            }
        }
        for event in &batch.events {
            let key = event.key();
            let of_agents = |feed: &NodeFeed| match key.kind {
                Kind::Node => true,
                Kind::Pod => feed.namespace == key.namespace,
                _ => false,
            };
            if self.nodes.as_ref().is_some_and(of_agents) {
                self.look_at(Look::Nodes, now + SOON);
            }
            match key.kind {
                // Whether a route may refer to what it refers to.
                Kind::ReferenceGrant => self.look_at(Look::Policies, now + SOON),
                Kind::Pod | Kind::Namespace | Kind::Service => {
                    self.look_at(Look::Policies, now + LATER);
                }
                _ => {}
            }
            if matches!(key.kind, Kind::Pod | Kind::Namespace) && self.waypoints.is_some() {
                self.look_at(Look::Waypoints, now + LATER);
            }
        }
    }

    /// Notes what is wrong with what holds for the whole mesh.
    pub(super) fn note_mesh(&mut self, problem: Option<Problem>, now: Instant) {
        if self.of_mesh != problem {
            self.of_mesh = problem;
            self.look_at(Look::Problems, now);
        }
    }

    /// Notes that there are other collectors, which telemetries may name.
    pub(super) fn note_collectors(&mut self, now: Instant) {
        self.look_at(Look::Problems, now);
    }

    /// Notes that keys of an issuer were fetched, or could not be.
    pub(super) fn note_keys(&mut self, now: Instant) {
        self.look_at(Look::Policies, now + SOON);
        self.look_at(Look::Problems, now + SELDOM);
    }

    /// Not later than this.
    fn look_at(&mut self, look: Look, when: Instant) {
        let due = self.due.entry(look).or_insert(when);
        *due = when.min(*due);
    }

    /// Waits until something is due.
    pub(super) async fn is_due(&self) {
        clock::until(self.due.values().min().copied()).await;
    }

    /// Looks over what is due.
    pub(super) fn look(&mut self, configuration: &Configuration, metrics: &Metrics, now: Instant) {
        let (due, later): (BTreeMap<_, _>, _) = std::mem::take(&mut self.due)
            .into_iter()
            .partition(|(_, when)| *when <= now);
        self.due = later;
        for look in due.into_keys() {
            match look {
                Look::Problems => {
                    let mut problems = configuration.problems();
                    problems.extend(self.of_mesh.clone());
                    self.told.tell(problems, metrics);
                    if configuration.settings().captures == CaptureRecord::Annotations {
                        metrics.captured_pods(configuration.recorded().count());
                    }
                }
                Look::Policies => {
                    if let Some(StatusFeed(feed)) = &self.statuses {
                        feed.send_replace(Some(Arc::new(configuration.report())));
                    }
                }
                Look::Nodes => {
                    if let Some(feed) = &self.nodes {
                        let agents = configuration.node_agents(&feed.namespace, &feed.daemon_set);
                        feed.sender.send_replace(Arc::new(agents));
                    }
                }
                Look::Waypoints => self.tell_waypoints(configuration),
            }
        }
    }

    fn tell_waypoints(&self, configuration: &Configuration) {
        let Some(WaypointFeed(feed)) = &self.waypoints else {
            return;
        };
        let now = Some(Arc::new(configuration.waypoints()));
        feed.send_if_modified(|told| {
            let has_changed = *told != now;
            *told = now;
            has_changed
        });
    }

    /// What was wrong when it was looked at last.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.told.problems()
    }
}

#[cfg(test)]
mod tests;
