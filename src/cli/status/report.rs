//! What is told about a mesh, and whether it is well. Pure: from [`Facts`] to a [`Report`].

mod findings;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;
use serde_json::Value;

use super::pages::{AgentPage, Authority, Streams, control_plane_version};
use crate::cli::live::{is_ready, node_of};
use crate::cli::standing::{PodStanding, Standing};
use crate::config::problem::Problem;

/// What was found out; an error is why it could not be.
#[derive(Debug)]
pub(super) struct Facts {
    /// Unix seconds.
    pub(super) now: i64,
    pub(super) control_planes: Result<Vec<Pod>, String>,
    pub(super) agents: Result<Vec<Pod>, String>,
    /// On how many nodes an agent is to run.
    pub(super) agent_nodes: Result<usize, String>,
    /// All nodes.
    pub(super) nodes: Vec<String>,
    /// Who leads, and since when it has not renewed that, in Unix seconds.
    pub(super) leader: Result<Option<(String, i64)>, String>,
    /// Pages by pod and path.
    pub(super) pages: BTreeMap<(String, &'static str), Result<String, String>>,
    /// `/debug/agents` of every control plane a moment later, where somebody was behind.
    pub(super) later: BTreeMap<String, Streams>,
    pub(super) pods: Vec<PodStanding>,
    /// Enrolled namespaces.
    pub(super) namespaces: Vec<String>,
    /// What is wrong with the objects.
    pub(super) problems: Vec<Problem>,
    /// Policies as the API server has them.
    pub(super) policies: Vec<Value>,
    /// What could not be read, and why.
    pub(super) unread: Vec<String>,
}

/// How the mesh is: also the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Health {
    /// Nothing is wrong.
    Healthy,
    /// Not everything could be seen; what could is well.
    Unknown,
    /// Something is wrong.
    Wrong,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Weight {
    /// Something is wrong.
    Wrong,
    /// It cannot be seen whether something is.
    Unknown,
    /// Worth knowing.
    Note,
}

/// One thing that is to be known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) weight: Weight,
    pub(super) what: String,
    /// What to do; may be empty.
    pub(super) advice: String,
}

/// A replica of the control plane.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ControlPlane {
    pub(super) name: String,
    pub(super) node: String,
    pub(super) ready: bool,
    pub(super) leads: bool,
    pub(super) version: Option<String>,
    pub(super) agents: Option<usize>,
    pub(super) since_unix: Option<i64>,
}

/// An agent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) node: String,
    pub(super) ready: bool,
    pub(super) version: Option<String>,
    pub(super) connected: Option<bool>,
    pub(super) pods: Option<u64>,
    pub(super) certificates: Option<usize>,
    pub(super) first_expiry_unix: Option<i64>,
    pub(super) since_unix: Option<i64>,
}

/// A namespace, by numbers of pods.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Namespace {
    pub(super) name: String,
    pub(super) enrolled: bool,
    pub(super) captured: usize,
    pub(super) starting: usize,
    pub(super) pending: usize,
    pub(super) releasing: usize,
    pub(super) left_out: usize,
    pub(super) older_connections: Option<u64>,
}

/// All that is told.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) health: Health,
    pub(super) control_planes: Vec<ControlPlane>,
    pub(super) agents: Vec<Agent>,
    pub(super) authority: Option<Authority>,
    pub(super) namespaces: Vec<Namespace>,
    pub(super) pods: Vec<PodStanding>,
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// What these facts mean.
    pub(super) fn of(facts: &Facts) -> Self {
        let mut report = Self {
            health: Health::Healthy,
            control_planes: pods(&facts.control_planes)
                .map(|pod| control_plane(facts, pod))
                .collect(),
            agents: pods(&facts.agents).map(|pod| agent(facts, pod)).collect(),
            authority: facts.authority(),
            namespaces: namespaces(facts),
            pods: facts.pods.clone(),
            findings: Vec::new(),
        };
        report.agents.sort_by(|a, b| a.node.cmp(&b.node));
        report.findings = findings::of(facts, &report);
        report.findings.sort();
        report.findings.dedup();
        let worst = report.findings.iter().map(|finding| finding.weight).min();
        report.health = match worst {
            Some(Weight::Wrong) => Health::Wrong,
            Some(Weight::Unknown) => Health::Unknown,
            Some(Weight::Note) | None => Health::Healthy,
        };
        report
    }
}

impl Health {
    /// For scripts: 0 if it is well, 1 if something is wrong, 2 if that cannot be told.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Wrong => 1,
            Self::Unknown => 2,
        }
    }
}

impl Facts {
    fn page(&self, pod: &str, path: &'static str) -> Option<&str> {
        let page = self.pages.get(&(pod.to_owned(), path))?;
        page.as_deref().ok()
    }

    /// How far the agents of a control plane are.
    pub(super) fn streams(&self, pod: &str) -> Option<Streams> {
        serde_json::from_str(self.page(pod, "/debug/agents")?).ok()
    }

    /// All replicas have the same authority; any that tells is as good as another.
    fn authority(&self) -> Option<Authority> {
        let mut tell = pods(&self.control_planes).filter_map(|pod| {
            let page = self.page(name_of(pod), "/ca")?;
            serde_json::from_str(page).ok()
        });
        tell.next()
    }
}

/// Those that are not about to end.
fn pods(found: &Result<Vec<Pod>, String>) -> impl Iterator<Item = &Pod> {
    let all = found.iter().flatten();
    all.filter(|pod| pod.metadata.deletion_timestamp.is_none())
}

fn name_of(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn since(pod: &Pod) -> Option<i64> {
    let started = pod.status.as_ref()?.start_time.as_ref()?;
    Some(started.0.as_second())
}

fn control_plane(facts: &Facts, pod: &Pod) -> ControlPlane {
    let name = name_of(pod);
    let holder = facts.leader.as_ref().ok().and_then(Option::as_ref);
    // The holder is a pod's name with a word of its process behind.
    let leads = holder.is_some_and(|(holder, _)| {
        holder
            .rsplit_once('_')
            .map_or(holder.as_str(), |(pod, _)| pod)
            == name
    });
    ControlPlane {
        name: name.to_owned(),
        node: node_of(pod).to_owned(),
        ready: is_ready(pod),
        leads,
        version: facts.page(name, "/metrics").and_then(control_plane_version),
        agents: facts.streams(name).map(|found| found.streams.len()),
        since_unix: since(pod),
    }
}

fn agent(facts: &Facts, pod: &Pod) -> Agent {
    let name = name_of(pod);
    let page = facts.page(name, "/metrics").map(AgentPage::of);
    let page_of = page.as_ref();
    Agent {
        name: name.to_owned(),
        node: node_of(pod).to_owned(),
        ready: is_ready(pod),
        version: page_of.and_then(|page| page.version.clone()),
        connected: page_of.and_then(|page| page.connected),
        pods: page_of.and_then(|page| page.pods),
        certificates: page_of.map(|page| page.expiries.len()),
        first_expiry_unix: page_of.and_then(|page| page.expiries.iter().min().copied()),
        since_unix: since(pod),
    }
}

fn namespaces(facts: &Facts) -> Vec<Namespace> {
    let fresh = |name: &str| Namespace {
        name: name.to_owned(),
        ..Namespace::default()
    };
    let mut all: BTreeMap<String, Namespace> = BTreeMap::new();
    for name in &facts.namespaces {
        let enrolled = Namespace {
            enrolled: true,
            ..fresh(name)
        };
        all.insert(name.clone(), enrolled);
    }
    for pod in &facts.pods {
        let name = pod.namespace.to_string();
        let of_pod = all.entry(name).or_insert_with(|| fresh(&pod.namespace));
        match pod.standing {
            Standing::Captured => of_pod.captured += 1,
            Standing::Starting => of_pod.starting += 1,
            Standing::Pending => of_pod.pending += 1,
            Standing::Releasing => of_pod.releasing += 1,
            Standing::LeftOut(_) => of_pod.left_out += 1,
        }
        if let Some(count) = pod.older_connections {
            *of_pod.older_connections.get_or_insert(0) += u64::from(count);
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
pub(super) mod tests;
