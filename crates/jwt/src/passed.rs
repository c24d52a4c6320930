//! A request that has passed: who calls, and what is to be changed of it.

use std::sync::Arc;

use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::claims::Claims;
use crate::outputs::Verified;
use crate::places::Place;
use crate::query;
use crate::verifier::Verifier;

/// A request whose tokens are all good, or that has none.
#[derive(Clone, Debug)]
pub struct Passed<'v> {
    pub(crate) verifier: &'v Verifier,
    /// By rule.
    pub(crate) judged: Vec<Judged>,
}

/// A token that was found good.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// Index of its place.
    pub(crate) place: usize,
    /// Index of the rule by which it is good.
    pub(crate) rule: usize,
    pub(crate) verified: Arc<Verified>,
}

/// The request's URI could not be written without the token. It must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's URI cannot be written without the token")]
pub struct NotRemoved;

impl Passed<'_> {
    /// What the token says; of several, that of the first rule.
    pub fn claims(&self) -> Option<&Arc<Claims>> {
        self.all_claims().next()
    }

    /// What every token says. A policy that refuses should look at all of them, one that allows at
    /// the first.
    pub fn all_claims(&self) -> impl Iterator<Item = &Arc<Claims>> {
        self.judged.iter().map(|judged| &judged.verified.claims)
    }

    /// Changes the request: headers that are made of claims are taken away, and set from the tokens;
    /// tokens that do not go on are taken away. As in Istio, one in a cookie stays.
    pub fn apply(&self, parts: &mut Parts) -> Result<(), NotRemoved> {
        for name in &self.verifier.outputs {
            parts.headers.remove(name);
        }
        let mut parameters = Vec::new();
        for judged in &self.judged {
            let rule = self.verifier.rules.get(judged.rule);
            if rule.is_some_and(|rule| rule.forward) {
                continue;
            }
            match self.verifier.places.get(judged.place) {
                Some(Place::Header(name)) => drop(parts.headers.remove(name)),
                Some(Place::Parameter(name)) => parameters.push(name.as_bytes()),
                Some(Place::Cookie(_)) | None => {}
            }
        }
        if !parameters.is_empty() {
            parts.uri = stripped(&parts.uri, &parameters).ok_or(NotRemoved)?;
        }
        for judged in &self.judged {
            for (name, value) in &judged.verified.headers {
                parts.headers.entry(name).or_insert_with(|| value.clone());
            }
        }
        Ok(())
    }
}

/// A URI without parameters of these names.
fn stripped(uri: &Uri, parameters: &[&[u8]]) -> Option<Uri> {
    let Some(query) = uri.query() else {
        return Some(uri.clone());
    };
    let path = uri.path();
    let written = match query::without(query, parameters) {
        Some(left) => format!("{path}?{left}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(written).ok()?);
    Uri::from_parts(parts).ok()
}
