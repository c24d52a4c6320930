use http::{Request, StatusCode};

use super::*;
use crate::fixtures::service;
use crate::scene::{Peer, Scene, soon};

fn head(uri: &str, lines: &[(&'static str, &str)]) -> Parts {
    let (mut head, ()) = Request::get(uri).body(()).unwrap().into_parts();
    for (name, value) in lines {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        head.headers.append(*name, value);
    }
    head
}

#[test]
fn a_blank_around_a_value_is_refused() {
    for value in [" a", "a ", "\ta", "a\t", " "] {
        let fault = check(&head("/", &[("x-role", value)])).unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.reason),
            (400, "malformed_request")
        );
    }
    for value in ["", "a", "a b", "a\tb"] {
        assert!(check(&head("/", &[("x-role", value)])).is_ok(), "{value:?}");
    }
}

#[test]
fn a_host_has_one_form() {
    for host in [
        "web",
        "web.shop",
        "Web.Shop.",
        "under_score:80",
        "10.0.0.1:8080",
        "[fd00::1]",
        "[::1]:80",
        "x:65535",
    ] {
        assert!(check(&head("/", &[("host", host)])).is_ok(), "{host}");
        let absolute = format!("http://{host}/");
        assert!(check(&head(&absolute, &[])).is_ok(), "{host}");
    }
    for host in [
        "a@web",
        "web:80:80",
        "web:",
        "web:+80",
        "web:65536",
        ":80",
        "web%2eshop",
        "a/../admin",
        "a b",
        "[::1",
        "[::1]80",
        "[::1]:",
        "[web]",
        "fd00::1",
        "caf\u{e9}",
    ] {
        let fault = check(&head("/", &[("host", host)])).unwrap_err();
        assert_eq!(fault.status.as_u16(), 400, "{host}");
    }
    assert!(check(&head("http://a@web/", &[])).is_err());
    assert!(check(&head("/", &[("host", "a"), ("host", "a")])).is_err());
    assert!(
        check(&head("/", &[("host", "")])).is_ok(),
        "as HTTP/1.1 may send it"
    );
}

/// The parser of HTTP/2 lets them through.
#[tokio::test]
async fn a_blank_around_a_value_does_not_reach_an_endpoint_from_http2() {
    let peer = Peer::start().await;
    let scene = Scene::new([service("server"), peer.serves("server-0", "server")]);
    let mut sender = scene.client_of_http2().await;
    for (name, value) in [
        ("x-role", &b" admin"[..]),
        ("authorization", b" Bearer a.b.c"),
        ("x", b"a\t"),
    ] {
        let value = HeaderValue::from_bytes(value).unwrap();
        let request = Request::get("http://s/")
            .header(name, value)
            .body(())
            .unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        assert_eq!(
            soon(answer).await.unwrap().status(),
            StatusCode::BAD_REQUEST
        );
    }
    scene.await_request(&["response_flags=\"DPE\""]).await;
    let counted = async {
        while scene.sum("ambit_refusals_total", &["malformed_request"]) < 3.0 {
            tokio::task::yield_now().await;
        }
    };
    soon(counted).await;
}
