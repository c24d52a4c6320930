//! The parts of an agent's dump, for people. Pure, and lenient: what an agent of another version
//! does not tell is a dash.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::Section;
use crate::cli::table::Table;

/// What the command is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Of {
    pub(super) node: String,
    /// Of the pod; none for a node as a whole.
    pub(super) addresses: Vec<IpAddr>,
    /// End of the pod's identity.
    pub(super) account: Option<String>,
}

/// The part that is asked for, as the agent tells it.
pub(super) fn part(page: &Value, section: Section, of: &Of) -> Value {
    let list = |name: &str| page.get(name).cloned().unwrap_or_else(|| json!([]));
    let matching = |all: &Value, is: &dyn Fn(&Value) -> bool| {
        let all = all.as_array().into_iter().flatten();
        Value::Array(all.filter(|one| is(one)).cloned().collect())
    };
    match section {
        Section::Summary => summary(page),
        Section::Workloads => list("workloads"),
        Section::Services => list("services"),
        Section::Policies => list("policies"),
        Section::Certificates => match &of.account {
            None => list("certificates"),
            Some(account) => matching(&list("certificates"), &|certificate| {
                cell(certificate, "/identity").ends_with(account)
            }),
        },
        Section::Connections if of.account.is_none() => page.clone(),
        Section::Connections => matching(page, &|connection| {
            ["/source", "/destination"].iter().any(|end| {
                let at: Option<SocketAddr> = cell(connection, end).parse().ok();
                at.is_some_and(|at| of.addresses.contains(&at.ip()))
            })
        }),
    }
}

/// Numbers instead of lists.
fn summary(page: &Value) -> Value {
    let mut summary = page.clone();
    if let Some(map) = summary.as_object_mut() {
        for name in ["workloads", "services", "policies", "certificates", "pods"] {
            if let Some(list) = map.get_mut(name) {
                *list = list.as_array().map_or(0, Vec::len).into();
            }
        }
    }
    summary
}

/// The part as a table.
pub(super) fn text(part: &Value, section: Section) -> String {
    let columns: &[(&str, &str)] = match section {
        Section::Summary => return lines(part),
        Section::Workloads => &[
            ("NAMESPACE", "/namespace"),
            ("NAME", "/name"),
            ("ADDRESSES", "/addresses"),
            ("NODE", "/node"),
            ("TUNNEL", "/protocol"),
            ("HEALTH", "/health"),
            ("ACCOUNT", "/service_account"),
            ("POLICIES", "/applicable_policies"),
        ],
        Section::Services => &[
            ("NAME", "/name"),
            ("ADDRESSES", "/vips"),
            ("PORTS", "/ports"),
        ],
        Section::Policies => &[
            ("NAME", "/name"),
            ("SCOPE", "/scope"),
            ("ACTION", "/action"),
            ("DRY RUN", "/dry_run"),
            ("RULES", "/rules"),
        ],
        Section::Certificates => &[
            ("IDENTITY", "/identity"),
            ("SERIAL", "/serial"),
            ("FROM", "/valid_from"),
            ("UNTIL", "/valid_until"),
        ],
        Section::Connections => &[
            ("DIRECTION", "/direction"),
            ("SOURCE", "/source"),
            ("DESTINATION", "/destination"),
            ("TUNNEL", "/tunnel"),
            ("SOURCE IDENTITY", "/source_identity"),
            ("DESTINATION IDENTITY", "/destination_identity"),
            ("SENT", "/bytes_sent"),
            ("RECEIVED", "/bytes_received"),
            ("SECONDS", "/seconds"),
        ],
    };
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = Table::new(&headings);
    for one in part.as_array().into_iter().flatten() {
        table.row(columns.iter().map(|(_, pointer)| {
            match *pointer {
                "/rules" => one
                    .get("rules")
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len)
                    .to_string(),
                pointer => cell(one, pointer),
            }
        }));
    }
    table.render()
}

/// One line for each field of a map, and for each of the maps in it.
fn lines(part: &Value) -> String {
    let mut table = Table::new(&["WHAT", "VALUE"]);
    for (name, value) in part.as_object().into_iter().flatten() {
        match value {
            Value::Object(map) => {
                for (field, value) in map {
                    table.row([format!("{name}.{field}"), plain(value)]);
                }
            }
            value => table.row([name.clone(), plain(value)]),
        }
    }
    table.render()
}

fn cell(one: &Value, pointer: &str) -> String {
    one.pointer(pointer).map(plain).unwrap_or_default()
}

/// A value in one word, as far as it has one.
fn plain(value: &Value) -> String {
    let text = |pointer: &str| value.pointer(pointer).map(plain);
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // An address with its prefix length.
        Value::Array(pair) if matches!(pair.as_slice(), [Value::Object(_), Value::Number(_)]) => {
            text("/0").unwrap_or_default()
        }
        Value::Array(all) => {
            let words: Vec<String> = all.iter().map(plain).collect();
            words.join(",")
        }
        Value::Object(map) if map.contains_key("service_port") => {
            let part = |pointer| text(pointer).unwrap_or_default();
            format!("{}->{}", part("/service_port"), part("/target_port"))
        }
        Value::Object(map) if map.contains_key("address") => text("/address").unwrap_or_default(),
        Value::Object(map) if map.contains_key("name") || map.contains_key("hostname") => {
            let name = text("/name")
                .or_else(|| text("/hostname"))
                .unwrap_or_default();
            format!("{}/{name}", text("/namespace").unwrap_or_default())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
