//! In which version of HTTP endpoints are spoken to.

use std::sync::Arc;
use std::time::Instant;

use ambit_model::{Change, ConnectionPolicy, OutsideTls, Service, TrafficPolicy};
use http::header::CONTENT_TYPE;

use super::*;
use crate::fixtures::{name, ruled, traffic};

/// A view with the service `server`, whose port speaks this and for which this holds.
fn view(port: AppProtocol, policy: TrafficPolicy) -> View {
    let Change::PutService(service) = ruled("server", traffic(policy)) else {
        panic!("no service")
    };
    let mut service = Service::clone(&service);
    service.ports[0].app_protocol = port;
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    view.apply(Change::PutService(Arc::new(service)), Instant::now());
    view
}

/// The head of a request in that version.
fn head(version: http::Version) -> Parts {
    let request = Request::get("http://s/").version(version).body(());
    request.unwrap().into_parts().0
}

fn by(http: HttpVersion) -> TrafficPolicy {
    TrafficPolicy {
        connections: ConnectionPolicy {
            http,
            ..ConnectionPolicy::default()
        },
        ..TrafficPolicy::default()
    }
}

#[test]
fn endpoints_are_spoken_to_as_the_rule_says_or_else_the_port_or_else_the_client() {
    use AppProtocol::{Grpc, Http2 as PortOf2, Http11, Unknown};
    use HttpVersion::{Http2, OfClient, OfPort};
    let target = Target::Service(name("server"), 80, None);
    let clients = [http::Version::HTTP_11, http::Version::HTTP_2];
    let (one, two) = (Version::Http1, Version::Http2);
    for (says, port, expected) in [
        (OfPort, Http11, [one, one]),
        (OfPort, PortOf2, [two, two]),
        (OfPort, Grpc, [two, two]),
        (OfPort, Unknown, [one, two]),
        (Http2, Http11, [two, two]),
        (Http2, Unknown, [two, two]),
        (OfClient, Http11, [one, two]),
        (OfClient, PortOf2, [one, two]),
        (OfClient, Grpc, [one, two]),
        (OfClient, Unknown, [one, two]),
    ] {
        let view = view(port, by(says));
        let spoken = clients.map(|client| version(&view, &target, &head(client)));
        assert_eq!(spoken, expected, "{says:?} {port:?}");
    }
}

#[test]
fn a_call_of_grpc_needs_http2_and_tls_outside_has_http1_unless_the_rule_says_otherwise() {
    let target = Target::Service(name("server"), 80, None);
    let mut call = head(http::Version::HTTP_2);
    let grpc = HeaderValue::from_static("application/grpc");
    call.headers.insert(CONTENT_TYPE, grpc);
    let of_http1 = view(AppProtocol::Http11, TrafficPolicy::default());
    assert_eq!(version(&of_http1, &target, &call), Version::Http2);
    for (http, expected) in [
        (HttpVersion::OfPort, Version::Http1),
        (HttpVersion::OfClient, Version::Http2),
    ] {
        let policy = TrafficPolicy {
            tls: Some(Arc::new(OutsideTls::default())),
            ..by(http)
        };
        let view = view(AppProtocol::Unknown, policy);
        let asked = head(http::Version::HTTP_2);
        assert_eq!(version(&view, &target, &asked), expected, "{http:?}");
    }
}
