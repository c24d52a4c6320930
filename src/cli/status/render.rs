//! A report for people. Pure.

use std::fmt::Write as _;

use super::report::{Agent, ControlPlane, Finding, Health, Namespace, Report, Weight};
use crate::cli::standing::Standing;
use crate::cli::table::Table;

/// The tables, the findings, and the verdict.
pub(super) fn text(report: &Report, now: i64, all_pods: bool) -> String {
    let mut parts = Vec::new();
    if !report.control_planes.is_empty() {
        parts.push(control_planes(&report.control_planes, now));
    }
    if !report.agents.is_empty() {
        parts.push(agents(&report.agents, now));
    }
    if !report.namespaces.is_empty() {
        parts.push(namespaces(&report.namespaces));
    }
    if all_pods && !report.pods.is_empty() {
        parts.push(pods(report));
    }
    parts.extend(authority(report));
    for (weight, title) in [
        (Weight::Wrong, "WRONG"),
        (Weight::Unknown, "NOT KNOWN"),
        (Weight::Note, "NOTES"),
    ] {
        parts.extend(findings(&report.findings, weight, title));
    }
    parts.push(match report.health {
        Health::Healthy => "=> healthy\n".to_owned(),
        Health::Wrong => "=> something is wrong\n".to_owned(),
        Health::Unknown => "=> not everything could be seen\n".to_owned(),
    });
    parts.join("\n")
}

fn control_planes(planes: &[ControlPlane], now: i64) -> String {
    let headings = [
        "CONTROL PLANE",
        "NODE",
        "READY",
        "LEADS",
        "VERSION",
        "AGENTS",
        "AGE",
    ];
    let mut table = Table::new(&headings);
    for plane in planes {
        table.row([
            plane.name.clone(),
            plane.node.clone(),
            yes(plane.ready),
            yes(plane.leads),
            plane.version.clone().unwrap_or_default(),
            shown(plane.agents),
            span(plane.since_unix.map(|at| now - at)),
        ]);
    }
    table.render()
}

fn agents(agents: &[Agent], now: i64) -> String {
    let headings = [
        "NODE",
        "AGENT",
        "READY",
        "CONNECTED",
        "VERSION",
        "PODS",
        "CERTIFICATES",
        "FIRST ENDS IN",
        "AGE",
    ];
    let mut table = Table::new(&headings);
    for agent in agents {
        table.row([
            agent.node.clone(),
            agent.name.clone(),
            yes(agent.ready),
            agent.connected.map(yes).unwrap_or_default(),
            agent.version.clone().unwrap_or_default(),
            shown(agent.pods),
            shown(agent.certificates),
            span(agent.first_expiry_unix.map(|at| at - now)),
            span(agent.since_unix.map(|at| now - at)),
        ]);
    }
    table.render()
}

fn namespaces(namespaces: &[Namespace]) -> String {
    let headings = [
        "NAMESPACE",
        "ENROLLED",
        "CAPTURED",
        "STARTING",
        "PENDING",
        "RELEASING",
        "LEFT OUT",
        "OLDER CONNECTIONS",
    ];
    let mut table = Table::new(&headings);
    for namespace in namespaces {
        table.row([
            namespace.name.clone(),
            yes(namespace.enrolled),
            namespace.captured.to_string(),
            namespace.starting.to_string(),
            namespace.pending.to_string(),
            namespace.releasing.to_string(),
            namespace.left_out.to_string(),
            shown(namespace.older_connections),
        ]);
    }
    table.render()
}

fn pods(report: &Report) -> String {
    let mut table = Table::new(&["POD", "NODE", "STATE", "OLDER CONNECTIONS"]);
    for pod in &report.pods {
        let state = match (pod.standing, &pod.why) {
            (Standing::Captured, _) => "captured".to_owned(),
            (Standing::Starting, _) => "starting".to_owned(),
            (Standing::Releasing, _) => "being released".to_owned(),
            (Standing::Pending, None) => "pending".to_owned(),
            (Standing::Pending, Some(why)) => format!("pending: {why}"),
            (Standing::LeftOut(why), _) => format!("left out: {why}"),
        };
        let name = format!("{}/{}", pod.namespace, pod.name);
        table.row([
            name,
            pod.node.to_string(),
            state,
            shown(pod.older_connections),
        ]);
    }
    table.render()
}

fn authority(report: &Report) -> Option<String> {
    let authority = report.authority.as_ref()?;
    let ends: Vec<&str> = authority.roots.values().map(String::as_str).collect();
    let until = authority.phase_until.as_ref();
    let until = until.map_or_else(String::new, |until| format!(" until {until}"));
    Some(format!(
        "root certificate: {}, valid until {}, rotation: {}{until}\n",
        authority.made_by,
        ends.join(" and "),
        authority.phase,
    ))
}

fn findings(all: &[Finding], weight: Weight, title: &str) -> Option<String> {
    let mut text = String::new();
    for finding in all.iter().filter(|finding| finding.weight == weight) {
        // Writing to memory does not fail.
        writeln!(text, "  {}", finding.what).ok();
        if !finding.advice.is_empty() {
            writeln!(text, "    -> {}", finding.advice).ok();
        }
    }
    (!text.is_empty()).then(|| format!("{title}\n{text}"))
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A span of time in its largest two units at most.
fn span(seconds: Option<i64>) -> String {
    let Some(seconds) = seconds else {
        return String::new();
    };
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days >= 2 {
        format!("{days}d")
    } else if hours >= 2 {
        format!("{hours}h{}m", minutes % 60)
    } else if minutes >= 2 {
        format!("{minutes}m{}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests;
