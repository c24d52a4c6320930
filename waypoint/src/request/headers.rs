//! Headers between two hops: what belongs to one connection goes, what tells of the client comes.
//!
//! Of what clients say of themselves, `x-forwarded-for` and `x-forwarded-proto` are passed on, for
//! they are how proxies in front of them tell. What names an identity that we did not see proved
//! goes ([`CLAIMS`]).

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Response, Version};

use super::client::CLIENT_CERT;
use crate::call::Call;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// By this name a request is told from all others, in logs and traces.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What became of a gRPC call.
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Headers of one hop (RFC 9110, 7.6.1; RFC 7540, 3.2.1), beside `Connection` itself and what that names.
const HOP: [HeaderName; 6] = [
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What whoever terminated mutual TLS says of its client. Between a client and its waypoint that is
/// nobody but us, and we say it by the first of these where that is asked for.
const CLAIMS: [HeaderName; 2] = [CLIENT_CERT, HeaderName::from_static("forwarded")];

/// Makes a client's request ready to be routed and sent on.
pub(super) fn take_in(head: &mut Parts, call: &Call) {
    let takes_trailers = head
        .headers
        .get(TE)
        .is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    drop_hop(&mut head.headers);
    join_cookies(&mut head.headers);
    head.headers.remove(TE);
    if takes_trailers {
        head.headers
            .insert(TE, HeaderValue::from_static("trailers"));
    }
    // The parser answers it when the body is asked for.
    head.headers.remove(EXPECT);
    for name in &CLAIMS {
        head.headers.remove(name);
    }
    name_host(head, call);
    note_client(&mut head.headers, call);
    name_request(&mut head.headers);
}

/// Every request has a name of its own. HPACK is told not to keep it (RFC 7541, 7.1.3), for it would look
/// for the next one among all that it has kept, and these push out what does come again.
fn name_request(headers: &mut HeaderMap) {
    if let Some(id) = headers.get_mut(REQUEST_ID) {
        id.set_sensitive(true);
    } else if let Ok(mut id) = HeaderValue::try_from(new_id()) {
        id.set_sensitive(true);
        headers.insert(REQUEST_ID, id);
    }
}

/// Refuses an answer of HTTP/1 whose end might be taken for another one by whoever reads it next (RFC 9112, 6.1 and 6.3):
/// the parser goes by `Transfer-Encoding`, and passes on what else the answer says of its length, or form.
pub(super) fn check_framing<B>(answer: &Response<B>) -> Result<(), &'static str> {
    let headers = answer.headers();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().peekable();
    if codings.peek().is_none() {
        return Ok(());
    }
    if headers.contains_key(CONTENT_LENGTH) {
        return Err("the endpoint's answer has both Transfer-Encoding and Content-Length");
    }
    match codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        true => Ok(()),
        false => Err("the endpoint's answer has a Transfer-Encoding other than chunked"),
    }
}

/// Makes an endpoint's answer ready to be sent on.
pub(super) fn take_back(headers: &mut HeaderMap) {
    drop_hop(headers);
}

/// Clients of HTTP/2 may send cookies in several lines (RFC 9113, 8.2.3): they are one header all the same.
fn join_cookies(headers: &mut HeaderMap) {
    let lines = headers.get_all(COOKIE);
    if lines.iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = lines.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn drop_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP {
        headers.remove(name);
    }
}

/// HTTP/1.0 may leave the host out, the next hop may not: it is the address that was asked for.
fn name_host(head: &mut Parts, call: &Call) {
    if head.uri.authority().is_none() && !head.headers.contains_key(HOST) {
        let address = call.destination.to_string();
        if let Ok(host) = HeaderValue::try_from(address) {
            head.headers.insert(HOST, host);
        }
    }
}

/// The client's address goes behind those that are there, in however many lines.
fn note_client(headers: &mut HeaderMap, call: &Call) {
    let address = call.client.address.ip().to_canonical().to_string();
    let mut all = Vec::new();
    for before in headers.get_all(FORWARDED_FOR) {
        all.extend_from_slice(before.as_bytes());
        all.push(b',');
    }
    all.extend_from_slice(address.as_bytes());
    if let Ok(value) = HeaderValue::try_from(all) {
        headers.insert(FORWARDED_FOR, value);
    }
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> String {
    let random = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{random:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    let (a, b, c, d, e) = (
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// Whether a request speaks gRPC. Its relative for browsers, `application/grpc-web`, is not it.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    let after = kind.and_then(|kind| kind.as_bytes().strip_prefix(b"application/grpc"));
    after.is_some_and(|after| matches!(after.first(), None | Some(b'+' | b';')))
}

/// The status of gRPC in these headers or trailers.
pub(super) fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The protocol as logs name it.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests;
