//! A request as an endpoint takes it: in one version of HTTP or the other.

use ambit_model::{AppProtocol, HttpVersion};
use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Request, Uri};
use hyper::body::Body as _;

use super::{Target, headers};
use crate::endpoint::Chosen;
use crate::http::body::Body;
use crate::upstream::pool::Version;
use crate::view::View;

/// How the endpoints of a target are spoken to: as the port says, or else as the client spoke. A call of gRPC
/// needs HTTP/2, whatever the port says; what only says that it is one, by HTTP/1, has no say in it. Where TLS
/// is begun with them, HTTP/1.1 is what all of them speak.
pub(super) fn version(view: &View, target: &Target, head: &Parts) -> Version {
    let mut begins_tls = false;
    let protocol = match target {
        Target::Service(name, number, subset) => {
            let cluster = view.cluster(name, *number, subset.as_deref());
            begins_tls = cluster.is_some_and(|cluster| cluster.terms.policy.tls.is_some());
            match cluster.map(|cluster| cluster.terms.policy.connections.http) {
                Some(HttpVersion::Http2) => return Version::Http2,
                Some(HttpVersion::OfClient) if head.version == http::Version::HTTP_2 => {
                    return Version::Http2;
                }
                Some(HttpVersion::OfClient) => return Version::Http1,
                Some(HttpVersion::OfPort) | None => {}
            }
            let service = view.mesh.service(name);
            let mut ports = service.into_iter().flat_map(|service| &service.ports);
            let port = ports.find(|port| port.service_port == *number);
            port.map_or(AppProtocol::Unknown, |port| port.app_protocol)
        }
        Target::Workload(_) => AppProtocol::Unknown,
    };
    let is_call = head.version == http::Version::HTTP_2 && headers::is_grpc(&head.headers);
    match protocol {
        _ if is_call => Version::Http2,
        AppProtocol::Http2 | AppProtocol::Grpc => Version::Http2,
        AppProtocol::Http11 => Version::Http1,
        _ if begins_tls => Version::Http1,
        _ if head.version == http::Version::HTTP_2 => Version::Http2,
        _ => Version::Http1,
    }
}

/// How a request is sent to an endpoint: as the client sends it, but in TLS where that is begun.
pub(super) fn scheme(chosen: &Chosen) -> Scheme {
    let terms = chosen.terms.as_ref();
    match terms.and_then(|terms| terms.begun(&chosen.destination)) {
        Some(_) => Scheme::HTTPS,
        None => Scheme::HTTP,
    }
}

/// The request in the form of that version.
pub(super) fn request(head: &Parts, version: Version, body: Body, on: &Scheme) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    let host = authority(head);
    match version {
        Version::Http1 => {
            *request.uri_mut() = match head.method {
                Method::CONNECT => head.uri.clone(),
                _ => origin_form(&head.uri),
            };
            if let Some(host) = host {
                request.headers_mut().insert(HOST, host);
            }
            if is_unforeseen(head, request.body()) {
                let chunked = HeaderValue::from_static("chunked");
                request.headers_mut().insert(TRANSFER_ENCODING, chunked);
            }
        }
        Version::Http2 => {
            *request.version_mut() = http::Version::HTTP_2;
            request.headers_mut().remove(HOST);
            *request.uri_mut() = absolute_form(&head.uri, host.as_ref(), on);
        }
    }
    request
}

/// Whether a request has a body where the parser expects none, and would leave it out unless the
/// headers say so.
fn is_unforeseen(head: &Parts, body: &Body) -> bool {
    matches!(head.method, Method::GET | Method::HEAD)
        && !body.is_end_stream()
        && body.size_hint().exact().is_none()
}

/// The host that the request is for.
pub(super) fn authority(head: &Parts) -> Option<HeaderValue> {
    let of_target = head.uri.authority().map(http::uri::Authority::as_str);
    let of_target = of_target.and_then(|host| HeaderValue::try_from(host).ok());
    of_target.or_else(|| head.headers.get(HOST).cloned())
}

/// Path and query alone.
fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.map_or_else(|| Uri::from_static("/"), Uri::from)
}

/// With scheme and host, which HTTP/2 sends apart. A request without a host goes without.
fn absolute_form(uri: &Uri, host: Option<&HeaderValue>, on: &Scheme) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = host.and_then(|host| host.to_str().ok());
    let whole = host.and_then(|host| {
        let builder = Uri::builder().scheme(on.clone()).authority(host);
        builder.path_and_query(path).build().ok()
    });
    whole.unwrap_or_else(|| origin_form(uri))
}

#[cfg(test)]
mod tests;
