//! What is wrong with a mesh, or cannot be seen, and what to do. Pure.

use std::collections::BTreeSet;

use super::{Facts, Finding, Report, Weight, name_of, pods};
use crate::cli::standing::Standing;
use crate::cli::status::pages::{is_readable, unix};
use crate::config::problem::Severity;
use crate::config::statuses::ACCEPTED;

/// A lease that was not renewed for so long has no holder; with room for clocks that differ.
const LEASE_SECONDS: i64 = 60;
/// An agent captures a running pod in less.
const CAPTURE_SECONDS: i64 = 30;
/// A root that ends sooner is to be replaced now.
const ROOT_SECONDS: i64 = 30 * 86_400;
/// Pods that are named at most.
const NAMED: usize = 20;

/// Collects findings of one kind after the other.
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, weight: Weight, what: String, advice: &str) {
        self.0.push(Finding {
            weight,
            what,
            advice: advice.to_owned(),
        });
    }

    fn wrong(&mut self, what: String, advice: &str) {
        self.add(Weight::Wrong, what, advice);
    }
}

/// All of them, in no order.
pub(super) fn of(facts: &Facts, report: &Report) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    control_planes(facts, report, &mut found);
    nodes(facts, report, &mut found);
    agents(facts, report, &mut found);
    streams(facts, &mut found);
    captures(facts, report, &mut found);
    authority(facts, report, &mut found);
    policies(facts, &mut found);
    unseen(facts, report, &mut found);
    found.0
}

fn control_planes(facts: &Facts, report: &Report, found: &mut Findings) {
    if facts.control_planes.is_ok() && report.control_planes.is_empty() {
        found.wrong(
            "no control plane runs".to_owned(),
            "install the mesh, or name its namespace with --mesh-namespace",
        );
        return;
    }
    for plane in report.control_planes.iter().filter(|plane| !plane.ready) {
        let what = format!(
            "control plane {} on {} is not ready",
            plane.name, plane.node
        );
        found.wrong(what, "see its logs and events; the others serve meanwhile");
    }
    let leads = match &facts.leader {
        Err(_unseen) => return,
        Ok(Some((_, renewed))) => facts.now - renewed <= LEASE_SECONDS,
        Ok(None) => false,
    };
    if !leads {
        found.wrong(
            "no control plane leads: roots are not rotated, statuses not written".to_owned(),
            "see the logs of the control planes for what keeps them from the Lease ambit-control-plane",
        );
    }
}

/// Nodes on which an agent is to run, and none does.
fn nodes(facts: &Facts, report: &Report, found: &mut Findings) {
    if facts.agents.is_ok() && report.agents.is_empty() && !report.control_planes.is_empty() {
        found.wrong(
            "no agent runs on any node".to_owned(),
            "see the events of DaemonSet ambit-node-agent",
        );
        return;
    }
    let nodes = report.agents.iter().map(|agent| agent.node.as_str());
    let with: BTreeSet<&str> = nodes.filter(|node| !node.is_empty()).collect();
    let Ok(wanted) = facts.agent_nodes else {
        return;
    };
    if facts.agents.is_ok() && with.len() < wanted {
        let nodes = facts.nodes.iter().map(String::as_str);
        let without: Vec<&str> = nodes.filter(|node| !with.contains(node)).collect();
        found.wrong(
            format!(
                "{} of {wanted} nodes that are to have an agent have none; there is none on {}",
                wanted - with.len(),
                without.join(", ")
            ),
            "pods there are not captured, and those of enrolled namespaces do not start; see the events \
             of DaemonSet ambit-node-agent",
        );
    }
}

fn agents(facts: &Facts, report: &Report, found: &mut Findings) {
    for agent in &report.agents {
        let (name, node) = (&agent.name, &agent.node);
        if !agent.ready {
            found.wrong(
                format!("agent {name} on {node} is not ready"),
                "captured pods of that node refuse connections while it is away; see its logs and events",
            );
        }
        if agent.connected == Some(false) {
            found.wrong(
                format!("agent {name} on {node} has no stream to a control plane"),
                "it serves what it knows; see its logs, and whether port 15012 can be reached from there",
            );
        }
        if agent.first_expiry_unix.is_some_and(|at| at <= facts.now) {
            found.wrong(
                format!("a certificate of agent {name} on {node} has expired"),
                "its pod's connections fail; see the agent's logs for why it was not renewed",
            );
        }
    }
    let versions: BTreeSet<&str> = report
        .agents
        .iter()
        .filter_map(|agent| agent.version.as_deref())
        .chain(
            report
                .control_planes
                .iter()
                .filter_map(|p| p.version.as_deref()),
        )
        .collect();
    if versions.len() > 1 {
        let versions: Vec<&str> = versions.into_iter().collect();
        let what = format!("several versions run: {}", versions.join(", "));
        found.add(Weight::Note, what, "");
    }
}

/// Configuration that an agent rejected, or is long in taking.
fn streams(facts: &Facts, found: &mut Findings) {
    for pod in pods(&facts.control_planes) {
        let Some(now) = facts.streams(name_of(pod)) else {
            continue;
        };
        let later = facts.later.get(name_of(pod));
        for stream in &now.streams {
            let node = &stream.node;
            if let Some(why) = &stream.last_rejection {
                found.wrong(
                    format!("the agent of {node} rejected configuration {} times, last: {why}", stream.rejections),
                    "it stays with the last good version; see its logs, and whether its version is the control plane's",
                );
            }
            let still = later.is_some_and(|later| {
                let mut same = later.streams.iter().filter(|later| later.node == *node);
                same.any(|later| later.acknowledged < now.sequence)
            });
            if stream.acknowledged < now.sequence && still {
                found.wrong(
                    format!(
                        "the agent of {node} is stale: it has change {} of {}",
                        stream.acknowledged, now.sequence
                    ),
                    "see its logs",
                );
            }
        }
    }
}

fn captures(facts: &Facts, report: &Report, found: &mut Findings) {
    let overdue = |created: Option<&str>| {
        created
            .and_then(unix)
            .is_none_or(|at| facts.now - at > CAPTURE_SECONDS)
    };
    let pending = facts.pods.iter().filter(|pod| {
        pod.standing == Standing::Pending && (pod.why.is_some() || overdue(pod.created.as_deref()))
    });
    let pending: Vec<_> = pending.collect();
    for pod in pending.iter().take(NAMED) {
        let why = pod.why.as_deref().unwrap_or("its agent has not said why");
        let (namespace, name, node) = (&pod.namespace, &pod.name, &pod.node);
        found.wrong(
            format!("{namespace}/{name} on {node} is not captured: {why}"),
            "others reach it in plaintext as far as policies let them; see the logs of its node's agent",
        );
    }
    if pending.len() > NAMED {
        found.wrong(
            format!("{} more pods are not captured", pending.len() - NAMED),
            "",
        );
    }
    for namespace in &report.namespaces {
        let name = &namespace.name;
        if let Some(count) = namespace.older_connections.filter(|count| *count > 0) {
            found.add(
                Weight::Note,
                format!("{count} connections in {name} are older than the capture and go around the mesh"),
                &format!("they end by themselves, or by `ambit enrol {name} --cut-existing`"),
            );
        }
        if namespace.releasing > 0 {
            let what = format!("{} pods of {name} are being released", namespace.releasing);
            found.add(Weight::Note, what, "");
        }
    }
}

fn authority(facts: &Facts, report: &Report, found: &mut Findings) {
    let Some(authority) = &report.authority else {
        return;
    };
    let ends = authority.roots.values().filter_map(|end| unix(end));
    // During a rotation the old root may end soon; the newest one counts.
    if let Some(end) = ends.max()
        && end - facts.now < ROOT_SECONDS
    {
        found.wrong(
            "the root certificate ends within 30 days".to_owned(),
            "rotate it: POST /ca/rotate on port 15016 of a control plane, or give a new one if it is yours",
        );
    }
    let waiting = [
        &authority.waiting_for_connected,
        &authority.waiting_for_away,
    ];
    let waiting: Vec<&str> = waiting.into_iter().flatten().map(String::as_str).collect();
    if !waiting.is_empty() {
        let what = format!("the rotation of the root waits for {}", waiting.join(", "));
        found.add(Weight::Note, what, "");
    }
}

fn policies(facts: &Facts, found: &mut Findings) {
    let mut told = BTreeSet::new();
    for problem in &facts.problems {
        let weight = match problem.severity {
            Severity::Error => Weight::Wrong,
            Severity::Warning => Weight::Note,
        };
        told.insert(problem.object.as_str());
        let object = match (problem.object.as_str(), problem.field.as_str()) {
            ("", _) => problem.origin.to_string(),
            (object, "") => object.to_owned(),
            (object, field) => format!("{object}, {field}"),
        };
        found.add(
            weight,
            format!("{object}: {}", problem.what),
            &problem.advice,
        );
    }
    for policy in &facts.policies {
        let text = |pointer: &str| policy.pointer(pointer).and_then(|at| at.as_str());
        let part = |pointer| text(pointer).unwrap_or_default();
        let object = format!(
            "{} {}/{}",
            part("/kind"),
            part("/metadata/namespace"),
            part("/metadata/name")
        );
        let conditions = policy.pointer("/status/conditions");
        let conditions = conditions
            .and_then(|all| all.as_array())
            .into_iter()
            .flatten();
        for condition in conditions {
            let word = |name: &str| condition.get(name).and_then(|at| at.as_str());
            let is_refused = word("type") == Some(ACCEPTED) && word("status") == Some("False");
            if is_refused && !told.contains(object.as_str()) {
                let message = word("message").unwrap_or("its status gives no reason");
                found.wrong(format!("{object} is not accepted: {message}"), "");
            }
        }
    }
}

fn unseen(facts: &Facts, report: &Report, found: &mut Findings) {
    let lists = [
        (
            "pods of the control plane",
            facts.control_planes.as_ref().err(),
        ),
        ("pods of the agents", facts.agents.as_ref().err()),
        ("nodes of the agents", facts.agent_nodes.as_ref().err()),
        ("the Lease of the leader", facts.leader.as_ref().err()),
    ];
    for (what, why) in lists {
        if let Some(why) = why {
            found.add(Weight::Unknown, format!("{what}: {why}"), "");
        }
    }
    for why in &facts.unread {
        found.add(Weight::Unknown, why.clone(), "");
    }
    let ready = |name: &str| {
        let planes = report.control_planes.iter().map(|p| (&p.name, p.ready));
        let mut all = planes.chain(report.agents.iter().map(|a| (&a.name, a.ready)));
        all.any(|(found, ready)| found == name && ready)
    };
    for ((pod, path), page) in &facts.pages {
        let why = match page {
            Err(why) => why.as_str(),
            Ok(text) if is_readable(path, text) => continue,
            Ok(_) => "it has another form than this version of ambit reads",
        };
        // Of what is not ready it is told already.
        if ready(pod) {
            // Whether there are older connections decides nothing, and older versions do not tell.
            let weight = match *path {
                "/debug/captures" => Weight::Note,
                _ => Weight::Unknown,
            };
            found.add(weight, format!("page {path} of {pod}: {why}"), "");
        }
    }
}
