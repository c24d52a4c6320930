//! What headers say of gRPC.

use super::*;

#[test]
fn grpc_is_told_by_the_content_type_alone() {
    for (kind, is_it) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc; charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/grpc-web+proto", false),
        ("application/json", false),
    ] {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
        assert_eq!(is_grpc(&headers), is_it, "{kind}");
    }
    assert!(!is_grpc(&HeaderMap::new()));
}

#[test]
fn a_status_of_grpc_is_a_number() {
    for (text, status) in [
        ("0", Some(0)),
        ("14", Some(14)),
        ("", None),
        ("-1", None),
        ("70000", None),
    ] {
        let headers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(text))]);
        assert_eq!(grpc_status(&headers), status, "{text}");
    }
}
