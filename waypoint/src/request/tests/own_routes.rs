//! Routes that a client's own namespace has written: they do not get a request past what judges it.

use std::sync::Arc;
use std::time::Duration;

use ambit_jwt::testing::{Signer, key_set};
use ambit_model::{
    Change, FaultDelay, Faults, HttpFilters, HttpRule, JwtRule, Operation, PathChange, Policy,
    PolicyName, RequestAction, RequestAuthentication, RequestRule, Rewrite, ServiceRoutes, Share,
    Workload,
};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use crate::fixtures::{about_requests, call, empty, routed, service};
use crate::scene::{Peer, Scene, rest};

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A rule of the namespace `team` that sends `/made` in place of whatever was asked for.
fn of_team(faults: Option<Faults>) -> Change {
    let rewrite = Rewrite {
        host: None,
        path: Some(PathChange::Full("/made".into())),
    };
    let rule = HttpRule {
        filters: HttpFilters {
            rewrite: Some(rewrite),
            ..HttpFilters::default()
        },
        faults,
        ..HttpRule::default()
    };
    let Change::PutRoutes(routes) = routed(&["server"], rule) else {
        panic!("no routes")
    };
    let mut routes = ServiceRoutes::clone(&routes);
    for of_port in routes.ports.values_mut() {
        let list = of_port.producer.take().unwrap();
        of_port.consumers.insert("team".into(), list);
    }
    Change::PutRoutes(Arc::new(routes))
}

/// That only this path may be asked for, bound to these.
fn allows(path: &str, targets: &[&str]) -> Arc<Policy> {
    let mut operation = Operation::default();
    operation.put("paths", &[path]).unwrap();
    let rule = RequestRule {
        to: vec![operation],
        ..RequestRule::default()
    };
    about_requests("p", RequestAction::Allow, vec![rule], targets)
}

/// A client of that namespace that has asked for `/came`.
async fn asking(scene: &Scene) -> DuplexStream {
    let mut call = call("10.0.0.9:4000");
    let id = "spiffe://cluster.local/ns/team/sa/client";
    call.client.identity = Some(id.parse().unwrap());
    let mut client = scene.client_of(call);
    let request = "GET /came HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test]
async fn they_put_nothing_else_in_place_of_what_was_judged() {
    let peer = Peer::start().await;
    let mut scene = Scene::new([
        service("server"),
        peer.serves("server-0", "server"),
        of_team(None),
    ]);
    peer.answer(WELL);
    for targets in [&[][..], &["server"], &["waypoint"]] {
        for (allowed, status) in [("/came", "403"), ("/*", "200")] {
            scene.apply(Change::PutPolicy(allows(allowed, targets)));
            let answer = rest(&mut asking(&scene).await).await;
            let expected = format!("HTTP/1.1 {status}");
            assert!(
                answer.starts_with(&expected),
                "{targets:?} {allowed}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn they_are_not_trusted_either_when_they_are_gone_while_their_request_waits() {
    let delay = FaultDelay {
        of: Share { share: 1, of: 1 },
        fixed: Duration::from_secs(1),
    };
    let faults = Faults {
        delay: Some(delay),
        abort: None,
    };
    for targets in [&[][..], &["server"]] {
        let peer = Peer::start().await;
        let mut scene = Scene::new([
            service("server"),
            peer.serves("server-0", "server"),
            of_team(Some(faults.clone())),
            Change::PutPolicy(allows("/came", targets)),
        ]);
        peer.answer(WELL);
        let mut client = asking(&scene).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        scene.apply(empty("server"));
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{targets:?}: {answer}");
    }
}

#[tokio::test]
async fn they_do_not_write_tokens_in_place_of_those_that_endpoints_verify() {
    let peer = Peer::start().await;
    let name = PolicyName::new("shop", "tokens");
    let authentication = RequestAuthentication {
        name: name.clone(),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            jwks: Some(key_set(&[Signer::edwards().public("one")]).into()),
            ..JwtRule::default()
        }],
    };
    let Change::PutWorkload(plain) = peer.serves("server-0", "server") else {
        panic!("no workload")
    };
    let judging = Workload {
        authentications: vec![name].into_iter().collect(),
        ..Workload::clone(&plain)
    };
    let mut scene = Scene::new([
        service("server"),
        Change::PutAuthentication(Arc::new(authentication)),
        Change::PutWorkload(Arc::new(judging)),
        of_team(None),
    ]);
    peer.answer(WELL);
    let answer = rest(&mut asking(&scene).await).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    scene.apply(empty("server"));
    let answer = rest(&mut asking(&scene).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
