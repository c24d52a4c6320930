//! Rewrites: another host and path for the destination than the client asked for.

use ambit_model::Rewrite;
use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::host::NewHost;
use crate::path::{Covered, PathEdit};
use crate::problem::Problem;

/// A checked rewrite.
#[derive(Clone, Debug)]
pub struct Rewriting {
    host: Option<NewHost>,
    path: Option<PathEdit>,
}

/// The path would be longer than a request's may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rewritten path is too long: answer 414, or shorten the replacement")]
pub struct TooLong;

impl Rewriting {
    /// Checks a rewrite.
    ///
    /// # Errors
    ///
    /// If its host or path cannot stand in a request.
    pub fn new(rewrite: &Rewrite) -> Result<Self, Problem> {
        let host = rewrite.host.as_deref();
        let path = rewrite.path.as_ref();
        Ok(Self {
            host: host.map(|h| NewHost::new("rewrite host", h)).transpose()?,
            path: path.map(|p| PathEdit::new("rewrite path", p)).transpose()?,
        })
    }

    /// Rewrites a request that was matched with its path as it is now. The query stays. `*` and the
    /// target of a plain `CONNECT` are no paths, and stay too.
    ///
    /// # Errors
    ///
    /// If the path would be too long; the request is then as it was.
    pub fn apply(&self, parts: &mut Parts, covered: Covered) -> Result<(), TooLong> {
        let path = self.path.as_ref();
        if let Some(edit) = path.filter(|_| parts.uri.path().starts_with('/')) {
            let mut target = edit.apply(parts.uri.path(), covered).ok_or(TooLong)?;
            if let Some(query) = parts.uri.query() {
                target.push('?');
                target.push_str(query);
            }
            let target = PathAndQuery::try_from(target).ok().ok_or(TooLong)?;
            let mut uri = parts.uri.clone().into_parts();
            uri.path_and_query = Some(target);
            parts.uri = Uri::from_parts(uri).ok().ok_or(TooLong)?;
        }
        if let Some(host) = &self.host {
            host.put(parts);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
