//! What is left of a policy about requests behind the waypoint that judges by it.
//!
//! The agent of a workload sees its own waypoint where the client stood, and no requests. Whatever a policy
//! says of either the waypoint has judged: here it holds within ALLOW and does not within DENY. What is
//! left says something of the destination's address and port.

use ambit_model::{
    Clause, Condition, Match, Operation, RequestAction, RequestPolicy, RequestRule, Rule, Values,
};

/// The rules that are left.
pub(super) fn behind(policy: &RequestPolicy) -> Vec<Rule> {
    let allows = match policy.action {
        RequestAction::Allow => true,
        RequestAction::Deny => false,
        RequestAction::Audit => return Vec::new(),
    };
    let rules = policy.rules.iter();
    rules.filter_map(|rule| left_of(rule, allows)).collect()
}

/// What is left of a rule; `None` if it cannot match.
fn left_of(rule: &RequestRule, allows: bool) -> Option<Rule> {
    if rule.unsupported {
        return (!allows).then(Rule::default);
    }
    // Whatever an entry of `from` says is of the client or its token.
    if !allows && !rule.from.is_empty() {
        return None;
    }
    let mut clauses = Vec::new();
    if !rule.to.is_empty() {
        let entries: Vec<Left> = rule.to.iter().map(|to| of_operation(to, allows)).collect();
        clauses.extend(one_of(entries)?);
    }
    for condition in &rule.when {
        clauses.extend(one_of(vec![of_condition(condition, allows)])?);
    }
    Some(Rule { clauses })
}

/// What is left of one entry.
enum Left {
    Always,
    Never,
    Destination(Box<Match>),
}

/// One of these must hold: nothing is asked if one always does, and `None` is said if none can.
fn one_of(entries: Vec<Left>) -> Option<Option<Clause>> {
    let mut matches = Vec::new();
    for entry in entries {
        match entry {
            Left::Always => return Some(None),
            Left::Never => {}
            Left::Destination(one) => matches.push(*one),
        }
    }
    (!matches.is_empty()).then_some(Some(Clause { matches }))
}

fn of_operation(operation: &Operation, allows: bool) -> Left {
    let Operation {
        hosts,
        ports,
        methods,
        paths,
    } = operation;
    let is_of_request = !(hosts.is_empty() && methods.is_empty() && paths.is_empty());
    match ports.is_empty() {
        _ if is_of_request && !allows => Left::Never,
        true => judged(allows),
        false => of_ports(ports),
    }
}

fn of_condition(condition: &Condition, allows: bool) -> Left {
    match condition {
        Condition::DestinationPort(ports) => of_ports(ports),
        Condition::DestinationIp(nets) => Left::Destination(Box::new(Match {
            destination_ips: nets.any.clone(),
            not_destination_ips: nets.none.clone(),
            ..Match::default()
        })),
        Condition::Header { .. }
        | Condition::Claim { .. }
        | Condition::RequestPrincipal(_)
        | Condition::Audiences(_)
        | Condition::Presenter(_)
        | Condition::SourceIp(_)
        | Condition::RemoteIp(_)
        | Condition::SourceNamespace(_)
        | Condition::SourcePrincipal(_)
        | Condition::SourceServiceAccount(_)
        | Condition::Sni(_) => judged(allows),
    }
}

fn judged(allows: bool) -> Left {
    if allows { Left::Always } else { Left::Never }
}

fn of_ports(ports: &Values<u16>) -> Left {
    Left::Destination(Box::new(Match {
        destination_ports: ports.any.clone(),
        not_destination_ports: ports.none.clone(),
        ..Match::default()
    }))
}
