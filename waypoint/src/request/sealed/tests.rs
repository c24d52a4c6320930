use std::net::IpAddr;
use std::time::Instant;

use ambit_jwt::testing::{Signer, key_set};
use ambit_model::{
    Change, ClaimHeader, JwtRule, PolicyName, RequestAuthentication, Service, TokenHeader,
};
use http::HeaderValue;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::fixtures::{name, service};
use crate::scene::{Peer, Scene, head};

/// Service `server`, whose tokens stand in `x_token` and say `x-sub`.
fn authenticated() -> [Change; 2] {
    let tokens = PolicyName::new("shop", "tokens");
    let rule = JwtRule {
        issuer: Some("issuer".into()),
        jwks: Some(key_set(&[Signer::edwards().public("one")]).into()),
        from_headers: vec![TokenHeader {
            name: "x_token".into(),
            prefix: "".into(),
        }],
        output_claim_to_headers: vec![ClaimHeader {
            header: "x-sub".into(),
            claim: "sub".into(),
        }],
        ..JwtRule::default()
    };
    let object = RequestAuthentication {
        name: tokens.clone(),
        rules: vec![rule],
    };
    let Change::PutService(made) = service("server") else {
        panic!("no service")
    };
    let named = Service {
        authentications: [tokens].into(),
        ..Service::clone(&made)
    };
    let object = Change::PutAuthentication(Arc::new(object));
    [object, Change::PutService(Arc::new(named))]
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

fn headers(names: &[&'static str]) -> HeaderMap {
    let value = HeaderValue::from_static("v");
    let named = names
        .iter()
        .map(|name| (HeaderName::from_static(name), value.clone()));
    named.collect()
}

#[test]
fn sealed_names_have_one_spelling_and_are_in_no_trailer() {
    let mut view = View::new(name("waypoint"), IpAddr::from([10, 0, 0, 1]));
    for change in authenticated() {
        view.apply(change, Instant::now());
    }
    let seal = Seal::of(&Arc::new(view));
    let sent = [
        "x_sub",
        "x-sub",
        "x_token",
        "x-token",
        "x-forwarded_client-cert",
        "x_forwarded_for",
        "x_ambit_hops",
        "x_other",
        "x-checksum",
    ];
    let mut head = headers(&sent);
    seal.take_in(&mut head);
    // Those in their own spelling are dealt with where they are set or read.
    assert_eq!(names(&head), ["x-checksum", "x-sub", "x_other", "x_token"]);
    let mut trailers = headers(&sent);
    trailers.extend(headers(&[
        "authorization",
        "forwarded",
        "x-forwarded-client-cert",
    ]));
    trailers.insert("x-blank", HeaderValue::from_static("v "));
    seal.take_in_trailers(&mut trailers);
    assert_eq!(names(&trailers), ["x-checksum", "x_other"]);
}

#[tokio::test]
async fn trailers_of_a_request_do_not_bring_sealed_names_to_the_endpoint() {
    let peer = Peer::start().await;
    let scene = Scene::new(
        authenticated()
            .into_iter()
            .chain([peer.serves("server-0", "server")]),
    );
    let mut client = scene.client();
    let request = "POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\
                   Trailer: x-sub, x-checksum, x-forwarded-client-cert\r\nx_sub: h\r\n\r\n\
                   1\r\na\r\n0\r\nx-sub: t\r\nx-forwarded-client-cert: By=t\r\n\
                   x-checksum: c\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut endpoint, sent) = peer.asked().await;
    assert!(!sent.contains("x_sub"), "{sent}");
    let body = head(&mut endpoint).await;
    assert_eq!(body, "1\r\na\r\n0\r\nx-checksum: c\r\n\r\n");
}
