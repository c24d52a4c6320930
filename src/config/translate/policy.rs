//! Authorization policies in the form that node agents evaluate.
//!
//! A rule's `from`, its `to` and each entry of its `when` become one clause each, all of which must
//! hold; the entries of a list become the matches of its clause, one of which must. What only a
//! proxy for HTTP can judge never opens a door: in an ALLOW an entry that needs it never matches,
//! in a DENY it matches on what is left of it at L4, and CUSTOM, which asks somebody else, denies.
//!
//! Waypoints are told all that a policy says ([`WaypointPolicy`]), and the agents behind them what is left
//! of it there ([`behind`]). AUDIT is for waypoints alone; others have a policy that decides nothing.

use std::sync::Arc;

use ambit_model::{
    Action, Clause, Match, Policy, PolicyName, PolicyOrigin, Rule, Scope, StringMatch,
    WaypointPolicy,
};

use super::behind::behind;
use super::fronted::is_fronted;
use super::{Inputs, TranslatedPolicy, targets, trust_domain, unmet};
use crate::config::Settings;
use crate::config::objects::authorization_policy::{
    Attribute, AuthorizationPolicy, Condition, Operation, PolicyAction, PolicyRule, Source,
};
use crate::config::objects::patterns::{Account, IpBlock, Pattern, PolicyPort};
use crate::config::objects::{Kind, ObjectKey};
use crate::config::problem::{Finding, Severity};

/// Name of an object's policy in the model.
pub(super) fn name_of(key: &ObjectKey) -> PolicyName {
    match key.kind {
        Kind::PeerAuthentication => PolicyName::new(
            Arc::clone(&key.namespace),
            format!("converted_peer_authentication_{}", key.name),
        ),
        _ => PolicyName::new(Arc::clone(&key.namespace), Arc::clone(&key.name)),
    }
}

/// A policy that cannot be read refuses everything in its namespace, or in the mesh.
pub(super) fn unreadable(settings: &Settings, key: &ObjectKey) -> TranslatedPolicy {
    let origin = match key.kind {
        Kind::PeerAuthentication => PolicyOrigin::PeerAuthentication,
        _ => PolicyOrigin::AuthorizationPolicy,
    };
    let policy = Policy {
        name: name_of(key),
        scope: wide_scope(settings, key),
        action: Action::Deny,
        rules: vec![Rule::default()],
        dry_run: false,
        origin,
        behind: None,
        requests: None,
    };
    TranslatedPolicy {
        policy: Some(policy),
        findings: Vec::new(),
    }
}

fn wide_scope(settings: &Settings, key: &ObjectKey) -> Scope {
    if settings.is_root(&key.namespace) {
        Scope::Global
    } else {
        Scope::Namespace
    }
}

pub(super) fn translate(
    inputs: &Inputs<'_>,
    key: &ObjectKey,
    object: &AuthorizationPolicy,
) -> TranslatedPolicy {
    let mut findings = targets::findings(inputs, &key.namespace, object);
    if object.is_bound() && !targets::leads_anywhere(inputs, &key.namespace, object) {
        return TranslatedPolicy {
            policy: None,
            findings,
        };
    }
    let (name, action) = (name_of(key), action_of(object));
    let fronted = object.is_bound() || is_fronted(inputs, &key.namespace, object);
    findings.extend(of_action(object, fronted));
    let trust_domain = &*inputs.settings.trust_domain;
    findings.extend(unmet::findings(object, trust_domain));
    let mut reading = object.for_requests(name.clone());
    trust_domain::name_in_requests(&mut reading.policy, trust_domain);
    findings.extend(unread(reading.findings, action));
    let mut reader = Reader {
        action,
        namespace: &key.namespace,
        fronted,
        findings,
    };
    let rules = object.spec.rules.iter().enumerate();
    let rules = rules.filter(|_| object.may_refuse());
    let rules = rules.filter_map(|(index, rule)| reader.rule(index, rule));
    let mut rules: Vec<Rule> = rules.collect();
    trust_domain::name_in_rules(&mut rules, trust_domain);
    let targets = targets::services(inputs, &key.namespace, object);
    let policy = Policy {
        name,
        scope: match object.selector() {
            Some(_) => Scope::Workload,
            None if object.is_bound() => Scope::Workload,
            None => wide_scope(inputs.settings, key),
        },
        action,
        rules,
        dry_run: object.is_dry_run() || !object.may_refuse(),
        origin: PolicyOrigin::AuthorizationPolicy,
        behind: match action {
            // It speaks of what was asked for, which the agent does not see.
            Action::Allow if object.is_bound() => Some(vec![Rule::default()]),
            Action::Deny if object.is_bound() => Some(Vec::new()),
            _ if object.looks_for_waypoints() => Some(behind(&reading.policy)),
            _ => None,
        },
        requests: Some(Arc::new(WaypointPolicy {
            policy: reading.policy,
            targets,
        })),
    };
    TranslatedPolicy {
        policy: Some(policy),
        findings: reader.findings,
    }
}

/// What a match means for whoever sees connections only.
fn action_of(object: &AuthorizationPolicy) -> Action {
    match object.spec.action {
        PolicyAction::Allow => Action::Allow,
        PolicyAction::Deny | PolicyAction::Audit | PolicyAction::Custom => Action::Deny,
    }
}

/// What is said of the action as a whole.
fn of_action(object: &AuthorizationPolicy, fronted: bool) -> Option<(Severity, Finding)> {
    let (severity, field, what, advice) = match object.spec.action {
        PolicyAction::Audit if !fronted => (
            Severity::Warning,
            "spec.action",
            "only a waypoint tells of what AUDIT matches, and none stands before what this is for",
            "bind a waypoint, or use DENY with the annotation istio.io/dry-run",
        ),
        PolicyAction::Custom => (
            Severity::Error,
            "spec.action",
            "nobody can ask a provider, so CUSTOM refuses what it matches",
            "use ALLOW or DENY",
        ),
        PolicyAction::Deny if object.spec.rules.is_empty() => (
            Severity::Warning,
            "spec.rules",
            "a DENY without rules refuses nothing",
            "add rules, or `rules: [{}]` to refuse everything",
        ),
        PolicyAction::Allow | PolicyAction::Deny | PolicyAction::Audit => return None,
    };
    Some((severity, Finding::new(field, what, advice)))
}

/// What of a policy cannot be evaluated by anybody, and what follows.
fn unread(findings: Vec<Finding>, action: Action) -> impl Iterator<Item = (Severity, Finding)> {
    let follows = match action {
        Action::Allow => "its rule never allows",
        Action::Deny => "its rule matches whatever else it says",
    };
    findings.into_iter().map(move |finding| {
        let what = format!("{}: {follows}", finding.what);
        let finding = Finding::new(finding.field, what, finding.advice);
        (Severity::Error, finding)
    })
}

/// One entry of a list in a rule.
enum Entry {
    /// Judged at L4.
    L4(Box<Match>),
    /// Holds, as far as can be judged at L4.
    Always,
    /// Cannot hold, because what would have to be judged cannot be.
    Never,
}

/// Reads the rules of one policy.
struct Reader<'a> {
    action: Action,
    namespace: &'a Arc<str>,
    /// Whether a waypoint judges by what cannot be judged here.
    fronted: bool,
    findings: Vec<(Severity, Finding)>,
}

impl Reader<'_> {
    /// `None` for a rule that can never match.
    fn rule(&mut self, index: usize, rule: &PolicyRule) -> Option<Rule> {
        let path = format!("spec.rules[{index}]");
        let mut clauses = Vec::new();
        if let Some(from) = &rule.from {
            let entries = from.iter().enumerate().map(|(index, from)| {
                let path = format!("{path}.from[{index}].source");
                self.entry(
                    source(&from.source, self.namespace),
                    from.source.l7_field(),
                    &path,
                )
            });
            clauses.push(clause(entries.collect()));
        }
        if let Some(to) = &rule.to {
            let entries = to.iter().enumerate().map(|(index, to)| {
                let path = format!("{path}.to[{index}].operation");
                self.entry(operation(&to.operation), to.operation.l7_field(), &path)
            });
            clauses.push(clause(entries.collect()));
        }
        for (index, condition) in rule.when.iter().flatten().enumerate() {
            let path = format!("{path}.when[{index}]");
            let l4 = when(condition, self.namespace);
            let l7_field = l4.is_none().then_some("key");
            let entry = self.entry(l4.unwrap_or_default(), l7_field, &path);
            clauses.push(clause(vec![entry]));
        }
        let clauses: Vec<Clause> = clauses.into_iter().flatten().collect();
        let never = clauses.iter().any(|clause| clause.matches.is_empty());
        (!never).then_some(Rule { clauses })
    }

    fn entry(&mut self, l4: Match, l7_field: Option<&str>, path: &str) -> Entry {
        let Some(field) = l7_field else {
            return Entry::L4(Box::new(l4));
        };
        let (what, entry) = match self.action {
            Action::Allow => (
                "node agents cannot judge it, so this never allows",
                Entry::Never,
            ),
            Action::Deny if l4 == Match::default() => (
                "node agents cannot judge it, so this refuses whatever it says",
                Entry::Always,
            ),
            Action::Deny => (
                "node agents cannot judge it, so this refuses on its other fields",
                Entry::L4(Box::new(l4)),
            ),
        };
        let field = format!("{path}.{field}");
        let is_said = self
            .findings
            .iter()
            .any(|(_, finding)| finding.field == field);
        if !self.fronted && !is_said {
            let advice = "bind a waypoint, which can, or keep to fields of connections: identities, addresses, ports";
            let finding = Finding::new(field, what, advice);
            self.findings.push((Severity::Error, finding));
        }
        entry
    }
}

/// One of the entries must hold. `None` if one always does; without matches if none can.
fn clause(entries: Vec<Entry>) -> Option<Clause> {
    let mut matches = Vec::new();
    for entry in entries {
        match entry {
            Entry::L4(entry) => matches.push(*entry),
            Entry::Always => return None,
            Entry::Never => {}
        }
    }
    Some(Clause { matches })
}

fn source(source: &Source, namespace: &Arc<str>) -> Match {
    let accounts = |list: &[Account]| list.iter().map(|a| a.account_match(namespace)).collect();
    Match {
        namespaces: texts(&source.namespaces),
        not_namespaces: texts(&source.not_namespaces),
        principals: principals(&source.principals),
        not_principals: principals(&source.not_principals),
        source_ips: nets(&source.ip_blocks),
        not_source_ips: nets(&source.not_ip_blocks),
        service_accounts: accounts(&source.service_accounts),
        not_service_accounts: accounts(&source.not_service_accounts),
        ..Match::default()
    }
}

fn operation(operation: &Operation) -> Match {
    let ports = |list: &[PolicyPort]| list.iter().map(|port| port.number()).collect();
    Match {
        destination_ports: ports(&operation.ports),
        not_destination_ports: ports(&operation.not_ports),
        ..Match::default()
    }
}

fn texts(list: &[Pattern]) -> Vec<StringMatch> {
    list.iter().map(Pattern::string_match).collect()
}

fn principals(list: &[Pattern]) -> Vec<StringMatch> {
    list.iter().map(Pattern::principal_match).collect()
}

fn nets(list: &[IpBlock]) -> Vec<ipnet::IpNet> {
    list.iter().map(|block| block.net()).collect()
}

/// `None` for a condition that only a proxy for HTTP can judge. Its values were checked on reading.
fn when(condition: &Condition, namespace: &Arc<str>) -> Option<Match> {
    let mut entry = Match::default();
    let (yes, no) = (&condition.values, &condition.not_values);
    match Attribute::of(&condition.key)? {
        Attribute::SourceIp => {
            (entry.source_ips, entry.not_source_ips) = (
                nets(&parsed(yes, IpBlock::new)),
                nets(&parsed(no, IpBlock::new)),
            );
        }
        Attribute::SourceNamespace => {
            (entry.namespaces, entry.not_namespaces) = (
                texts(&parsed(yes, Pattern::new)),
                texts(&parsed(no, Pattern::new)),
            );
        }
        Attribute::SourcePrincipal => {
            (entry.principals, entry.not_principals) = (
                principals(&parsed(yes, Pattern::new)),
                principals(&parsed(no, Pattern::new)),
            );
        }
        Attribute::SourceServiceAccount => {
            let accounts = |values: &[Arc<str>]| {
                parsed(values, Account::new)
                    .iter()
                    .map(|a| a.account_match(namespace))
                    .collect()
            };
            (entry.service_accounts, entry.not_service_accounts) = (accounts(yes), accounts(no));
        }
        Attribute::DestinationIp => {
            (entry.destination_ips, entry.not_destination_ips) = (
                nets(&parsed(yes, IpBlock::new)),
                nets(&parsed(no, IpBlock::new)),
            );
        }
        Attribute::DestinationPort => {
            let ports = |values: &[Arc<str>]| {
                parsed(values, PolicyPort::new)
                    .iter()
                    .map(|port| port.number())
                    .collect()
            };
            (entry.destination_ports, entry.not_destination_ports) = (ports(yes), ports(no));
        }
        Attribute::Http => return None,
    }
    Some(entry)
}

fn parsed<T>(values: &[Arc<str>], parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    values
        .iter()
        .filter_map(|value| parse(value).ok())
        .collect()
}
