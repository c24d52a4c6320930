//! Texts and how they are compared.

use ambit_model::{RequestPrincipal, StringMatch};

/// Whether a text is met, with its case.
pub(crate) fn meets(wanted: &StringMatch, text: &[u8]) -> bool {
    match wanted {
        StringMatch::Exact(exact) => text == exact.as_bytes(),
        StringMatch::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
        StringMatch::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
        StringMatch::Presence => !text.is_empty(),
    }
}

/// Whether issuer and subject are met.
pub(crate) fn principal_meets(wanted: &RequestPrincipal, (issuer, subject): (&str, &str)) -> bool {
    meets(&wanted.issuer, issuer.as_bytes()) && meets(&wanted.subject, subject.as_bytes())
}

/// Whether a host is met, with its port or without.
pub(crate) fn host_meets(wanted: &StringMatch, host: &str) -> bool {
    let meets = |text: &str| meets_in_any_case(wanted, text.as_bytes());
    meets(host) || without_port(host).is_some_and(meets)
}

/// The same of the host without the dot at its end: servers take both for one name. Not met by a host
/// without such a dot.
pub(crate) fn bare_host_meets(wanted: &StringMatch, host: &str) -> bool {
    let name = without_port(host).unwrap_or(host);
    let port = host.get(name.len()..).unwrap_or_default();
    let bare = name.strip_suffix('.');
    bare.is_some_and(|bare| host_meets(wanted, &format!("{bare}{port}")))
}

fn meets_in_any_case(wanted: &StringMatch, text: &[u8]) -> bool {
    let begin = |length| text.get(..length);
    let end = |length| text.get(text.len().checked_sub(length)?..);
    let (part, wanted) = match wanted {
        StringMatch::Exact(exact) => (Some(text), exact),
        StringMatch::Prefix(prefix) => (begin(prefix.len()), prefix),
        StringMatch::Suffix(suffix) => (end(suffix.len()), suffix),
        StringMatch::Presence => return !text.is_empty(),
    };
    part.is_some_and(|part| part.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// The host alone; `None` if it has no port.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = host.rsplit_once(':')?;
    // Colons of an address of IPv6 are in brackets.
    let is_name = !name.contains(':') || name.ends_with(']');
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    (is_name && is_port).then_some(name)
}
