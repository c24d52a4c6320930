//! Policies at L4: does one match, and what do all of them together say.
//!
//! A policy matches if any rule does; a rule if all its clauses do (one without clauses matches
//! everything); a clause if any of its matches does; a match if each kind that it names holds. A
//! kind holds if one of its values does, and none of its `not_` values. A match that names nothing
//! never holds.
//!
//! A peer that came in plaintext has no identity: no value about identity holds for it, hence
//! every `not_` list about identity does. That is how "must have an identity" is written: DENY
//! with `not_principals: [presence]`. It also means that ALLOW with only a `not_principals` list
//! lets plaintext in, as it does in Istio; a STRICT PeerAuthentication is what keeps it out.
//!
//! What this version cannot evaluate ([`Match::unsupported`]) holds within DENY and does not
//! within ALLOW.
//!
//! Who sees more than connections, as a waypoint sees requests, says by itself whether a policy matches
//! ([`Said`]); what that means is decided here for everybody.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_model::{
    Action, Clause, Match, Policy, PolicyName, PolicyOrigin, Rule, ServiceAccountMatch, SpiffeId,
    StringMatch,
};

use crate::refusal::{Reason, Refusal};
use crate::trace::{Step, Trace};

/// What policies look at.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Address of the client.
    pub source: IpAddr,
    /// Address and port of the workload.
    pub destination: SocketAddr,
    /// Identity that the client proved; `None` for plaintext.
    pub peer: Option<&'a SpiffeId>,
    /// True if a waypoint has judged the client: what a policy says of clients is taken to be met,
    /// that is to hold within ALLOW and not to hold within DENY.
    pub client_is_judged: bool,
}

impl<'a> Connection<'a> {
    /// One of which nobody else has judged the client.
    pub fn new(source: IpAddr, destination: SocketAddr, peer: Option<&'a SpiffeId>) -> Self {
        Self {
            source,
            destination,
            peer,
            client_is_judged: false,
        }
    }
}

/// What somebody who sees more than a connection says of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing: its rules about connections decide.
    Nothing,
    /// Whether it matches, and by which of its rules.
    Rule(Option<usize>),
    /// It is judged elsewhere.
    Elsewhere,
}

/// What a policy that is not enforced says about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DryRun {
    /// Its name.
    pub policy: PolicyName,
    /// What a match would mean.
    pub action: Action,
    /// Whether it matches.
    pub matched: bool,
    /// True if it is to be told of what it matches (AUDIT), and is not tried.
    pub is_audit: bool,
}

impl DryRun {
    /// True if the connection would be refused, were this policy enforced and the only one.
    pub fn would_refuse(&self) -> bool {
        match self.action {
            _ if self.is_audit => false,
            Action::Allow => !self.matched,
            Action::Deny => self.matched,
        }
    }
}

/// A connection that may go on to the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The ALLOW policy that let it pass; `None` if no ALLOW policy applies.
    pub allowed_by: Option<PolicyName>,
    /// What the policies say that are only tried.
    pub dry_run: Vec<DryRun>,
    /// True if it comes from the workload's own waypoint: what that says of its client is true.
    pub from_waypoint: bool,
}

/// The policies that decide about a connection to something, and what is said of them.
pub(crate) struct Judged<'a, P, S> {
    /// All that apply, each time it is called.
    pub(crate) policies: P,
    /// What is said of one.
    pub(crate) say: S,
    /// What is connected to, for people.
    pub(crate) to: &'a dyn fmt::Display,
}

/// Evaluates every policy that applies.
pub(crate) fn authorize<'m, I, T>(
    judged: &Judged<'_, impl Fn() -> I, impl Fn(&Policy) -> Said>,
    connection: &Connection<'_>,
    trace: &mut T,
) -> Result<Admission, Refusal>
where
    I: Iterator<Item = &'m Arc<Policy>>,
    T: Trace,
{
    let mut admission = Admission::default();
    let mut missed = false;
    for policy in (judged.policies)() {
        let (matched, rule) = match (judged.say)(policy) {
            Said::Nothing => (matches(policy, connection), None),
            Said::Rule(rule) => (rule.is_some(), rule),
            Said::Elsewhere => continue,
        };
        trace.note(|| evaluated(policy, connection, matched));
        match policy.action {
            _ if policy.dry_run && !(matched || may_refuse(policy)) => {}
            action if policy.dry_run => {
                admission.dry_run.push(DryRun {
                    policy: policy.name.clone(),
                    action,
                    matched,
                    is_audit: policy.is_audit(),
                });
            }
            Action::Deny if matched => {
                return Err(denied(policy, rule, judged.to, connection));
            }
            Action::Allow if matched && admission.allowed_by.is_none() => {
                admission.allowed_by = Some(policy.name.clone());
            }
            Action::Allow if !matched => missed = true,
            Action::Allow | Action::Deny => {}
        }
    }
    if missed && admission.allowed_by.is_none() {
        let here = |policy: &&Arc<Policy>| (judged.say)(policy) != Said::Elsewhere;
        let policies = (judged.policies)().filter(here);
        return Err(not_allowed(policies, judged.to, connection));
    }
    Ok(admission)
}

/// Whether a policy can refuse anything, were it enforced: not one that is to be told of what it matches,
/// which is a DENY without rules for who does not see requests.
fn may_refuse(policy: &Policy) -> bool {
    !policy.is_audit() && (policy.action == Action::Allow || !policy.rules.is_empty())
}

/// Whether a policy matches, whatever a match means for it.
pub fn matches(policy: &Policy, connection: &Connection<'_>) -> bool {
    let behind = policy
        .behind
        .as_ref()
        .filter(|_| connection.client_is_judged);
    behind
        .unwrap_or(&policy.rules)
        .iter()
        .any(|rule| rule_matches(rule, policy.action, connection))
}

fn rule_matches(rule: &Rule, action: Action, connection: &Connection<'_>) -> bool {
    rule.clauses
        .iter()
        .all(|clause| clause_matches(clause, action, connection))
}

fn clause_matches(clause: &Clause, action: Action, connection: &Connection<'_>) -> bool {
    clause
        .matches
        .iter()
        .any(|one| match_holds(one, action, connection))
}

fn match_holds(one: &Match, action: Action, connection: &Connection<'_>) -> bool {
    if one.unsupported {
        return action == Action::Deny;
    }
    if names_nothing(one) {
        return false;
    }
    // The cheap kinds first; the order changes nothing else.
    destination_holds(one, connection.destination) && client_holds(one, action, connection)
}

fn destination_holds(one: &Match, destination: SocketAddr) -> bool {
    let (address, port) = (destination.ip().to_canonical(), destination.port());
    let (ports, not_ports) = (&one.destination_ports, &one.not_destination_ports);
    let (nets, not_nets) = (&one.destination_ips, &one.not_destination_ips);
    holds(ports, not_ports, |wanted| *wanted == port)
        && holds(nets, not_nets, |net| net.contains(&address))
}

fn client_holds(one: &Match, action: Action, connection: &Connection<'_>) -> bool {
    if connection.client_is_judged && names_client(one) {
        return action == Action::Allow;
    }
    let source = connection.source.to_canonical();
    holds(&one.source_ips, &one.not_source_ips, |net| {
        net.contains(&source)
    }) && identity_holds(one, connection.peer)
}

fn identity_holds(one: &Match, peer: Option<&SpiffeId>) -> bool {
    let principal =
        |wanted: &StringMatch| peer.is_some_and(|peer| text_matches(wanted, peer.principal()));
    let namespace =
        |wanted: &StringMatch| peer.is_some_and(|peer| text_matches(wanted, peer.namespace()));
    let account = |wanted: &ServiceAccountMatch| {
        peer.is_some_and(|peer| {
            *wanted.namespace == *peer.namespace()
                && *wanted.service_account == *peer.service_account()
        })
    };
    holds(&one.principals, &one.not_principals, principal)
        && holds(&one.namespaces, &one.not_namespaces, namespace)
        && holds(&one.service_accounts, &one.not_service_accounts, account)
}

/// Whether one kind holds: one of these if there are any, and none of those.
fn holds<V>(wanted: &[V], unwanted: &[V], is: impl Fn(&V) -> bool) -> bool {
    (wanted.is_empty() || wanted.iter().any(&is)) && !unwanted.iter().any(&is)
}

fn names_nothing(one: &Match) -> bool {
    !names_client(one) && !names_destination(one)
}

fn names_client(one: &Match) -> bool {
    // Taken apart, so that a kind added to the type cannot be forgotten here.
    let Match {
        namespaces,
        not_namespaces,
        principals,
        not_principals,
        source_ips,
        not_source_ips,
        service_accounts,
        not_service_accounts,
        destination_ips: _,
        not_destination_ips: _,
        destination_ports: _,
        not_destination_ports: _,
        unsupported: _,
    } = one;
    let texts = [namespaces, not_namespaces, principals, not_principals];
    let nets = [source_ips, not_source_ips];
    let accounts = [service_accounts, not_service_accounts];
    texts.iter().any(|list| !list.is_empty())
        || nets.iter().any(|list| !list.is_empty())
        || accounts.iter().any(|list| !list.is_empty())
}

fn names_destination(one: &Match) -> bool {
    let ports = [&one.destination_ports, &one.not_destination_ports];
    let nets = [&one.destination_ips, &one.not_destination_ips];
    ports.iter().any(|list| !list.is_empty()) || nets.iter().any(|list| !list.is_empty())
}

fn text_matches(wanted: &StringMatch, text: &str) -> bool {
    match wanted {
        StringMatch::Exact(exact) => **exact == *text,
        StringMatch::Prefix(prefix) => text.starts_with(&**prefix),
        StringMatch::Suffix(suffix) => text.ends_with(&**suffix),
        StringMatch::Presence => !text.is_empty(),
    }
}

fn evaluated(policy: &Policy, connection: &Connection<'_>, matched: bool) -> Step {
    let action = match policy.action {
        _ if policy.is_audit() => "AUDIT",
        Action::Allow => "ALLOW",
        Action::Deny => "DENY",
    };
    let verb = if matched { "matches" } else { "does not match" };
    let apart = if connection.client_is_judged {
        ", clients apart"
    } else {
        ""
    };
    let note = if policy.dry_run && !policy.is_audit() {
        " (dry run: reported, not enforced)"
    } else {
        ""
    };
    Step::of(
        "policy",
        &policy.name,
        format!("{action} policy {verb}{apart}{note}"),
    )
}

#[cold]
fn denied(
    policy: &Policy,
    rule: Option<usize>,
    to: &dyn fmt::Display,
    connection: &Connection<'_>,
) -> Refusal {
    let by_authentication = policy.origin == PolicyOrigin::PeerAuthentication;
    let reason = if by_authentication && connection.peer.is_none() {
        Reason::PlaintextRefused
    } else {
        Reason::PolicyDenied
    };
    let which = rule.map_or_else(String::new, |rule| format!(" rule {rule}"));
    let detail = format!(
        "{} by policy {}{which}",
        who_to_whom(to, connection),
        policy.name
    );
    Refusal {
        rule,
        ..Refusal::by_policy(reason, policy.name.clone(), detail)
    }
}

#[cold]
fn not_allowed<'m>(
    policies: impl Iterator<Item = &'m Arc<Policy>>,
    to: &dyn fmt::Display,
    connection: &Connection<'_>,
) -> Refusal {
    let names: Vec<_> = policies
        .filter(|policy| policy.action == Action::Allow && !policy.dry_run)
        .map(|policy| policy.name.to_string())
        .collect();
    let detail = format!(
        "{} matches no ALLOW policy of: {}",
        who_to_whom(to, connection),
        names.join(", ")
    );
    Refusal::new(Reason::NoMatchingAllow, detail)
}

fn who_to_whom(to: &dyn fmt::Display, connection: &Connection<'_>) -> String {
    let peer = connection.peer.map_or("plaintext", SpiffeId::as_str);
    let port = connection.destination.port();
    format!("{peer} from {} to {to} port {port}", connection.source)
}

#[cfg(test)]
mod tests;
