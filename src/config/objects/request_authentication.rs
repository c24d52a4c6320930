//! Istio's `RequestAuthentication`, read strictly.
//!
//! A field that is misspelt makes the whole object an error: an audience or a place that silently
//! falls away lets tokens in that nobody meant, or looks past those that are there. What is written is
//! turned into the form in which waypoints get it ([`RequestAuthentication::to_model`]), and checked
//! there, so that both ends find the same.

use std::sync::Arc;

use ambit_jwt::{KeySet, KeySetError};
use ambit_model::{self as model, AuthenticationProblem, PolicyName};
use serde::{Deserialize, Serialize};

use super::metadata::{Metadata, present};
use super::route_values::RouteDuration;
use super::selector::{Selector, TargetReference, check_target};
use crate::config::problem::Finding;

/// A `RequestAuthentication`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestAuthentication {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(default)]
    pub spec: RequestAuthenticationSpec,
}

/// `spec` of a request authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestAuthenticationSpec {
    /// Pods that it applies to; absent means all of the namespace, or of the mesh.
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
    /// Whose tokens are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwt_rules: Vec<JwtRule>,
}

/// Tokens of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the fields are Istio's, documented there and in ambit_model::JwtRule"
)]
pub struct JwtRule {
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub issuer: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Arc<str>>,
    #[serde(
        default,
        alias = "jwks_uri",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub jwks_uri: Option<Arc<str>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub jwks: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_headers: Vec<JwtHeader>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_params: Vec<Arc<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_cookies: Vec<Arc<str>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub output_payload_to_header: Option<Arc<str>>,
    #[serde(default)]
    pub forward_original_token: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<RouteDuration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub space_delimited_claims: Vec<Arc<str>>,
}

/// A header that a token may stand in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtHeader {
    /// Its name.
    pub name: Arc<str>,
    /// What stands before the token.
    #[serde(default)]
    pub prefix: Arc<str>,
}

/// A header that is made of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimToHeader {
    /// Its name.
    pub header: Arc<str>,
    /// The claim.
    pub claim: Arc<str>,
}

impl RequestAuthentication {
    /// The selector, if it selects less than everything.
    pub fn selector(&self) -> Option<&Selector> {
        let selector = self.spec.selector.as_ref();
        selector.filter(|selector| !selector.is_empty())
    }

    /// Gateways and services that it is bound to.
    pub fn targets(&self) -> impl Iterator<Item = &TargetReference> {
        self.spec.target_refs.iter().chain(&self.spec.target_ref)
    }

    /// The form in which waypoints get it. Keys that are fetched are still missing.
    pub fn to_model(&self) -> model::RequestAuthentication {
        let namespace = self.metadata.namespace.as_ref();
        let namespace = namespace.map_or_else(|| "default".into(), |namespace| namespace.shared());
        model::RequestAuthentication {
            name: PolicyName::new(namespace, self.metadata.name.shared()),
            rules: self.spec.jwt_rules.iter().map(JwtRule::to_model).collect(),
        }
    }

    /// What no single field shows to be wrong. An object for which this fails is never used.
    pub fn check(&self) -> Result<(), Finding> {
        check_target(self.spec.selector.as_ref(), self.targets().count())?;
        let in_spec = |problem: AuthenticationProblem| {
            let field = format!("spec.{}", problem.field);
            Finding::new(field, problem.what, problem.advice)
        };
        self.to_model().check().map_err(in_spec)?;
        for (index, rule) in self.spec.jwt_rules.iter().enumerate() {
            let parsed = rule.jwks.as_deref().map_or(Ok(()), usable);
            parsed.map_err(|error| {
                let field = format!("spec.jwtRules[{index}].jwks");
                let advice = "write the issuer's public keys as a JSON Web Key Set, such as \
                              {\"keys\": [{\"kty\": \"RSA\", ...}]}";
                Finding::new(field, error.to_string(), advice)
            })?;
        }
        Ok(())
    }
}

/// Whether a token could be verified with one of the keys.
fn usable(jwks: &str) -> Result<(), KeySetError> {
    KeySet::parse(jwks).map(drop)
}

impl JwtRule {
    fn to_model(&self) -> model::JwtRule {
        let places = self.from_headers.iter().map(|header| model::TokenHeader {
            name: lower(&header.name),
            prefix: Arc::clone(&header.prefix),
        });
        let outputs = self.output_claim_to_headers.iter();
        let outputs = outputs.map(|output| model::ClaimHeader {
            header: lower(&output.header),
            claim: Arc::clone(&output.claim),
        });
        model::JwtRule {
            issuer: self.issuer.clone(),
            audiences: self.audiences.clone(),
            jwks: self.jwks.clone(),
            jwks_uri: self.jwks_uri.clone(),
            timeout: self.timeout.map(RouteDuration::length),
            from_headers: places.collect(),
            from_params: self.from_params.clone(),
            from_cookies: self.from_cookies.clone(),
            forward_original_token: self.forward_original_token,
            output_payload_to_header: self.output_payload_to_header.as_ref().map(lower),
            output_claim_to_headers: outputs.collect(),
            space_delimited_claims: self.space_delimited_claims.clone(),
        }
    }
}

/// The name of a header as it is compared.
fn lower(name: &Arc<str>) -> Arc<str> {
    name.to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests;
