//! How requests prove on whose behalf they come: JSON Web Tokens, in the shape of Istio's
//! `RequestAuthentication`.
//!
//! This is also the form in which it travels to waypoints (as JSON). A field that a waypoint does not
//! know is an error there. What no single field shows to be wrong is found by
//! [`RequestAuthentication::check`], which both ends call: the control plane to tell the author, the
//! waypoint because it believes nobody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::PolicyName;

mod check;

pub use check::AuthenticationProblem;

/// Which tokens are believed. It asks for none: whoever has to have one is said by policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestAuthentication {
    /// Namespace and name of the object.
    pub name: PolicyName,
    /// Each for the tokens of one issuer.
    pub rules: Vec<JwtRule>,
}

/// Tokens of one issuer: where they are found, how they are verified, and what is made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtRule {
    /// Who issues them, the claim `iss`. None: whoever holds the keys, but not in the name of an
    /// issuer that another rule is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Arc<str>>,
    /// A token must be for one of these. None: it may be for anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Arc<str>>,
    /// The issuer's keys, a JSON Web Key Set: as the object has it, or as it was fetched. Without it
    /// no token can be verified, and each is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Arc<str>>,
    /// Where the control plane fetches the keys, if the object does not have them. None: where the
    /// issuer's discovery document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<Arc<str>>,
    /// How long fetching them may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Headers that a token may stand in. If no place is named at all: `authorization` after
    /// `Bearer `, and the parameter `access_token`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_headers: Vec<TokenHeader>,
    /// Parameters of the query that may be one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_params: Vec<Arc<str>>,
    /// Cookies that may be one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from_cookies: Vec<Arc<str>>,
    /// The token goes on to the application.
    #[serde(default)]
    pub forward_original_token: bool,
    /// Header in which the application is given the claims, as they stand in the token (base64url).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_payload_to_header: Option<Arc<str>>,
    /// Headers in which it is given single claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_claim_to_headers: Vec<ClaimHeader>,
    /// Claims whose words are values of their own in conditions, besides `scope` and `permission`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub space_delimited_claims: Vec<Arc<str>>,
}

/// A header that a token may stand in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenHeader {
    /// Its name, in lower case.
    pub name: Arc<str>,
    /// What stands before the token; a value that does not begin with it is none.
    #[serde(default)]
    pub prefix: Arc<str>,
}

/// A header that is made of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimHeader {
    /// Its name, in lower case.
    pub header: Arc<str>,
    /// The claim; a dot leads into an object.
    pub claim: Arc<str>,
}

impl JwtRule {
    /// Headers that are made of its tokens. Nobody else may set them.
    pub fn output_headers(&self) -> impl Iterator<Item = &Arc<str>> {
        let claims = self.output_claim_to_headers.iter();
        let payload = self.output_payload_to_header.iter();
        payload.chain(claims.map(|output| &output.header))
    }

    /// Whether it names no place, so that the usual ones count.
    pub fn names_no_place(&self) -> bool {
        self.from_headers.is_empty() && self.from_params.is_empty() && self.from_cookies.is_empty()
    }
}

impl RequestAuthentication {
    /// Where keys are to be fetched: of rules that come without.
    pub fn key_uris(&self) -> BTreeSet<&Arc<str>> {
        let without = self.rules.iter().filter(|rule| rule.jwks.is_none());
        without.filter_map(|rule| rule.jwks_uri.as_ref()).collect()
    }
}

#[cfg(test)]
mod tests;
