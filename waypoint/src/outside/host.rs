//! Whether the host that somebody asks for is one that a host name with a `*` stands for.
//!
//! Where a name is to be resolved that a client has sent, it has one reading only: letters, digits,
//! `-`, `_` and dots, in any case, without a dot at its end. An address is no name, however it is
//! written, and what fits a `*` has a name beside it.

use std::sync::Arc;

/// Longest name, and longest part of one (RFC 1035, 2.3.4).
const LONGEST: (usize, usize) = (253, 63);

/// Why a host is not gone to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotMeant {
    /// None is named.
    #[error("no host is named")]
    Missing,
    /// It is an address, or no name at all.
    #[error("it is no host name")]
    NoName,
    /// It is another one's.
    #[error("it is not a host of the service that was asked for")]
    OtherService,
    /// Its port is another one.
    #[error("it is for a port that was not asked for")]
    OtherPort,
}

/// The host of an authority (`host`, `host:port`), in small letters, if a pattern like `*.example.com`
/// stands for it. A port has to be one of these.
pub(crate) fn meant(
    pattern: &str,
    authority: Option<&str>,
    ports: &[u16],
) -> Result<Arc<str>, NotMeant> {
    let authority = authority.filter(|authority| !authority.is_empty());
    let authority = authority.ok_or(NotMeant::Missing)?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = name(host).ok_or(NotMeant::NoName)?;
    if !fits(pattern, &host) {
        return Err(NotMeant::OtherService);
    }
    match port.map(number) {
        Some(Some(port)) if ports.contains(&port) => {}
        Some(_) => return Err(NotMeant::OtherPort),
        None => {}
    }
    Ok(host.into())
}

/// Digits alone, as nobody reads them otherwise.
fn number(port: &str) -> Option<u16> {
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_| is_number)
}

/// A host name in small letters. One with a dot at its end is none: policies compare it with the dot.
fn name(host: &str) -> Option<String> {
    let mut labels = host.split('.');
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        !label.is_empty()
            && label.len() <= LONGEST.1
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if host.len() > LONGEST.0 || !labels.all(is_label) {
        return None;
    }
    // The last part of an address in any notation begins with a digit (`0x7f.1`, `2130706433`).
    let last = host.rsplit('.').next()?;
    let is_address = last.starts_with(|first: char| first.is_ascii_digit());
    (!is_address).then(|| host.to_ascii_lowercase())
}

/// Whether a name in small letters has something in place of the `*`.
pub(crate) fn fits(pattern: &str, host: &str) -> bool {
    let Some(suffix) = pattern.strip_prefix('*') else {
        return pattern.eq_ignore_ascii_case(host);
    };
    let rest = host.len().checked_sub(suffix.len());
    let split = rest.and_then(|rest| host.split_at_checked(rest));
    suffix.starts_with('.')
        && split.is_some_and(|(front, back)| !front.is_empty() && back.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "*.example.com";

    #[test]
    fn a_host_that_fits_is_taken_in_one_form() {
        for same in ["api.example.com", "API.Example.Com", "api.example.com:443"] {
            let host = meant(OURS, Some(same), &[443, 8443]);
            assert_eq!(host.as_deref(), Ok("api.example.com"), "{same}");
        }
        let deep = meant(OURS, Some("a.b_c.d-e.example.com"), &[]);
        assert_eq!(deep.as_deref(), Ok("a.b_c.d-e.example.com"));
    }

    #[test]
    fn what_has_another_reading_or_is_not_ours_is_refused() {
        use NotMeant::{Missing, NoName, OtherPort, OtherService};
        let long = format!("{}.example.com", "a".repeat(64));
        let longest = format!("{}example.com", "a.".repeat(130));
        for (host, why) in [
            ("", Missing),
            ("example.com", OtherService),
            (".example.com", NoName),
            ("..example.com", NoName),
            ("api.example.com.", NoName),
            ("api.example.com.:443", NoName),
            ("api.example.com..", NoName),
            ("api..example.com", NoName),
            ("apiexample.com", OtherService),
            ("api.example.com.evil.org", OtherService),
            ("evil.org", OtherService),
            ("evil.org#.example.com", NoName),
            ("evil.org/.example.com", NoName),
            ("evil.org?.example.com", NoName),
            ("user@api.example.com", NoName),
            ("evil.org:80@api.example.com", OtherService),
            ("api.example.com:80:443", NoName),
            ("evil.org\\.example.com", NoName),
            ("evil.org%00.example.com", NoName),
            ("evil.org\0.example.com", NoName),
            ("api.example.com:80", OtherPort),
            ("api.example.com:", OtherPort),
            ("api.example.com:+443", OtherPort),
            ("api.example.com:65979", OtherPort),
            ("10.0.0.1", NoName),
            ("10.0.0.1:443", NoName),
            ("[::1]", NoName),
            ("[::1]:443", NoName),
            ("::1", NoName),
            ("2130706433", NoName),
            ("0x7f.1", NoName),
            ("127.0.0.1.", NoName),
            ("*.example.com", NoName),
            ("\u{ff45}vil.example.com", NoName),
            (long.as_str(), NoName),
            (longest.as_str(), NoName),
        ] {
            assert_eq!(meant(OURS, Some(host), &[443]), Err(why), "{host}");
        }
        assert_eq!(meant(OURS, None, &[443]), Err(Missing));
    }

    #[test]
    fn a_pattern_needs_a_name_behind_its_star() {
        assert!(!fits("*", "api.example.com"));
        assert!(!fits("*example.com", "api.example.com"));
        assert!(fits("api.example.com", "api.example.com"));
        assert!(!fits("api.example.com", "b.api.example.com"));
    }
}
