//! Authorization policies at L4, in the shape of `istio.security.Authorization`.
//!
//! A policy matches a connection if any rule does; a rule if all its clauses do; a clause if any
//! of its matches does; a match if every kind that it names holds, one value of a kind being
//! enough. PeerAuthentication arrives here too, turned into DENY policies.

use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::names::{PolicyName, ServiceName};
use crate::request_policy::{RequestAction, RequestPolicy};

/// One authorization policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Namespace and name.
    pub name: PolicyName,
    /// Which workloads it applies to.
    pub scope: Scope,
    /// What a match means.
    pub action: Action,
    /// Any of these.
    pub rules: Vec<Rule>,
    /// Only logged and counted, never enforced.
    pub dry_run: bool,
    /// Which kind of object it came from (refusal reasons tell them apart).
    pub origin: PolicyOrigin,
    /// What is left of its rules for connections of the workload's own waypoint, which has judged the
    /// client and its requests: they say something of the destination only. `None` if that can be seen
    /// from the rules themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Vec<Rule>>,
    /// All that it says, for a waypoint. Nobody else is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Arc<WaypointPolicy>>,
}

/// A policy as waypoints judge by it: connections and requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaypointPolicy {
    /// What it says. Its name is that of the policy.
    pub policy: RequestPolicy,
    /// Services that it is bound to; for a Gateway, the service by which its waypoint is reached. What is
    /// asked for by them is judged before it is routed. If there are none, it applies to workloads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<ServiceName>,
}

impl Policy {
    /// Whether it is bound to this service, or to the waypoint that is reached by it.
    pub fn is_bound_to(&self, service: &ServiceName) -> bool {
        let requests = self.requests.as_ref();
        requests.is_some_and(|requests| requests.targets.contains(service))
    }

    /// Whether it only writes down what it matches.
    pub fn is_audit(&self) -> bool {
        let requests = self.requests.as_ref();
        requests.is_some_and(|requests| requests.policy.action == RequestAction::Audit)
    }
}

/// Which workloads a policy applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// All of the mesh.
    Global,
    /// All of its namespace.
    Namespace,
    /// Those that list it in [`Workload::policies`](crate::Workload::policies).
    Workload,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Where any ALLOW policy applies, one must match.
    Allow,
    /// Refused.
    Deny,
}

/// Which kind of object a policy came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PolicyOrigin {
    /// `AuthorizationPolicy`.
    #[default]
    AuthorizationPolicy,
    /// `PeerAuthentication` (name `converted_peer_authentication_…` or
    /// `istio_converted_static_strict`).
    PeerAuthentication,
}

/// All of these clauses; none of them matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// All of these.
    pub clauses: Vec<Clause>,
}

/// Any of these matches; none of them matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// Any of these.
    pub matches: Vec<Match>,
}

/// All kinds named here, one value of each. An empty match never matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Namespace of the peer's identity.
    pub namespaces: Vec<StringMatch>,
    /// None of these.
    pub not_namespaces: Vec<StringMatch>,
    /// Peer's identity without `spiffe://`.
    pub principals: Vec<StringMatch>,
    /// None of these. No value holds for a peer without identity, so that the list does: DENY with
    /// `not_principals: [presence]` refuses plaintext.
    pub not_principals: Vec<StringMatch>,
    /// Address of the peer.
    pub source_ips: Vec<IpNet>,
    /// None of these.
    pub not_source_ips: Vec<IpNet>,
    /// Address of the workload.
    pub destination_ips: Vec<IpNet>,
    /// None of these.
    pub not_destination_ips: Vec<IpNet>,
    /// Port of the workload.
    pub destination_ports: Vec<u16>,
    /// None of these.
    pub not_destination_ports: Vec<u16>,
    /// Service account of the peer's identity.
    pub service_accounts: Vec<ServiceAccountMatch>,
    /// None of these.
    pub not_service_accounts: Vec<ServiceAccountMatch>,
    /// Something in this match that this version cannot evaluate: within ALLOW the match never
    /// holds, within DENY it always does, so that what is not understood never opens a door.
    pub unsupported: bool,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StringMatch {
    /// Equal.
    Exact(Arc<str>),
    /// Begins with.
    Prefix(Arc<str>),
    /// Ends with.
    Suffix(Arc<str>),
    /// Anything, as long as there is something.
    Presence,
}

/// A service account by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountMatch {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub service_account: Arc<str>,
}
