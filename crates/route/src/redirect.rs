//! Redirects: where the client shall ask instead.
//!
//! `Location` is always absolute. Scheme and path that are not given are those of the request, the
//! host is that of its authority. A port that is not given is the well-known one of a scheme that is
//! given, else the one that the client connected to; one that is well known for the scheme is left
//! out. The query stays.
//!
//! That is the Gateway API's rule. By Istio's ([`Redirect::as_asked`]) a scheme that is not given is the
//! one that the client, or a proxy before us, asked with; and the authority keeps its port with its host,
//! unless that is well known for the scheme that is no more. So a browser stays where it is.

use std::fmt::Write as _;
use std::sync::Arc;

use ambit_model::Redirect;
use http::header::LOCATION;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Response, StatusCode};

use crate::head::Head;
use crate::host::is_host;
use crate::path::{Covered, PathEdit};
use crate::problem::Problem;

/// A checked redirect.
#[derive(Clone, Debug)]
pub struct Redirection {
    status: StatusCode,
    scheme: Option<Scheme>,
    host: Option<Arc<str>>,
    port: Option<u16>,
    path: Option<PathEdit>,
    as_asked: bool,
}

impl Redirection {
    /// Checks a redirect.
    ///
    /// # Errors
    ///
    /// If a part of it cannot stand in a `Location`, or its status is none of a redirect.
    pub fn new(redirect: &Redirect) -> Result<Self, Problem> {
        let path = redirect.path.as_ref();
        Ok(Self {
            status: status(redirect.status)?,
            scheme: redirect.scheme.as_deref().map(scheme).transpose()?,
            host: redirect.host.as_ref().map(host).transpose()?,
            port: redirect.port,
            path: path
                .map(|path| PathEdit::new("redirect path", path))
                .transpose()?,
            as_asked: redirect.as_asked,
        })
    }

    /// The answer to a request that came with `scheme` to `port`. One whose host is not known, and
    /// not given either, cannot be told where to go: 400.
    pub fn answer(
        &self,
        head: &Head<'_>,
        scheme: &Scheme,
        port: u16,
        covered: Covered,
    ) -> Response<()> {
        let location = self.location(head, scheme, port, covered);
        let location = location.and_then(|text| HeaderValue::try_from(text).ok());
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        if let Some(location) = location {
            *response.status_mut() = self.status;
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }

    fn location(
        &self,
        head: &Head<'_>,
        scheme: &Scheme,
        port: u16,
        covered: Covered,
    ) -> Option<String> {
        let asked = head.authority.and_then(|a| a.parse::<Authority>().ok());
        let asked = asked.as_ref();
        let host = self.host.as_deref();
        let host = host.or_else(|| asked.map(Authority::host).filter(|host| is_host(host)))?;
        let came_as = match self.as_asked {
            true => head.scheme(),
            false => scheme.as_str(),
        };
        let scheme = self.scheme.as_ref().map_or(came_as, Scheme::as_str);
        let port = self.port.or_else(|| match (self.as_asked, &self.scheme) {
            (false, Some(_)) => None,
            (false, None) => Some(port),
            (true, _) => {
                let own = asked.filter(|_| self.host.is_none())?.port_u16();
                own.filter(|port| Some(*port) != well_known(came_as))
            }
        });
        let mut location = format!("{scheme}://{host}");
        if let Some(port) = port.filter(|port| Some(*port) != well_known(scheme)) {
            // Writing to a text cannot fail.
            let _ = write!(location, ":{port}");
        }
        // Neither the `*` of OPTIONS nor the nothing of CONNECT is a path.
        let path = Some(head.path).filter(|path| path.starts_with('/'));
        let path = path.unwrap_or("/");
        match &self.path {
            Some(edit) => location.push_str(&edit.apply(path, covered)?),
            None => location.push_str(path),
        }
        if let Some(query) = head.query {
            location.push('?');
            location.push_str(query);
        }
        Some(location)
    }
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn status(status: u16) -> Result<StatusCode, Problem> {
    match status {
        301 => Ok(StatusCode::MOVED_PERMANENTLY),
        302 => Ok(StatusCode::FOUND),
        303 => Ok(StatusCode::SEE_OTHER),
        307 => Ok(StatusCode::TEMPORARY_REDIRECT),
        308 => Ok(StatusCode::PERMANENT_REDIRECT),
        other => {
            let why = "must be 301, 302, 303, 307 or 308";
            Err(Problem::new("redirect status", other.to_string(), why))
        }
    }
}

fn scheme(text: &str) -> Result<Scheme, Problem> {
    match text {
        "http" => Ok(Scheme::HTTP),
        "https" => Ok(Scheme::HTTPS),
        _ => Err(Problem::new(
            "redirect scheme",
            text,
            "must be http or https",
        )),
    }
}

fn host(text: &Arc<str>) -> Result<Arc<str>, Problem> {
    if is_host(text) {
        return Ok(Arc::clone(text));
    }
    let why = "must be a host name without a port, which has a field of its own";
    Err(Problem::new("redirect host", &**text, why))
}

#[cfg(test)]
mod tests;
