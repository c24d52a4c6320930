//! Requests with tokens, through a waypoint in memory.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ambit_jwt::testing::{Signer, key_set};
use ambit_model::{
    Change, ClaimHeader, Condition, HeaderChanges, HttpFilters, HttpRule, JwtRule, PolicyName,
    RequestAction, RequestAuthentication, RequestRule, Service, TokenHeader, Workload,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::fixtures::{about_requests, routed, service, written_in};
use crate::scene::{Peer, Scene, head, rest};

static ISSUER: LazyLock<Signer> = LazyLock::new(Signer::edwards);
static OTHER: LazyLock<Signer> = LazyLock::new(Signer::edwards);

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn object(name: &str, rule: JwtRule) -> Change {
    Change::PutAuthentication(Arc::new(RequestAuthentication {
        name: PolicyName::new("shop", name),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            jwks: Some(key_set(&[ISSUER.public("one")]).into()),
            ..rule
        }],
    }))
}

fn subject_in(header: &str) -> JwtRule {
    JwtRule {
        output_claim_to_headers: vec![ClaimHeader {
            header: header.into(),
            claim: "sub".into(),
        }],
        ..JwtRule::default()
    }
}

fn token(signer: &Signer, more: &Value) -> String {
    let mut claims = json!({"iss": "issuer", "sub": "alice", "aud": "shop"});
    for (name, value) in more.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    signer.token(&json!({"alg": "EdDSA", "kid": "one"}), &claims)
}

/// The service, which names these.
fn server(names: &[&str]) -> Change {
    let Change::PutService(made) = service("server") else {
        panic!("no service")
    };
    let names = names.iter().map(|name| PolicyName::new("shop", *name));
    Change::PutService(Arc::new(Service {
        authentications: names.collect(),
        ..Service::clone(&made)
    }))
}

/// The same of an endpoint.
fn of_its_own(endpoint: Change, names: &[&str]) -> Change {
    let Change::PutWorkload(made) = endpoint else {
        panic!("no workload")
    };
    let names = names.iter().map(|name| PolicyName::new("shop", *name));
    Change::PutWorkload(Arc::new(Workload {
        authentications: names.collect(),
        ..Workload::clone(&made)
    }))
}

/// Sends a request; the answer, and what the endpoint saw if it was reached.
async fn ask(scene: &Scene, peer: &Peer, path: &str, headers: &str) -> (String, Option<String>) {
    let mut client = scene.client();
    let get = format!("GET {path} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n{headers}\r\n");
    client.write_all(get.as_bytes()).await.unwrap();
    tokio::select! {
        (mut endpoint, seen) = peer.asked() => {
            endpoint.write_all(WELL.as_bytes()).await.unwrap();
            (head(&mut client).await, Some(seen.to_ascii_lowercase()))
        }
        answer = rest(&mut client) => (answer, None),
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[tokio::test]
async fn a_good_token_passes_and_what_it_says_reaches_the_endpoint() {
    let peer = Peer::start().await;
    let changes = [
        object("tokens", subject_in("x-sub")),
        server(&["tokens"]),
        peer.serves("server-0", "server"),
    ];
    let scene = Scene::new(changes);
    let (_, seen) = ask(&scene, &peer, "/", "X-Sub: forged\r\n").await;
    assert!(!seen.unwrap().contains("x-sub"), "nobody forges it");
    let good = token(&ISSUER, &json!({}));
    let (answer, seen) = ask(&scene, &peer, "/", &bearer(&good)).await;
    let seen = seen.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(seen.contains("x-sub: alice\r\n"), "{seen}");
    assert!(!seen.contains("authorization"), "{seen}");
    let (_, seen) = ask(&scene, &peer, &format!("/a?b=1&access_token={good}"), "").await;
    assert!(seen.unwrap().starts_with("get /a?b=1 http"));
}

#[tokio::test]
async fn a_bad_token_is_told_what_is_wrong_with_it() {
    let peer = Peer::start().await;
    let rule = JwtRule {
        audiences: vec!["shop".into()],
        ..JwtRule::default()
    };
    let changes = [
        object("tokens", rule),
        server(&["tokens"]),
        peer.serves("server-0", "server"),
    ];
    let scene = Scene::new(changes);
    let none = |claims: &str| {
        let encode = |text: &str| {
            ISSUER
                .token_of(text, "{}")
                .split('.')
                .next()
                .unwrap()
                .to_owned()
        };
        format!("{}.{}.AAAA", encode(r#"{"alg":"none"}"#), encode(claims))
    };
    for (bad, status, said, reason) in [
        (
            token(&OTHER, &json!({})),
            401,
            "Jwt verification fails",
            "jwt_signature",
        ),
        (
            token(&ISSUER, &json!({"iss": "x"})),
            401,
            "Jwt issuer is not configured",
            "jwt_unknown_issuer",
        ),
        (
            token(&ISSUER, &json!({"exp": 1})),
            401,
            "Jwt is expired",
            "jwt_expired",
        ),
        (
            token(&ISSUER, &json!({"nbf": 1u64 << 40})),
            401,
            "Jwt not yet valid",
            "jwt_not_yet_valid",
        ),
        (
            token(&ISSUER, &json!({"aud": "x"})),
            403,
            "Audiences in Jwt are not allowed",
            "jwt_audience",
        ),
        (
            none(r#"{"iss":"issuer"}"#),
            401,
            "Jwt header [alg] is not supported",
            "jwt_algorithm",
        ),
        (
            "x.y".to_owned(),
            401,
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            "jwt_malformed",
        ),
    ] {
        let (answer, seen) = ask(&scene, &peer, "/a?b=c", &bearer(&bad)).await;
        assert!(seen.is_none(), "{said}");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{said}: {answer}"
        );
        let challenge =
            "www-authenticate: bearer realm=\"http://server/a\", error=\"invalid_token\"\r\n";
        assert!(answer.to_ascii_lowercase().contains(challenge), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{said}")), "{answer}");
        let reason = format!("reason=\"{reason}\"");
        let told = async {
            while scene.sum("ambit_refusals_total", &[&reason]) < 1.0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        crate::scene::soon(told).await;
    }
}

#[tokio::test]
async fn what_is_not_known_refuses_every_request() {
    let peer = Peer::start().await;
    let endpoint = || peer.serves("server-0", "server");
    let mut scene = Scene::new([server(&["tokens"]), endpoint()]);
    let (answer, seen) = ask(&scene, &peer, "/", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && seen.is_none(),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\nauthentication_unknown\n"),
        "{answer}"
    );
    scene.apply(object("tokens", JwtRule::default()));
    assert!(ask(&scene, &peer, "/", "").await.1.is_some());
    // The same of the endpoint.
    scene.apply(of_its_own(endpoint(), &["other"]));
    assert!(
        ask(&scene, &peer, "/", "")
            .await
            .0
            .starts_with("HTTP/1.1 503 ")
    );
    scene.apply(of_its_own(endpoint(), &["tokens"]));
    assert!(ask(&scene, &peer, "/", "").await.1.is_some());
}

#[tokio::test]
async fn an_endpoint_judges_the_request_as_the_client_sent_it() {
    let peer = Peer::start().await;
    let changes = [
        object("tokens", subject_in("x-sub")),
        object("own", subject_in("x-own")),
        server(&["tokens"]),
        of_its_own(peer.serves("server-0", "server"), &["own"]),
    ];
    let mut scene = Scene::new(changes);
    let good = bearer(&token(&ISSUER, &json!({})));
    let (_, seen) = ask(&scene, &peer, "/", &good).await;
    let seen = seen.unwrap();
    assert!(
        seen.contains("x-sub: alice\r\n") && seen.contains("x-own: alice\r\n"),
        "{seen}"
    );
    assert!(!seen.contains("authorization"), "{seen}");
    scene.apply(server(&[]));
    let (answer, seen) = ask(&scene, &peer, "/", &bearer(&token(&OTHER, &json!({})))).await;
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && seen.is_none(),
        "{answer}"
    );
    let (_, seen) = ask(&scene, &peer, "/", "X-Own: forged\r\n").await;
    assert!(!seen.unwrap().contains("x-own"));
}

#[test]
fn every_reason_for_a_token_is_in_the_table_of_reasons() {
    for reason in ambit_jwt::Reason::ALL {
        assert!(
            ambit_decide::Reason::from_word(reason.word()).is_some(),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn policies_of_an_endpoint_see_the_headers_that_are_made_for_it_and_no_forged_ones() {
    let peer = Peer::start().await;
    let (key, none): (_, [&str; 0]) = ("request.headers[x-own]", []);
    let header = Condition::parse(key, &["alice"], &none, &"shop".into()).unwrap();
    let rule = RequestRule {
        when: vec![header],
        ..RequestRule::default()
    };
    let policy = about_requests("p", RequestAction::Allow, vec![rule], &[]);
    let changes = [
        Change::PutPolicy(policy),
        object("own", subject_in("x-own")),
        server(&[]),
        of_its_own(peer.serves("server-0", "server"), &["own"]),
    ];
    let scene = Scene::new(changes);
    let (answer, seen) = ask(&scene, &peer, "/", "X-Own: alice\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && seen.is_none(),
        "{answer}"
    );
    let good = bearer(&token(&ISSUER, &json!({})));
    let (answer, seen) = ask(&scene, &peer, "/", &good).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(seen.unwrap().contains("x-own: alice\r\n"));
}

/// A request with a token of each of two issuers, in headers of their own.
#[tokio::test]
async fn what_allows_looks_at_the_first_token_and_what_denies_at_each() {
    let alice = |issuer: &str| token(&ISSUER, &json!({"iss": issuer}));
    let bob = |issuer: &str| token(&ISSUER, &json!({"iss": issuer, "sub": "bob"}));
    let none: [&str; 0] = [];
    let key = "request.auth.claims[sub]";
    for (action, subject, first, second, status) in [
        (RequestAction::Allow, "alice", alice("a"), bob("b"), "200"),
        (RequestAction::Allow, "alice", bob("a"), alice("b"), "403"),
        (RequestAction::Deny, "bob", alice("a"), alice("b"), "200"),
        (RequestAction::Deny, "bob", alice("a"), bob("b"), "403"),
        (RequestAction::Deny, "bob", bob("a"), alice("b"), "403"),
    ] {
        for of_endpoint in [false, true] {
            let peer = Peer::start().await;
            let object = |issuer: &str| {
                let header = TokenHeader {
                    name: format!("x-{issuer}").into(),
                    prefix: "".into(),
                };
                let rule = JwtRule {
                    from_headers: vec![header],
                    issuer: Some(issuer.into()),
                    jwks: Some(key_set(&[ISSUER.public("one")]).into()),
                    ..JwtRule::default()
                };
                Change::PutAuthentication(Arc::new(RequestAuthentication {
                    name: PolicyName::new("shop", issuer),
                    rules: vec![rule],
                }))
            };
            let (asked, own, targets) = match of_endpoint {
                true => (&[][..], &["a", "b"][..], &[][..]),
                false => (&["a", "b"][..], &[][..], &["server"][..]),
            };
            let claim = Condition::parse(key, &[subject], &none, &"shop".into()).unwrap();
            let rule = RequestRule {
                when: vec![claim],
                ..RequestRule::default()
            };
            let scene = Scene::new([
                Change::PutPolicy(about_requests("p", action, vec![rule], targets)),
                object("a"),
                object("b"),
                server(asked),
                of_its_own(peer.serves("server-0", "server"), own),
            ]);
            let headers = format!("x-a: {first}\r\nx-b: {second}\r\n");
            let (answer, _) = ask(&scene, &peer, "/", &headers).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{action:?} {of_endpoint}: {answer}"
            );
        }
    }
}

/// That the service `other` is for those of whom this is so.
fn allowed_if(key: &str, value: &str) -> Change {
    let none: [&str; 0] = [];
    let condition = Condition::parse(key, &[value], &none, &"shop".into()).unwrap();
    let rule = RequestRule {
        when: vec![condition],
        ..RequestRule::default()
    };
    let policy = about_requests("p", RequestAction::Allow, vec![rule], &["other"]);
    Change::PutPolicy(policy)
}

/// What its tokens say is what a service judges by that a route leads to, and so are headers that are made of that.
#[tokio::test]
async fn a_service_that_a_route_leads_to_judges_by_what_tokens_say_there() {
    for key in ["request.auth.claims[sub]", "request.headers[x-made]"] {
        for (subject, status) in [("alice", "200"), ("bob", "403")] {
            let peer = Peer::start().await;
            let Change::PutService(plain) = service("other") else {
                panic!("no service")
            };
            let judging = Service {
                authentications: vec![PolicyName::new("shop", "tokens")],
                ..Service::clone(&plain)
            };
            let scene = Scene::new([
                allowed_if(key, "alice"),
                object("tokens", subject_in("x-made")),
                server(&[]),
                Change::PutService(Arc::new(judging)),
                peer.serves("other-0", "other"),
                routed(&["other"], HttpRule::default()),
            ]);
            let good = bearer(&token(&ISSUER, &json!({"sub": subject})));
            let (answer, _) = ask(&scene, &peer, "/", &good).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{key} {subject}: {answer}"
            );
        }
    }
}

/// Anybody may write that tokens for his own services are signed by keys of his own.
#[tokio::test]
async fn what_another_namespace_has_verified_counts_for_nothing_where_a_route_leads() {
    for (verifier, status) in [("evil", "403"), ("shop", "200")] {
        let peer = Peer::start().await;
        let name = PolicyName::new(verifier, "tokens");
        let tokens = Change::PutAuthentication(Arc::new(RequestAuthentication {
            name: name.clone(),
            rules: vec![JwtRule {
                issuer: Some("issuer".into()),
                jwks: Some(key_set(&[OTHER.public("one")]).into()),
                from_headers: vec![TokenHeader {
                    name: "x-own".into(),
                    prefix: "".into(),
                }],
                ..JwtRule::default()
            }],
        }));
        let Change::PutService(made) = service("server") else {
            panic!("no service")
        };
        let asked = Service {
            authentications: vec![name],
            ..Service::clone(&made)
        };
        let scene = Scene::new([
            allowed_if("request.auth.principal", "issuer/alice"),
            tokens,
            Change::PutService(Arc::new(asked)),
            service("other"),
            peer.serves("other-0", "other"),
            routed(&["other"], HttpRule::default()),
        ]);
        let own = token(&OTHER, &json!({}));
        let (answer, _) = ask(&scene, &peer, "/", &format!("X-Own: {own}\r\n")).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{verifier}: {answer}");
    }
}

#[tokio::test]
async fn a_token_that_a_route_of_another_namespace_writes_is_verified() {
    for (writer, signer, status) in [
        ("evil", &*OTHER, "401"),
        ("evil", &*ISSUER, "200"),
        ("shop", &*OTHER, "200"),
    ] {
        let peer = Peer::start().await;
        let written = format!("Bearer {}", token(signer, &json!({})));
        let rule = HttpRule {
            filters: HttpFilters {
                request_headers: HeaderChanges {
                    set: vec![("authorization".into(), written.into())],
                    ..HeaderChanges::default()
                },
                ..HttpFilters::default()
            },
            ..HttpRule::default()
        };
        let scene = Scene::new([
            object("tokens", JwtRule::default()),
            service("server"),
            service("other"),
            of_its_own(peer.serves("other-0", "other"), &["tokens"]),
            written_in(writer, routed(&["other"], rule)),
        ]);
        let (answer, _) = ask(&scene, &peer, "/", "").await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{writer} {status}: {answer}");
    }
}
