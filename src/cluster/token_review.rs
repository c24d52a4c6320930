//! Asks the API server whose a token is (TokenReview), for the audiences that agents' tokens have.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;

use crate::serve::{Review, ReviewError, TokenOwner, TokenReviewer};

/// Audiences of the tokens that agents show: ours, and that of Istio's agents.
pub const AUDIENCES: [&str; 2] = ["ambit-ca", "istio-ca"];
const ACCOUNT: &str = "system:serviceaccount:";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// Letters of a claim that are shown; it is the caller's own text.
const SHOWN: usize = 200;

/// The API server as a reviewer of tokens.
#[derive(Clone)]
pub struct TokenReviews {
    reviews: Api<TokenReview>,
}

impl TokenReviews {
    /// Asks by this client; its service account may create TokenReviews.
    pub fn new(client: Client) -> Self {
        Self {
            reviews: Api::all(client),
        }
    }
}

impl std::fmt::Debug for TokenReviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReviews").finish_non_exhaustive()
    }
}

impl TokenReviewer for TokenReviews {
    fn review<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Review, ReviewError>> {
        let question = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(AUDIENCES.map(str::to_owned).to_vec()),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        async move {
            let answer = self.reviews.create(&PostParams::default(), &question).await;
            let answer = answer.map_err(|error| ReviewError(error.to_string()))?;
            let status = answer.status.unwrap_or_default();
            Ok(read(status, || claim_of(token)))
        }
        .boxed()
    }
}

/// What an answer means. One that names none of our audiences is of a server that does not know
/// audiences, or for a token of its own.
fn read(status: TokenReviewStatus, claim: impl FnOnce() -> String) -> Review {
    let error = status.error.unwrap_or_default();
    if status.authenticated != Some(true) {
        return if error.contains("audience") {
            Review::WrongAudience(claim())
        } else {
            Review::Unknown(claim())
        };
    }
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|a| AUDIENCES.contains(&a.as_str())) {
        return Review::WrongAudience(claim());
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let account = name.strip_prefix(ACCOUNT).and_then(|a| a.split_once(':'));
    let Some((namespace, service_account)) = account else {
        return Review::Other(name);
    };
    let extra = user.extra.unwrap_or_default();
    let (pod, uid) = (only(&extra, POD_NAME), only(&extra, POD_UID));
    Review::Of(TokenOwner {
        namespace: namespace.into(),
        service_account: service_account.into(),
        pod: pod.zip(uid),
        node: only(&extra, NODE_NAME),
    })
}

/// The one value of a key.
fn only(extra: &BTreeMap<String, Vec<String>>, key: &str) -> Option<Arc<str>> {
    match extra.get(key).map(Vec::as_slice) {
        Some([value]) if !value.is_empty() => Some(value.as_str().into()),
        _ => None,
    }
}

/// What a token says of itself, for the log: nobody has verified it.
fn claim_of(token: &str) -> String {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let claims = || {
        let part = token.split('.').nth(1)?;
        let mut text = part.replace('-', "+").replace('_', "/");
        text.extend(std::iter::repeat_n('=', (4 - text.len() % 4) % 4));
        let bytes: ByteString = serde_json::from_value(text.into()).ok()?;
        serde_json::from_slice::<Claims>(&bytes.0).ok()
    };
    match claims() {
        Some(claims) => {
            let sub: String = claims.sub.chars().take(SHOWN).collect();
            format!("it claims to be of {sub:?}")
        }
        None => "it claims nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests;
