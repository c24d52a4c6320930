//! Policies as messages.

use ambit_model::{
    Action, Clause, Match, Policy, Rule, Scope, ServiceAccountMatch, StringMatch, WaypointPolicy,
};
use ipnet::IpNet;
use prost::Message;

use super::{
    BEHIND_EXTENSION, BEHIND_EXTENSION_TYPE, REQUESTS_EXTENSION, REQUESTS_EXTENSION_TYPE, octets,
    text,
};
use crate::extension::{BehindExtension, RequestsExtension};
use crate::security;

/// A policy as a message.
///
/// A match that this version marks as not understood is sent with an extension that no receiver
/// understands, so that it stays so. What a policy says of requests is in extensions of the whole: for
/// who does not read them, the rules say what never lets anybody in by a request.
pub fn policy_to_wire(policy: &Policy) -> security::Authorization {
    security::Authorization {
        name: text(&policy.name.name),
        namespace: text(&policy.name.namespace),
        scope: match policy.scope {
            Scope::Global => security::Scope::Global.into(),
            Scope::Namespace => security::Scope::Namespace.into(),
            Scope::Workload => security::Scope::WorkloadSelector.into(),
        },
        action: match policy.action {
            Action::Allow => security::Action::Allow.into(),
            Action::Deny => security::Action::Deny.into(),
        },
        rules: policy.rules.iter().map(rule).collect(),
        dry_run: policy.dry_run,
        extensions: extensions(policy),
    }
}

fn extensions(policy: &Policy) -> Vec<security::Extension> {
    let behind = policy.behind.as_ref().map(|rules| {
        let rules = rules.iter().map(rule).collect();
        let message = BehindExtension { rules };
        extension(BEHIND_EXTENSION, BEHIND_EXTENSION_TYPE, &message)
    });
    let requests = policy.requests.as_deref().map(|requests| {
        let message = RequestsExtension {
            policy: json(requests).into(),
        };
        extension(REQUESTS_EXTENSION, REQUESTS_EXTENSION_TYPE, &message)
    });
    behind.into_iter().chain(requests).collect()
}

fn json(requests: &WaypointPolicy) -> Vec<u8> {
    // It has no map whose keys are not texts: this does not fail.
    serde_json::to_vec(requests).unwrap_or_default()
}

fn extension(name: &str, type_url: &str, message: &impl Message) -> security::Extension {
    security::Extension {
        name: name.to_owned(),
        config: Some(prost_types::Any {
            type_url: type_url.to_owned(),
            value: message.encode_to_vec(),
        }),
    }
}

fn rule(rule: &Rule) -> security::Rule {
    security::Rule {
        clauses: rule.clauses.iter().map(clause).collect(),
    }
}

fn clause(clause: &Clause) -> security::Clause {
    security::Clause {
        matches: clause.matches.iter().map(one_match).collect(),
    }
}

fn one_match(one: &Match) -> security::Match {
    let unsupported = one.unsupported.then(|| security::Extension {
        name: "ambit.mesh/unsupported".to_owned(),
        config: None,
    });
    security::Match {
        namespaces: one.namespaces.iter().map(string_match).collect(),
        not_namespaces: one.not_namespaces.iter().map(string_match).collect(),
        principals: one.principals.iter().map(string_match).collect(),
        not_principals: one.not_principals.iter().map(string_match).collect(),
        source_ips: one.source_ips.iter().map(block).collect(),
        not_source_ips: one.not_source_ips.iter().map(block).collect(),
        destination_ips: one.destination_ips.iter().map(block).collect(),
        not_destination_ips: one.not_destination_ips.iter().map(block).collect(),
        destination_ports: one
            .destination_ports
            .iter()
            .map(|p| u32::from(*p))
            .collect(),
        not_destination_ports: one
            .not_destination_ports
            .iter()
            .map(|p| u32::from(*p))
            .collect(),
        service_accounts: one.service_accounts.iter().map(service_account).collect(),
        not_service_accounts: one
            .not_service_accounts
            .iter()
            .map(service_account)
            .collect(),
        extensions: unsupported.into_iter().collect(),
    }
}

fn string_match(matcher: &StringMatch) -> security::StringMatch {
    use security::string_match::MatchType;
    let kind = match matcher {
        StringMatch::Exact(value) => MatchType::Exact(text(value)),
        StringMatch::Prefix(value) => MatchType::Prefix(text(value)),
        StringMatch::Suffix(value) => MatchType::Suffix(text(value)),
        StringMatch::Presence => MatchType::Presence(()),
    };
    security::StringMatch {
        match_type: Some(kind),
    }
}

fn block(net: &IpNet) -> security::Address {
    security::Address {
        address: octets(net.addr()),
        length: net.prefix_len().into(),
    }
}

fn service_account(account: &ServiceAccountMatch) -> security::ServiceAccountMatch {
    security::ServiceAccountMatch {
        namespace: text(&account.namespace),
        service_account: text(&account.service_account),
    }
}
