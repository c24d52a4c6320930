//! Authorization of requests, in the shape of Istio's `AuthorizationPolicy`.
//!
//! A policy matches a request if any rule does; a rule if one entry of `from`, one of `to` and all of
//! `when` do; an entry if every field that it has does; a field if one of its values is met, or it has
//! none, and none of its `not…` values is. A rule without anything matches everything, a policy
//! without rules nothing. What judges requests by them is the package `ambit-policy`.
//!
//! Every value is parsed once, from the text that a person wrote: [`Source::put`], [`Operation::put`],
//! [`Condition::parse`]. These types are also the form in which policies travel to waypoints (as JSON):
//! a field that a waypoint does not know is an error there, so that no condition silently falls away.

use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::names::PolicyName;
use crate::policy::{ServiceAccountMatch, StringMatch};

mod put;
mod template;
mod text;

pub use put::PolicyProblem;
pub use template::{PathTemplate, TemplateSegment};

/// One policy about requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestPolicy {
    /// Namespace and name.
    pub name: PolicyName,
    /// What a match means.
    pub action: RequestAction,
    /// Decides nothing; what it would do is told.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// Any of these.
    pub rules: Vec<RequestRule>,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RequestAction {
    /// Where there are ALLOW policies, one must match.
    Allow,
    /// Refused.
    Deny,
    /// Written down, and nothing else.
    Audit,
}

/// One of `from`, one of `to`, all of `when`; an empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestRule {
    /// Who asks: any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Source>,
    /// What for: any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Operation>,
    /// And all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Something in this rule cannot be evaluated: the rule never matches within ALLOW and always does
    /// within DENY and AUDIT, so that what is not understood never opens a door.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unsupported: bool,
}

/// The values of one field, and those of its `not…` field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values<V> {
    /// One of these, if there are any.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<V>,
    /// None of these.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub none: Vec<V>,
}

impl<V> Values<V> {
    /// True if nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }
}

impl<V> Default for Values<V> {
    fn default() -> Self {
        Self {
            any: Vec::new(),
            none: Vec::new(),
        }
    }
}

/// Who asks. One that names nothing is no entry that a person may write: it counts as
/// [unsupported](RequestRule::unsupported).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// The peer's identity without `spiffe://`.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub principals: Values<StringMatch>,
    /// Issuer and subject of the request's token.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub request_principals: Values<RequestPrincipal>,
    /// Namespace of the peer's identity.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub namespaces: Values<StringMatch>,
    /// Service account of the peer's identity.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub service_accounts: Values<ServiceAccountMatch>,
    /// Address that the connection comes from.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub ip_blocks: Values<IpNet>,
    /// Address of the first client, as trusted proxies tell it.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub remote_ip_blocks: Values<IpNet>,
}

/// What is asked for. One that names nothing counts as [unsupported](RequestRule::unsupported).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operation {
    /// Host, whatever its case. A value without a port is met by a host with any port.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub hosts: Values<StringMatch>,
    /// Port of the destination.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub ports: Values<u16>,
    /// Method, with its case.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub methods: Values<StringMatch>,
    /// Path in its normal form, without the query.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub paths: Values<PathPattern>,
}

/// A further condition, by Istio's name of what it is about. One without values counts as
/// [unsupported](RequestRule::unsupported).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Condition {
    /// `request.headers[NAME]`: its lines, joined by commas.
    Header {
        /// In lower case; never that of a pseudo-header.
        name: Arc<str>,
        /// What it must be.
        values: Values<StringMatch>,
    },
    /// `request.auth.claims[NAME]…`: a text, or any text of a list.
    Claim {
        /// Names from the outside in; never empty.
        path: Vec<Arc<str>>,
        /// What it must be.
        values: Values<StringMatch>,
    },
    /// `request.auth.principal`.
    RequestPrincipal(Values<RequestPrincipal>),
    /// `request.auth.audiences`.
    Audiences(Values<StringMatch>),
    /// `request.auth.presenter`.
    Presenter(Values<StringMatch>),
    /// `source.ip`.
    SourceIp(Values<IpNet>),
    /// `remote.ip`.
    RemoteIp(Values<IpNet>),
    /// `source.namespace`.
    SourceNamespace(Values<StringMatch>),
    /// `source.principal`.
    SourcePrincipal(Values<StringMatch>),
    /// `source.serviceAccount`.
    SourceServiceAccount(Values<ServiceAccountMatch>),
    /// `destination.ip`.
    DestinationIp(Values<IpNet>),
    /// `destination.port`.
    DestinationPort(Values<u16>),
    /// `connection.sni`.
    Sni(Values<StringMatch>),
}

/// How a path is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PathPattern {
    /// As a text.
    Text(StringMatch),
    /// Segment by segment.
    Template(PathTemplate),
}

/// Issuer and subject of a token, which policies write as `ISSUER/SUBJECT`. The last slash parts
/// them, as an issuer may be a URL: a subject that has slashes is told by the claim `sub`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestPrincipal {
    /// Claim `iss`.
    pub issuer: StringMatch,
    /// Claim `sub`.
    pub subject: StringMatch,
}

impl Source {
    /// True if it names nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Operation {
    /// True if it names nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Condition {
    /// True if it has no values.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Header { values, .. }
            | Self::Claim { values, .. }
            | Self::Audiences(values)
            | Self::Presenter(values)
            | Self::SourceNamespace(values)
            | Self::SourcePrincipal(values)
            | Self::Sni(values) => values.is_empty(),
            Self::RequestPrincipal(values) => values.is_empty(),
            Self::SourceIp(nets) | Self::RemoteIp(nets) | Self::DestinationIp(nets) => {
                nets.is_empty()
            }
            Self::SourceServiceAccount(accounts) => accounts.is_empty(),
            Self::DestinationPort(ports) => ports.is_empty(),
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests;
