//! Times that begin when all of a request has come.

use std::time::Duration;

use ambit_model::{ConnectionPolicy, HttpRule, Retry, RetryOn, ServiceTraffic, TrafficPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::fixtures::{routed, ruled, service};
use crate::scene::{Peer, Scene, head, rest, soon};

const LIMIT: Duration = Duration::from_millis(150);
const HALF: &[u8] =
    b"POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc";
const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn timed(timeout: Option<Duration>, try_timeout: Option<Duration>) -> HttpRule {
    HttpRule {
        timeout,
        try_timeout,
        retry: Some(Retry {
            attempts: 1,
            backoff: None,
            on: RetryOn {
                gateway_error: true,
                ..RetryOn::default()
            },
        }),
        timed_from_end: true,
        ..HttpRule::default()
    }
}

fn scene(peer: &Peer, rule: HttpRule) -> Scene {
    let routes = routed(&["server"], rule);
    Scene::new([service("server"), peer.serves("server-0", "server"), routes])
}

#[tokio::test]
async fn a_slow_upload_is_not_late() {
    for rule in [timed(Some(LIMIT), None), timed(None, Some(LIMIT))] {
        let peer = Peer::start().await;
        let scene = scene(&peer, rule);
        let mut client = scene.client();
        client.write_all(HALF).await.unwrap();
        let (mut endpoint, _) = peer.asked().await;
        // Nothing is said meanwhile.
        let early = tokio::time::timeout(LIMIT * 3, client.read_u8()).await;
        assert!(early.is_err(), "{early:?}");
        client.write_all(b"def").await.unwrap();
        let mut body = [0; 6];
        soon(endpoint.read_exact(&mut body)).await.unwrap();
        endpoint.write_all(WELL).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

#[tokio::test]
async fn time_runs_from_the_end_of_the_upload() {
    let peer = Peer::start().await;
    let scene = scene(&peer, timed(Some(LIMIT), None));
    let mut client = scene.client();
    client.write_all(HALF).await.unwrap();
    let (_silent, _) = peer.asked().await;
    let early = tokio::time::timeout(LIMIT * 2, client.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    let whole = Instant::now();
    client.write_all(b"def").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(whole.elapsed() >= LIMIT);
}

#[tokio::test]
async fn a_try_is_late_when_all_has_come_and_another_has_its_own_time() {
    let peer = Peer::start().await;
    let scene = scene(&peer, timed(None, Some(LIMIT)));
    let mut client = scene.client();
    client.write_all(HALF).await.unwrap();
    let (_silent, _) = peer.asked().await;
    client.write_all(b"def").await.unwrap();
    let (mut endpoint, _) = peer.asked().await;
    endpoint.write_all(WELL).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn an_answer_that_begins_before_the_request_has_come_is_late_when_that_has() {
    let peer = Peer::start().await;
    let scene = scene(&peer, timed(Some(LIMIT), None));
    let mut client = scene.client();
    client.write_all(HALF).await.unwrap();
    let (mut endpoint, _) = peer.asked().await;
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc";
    endpoint.write_all(begun).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut half = [0; 3];
    soon(client.read_exact(&mut half)).await.unwrap();
    let early = tokio::time::timeout(LIMIT * 2, client.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    client.write_all(b"def").await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    scene.await_request(&["response_flags=\"UT\""]).await;
}

#[tokio::test]
async fn a_try_has_no_time_any_more_once_its_answer_has_begun() {
    let peer = Peer::start().await;
    let scene = scene(&peer, timed(None, Some(LIMIT)));
    let mut client = scene.client();
    let get = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    client.write_all(get).await.unwrap();
    let (mut endpoint, _) = peer.asked().await;
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
    endpoint.write_all(begun).await.unwrap();
    head(&mut client).await;
    let early = tokio::time::timeout(LIMIT * 2, client.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    endpoint.write_all(b"a").await.unwrap();
    assert_eq!(rest(&mut client).await, "a");
}

#[tokio::test]
async fn who_waits_for_a_connection_has_its_time_from_the_head() {
    let peer = Peer::start().await;
    let connections = ConnectionPolicy {
        connections: Some(1),
        ..ConnectionPolicy::default()
    };
    let any = TrafficPolicy {
        connections,
        ..TrafficPolicy::default()
    };
    let mut traffic = ServiceTraffic::default();
    traffic.whole.any = any;
    let mut scene = scene(&peer, timed(Some(LIMIT), None));
    scene.apply(ruled("server", traffic));
    let mut first = scene.client();
    first.write_all(HALF).await.unwrap();
    let _held = peer.asked().await;
    let mut second = scene.client();
    second.write_all(HALF).await.unwrap();
    let answer = rest(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}
