//! Istio's `AuthorizationPolicy`, read strictly.
//!
//! A field that is misspelt, emptied or of the wrong type makes the whole object an error: a
//! condition that silently falls away turns a DENY into an allow, or an ALLOW into a wider one.
//! Fields that need a proxy which understands HTTP are read and kept; what they mean at L4 is
//! decided in `translate/policy.rs`, and what they mean for requests in [`requests`].

pub mod requests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::metadata::{Metadata, present};
use super::patterns::{Account, IpBlock, Pattern, PolicyPort};
use super::selector::{Selector, TargetReference, check_target};
use crate::config::problem::Finding;

/// Annotation of a policy that is only to be logged.
const DRY_RUN: &str = "istio.io/dry-run";

/// An `AuthorizationPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationPolicy {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for; absent allows nothing.
    #[serde(default)]
    pub spec: AuthorizationPolicySpec,
}

/// `spec` of an authorization policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorizationPolicySpec {
    /// Pods that it applies to; absent means all of the namespace.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub selector: Option<Selector>,
    /// Gateway or service that it is bound to (old form).
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub target_ref: Option<TargetReference>,
    /// Gateways or services that it is bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_refs: Vec<TargetReference>,
    /// What a match means.
    #[serde(default)]
    pub action: PolicyAction,
    /// Any of these.
    #[serde(default)]
    pub rules: Vec<PolicyRule>,
    /// Who decides, for `CUSTOM`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub provider: Option<Provider>,
}

/// What a match means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PolicyAction {
    /// Allowed, and nothing else is.
    #[default]
    Allow,
    /// Refused.
    Deny,
    /// Written down only.
    Audit,
    /// Decided by a provider.
    Custom,
}

/// Who decides, for `CUSTOM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name.
    pub name: Arc<str>,
}

/// One rule: `from` and `to` and `when`, each of which is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// Any of these.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub from: Option<Vec<From>>,
    /// Any of these.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<Vec<To>>,
    /// All of these.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub when: Option<Vec<Condition>>,
}

/// One entry of `from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// Who.
    pub source: Source,
}

/// Who connects: all kinds named here, one value of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Source {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_principals: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_namespaces: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<Account>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_service_accounts: Vec<Account>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_blocks: Vec<IpBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ip_blocks: Vec<IpBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remote_ip_blocks: Vec<IpBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_remote_ip_blocks: Vec<IpBlock>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_principals: Vec<Pattern>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_request_principals: Vec<Pattern>,
}

/// One entry of `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// What.
    pub operation: Operation,
}

/// What is asked for: all kinds named here, one value of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the fields are Istio's, documented there")]
pub struct Operation {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PolicyPort>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ports: Vec<PolicyPort>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_hosts: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_methods: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_paths: Vec<Arc<str>>,
}

/// One entry of `when`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Name of the attribute.
    pub key: Arc<str>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Arc<str>>,
    /// None of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_values: Vec<Arc<str>>,
}

impl Source {
    /// Name of a field that only a proxy for HTTP can judge, if one is given.
    pub fn l7_field(&self) -> Option<&'static str> {
        named_first(&[
            ("requestPrincipals", self.request_principals.is_empty()),
            (
                "notRequestPrincipals",
                self.not_request_principals.is_empty(),
            ),
            ("remoteIpBlocks", self.remote_ip_blocks.is_empty()),
            ("notRemoteIpBlocks", self.not_remote_ip_blocks.is_empty()),
        ])
    }
}

impl Operation {
    /// Name of a field that only a proxy for HTTP can judge, if one is given.
    pub fn l7_field(&self) -> Option<&'static str> {
        named_first(&[
            ("hosts", self.hosts.is_empty()),
            ("notHosts", self.not_hosts.is_empty()),
            ("methods", self.methods.is_empty()),
            ("notMethods", self.not_methods.is_empty()),
            ("paths", self.paths.is_empty()),
            ("notPaths", self.not_paths.is_empty()),
        ])
    }
}

fn named_first(fields: &[(&'static str, bool)]) -> Option<&'static str> {
    fields
        .iter()
        .find(|(_, empty)| !empty)
        .map(|(name, _)| *name)
}

impl AuthorizationPolicy {
    /// The selector, if it selects less than everything.
    pub fn selector(&self) -> Option<&Selector> {
        self.spec
            .selector
            .as_ref()
            .filter(|selector| !selector.is_empty())
    }

    /// Gateways and services that it is bound to.
    pub fn targets(&self) -> impl Iterator<Item = &TargetReference> {
        self.spec.target_refs.iter().chain(&self.spec.target_ref)
    }

    /// True if it is bound to gateways or services, whose waypoints are to judge by it.
    pub fn is_bound(&self) -> bool {
        self.targets().next().is_some()
    }

    /// True if it can refuse something, were it enforced.
    pub fn may_refuse(&self) -> bool {
        self.spec.action != PolicyAction::Audit
    }

    /// True if it matters to it which waypoints there are: nobody else can judge by all of it.
    pub fn looks_for_waypoints(&self) -> bool {
        let mut rules = self.spec.rules.iter();
        self.is_bound() || !self.may_refuse() || rules.any(PolicyRule::is_about_requests)
    }

    /// True if it is only tried.
    pub fn is_dry_run(&self) -> bool {
        let annotation = self.metadata.annotation(DRY_RUN);
        annotation.is_some_and(|value| &**value == "true")
    }

    /// False if it is bound to gateways or services.
    pub fn applies_to_pods(&self) -> bool {
        !self.is_bound()
    }

    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub(super) fn check(&self) -> Result<(), Finding> {
        let spec = &self.spec;
        check_target(spec.selector.as_ref(), self.targets().count())?;
        match (spec.action, &spec.provider) {
            (PolicyAction::Custom, None) => {
                return Err(Finding::new(
                    "spec.provider",
                    "missing",
                    "name who decides for CUSTOM",
                ));
            }
            (PolicyAction::Custom, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                return Err(Finding::new(
                    "spec.provider",
                    "given without action CUSTOM",
                    "remove it or set action: CUSTOM",
                ));
            }
        }
        spec.rules.iter().enumerate().try_for_each(|(index, rule)| {
            rule.check().map_err(|(field, what, advice)| {
                Finding::new(format!("spec.rules[{index}].{field}"), what, advice)
            })
        })
    }
}

/// Field, what was found, what to do.
type Complaint = (String, String, &'static str);

impl PolicyRule {
    /// Whether only a proxy for HTTP can judge by it.
    pub fn is_about_requests(&self) -> bool {
        let from = self.from.iter().flatten();
        let to = self.to.iter().flatten();
        let mut when = self.when.iter().flatten();
        let mut sources = from.map(|from| from.source.l7_field());
        let mut operations = to.map(|to| to.operation.l7_field());
        sources.any(|field| field.is_some())
            || operations.any(|field| field.is_some())
            || when.any(|when| Attribute::of(&when.key) == Some(Attribute::Http))
    }

    fn check(&self) -> Result<(), Complaint> {
        let advice = "an empty list matches nothing: fill it or remove it";
        let empty = named_first(&[
            ("from", !self.from.as_ref().is_some_and(Vec::is_empty)),
            ("to", !self.to.as_ref().is_some_and(Vec::is_empty)),
            ("when", !self.when.as_ref().is_some_and(Vec::is_empty)),
        ]);
        if let Some(field) = empty {
            return Err((field.to_owned(), "an empty list".to_owned(), advice));
        }
        let advice = "an empty entry matches nothing: fill it or remove it";
        for (index, from) in self.from.iter().flatten().enumerate() {
            if from.source == Source::default() {
                return Err((format!("from[{index}].source"), "empty".to_owned(), advice));
            }
        }
        for (index, to) in self.to.iter().flatten().enumerate() {
            if to.operation == Operation::default() {
                return Err((format!("to[{index}].operation"), "empty".to_owned(), advice));
            }
        }
        for (index, condition) in self.when.iter().flatten().enumerate() {
            condition
                .check()
                .map_err(|(what, advice)| (format!("when[{index}]"), what, advice))?;
        }
        Ok(())
    }
}

impl Condition {
    fn check(&self) -> Result<(), (String, &'static str)> {
        if self.values.is_empty() && self.not_values.is_empty() {
            return Err((
                "neither values nor notValues".to_owned(),
                "give one of them",
            ));
        }
        let Some(attribute) = Attribute::of(&self.key) else {
            return Err((
                format!("unknown key `{}`", self.key),
                "use one of Istio's attributes, such as source.namespace or destination.port",
            ));
        };
        for value in self.values.iter().chain(&self.not_values) {
            attribute
                .check(value)
                .map_err(|what| (what, "correct the value"))?;
        }
        Ok(())
    }
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the variants are Istio's attributes, documented there"
)]
pub enum Attribute {
    SourceIp,
    SourceNamespace,
    SourcePrincipal,
    SourceServiceAccount,
    DestinationIp,
    DestinationPort,
    /// Something that only a proxy for HTTP can judge.
    Http,
}

impl Attribute {
    /// By its name in Istio.
    pub fn of(key: &str) -> Option<Self> {
        Some(match key {
            "source.ip" => Self::SourceIp,
            "source.namespace" => Self::SourceNamespace,
            "source.principal" => Self::SourcePrincipal,
            "source.serviceAccount" => Self::SourceServiceAccount,
            "destination.ip" => Self::DestinationIp,
            "destination.port" => Self::DestinationPort,
            "remote.ip" | "connection.sni" => Self::Http,
            other => {
                let prefixes = ["request.", "experimental."];
                return prefixes
                    .iter()
                    .any(|p| other.starts_with(p))
                    .then_some(Self::Http);
            }
        })
    }

    fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::SourceIp | Self::DestinationIp => IpBlock::new(value).map(drop),
            Self::SourceNamespace | Self::SourcePrincipal => Pattern::new(value).map(drop),
            Self::SourceServiceAccount => Account::new(value).map(drop),
            Self::DestinationPort => PolicyPort::new(value).map(drop),
            Self::Http => Ok(()),
        }
    }
}
