//! What an agent shows: readiness, metrics, configuration, open connections, and its access log.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::clients::{self, Answer};
use crate::lab::Namespace;

const ADMIN: u16 = 15000;
const METRICS: u16 = 15020;
const READY: u16 = 15021;

/// An agent's pages, fetched from inside its node.
#[derive(Debug)]
pub struct Pages<'a> {
    node: &'a Namespace,
    log: PathBuf,
}

/// One line of the access log.
#[derive(Debug, Clone)]
pub struct AccessLine(pub Value);

impl<'a> Pages<'a> {
    pub(super) fn new(node: &'a Namespace, log: PathBuf) -> Self {
        Self { node, log }
    }

    /// Whether the readiness page says so.
    pub fn is_ready(&self) -> bool {
        self.get(READY, "/healthz/ready")
            .is_ok_and(|answer| answer.status == 200)
    }

    /// The metrics page.
    pub fn metrics(&self) -> Result<String> {
        Ok(self.get(METRICS, "/metrics")?.body)
    }

    /// The sum of all series of a metric whose labels contain every one of `labels`, each given
    /// as on the page: `reporter="source"`. No series is 0.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        Ok(sum(&self.metrics()?, name, labels))
    }

    /// A page of the admin port.
    pub fn admin(&self, path: &str) -> Result<Answer> {
        self.get(ADMIN, path)
    }

    /// The configuration that the agent works with.
    pub fn config_dump(&self) -> Result<Value> {
        let answer = self.admin("/config_dump")?;
        serde_json::from_str(&answer.body).context("reading /config_dump")
    }

    /// Whether this agent would reach the pod through a tunnel; none if it does not know the pod.
    pub fn advertises(&self, uid: &str) -> Option<bool> {
        let dump = self.config_dump().ok()?;
        let workloads = dump.get("workloads")?.as_array()?;
        let of_pod = |workload: &&Value| {
            let field = |name| workload.get(name).and_then(Value::as_str);
            field("pod_uid") == Some(uid) || field("kubernetes_uid") == Some(uid)
        };
        let workload = workloads.iter().find(of_pod)?;
        let protocol = workload
            .get("protocol")
            .or_else(|| workload.get("tunnel_protocol"))?;
        Some(protocol.as_str()?.eq_ignore_ascii_case("hbone"))
    }

    /// Whether this agent sends what is for a service through a waypoint; none if it does not know
    /// the service.
    pub fn is_bound(&self, service: &str) -> Option<bool> {
        let dump = self.config_dump().ok()?;
        let mut services = dump.get("services")?.as_array()?.iter();
        let service = services.find(|known| known["short_name"] == service)?;
        Some(!service["waypoint"].is_null())
    }

    /// The access log so far.
    pub fn access_log(&self) -> Vec<AccessLine> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line.get("scope") == Some(&Value::from("access")))
            .map(AccessLine)
            .collect()
    }

    fn get(&self, port: u16, path: &str) -> Result<Answer> {
        clients::get(
            self.node,
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            path,
        )
    }
}

impl AccessLine {
    /// A field's text; empty if the line lacks it.
    pub fn text(&self, field: &str) -> &str {
        self.0
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Why the connection was refused; empty if it was not.
    pub fn reason(&self) -> &str {
        self.text("reason")
    }

    /// A field's number; 0 if the line lacks it.
    pub fn number(&self, field: &str) -> u64 {
        self.0
            .get(field)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    }
}

/// The sum over a metrics page that [`Pages::metric`] answers.
pub fn sum(page: &str, name: &str, labels: &[&str]) -> f64 {
    let value = |line: &str| -> Option<f64> {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) || !labels.iter().all(|label| rest.contains(label)) {
            return None;
        }
        // A label's value may hold blanks; a sample's value and timestamp cannot hold a brace.
        let after = rest.rsplit_once('}').map_or(rest, |(_, after)| after);
        after.split_whitespace().next()?.parse().ok()
    };
    page.lines().filter_map(value).sum()
}

/// The labels and the value of each series of a metric on a page. No value of a label may have a
/// quotation mark in it.
pub fn series(page: &str, name: &str) -> Vec<(BTreeMap<String, String>, f64)> {
    let read = |line: &str| {
        let (labels, value) = line
            .strip_prefix(name)?
            .strip_prefix('{')?
            .rsplit_once("} ")?;
        let mut words = labels.split('"');
        let mut read = BTreeMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let name = name.trim_start_matches(',').trim_end_matches('=');
            read.insert(name.to_owned(), value.to_owned());
        }
        Some((read, value.parse().ok()?))
    };
    page.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests;
