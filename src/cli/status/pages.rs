//! What the pages of the mesh's processes say. Pure, and lenient: a page of another version is one
//! that tells less.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cli::standing::older_connections;

/// What an agent's `/metrics` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AgentPage {
    pub(super) version: Option<String>,
    pub(super) connected: Option<bool>,
    pub(super) pods: Option<u64>,
    /// Ends of its workloads' certificates, in Unix seconds.
    pub(super) expiries: Vec<i64>,
}

/// What a control plane's `/debug/agents` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Streams {
    /// The newest change.
    pub(super) sequence: u64,
    pub(super) streams: Vec<Stream>,
}

/// One agent's stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Stream {
    pub(super) node: String,
    /// The last change that it has in force.
    pub(super) acknowledged: u64,
    pub(super) rejections: u64,
    pub(super) last_rejection: Option<String>,
}

/// What a control plane's `/ca` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Authority {
    pub(super) phase: String,
    #[serde(default)]
    pub(super) phase_until: Option<String>,
    /// Serial numbers with the end of their lives.
    pub(super) roots: BTreeMap<String, String>,
    pub(super) made_by: String,
    pub(super) waiting_for_connected: Vec<String>,
    pub(super) waiting_for_away: Vec<String>,
}

impl AgentPage {
    pub(super) fn of(text: &str) -> Self {
        let first = |name: &str| series(text, name).into_iter().next();
        let number = |name: &str| first(name).and_then(|(_, value)| whole(value));
        let expiries = series(text, "ambit_certificate_expiry_timestamp_seconds");
        Self {
            version: first("istio_build").and_then(|(labels, _)| label(labels, "tag")),
            connected: number("ambit_control_plane_connected").map(|up| up == 1),
            pods: number("ambit_pods").and_then(|pods| u64::try_from(pods).ok()),
            expiries: expiries.iter().filter_map(|(_, at)| whole(at)).collect(),
        }
    }
}

/// Whether a page says what it is asked for.
pub(super) fn is_readable(path: &str, text: &str) -> bool {
    match path {
        "/ca" => serde_json::from_str::<Authority>(text).is_ok(),
        "/debug/agents" => serde_json::from_str::<Streams>(text).is_ok(),
        "/debug/captures" => older_connections(&[text]).is_some(),
        _ => control_plane_version(text)
            .or_else(|| agent_version(text))
            .is_some(),
    }
}

/// Version of a control plane, from its `/metrics`.
pub(in crate::cli) fn control_plane_version(text: &str) -> Option<String> {
    let (labels, _) = series(text, "ambit_build_info").into_iter().next()?;
    label(labels, "version")
}

/// Version of an agent, from its `/metrics`.
pub(in crate::cli) fn agent_version(text: &str) -> Option<String> {
    AgentPage::of(text).version
}

/// Seconds since the epoch.
pub(super) fn unix(rfc3339: &str) -> Option<i64> {
    let at: Timestamp = rfc3339.parse().ok()?;
    Some(at.as_second())
}

/// Labels and value of every series of a name in Prometheus' text.
fn series<'a>(text: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    let of_line = |line: &'a str| {
        let rest = line.strip_prefix(name)?;
        match rest.strip_prefix('{') {
            // Our labels' values hold no brace.
            Some(rest) => rest.split_once("} "),
            None => Some(("", rest.strip_prefix(' ')?)),
        }
    };
    text.lines().filter_map(of_line).collect()
}

fn label(labels: &str, name: &str) -> Option<String> {
    let mut pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    Some(value.trim_matches('"').to_owned())
}

/// A value without what is behind its point.
fn whole(value: &str) -> Option<i64> {
    let value = value.split_whitespace().next()?;
    value.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
