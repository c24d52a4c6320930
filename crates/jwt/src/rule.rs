//! A rule, made ready: whose tokens it is for, and what makes one good.

use std::sync::Arc;

use ambit_model::{JwtRule, PolicyName};
use aws_lc_rs::digest::{self, SHA256};
use http::header::InvalidHeaderName;

use crate::audience::Audiences;
use crate::claims::Claims;
use crate::keys::{KeyFault, KeySet, KeySetError};
use crate::outputs::Outputs;
use crate::refusal::{Fault, Reason};
use crate::token::Token;

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 60;

/// A rule, made ready.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The object that it is of.
    pub(crate) policy: PolicyName,
    /// Whose tokens it is for; none: anybody's who has none of their own.
    pub(crate) issuer: Option<Arc<str>>,
    /// Whether tokens go on to the application.
    pub(crate) forward: bool,
    /// What is made of them.
    pub(crate) outputs: Outputs,
    /// Claims whose words are values of their own.
    pub(crate) worded: Arc<[Arc<str>]>,
    /// The keys, or why there are none.
    pub(crate) keys: Result<KeySet, KeySetError>,
    /// Equal for rules that are equal, keys included.
    pub(crate) digest: Vec<u8>,
    audiences: Audiences,
}

/// What keeps a rule from being made ready. A rule that was checked has none of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("the rule cannot be written: {0}")]
    Written(#[from] serde_json::Error),
    #[error("the name of a header is none: {0}")]
    Header(#[from] InvalidHeaderName),
}

impl Rule {
    /// Makes a rule ready.
    pub(crate) fn new(policy: &PolicyName, rule: &JwtRule) -> Result<Self, RuleError> {
        let written = serde_json::to_vec(rule)?;
        let keys = rule.jwks.as_deref().ok_or(KeySetError::Missing);
        Ok(Self {
            policy: policy.clone(),
            issuer: rule.issuer.clone(),
            forward: rule.forward_original_token,
            outputs: Outputs::new(rule)?,
            worded: rule.space_delimited_claims.as_slice().into(),
            keys: keys.and_then(KeySet::parse),
            digest: digest::digest(&SHA256, &written).as_ref().to_vec(),
            audiences: Audiences::new(rule.audiences.iter().map(AsRef::as_ref)),
        })
    }

    /// Whether a token, of this rule's issuer and of this time, is good.
    pub(crate) fn accept(&self, token: &Token<'_>) -> Result<(), Fault> {
        if !self.audiences.accept(token.claims.audiences()) {
            let what = "it is for none of the audiences of the rule";
            return Err(Fault::new(Reason::Audience, what));
        }
        let keys = self.keys.as_ref();
        let keys = keys.map_err(|error| Fault::new(Reason::NoKeys, error.to_string()))?;
        let key = token.key.as_deref();
        let verified = keys.verify(token.algorithm, key, token.signed, &token.signature);
        verified.map_err(|fault| match fault {
            KeyFault::NoneFits => Fault::new(
                Reason::UnknownKey,
                "the issuer has no key of its name (kid) and algorithm",
            ),
            KeyFault::TooManyFit => Fault::new(
                Reason::UnknownKey,
                "it names no key (kid), and too many of the issuer's fit",
            ),
            KeyFault::Signature => Fault::new(Reason::Signature, "its signature is wrong"),
        })
    }
}

/// Whether the time, in seconds since 1970, is one of the token's.
pub(crate) fn timely(claims: &Claims, now: u64) -> Result<(), Fault> {
    if let Some(ends) = claims.ends
        && now > ends.saturating_add(LEEWAY)
    {
        let what = format!("it ended {} s ago", now - ends);
        return Err(Fault::new(Reason::Expired, what));
    }
    if let Some(begins) = claims.begins
        && now.saturating_add(LEEWAY) < begins
    {
        let what = format!("it begins in {} s", begins - now);
        return Err(Fault::new(Reason::NotYetValid, what));
    }
    Ok(())
}
