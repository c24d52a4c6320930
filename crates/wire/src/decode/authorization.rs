//! Authorization policies from the wire.

use std::sync::Arc;

use ambit_model::{
    Action, Clause, Match, Policy, PolicyName, PolicyOrigin, Rule, Scope, ServiceAccountMatch,
    StringMatch, WaypointPolicy,
};
use ipnet::IpNet;
use prost::Message;

use super::{DecodeError, ip};
use crate::encode::{
    BEHIND_EXTENSION, BEHIND_EXTENSION_TYPE, REQUESTS_EXTENSION, REQUESTS_EXTENSION_TYPE,
};
use crate::extension::{BehindExtension, RequestsExtension};
use crate::security;

/// Names that a control plane gives to what it made of PeerAuthentication objects.
const CONVERTED_PREFIX: &str = "converted_peer_authentication_";
const CONVERTED_STRICT: &str = "istio_converted_static_strict";

/// Reads a policy. Parts that this version does not understand never let anybody in: a match is
/// marked, and a policy whose scope or action is unknown denies everything in its namespace (or in
/// the mesh, if it has none). What it says for waypoints alone is not read.
pub fn policy_from_wire(message: security::Authorization) -> Result<Policy, DecodeError> {
    if message.name.is_empty() {
        return Err(DecodeError::Empty("name"));
    }
    let behind: Option<BehindExtension> =
        extension(&message.extensions, BEHIND_EXTENSION, BEHIND_EXTENSION_TYPE)?;
    let mut behind = behind.map(|behind| behind.rules.iter().map(rule).collect());
    let mut rules: Vec<Rule> = message.rules.iter().map(rule).collect();
    let scope = match security::Scope::try_from(message.scope) {
        Ok(security::Scope::Global) => Some(Scope::Global),
        Ok(security::Scope::Namespace) => Some(Scope::Namespace),
        Ok(security::Scope::WorkloadSelector) => Some(Scope::Workload),
        Err(_) => None,
    };
    let action = match security::Action::try_from(message.action) {
        Ok(security::Action::Allow) => Some(Action::Allow),
        Ok(security::Action::Deny) => Some(Action::Deny),
        Err(_) => None,
    };
    let widest = if message.namespace.is_empty() {
        Scope::Global
    } else {
        Scope::Namespace
    };
    let (scope, action) = match (scope, action) {
        (Some(scope), Some(action)) => (scope, action),
        (scope, _) => {
            rules = vec![Rule::default()];
            behind = None;
            (scope.unwrap_or(widest), Action::Deny)
        }
    };
    Ok(Policy {
        origin: origin(&message.name),
        name: PolicyName::new(message.namespace, message.name),
        scope,
        action,
        rules,
        dry_run: message.dry_run,
        behind,
        requests: None,
    })
}

/// Reads a policy as a waypoint judges by it: with all that it says. That must be understood as a whole.
pub fn waypoint_policy_from_wire(message: security::Authorization) -> Result<Policy, DecodeError> {
    let whole: Option<RequestsExtension> = extension(
        &message.extensions,
        REQUESTS_EXTENSION,
        REQUESTS_EXTENSION_TYPE,
    )?;
    let mut policy = policy_from_wire(message)?;
    if let Some(whole) = whole {
        let read: Result<WaypointPolicy, _> = serde_json::from_slice(&whole.policy);
        let requests = read.map_err(|error| DecodeError::Message(error.to_string()))?;
        if requests.policy.name != policy.name {
            let name = &requests.policy.name;
            return Err(DecodeError::field(
                "requests.name",
                name,
                "that of the policy",
            ));
        }
        policy.requests = Some(Arc::new(requests));
    }
    Ok(policy)
}

/// Our extension of that name, if there is one.
fn extension<T: Message + Default>(
    extensions: &[security::Extension],
    name: &str,
    type_url: &'static str,
) -> Result<Option<T>, DecodeError> {
    let Some(extension) = extensions.iter().find(|extension| extension.name == name) else {
        return Ok(None);
    };
    let config = extension.config.as_ref();
    let config = config.ok_or(DecodeError::Empty("extensions.config"))?;
    if config.type_url != type_url {
        let found = &config.type_url;
        return Err(DecodeError::field("extensions.config", found, type_url));
    }
    let decoded = T::decode(config.value.as_slice());
    decoded
        .map(Some)
        .map_err(|error| DecodeError::Message(error.to_string()))
}

fn origin(name: &str) -> PolicyOrigin {
    if name.starts_with(CONVERTED_PREFIX) || name == CONVERTED_STRICT {
        PolicyOrigin::PeerAuthentication
    } else {
        PolicyOrigin::AuthorizationPolicy
    }
}

fn rule(wire: &security::Rule) -> Rule {
    let clause = |clause: &security::Clause| Clause {
        matches: clause.matches.iter().map(one_match).collect(),
    };
    Rule {
        clauses: wire.clauses.iter().map(clause).collect(),
    }
}

fn one_match(wire: &security::Match) -> Match {
    let mut reader = Reader {
        unsupported: !wire.extensions.is_empty(),
    };
    let read = Match {
        namespaces: reader.strings(&wire.namespaces),
        not_namespaces: reader.strings(&wire.not_namespaces),
        principals: reader.strings(&wire.principals),
        not_principals: reader.strings(&wire.not_principals),
        source_ips: reader.blocks(&wire.source_ips),
        not_source_ips: reader.blocks(&wire.not_source_ips),
        destination_ips: reader.blocks(&wire.destination_ips),
        not_destination_ips: reader.blocks(&wire.not_destination_ips),
        destination_ports: reader.ports(&wire.destination_ports),
        not_destination_ports: reader.ports(&wire.not_destination_ports),
        service_accounts: accounts(&wire.service_accounts),
        not_service_accounts: accounts(&wire.not_service_accounts),
        unsupported: false,
    };
    Match {
        unsupported: reader.unsupported,
        ..read
    }
}

/// Reads the values of a match and remembers if one of them could not be read.
struct Reader {
    unsupported: bool,
}

impl Reader {
    fn all<W, M>(&mut self, wire: &[W], read: impl Fn(&W) -> Option<M>) -> Vec<M> {
        let values: Vec<M> = wire.iter().filter_map(read).collect();
        self.unsupported |= values.len() != wire.len();
        values
    }

    fn strings(&mut self, wire: &[security::StringMatch]) -> Vec<StringMatch> {
        use security::string_match::MatchType;
        self.all(wire, |matcher| {
            Some(match matcher.match_type.as_ref()? {
                MatchType::Exact(value) => StringMatch::Exact(Arc::from(value.as_str())),
                MatchType::Prefix(value) => StringMatch::Prefix(Arc::from(value.as_str())),
                MatchType::Suffix(value) => StringMatch::Suffix(Arc::from(value.as_str())),
                MatchType::Presence(()) => StringMatch::Presence,
            })
        })
    }

    fn blocks(&mut self, wire: &[security::Address]) -> Vec<IpNet> {
        self.all(wire, |block| {
            let length = u8::try_from(block.length).ok()?;
            IpNet::new(ip(&block.address)?, length).ok()
        })
    }

    fn ports(&mut self, wire: &[u32]) -> Vec<u16> {
        self.all(wire, |port| u16::try_from(*port).ok())
    }
}

fn accounts(wire: &[security::ServiceAccountMatch]) -> Vec<ServiceAccountMatch> {
    wire.iter()
        .map(|account| ServiceAccountMatch {
            namespace: account.namespace.as_str().into(),
            service_account: account.service_account.as_str().into(),
        })
        .collect()
}
