//! What is said of a route on itself, for one of its parents.

use std::collections::BTreeSet;

use super::Winners;
use super::attach::{Attached, parents, ports};
use super::compile::{Compiled, WrongRule, compile};
use super::expressions::MOST_OF_NAMESPACE;
use super::virtual_service::Virtual;
use crate::config::objects::ObjectKey;
use crate::config::objects::route_parts::Route;
use crate::config::problem::{Finding, Severity, sentences};
use crate::config::store::service_parents;
use crate::config::translate::Inputs;

/// One condition of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteCondition {
    /// Its type.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: bool,
    /// Why, in a word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

impl RouteCondition {
    /// One of this type.
    pub(crate) fn new(
        kind: &'static str,
        status: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            status,
            reason,
            message: message.into(),
        }
    }
}

/// What is said of a route for one parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteVerdict {
    /// For its status.
    pub conditions: Vec<RouteCondition>,
    /// The same for those who look for what is wrong.
    pub findings: Vec<(Severity, Finding)>,
}

pub(super) fn of(
    service: &ObjectKey,
    route: &Attached<'_>,
    winners: &Winners,
    beside: &[Virtual<'_>],
) -> RouteVerdict {
    let compiled = &route.compiled;
    let mut findings: Vec<(Severity, Finding)> = Vec::new();
    findings.extend(
        wrong(compiled)
            .cloned()
            .map(|finding| (Severity::Error, finding)),
    );
    findings.extend(
        unresolved(compiled)
            .cloned()
            .map(|finding| (Severity::Warning, finding)),
    );
    let mut accepted = accepted(service, route, winners, &mut findings);
    if accepted.status && !beside.is_empty() {
        let names: Vec<String> = beside.iter().map(|one| one.key.to_string()).collect();
        let does = if names.len() == 1 { "does" } else { "do" };
        accepted.message += &format!(" {} {does} not count beside it.", names.join(", "));
    }
    let resolved = match compiled.unresolved.first() {
        None => RouteCondition::new(
            "ResolvedRefs",
            true,
            "ResolvedRefs",
            "All references lead somewhere.",
        ),
        Some(first) => {
            let message = sentences(unresolved(compiled).collect::<Vec<_>>().into_iter());
            RouteCondition::new("ResolvedRefs", false, first.reason, message)
        }
    };
    let is_partly_wrong = !compiled.wrong.is_empty() && compiled.wrong.len() < compiled.count;
    let partial = is_partly_wrong.then(|| {
        let message = format!("Dropped {}", of_rules(compiled));
        RouteCondition::new("PartiallyInvalid", true, "UnsupportedValue", message)
    });
    RouteVerdict {
        conditions: [accepted, resolved].into_iter().chain(partial).collect(),
        findings,
    }
}

fn accepted(
    service: &ObjectKey,
    route: &Attached<'_>,
    winners: &Winners,
    findings: &mut Vec<(Severity, Finding)>,
) -> RouteCondition {
    let ignored = ignored_hosts(route.route);
    findings.extend(ignored.clone().map(|finding| (Severity::Warning, finding)));
    let refused = |reason, message| RouteCondition::new("Accepted", false, reason, message);
    let ports = match &route.ports {
        Ok(ports) => ports,
        Err(finding) => {
            findings.push((Severity::Error, finding.clone()));
            return refused("NoMatchingParent", format!("{finding}."));
        }
    };
    let compiled = &route.compiled;
    if let Some(first) = compiled
        .wrong
        .first()
        .filter(|_| compiled.wrong.len() >= compiled.count)
    {
        return refused(first.wrong.reason, of_rules(compiled));
    }
    let outdone = winners.over(route);
    let outdone_on = |port: &u16| outdone.is_some_and(|ports| ports.contains_key(port));
    let in_force: Vec<u16> = ports
        .iter()
        .copied()
        .filter(|port| !outdone_on(port))
        .collect();
    let instead = outdone.and_then(|ports| {
        let winner = ports.values().next()?;
        let ports: Vec<u16> = ports.keys().copied().collect();
        let what = format!("on {} {winner} counts instead", of_ports(&ports));
        let advice = "keep one of the two, or give them different ports";
        Some(Finding::new(
            format!("spec.parentRefs[{}]", route.index),
            what,
            advice,
        ))
    });
    let severity = if in_force.is_empty() {
        Severity::Error
    } else {
        Severity::Warning
    };
    findings.extend(instead.clone().map(|finding| (severity, finding)));
    let instead = instead
        .map(|finding| format!(" {finding}."))
        .unwrap_or_default();
    if in_force.is_empty() {
        return refused("Conflicted", instead.trim_start().to_owned());
    }
    let clients = match route.consumer(service) {
        None => "all clients".to_owned(),
        Some(namespace) => format!("clients of namespace {namespace}"),
    };
    let message = format!(
        "In force for {clients}, on {}.{instead}",
        of_ports(&in_force)
    );
    RouteCondition::new("Accepted", true, "Accepted", message)
}

/// Whose request it is, its address says; only TLS has nothing else to tell connections by.
fn ignored_hosts(route: Route<'_>) -> Option<Finding> {
    let has_no_use = matches!(route, Route::Http(_) | Route::Grpc(_));
    (has_no_use && !route.hostnames().is_empty()).then(|| {
        let what = "ignored: requests to a service are told by its address";
        let advice = "remove them, or match the header `host`";
        Finding::new("spec.hostnames", what, advice)
    })
}

fn wrong(compiled: &Compiled) -> impl ExactSizeIterator<Item = &Finding> {
    compiled.wrong.iter().map(|rule| &rule.wrong.finding)
}

/// Each once: a reference may be read for several of our purposes.
fn unresolved(compiled: &Compiled) -> impl Iterator<Item = &Finding> {
    let mut fields = BTreeSet::new();
    let all = compiled
        .unresolved
        .iter()
        .map(|reference| &reference.finding);
    all.filter(move |finding| fields.insert(finding.field.as_str()))
}

/// Which rules are not in force, why, and what happens to what they match.
fn of_rules(compiled: &Compiled) -> String {
    let numbers = |is_answered: bool| -> Vec<String> {
        let rules = compiled
            .wrong
            .iter()
            .filter(|rule| rule.is_answered == is_answered);
        rules
            .map(|rule: &WrongRule| rule.index.to_string())
            .collect()
    };
    let all: Vec<String> = compiled
        .wrong
        .iter()
        .map(|rule| rule.index.to_string())
        .collect();
    let plural = if all.len() == 1 { "" } else { "s" };
    let mut text = format!(
        "Rule{plural} {}: {}",
        all.join(", "),
        sentences(wrong(compiled))
    );
    let answered = numbers(true);
    if !answered.is_empty() {
        text += &format!(
            " Requests for rule {} are answered with 500.",
            answered.join(", ")
        );
    }
    let left_out = numbers(false);
    if !left_out.is_empty() {
        text += &format!(" Rule {} matches nothing.", left_out.join(", "));
    }
    text
}

fn of_ports(ports: &[u16]) -> String {
    let plural = if ports.len() == 1 { "" } else { "s" };
    let numbers: Vec<String> = ports.iter().map(ToString::to_string).collect();
    format!("port{plural} {}", numbers.join(", "))
}

/// What is wrong with a route by itself, as an error, and what it misses, as a warning: a service that
/// it refers to may be written after it.
pub(in crate::config::translate) fn findings(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    route: Route<'_>,
) -> Vec<(Severity, Finding)> {
    let mut all: Vec<(Severity, Finding)> = Vec::new();
    for service in service_parents(key, route) {
        let compiled = compile(inputs, key, route, &service, MOST_OF_NAMESPACE);
        let wrong = wrong(&compiled)
            .cloned()
            .map(|finding| (Severity::Error, finding));
        let missing = unresolved(&compiled).cloned();
        let detached = parents(key, route, &service).filter_map(|(index, parent)| {
            ports(inputs, &service, index, (route.kind(), parent)).err()
        });
        let warnings = missing
            .chain(detached)
            .map(|finding| (Severity::Warning, finding));
        let ignored = ignored_hosts(route).map(|finding| (Severity::Warning, finding));
        for finding in wrong.chain(warnings).chain(ignored) {
            if !all.contains(&finding) {
                all.push(finding);
            }
        }
    }
    all
}
