//! Whether a head has one reading only. HTTP/1 is scanned for that before it is parsed
//! ([`crate::http::scan`]); what the parser of HTTP/2 leaves is looked at here, and what is to be refused
//! of either. Servers and policies would read the rest differently.

use std::net::Ipv6Addr;

use ambit_route::Normalization;
use http::header::{HOST, HeaderValue};
use http::request::Parts;

use super::local::{Fault, Flag};

/// Refuses a head that two readers may read differently.
pub(super) fn check(head: &Parts) -> Result<(), Fault> {
    let malformed = |what: &str| Err(Fault::malformed(what));
    if !head.headers.values().all(is_bare) {
        return malformed("a header's value begins or ends with a blank");
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return malformed("there is more than one Host");
    }
    let of_target = head.uri.authority().map(|authority| authority.as_str());
    let is_right = |host: &HeaderValue| host.is_empty() || host.to_str().is_ok_and(is_host);
    if !of_target.is_none_or(is_host) || !host.is_none_or(is_right) {
        return malformed("its host is no host with or without a port");
    }
    Ok(())
}

/// Puts the path into the form by which it is judged, routed and sent on.
pub(super) fn normalize(head: &mut Parts, form: Normalization) -> Result<(), Fault> {
    ambit_route::normalize(head, form)
        .map_err(|error| Fault::new(414, Flag::None, "path_too_long", error.to_string()))
}

/// Whether no blank is around it (RFC 9113, 8.2.1): HTTP/1 would lose that on the way.
pub(super) fn is_bare(value: &HeaderValue) -> bool {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let bytes = value.as_bytes();
    !bytes.first().is_some_and(is_blank) && !bytes.last().is_some_and(is_blank)
}

/// A name or an address, and a port if there is one: no user, no escapes, nothing else behind.
fn is_host(text: &str) -> bool {
    let (is_name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address.parse::<Ipv6Addr>().is_ok(), None),
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), Some(port)),
            None => return false,
        },
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (name, port) = text.split_at(end);
            let is_name = !name.is_empty() && name.bytes().all(is_of_name);
            (is_name, Some(port).filter(|port| !port.is_empty()))
        }
    };
    let is_port = |port: &str| {
        let digits = port.strip_prefix(':').unwrap_or_default();
        digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
    };
    is_name && port.is_none_or(is_port)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests;
