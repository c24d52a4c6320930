//! Origins: `scheme://host[:port]`, where the host of a pattern may be `*` or begin with `*.`.

use std::sync::Arc;

use crate::problem::Problem;
use crate::tls::names_host;

/// Origins that are allowed.
#[derive(Clone, Debug)]
pub(super) struct OriginPattern(Arc<str>);

impl OriginPattern {
    pub(super) fn new(text: &Arc<str>) -> Result<Self, Problem> {
        match split(text) {
            Some(_) => Ok(Self(Arc::clone(text))),
            None => {
                let why = "must be `*` or `scheme://host[:port]` with http or https; the host may \
                           begin with `*.`";
                Err(Problem::new("CORS origin", &**text, why))
            }
        }
    }

    pub(super) fn matches(&self, origin: &str) -> bool {
        let (Some(pattern), Some(origin)) = (split(&self.0), split(origin)) else {
            return false;
        };
        pattern.0.eq_ignore_ascii_case(origin.0)
            && (pattern.1 == "*" || names_host(pattern.1, origin.1))
            && pattern.2 == origin.2
    }
}

/// Scheme, host and port; a port that is not there is the well-known one of the scheme.
fn split(origin: &str) -> Option<(&str, &str, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    let well_known = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    // The colons of an IPv6 address are within brackets.
    let end = rest.rfind(']').unwrap_or(0);
    let (host, port) = match rest.rfind(':').filter(|colon| *colon >= end) {
        Some(colon) => {
            let (host, port) = rest.split_at_checked(colon)?;
            let digits = port.strip_prefix(':')?;
            let decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
            (
                host,
                digits.parse().ok().filter(|port| decimal && *port > 0)?,
            )
        }
        None => (rest, well_known),
    };
    let in_place = host.rfind('*').is_none_or(|at| at == 0)
        && (!host.starts_with('*') || host == "*" || host.starts_with("*."));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"*.-_[]:".contains(&byte);
    (!host.is_empty() && in_place && host.bytes().all(plain)).then_some((scheme, host, port))
}
