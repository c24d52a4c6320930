//! What rules may do since there are VirtualServices.

use std::time::Duration;

use ambit_jwt::testing::{Signer, key_set};
use ambit_model::{
    AbortStatus, Change, Content, Cors, DirectResponse, FaultAbort, FaultDelay, Faults,
    HeaderChanges, HttpBackend, HttpFilters, HttpRule, JwtRule, Operation, PathChange, PolicyName,
    Redirect, RequestAction, RequestAuthentication, RequestRule, RouteList, Service, Share,
    SpiffeId,
};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::super::*;
use crate::fixtures::{about_requests, call, routed, service};
use crate::scene::{CLIENT, Peer, Scene, rest, soon};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
const ALL: Share = Share { share: 1, of: 1 };

/// A waypoint whose only rule is this, before a server that would answer 200.
async fn scene(rule: HttpRule) -> Scene {
    let peer = Peer::start().await;
    let changes = [
        service("server"),
        peer.serves("server-0", "server"),
        routed(&["server"], rule),
    ];
    peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    Scene::new(changes)
}

/// The answer to a request, with its body.
async fn ask(scene: &Scene, request: &[u8]) -> String {
    let mut client = scene.client();
    client.write_all(request).await.unwrap();
    rest(&mut client).await
}

#[tokio::test]
async fn an_abort_answers_in_the_form_of_the_client_and_is_told_of() {
    let abort = |with| HttpRule {
        faults: Some(Faults {
            delay: None,
            abort: Some(FaultAbort { of: ALL, with }),
        }),
        ..HttpRule::default()
    };
    let of_grpc = b"POST /a/b HTTP/1.1\r\nHost: s\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (with, request, expected) in [
        (AbortStatus::Http(418), GET, "HTTP/1.1 418 "),
        (AbortStatus::Grpc(14), GET, "HTTP/1.1 503 "),
        (AbortStatus::Grpc(8), &of_grpc[..], "grpc-status: 8\r\n"),
        (AbortStatus::Http(503), &of_grpc[..], "grpc-status: 14\r\n"),
    ] {
        let scene = scene(abort(with)).await;
        let answer = ask(&scene, request).await;
        assert!(answer.contains(expected), "{with:?}: {answer}");
        scene.await_request(&["response_flags=\"FI\""]).await;
    }
}

/// What comes to the server of a request, by a rule and its only backend that change headers.
async fn received(of_rule: HeaderChanges, of_backend: HeaderChanges) -> String {
    let filters = |request_headers| HttpFilters {
        request_headers,
        ..HttpFilters::default()
    };
    let rule = HttpRule {
        filters: filters(of_rule),
        ..HttpRule::default()
    };
    let peer = Peer::start().await;
    let changing = of_backends(routed(&["server"], rule), |backend| {
        backend.filters = filters(of_backend.clone());
    });
    let changes = [
        service("server"),
        peer.serves("server-0", "server"),
        changing,
    ];
    let scene = Scene::new(changes);
    let mut client = scene.client();
    let request = b"GET / HTTP/1.1\r\nHost: s\r\nX-Team: forged\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let (_server, asked) = soon(peer.asked()).await;
    asked.to_ascii_lowercase()
}

#[tokio::test]
async fn a_backend_changes_headers_before_the_rule_does() {
    let one = |value: &str| vec![("x-team".into(), value.into())];
    let set = |value| HeaderChanges {
        set: one(value),
        ..HeaderChanges::default()
    };
    let add = |value| HeaderChanges {
        add: one(value),
        ..HeaderChanges::default()
    };
    let remove = || HeaderChanges {
        remove: vec!["x-team".into()],
        ..HeaderChanges::default()
    };
    for (of_rule, of_backend, expected) in [
        (add("rule"), remove(), vec!["rule"]),
        (add("rule"), set("own"), vec!["own", "rule"]),
        (add("rule"), add("own"), vec!["forged", "own", "rule"]),
        (set("rule"), set("own"), vec!["rule"]),
        (set("rule"), remove(), vec!["rule"]),
        (remove(), set("own"), vec![]),
        (remove(), add("own"), vec![]),
        (HeaderChanges::default(), set("own"), vec!["own"]),
    ] {
        let told = format!("{of_rule:?} {of_backend:?}");
        let asked = received(of_rule, of_backend).await;
        let lines = asked.lines();
        let values: Vec<_> = lines
            .filter_map(|line| line.strip_prefix("x-team: "))
            .collect();
        assert_eq!(values, expected, "{told}");
    }
}

#[tokio::test]
async fn a_delayed_request_waits_without_its_time_running() {
    let delay = Duration::from_millis(300);
    let rule = HttpRule {
        timeout: Some(Duration::from_millis(250)),
        faults: Some(Faults {
            delay: Some(FaultDelay {
                of: ALL,
                fixed: delay,
            }),
            abort: None,
        }),
        ..HttpRule::default()
    };
    let scene = scene(rule).await;
    let began = Instant::now();
    let answer = ask(&scene, GET).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(began.elapsed() >= delay);
    scene.await_request(&["response_flags=\"DI\""]).await;
}

/// The answer to a request that its rule lets wait, while this is put in force.
async fn while_it_waits(scene: &mut Scene, request: &[u8], changes: Vec<Change>) -> String {
    let mut client = scene.client();
    client.write_all(request).await.unwrap();
    // Nothing goes on in time that stands still but the wait.
    tokio::time::sleep(DELAY / 2).await;
    for change in changes {
        scene.apply(change);
    }
    rest(&mut client).await
}

/// How long requests wait that [`waiting`] is met by.
const DELAY: Duration = Duration::from_secs(4);

/// A rule that lets requests wait and then answers them.
fn waiting() -> HttpRule {
    HttpRule {
        faults: Some(Faults {
            delay: Some(FaultDelay {
                of: ALL,
                fixed: DELAY,
            }),
            abort: None,
        }),
        direct_response: Some(DirectResponse {
            status: 200,
            body: None,
        }),
        ..HttpRule::default()
    }
}

/// Tokens that this has signed are good, and go no further.
fn tokens_of(signer: &Signer) -> Change {
    Change::PutAuthentication(Arc::new(RequestAuthentication {
        name: PolicyName::new("shop", "tokens"),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            jwks: Some(key_set(&[signer.public("one")]).into()),
            ..JwtRule::default()
        }],
    }))
}

/// The service, which has tokens judged by [`tokens_of`].
fn judging() -> Change {
    let Change::PutService(plain) = service("server") else {
        panic!("no service")
    };
    Change::PutService(Arc::new(Service {
        authentications: vec![PolicyName::new("shop", "tokens")],
        ..Service::clone(&plain)
    }))
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_is_judged_by_what_holds_when_it_goes_on() {
    // Of one path: where nothing may be asked for any more the connection ends.
    let denies = |path: &str| {
        let mut operation = Operation::default();
        operation.put("paths", &[path]).unwrap();
        let rule = RequestRule {
            to: vec![operation],
            ..RequestRule::default()
        };
        let policy = about_requests("p", RequestAction::Deny, vec![rule], &["server"]);
        vec![Change::PutPolicy(policy)]
    };
    let judges = || vec![judging()];
    let bad =
        b"GET / HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer a.b.c\r\nConnection: close\r\n\r\n";
    for (request, changes, status) in [
        (GET, vec![], "200"),
        (GET, denies("/"), "403"),
        (GET, denies("/other"), "200"),
        (GET, judges(), "200"),
        (&bad[..], judges(), "401"),
        (&bad[..], vec![service("other")], "200"),
    ] {
        let told = format!("{changes:?}");
        let mut scene = Scene::new([
            tokens_of(&Signer::edwards()),
            service("server"),
            routed(&[], waiting()),
        ]);
        let answer = while_it_waits(&mut scene, request, changes).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{told}: {answer}");
        scene.await_request(&["response_flags=\"DI"]).await;
    }
}

/// The token is no longer there when it goes on.
#[tokio::test(start_paused = true)]
async fn so_is_a_token_that_was_judged_before_the_delay() {
    let (signer, other) = (Signer::edwards(), Signer::edwards());
    let claims = json!({"iss": "issuer", "sub": "alice"});
    let token = signer.token(&json!({"alg": "EdDSA", "kid": "one"}), &claims);
    let get = format!(
        "GET / HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    for (changes, status) in [
        (vec![service("other")], "200"),
        (vec![tokens_of(&signer)], "200"),
        (vec![tokens_of(&other)], "401"),
        (vec![tokens_of(&other), service("server")], "200"),
    ] {
        let told = format!("{changes:?}");
        let mut scene = Scene::new([tokens_of(&signer), judging(), routed(&[], waiting())]);
        let answer = while_it_waits(&mut scene, get.as_bytes(), changes).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{told}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_audits_is_told_once_of_a_delayed_request() {
    let everything = vec![RequestRule::default()];
    let audit = about_requests("p", RequestAction::Audit, everything, &["server"]);
    let mut scene = Scene::new([
        service("server"),
        Change::PutPolicy(audit),
        routed(&[], waiting()),
    ]);
    let answer = while_it_waits(&mut scene, GET, vec![service("other")]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let told = scene.sum("ambit_policy_audited_total", &["policy=\"shop/p\""]);
    assert!((told - 1.0).abs() < f64::EPSILON, "{told}");
}

#[tokio::test]
async fn a_rule_answers_by_itself_with_its_headers() {
    let rule = |status, body: Option<&str>| HttpRule {
        direct_response: Some(DirectResponse {
            status,
            body: body.map(|text| Content::Text(text.into())),
        }),
        filters: HttpFilters {
            response_headers: HeaderChanges {
                set: vec![("x-why".into(), "closed".into())],
                ..HeaderChanges::default()
            },
            ..HttpFilters::default()
        },
        ..HttpRule::default()
    };
    let scene_of = |status, body| scene(rule(status, body));
    let answer = ask(&scene_of(503, Some("closed")).await, GET).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("x-why: closed\r\n") && answer.ends_with("\r\n\r\nclosed"),
        "{answer}"
    );
    let answer = ask(&scene_of(200, None).await, GET).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let of_head = b"HEAD / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    let answer = ask(&scene_of(200, Some("long")).await, of_head).await;
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

/// The routes of the service, with every backend changed.
pub(super) fn of_backends(change: Change, change_one: impl Fn(&mut HttpBackend)) -> Change {
    let Change::PutRoutes(routes) = change else {
        panic!("no routes")
    };
    let mut routes = (*routes).clone();
    for port in routes.ports.values_mut() {
        let Some(RouteList::Http(http)) = &mut port.producer else {
            panic!("no list for requests")
        };
        for rule in &mut http.rules {
            Arc::make_mut(rule)
                .backends
                .iter_mut()
                .for_each(&change_one);
        }
    }
    Change::PutRoutes(Arc::new(routes))
}

#[tokio::test]
async fn a_subset_that_nobody_defines_is_not_reached() {
    let peer = Peer::start().await;
    let changes = [
        service("server"),
        peer.serves("server-0", "server"),
        of_backends(routed(&["server"], HttpRule::default()), |backend| {
            if let BackendTarget::Service { subset, .. } = &mut backend.backend.target {
                *subset = Some("v1".into());
            }
        }),
    ];
    let scene = Scene::new(changes);
    let answer = ask(&scene, GET).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("unknown_subset\n"), "{answer}");
    scene.await_request(&["response_flags=\"NC\""]).await;
}

#[test]
fn a_client_is_of_the_namespace_that_it_proved_and_has_the_labels_of_its_own_pod_alone() {
    let peer = crate::fixtures::endpoint("web-0", "web", "10.1.0.9", ambit_model::Health::Healthy);
    let Change::PutWorkload(workload) = peer else {
        panic!("no workload")
    };
    let labels: std::collections::BTreeMap<Arc<str>, Arc<str>> =
        [("app".into(), "web".into())].into();
    let workload = Arc::new(ambit_model::Workload {
        labels: labels.clone(),
        ..(*workload).clone()
    });
    let mesh = ambit_model::Mesh::default();
    let mut client = call(CLIENT).client;
    client.workload = Some(Arc::clone(&workload));
    let source = client.source(&mesh);
    assert_eq!((source.namespace, source.labels), (None, None));
    client.identity = Some(workload.identity());
    let source = client.source(&mesh);
    assert_eq!(
        (source.namespace, source.labels),
        (Some("shop"), Some(&labels))
    );
    client.identity = Some(SpiffeId::from_parts("cluster.local", "shop", "other"));
    let source = client.source(&mesh);
    assert_eq!((source.namespace, source.labels), (Some("shop"), None));
}

/// As in Envoy, whose filters of a route see its own answers too.
#[tokio::test]
async fn what_a_rule_puts_on_answers_stands_on_the_waypoints_own() {
    let set = |name: &str, text: &str| HeaderChanges {
        set: vec![(name.into(), text.into())],
        ..HeaderChanges::default()
    };
    let cors = Cors {
        allow_origins: vec!["http://shop.example".into()],
        origin_matches: Vec::new(),
        passes_others: true,
        allow_credentials: false,
        allow_methods: Vec::new(),
        allow_headers: Vec::new(),
        expose_headers: Vec::new(),
        max_age: None,
    };
    let redirect = Redirect {
        path: Some(PathChange::Full("/new".into())),
        status: 308,
        scheme: None,
        host: None,
        port: None,
        as_asked: true,
    };
    let abort = FaultAbort {
        of: ALL,
        with: AbortStatus::Http(418),
    };
    for (status, redirect, abort, is_told) in [
        ("308", Some(redirect), None, true),
        ("418", None, Some(abort), false),
        ("503", None, None, true),
    ] {
        let rule = HttpRule {
            filters: HttpFilters {
                response_headers: set("x-rule", "yes"),
                cors: Some(cors.clone()),
                redirect,
                ..HttpFilters::default()
            },
            faults: abort.map(|abort| Faults {
                delay: None,
                abort: Some(abort),
            }),
            ..HttpRule::default()
        };
        let to: &[&str] = if status == "308" { &[] } else { &["server"] };
        let scene = Scene::new([service("server"), routed(to, rule)]);
        let mut client = scene.client();
        let request = "GET /old HTTP/1.1\r\nHost: s\r\nOrigin: http://shop.example\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut client).await.to_ascii_lowercase();
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("\r\nx-rule: yes\r\n"), "{answer}");
        let told = answer.contains("\r\naccess-control-allow-origin: http://shop.example\r\n");
        assert_eq!(told, is_told, "{answer}");
    }
}
