//! Cross-origin resource sharing (Fetch Standard, 3.3) as the Gateway API's filter describes it.
//!
//! A preflight is answered here: 200 to an origin that may, 403 to another. The answer to any other
//! request says whether its origin may read it, and nothing else does: what the application says of
//! its own is taken away from answers to requests of other origins. Where `*` and credentials come
//! together, the concrete value stands in place of `*`, which a browser would not accept.
//!
//! An answer that depends on the origin varies by it, also for a request that has none.

use std::sync::Arc;
use std::time::Duration;

use ambit_model::Cors;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::asked::joined;
use crate::head::Head;
use crate::headers::{add, set};
use crate::pattern::{Patterns, TextTest};
use crate::problem::Problem;

mod origin;
use origin::OriginPattern;

/// How long a browser may remember an answer when nothing else is said.
const MAX_AGE: Duration = Duration::from_secs(5);

/// What the answer to a preflight depends on.
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

const ANY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// A checked filter.
#[derive(Clone, Debug)]
pub struct CorsPolicy {
    any_origin: bool,
    origins: Vec<OriginPattern>,
    tests: Vec<TextTest>,
    passes_others: bool,
    credentials: bool,
    methods: Allowed,
    headers: Allowed,
    expose: Allowed,
    max_age: HeaderValue,
}

/// Names that are allowed.
#[derive(Clone, Debug)]
enum Allowed {
    /// Those, joined by commas; `None` if there is none.
    Listed(Option<HeaderValue>),
    /// `*` was among them; these are the others.
    All(Option<HeaderValue>),
}

/// What becomes of a request.
#[derive(Debug)]
pub enum CorsVerdict {
    /// It is a preflight, and this is its answer.
    Preflight(Response<()>),
    /// It goes on; its answer gets these headers.
    Actual(CorsHeaders),
}

/// What an answer says to the browser.
#[derive(Clone, Debug, Default)]
pub struct CorsHeaders {
    /// Whether the request said where it comes from.
    has_origin: bool,
    varies: bool,
    allow: Vec<(HeaderName, HeaderValue)>,
}

impl CorsPolicy {
    /// Checks a filter.
    ///
    /// # Errors
    ///
    /// If an origin is none, or a name cannot stand in a header.
    pub fn new(cors: &Cors) -> Result<Self, Problem> {
        let origins = cors.allow_origins.iter().filter(|origin| &***origin != "*");
        let mut patterns = Patterns::default();
        let tests = cors.origin_matches.iter();
        let tests = tests.map(|test| TextTest::new("CORS origin", test, &mut patterns));
        let max_age = cors.max_age.unwrap_or(MAX_AGE).as_secs();
        Ok(Self {
            any_origin: cors.allow_origins.iter().any(|origin| &**origin == "*"),
            origins: origins.map(OriginPattern::new).collect::<Result<_, _>>()?,
            tests: tests.collect::<Result<_, _>>()?,
            passes_others: cors.passes_others,
            credentials: cors.allow_credentials,
            methods: Allowed::new("CORS method", &cors.allow_methods)?,
            headers: Allowed::new("CORS request header", &cors.allow_headers)?,
            expose: Allowed::new("CORS response header", &cors.expose_headers)?,
            max_age: max_age.into(),
        })
    }

    /// What becomes of a request.
    pub fn judge(&self, head: &Head<'_>) -> CorsVerdict {
        let origin = head.headers.get(header::ORIGIN);
        let asks = head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        let allowed = origin.and_then(|origin| self.allow_origin(head, origin));
        if self.passes_others && origin.is_some() && allowed.is_none() {
            return CorsVerdict::Actual(CorsHeaders {
                varies: true,
                ..CorsHeaders::default()
            });
        }
        match (origin, asks) {
            (Some(_), Some(method)) if head.method == Method::OPTIONS => {
                CorsVerdict::Preflight(self.preflight(head, method, allowed))
            }
            _ => CorsVerdict::Actual(CorsHeaders {
                has_origin: origin.is_some(),
                varies: !self.any_origin || self.credentials,
                allow: allowed.map_or_else(Vec::new, |origin| self.readable(origin)),
            }),
        }
    }

    /// The value of `access-control-allow-origin`, if the origin may.
    fn allow_origin(&self, head: &Head<'_>, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.any_origin && !self.credentials {
            return Some(ANY);
        }
        // Browsers send one origin. Of several, none is believed.
        let only = head.headers.get_all(header::ORIGIN).iter().count() == 1;
        let text = origin.to_str().ok().filter(|_| only)?;
        let listed = self.any_origin
            || self.origins.iter().any(|origin| origin.matches(text))
            || self.tests.iter().any(|test| test.holds(text.as_bytes()));
        listed.then(|| origin.clone())
    }

    /// What lets an origin read an answer.
    fn readable(&self, origin: HeaderValue) -> Vec<(HeaderName, HeaderValue)> {
        let mut allow = vec![(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)];
        if self.credentials {
            allow.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE));
        }
        let expose = match &self.expose {
            Allowed::All(_) if !self.credentials => Some(ANY),
            Allowed::All(listed) | Allowed::Listed(listed) => listed.clone(),
        };
        allow.extend(expose.map(|names| (header::ACCESS_CONTROL_EXPOSE_HEADERS, names)));
        allow
    }

    fn preflight(
        &self,
        head: &Head<'_>,
        method: &HeaderValue,
        allowed: Option<HeaderValue>,
    ) -> Response<()> {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        headers.insert(header::VARY, PREFLIGHT_VARY);
        let Some(origin) = allowed else {
            *response.status_mut() = StatusCode::FORBIDDEN;
            return response;
        };
        let mut pairs = self.readable(origin);
        let method = self
            .methods
            .answer(self.credentials, || Some(method.clone()));
        let asked = || {
            let lines = joined(head.headers, &header::ACCESS_CONTROL_REQUEST_HEADERS)?;
            HeaderValue::from_bytes(&lines).ok()
        };
        let names = self.headers.answer(self.credentials, asked);
        pairs.extend(method.map(|method| (header::ACCESS_CONTROL_ALLOW_METHODS, method)));
        pairs.extend(names.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
        pairs.push((header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        headers.extend(pairs);
        response
    }
}

impl Allowed {
    fn new(field: &'static str, names: &[Arc<str>]) -> Result<Self, Problem> {
        let is_token = |name: &str| HeaderName::from_bytes(name.as_bytes()).is_ok();
        if let Some(name) = names.iter().find(|name| !is_token(name)) {
            return Err(Problem::new(field, &**name, "is not a name"));
        }
        let others: Vec<&str> = names.iter().map(|n| &**n).filter(|n| *n != "*").collect();
        let all = others.len() < names.len();
        let listed = HeaderValue::try_from(others.join(", ")).ok();
        let listed = listed.filter(|_| !others.is_empty());
        Ok(if all {
            Self::All(listed)
        } else {
            Self::Listed(listed)
        })
    }

    /// What a preflight is told: those that it asks for if all are allowed, of which `*` would not
    /// cover all (`authorization`), and would cover none if there are credentials.
    fn answer(
        &self,
        credentials: bool,
        asked: impl Fn() -> Option<HeaderValue>,
    ) -> Option<HeaderValue> {
        match self {
            Self::Listed(listed) => listed.clone(),
            Self::All(_) => asked().or_else(|| (!credentials).then_some(ANY)),
        }
    }
}

impl CorsHeaders {
    /// Puts them on an answer.
    pub fn apply(&self, headers: &mut HeaderMap) {
        if self.has_origin {
            headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
            headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        }
        for (name, value) in &self.allow {
            set(headers, name, value.clone());
        }
        if self.varies && !varies_by_origin(headers) {
            add(headers, &header::VARY, ORIGIN);
        }
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::VARY).iter();
    let mut names = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|l| l.split(','));
    names.any(|name| matches!(name.trim(), "*") || name.trim().eq_ignore_ascii_case("origin"))
}

#[cfg(test)]
mod tests;
