//! Clients that leave, stall or break off, through all of the pipeline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::drain::Step;
use crate::fixtures::{call, service};
use crate::proxy::Bounds;
use crate::scene::{Peer, Scene, head, rest, soon};
use crate::view::LINGER;

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";

async fn scene() -> (Scene, Peer) {
    bounded(Bounds::default()).await
}

async fn bounded(bounds: Bounds) -> (Scene, Peer) {
    let peer = Peer::start().await;
    let scene = Scene::bounded(
        bounds,
        [service("server"), peer.serves("server-0", "server")],
    );
    (scene, peer)
}

fn impatient() -> Bounds {
    let mut bounds = Bounds::default();
    bounds.patience.body = Duration::from_millis(50);
    bounds
}

#[tokio::test]
async fn a_client_that_closes_before_its_answer_has_left() {
    let (scene, peer) = scene().await;
    for half in [false, true] {
        let mut client = scene.client();
        client
            .write_all(b"GET /wait HTTP/1.1\r\nHost: s\r\n\r\n")
            .await
            .unwrap();
        let (mut endpoint, _) = peer.asked().await;
        if half {
            client.shutdown().await.unwrap();
        } else {
            drop(client);
        }
        // The endpoint is told so.
        assert!(matches!(
            soon(endpoint.read(&mut [0])).await,
            Ok(0) | Err(_)
        ));
    }
    scene
        .await_request(&["response_flags=\"DC\"", "response_code=\"0\""])
        .await;
}

#[tokio::test]
async fn what_is_no_http_behind_a_request_is_answered_after_it() {
    let (scene, peer) = scene().await;
    let mut client = scene.client();
    client
        .write_all(b"GET /1 HTTP/1.1\r\nHost: s\r\n\r\nno http at all\r\n\r\n")
        .await
        .unwrap();
    let (mut endpoint, _) = peer.asked().await;
    endpoint.write_all(WELL.as_bytes()).await.unwrap();
    let all = rest(&mut client).await;
    let (first, second) = (all.find("well"), all.find("HTTP/1.1 400 "));
    assert!(first.is_some() && first < second, "{all}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_is_no_failure_of_the_endpoint() {
    let (scene, peer) = scene().await;
    let mut client = scene.client();
    let begin = "POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\n";
    client.write_all(begin.as_bytes()).await.unwrap();
    client.write_all(&[b'x'; 100_000]).await.unwrap();
    let (mut endpoint, _) = peer.asked().await;
    soon(endpoint.read_exact(&mut [0; 100_000])).await.unwrap();
    drop(client);
    scene
        .await_request(&["response_flags=\"DC\"", "response_code=\"0\""])
        .await;
    assert!(scene.sum("istio_requests_total", &["\"UC\""]) < 1.0);
    assert!(scene.sum("ambit_refusals_total", &[]) < 1.0);
}

#[tokio::test]
async fn a_body_that_is_no_http_is_the_clients_doing() {
    let (scene, peer) = scene().await;
    let mut client = scene.client();
    let bad = "POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n";
    client.write_all(bad.as_bytes()).await.unwrap();
    let (_endpoint, _) = peer.asked().await;
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    scene.await_request(&["response_flags=\"DPE\""]).await;
    let counted = scene.sum("ambit_refusals_total", &["malformed_request"]);
    assert!((counted - 1.0).abs() < 1e-9, "{counted}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up_in_both_versions() {
    let (scene, peer) = bounded(impatient()).await;
    for framing in [
        "Content-Length: 9\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n9",
    ] {
        let mut client = scene.client();
        let begin = format!("POST / HTTP/1.1\r\nHost: s\r\n{framing}");
        client.write_all(begin.as_bytes()).await.unwrap();
        let (_endpoint, _) = peer.asked().await;
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    let mut client = scene.client_of_http2().await;
    let request = http::Request::post("http://s/").body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"half"), false).unwrap();
    let (_endpoint, _) = peer.asked().await;
    assert_eq!(soon(answer).await.unwrap().status(), 408);
    assert!((scene.sum("ambit_refusals_total", &["slow_request"]) - 3.0).abs() < 1e-9);
    scene.await_request(&["response_flags=\"SI\""]).await;
}

#[tokio::test]
async fn a_body_that_no_one_expects_is_sent_on() {
    let (scene, peer) = scene().await;
    let mut client = scene.client();
    let get =
        "GET / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    client.write_all(get.as_bytes()).await.unwrap();
    let (mut endpoint, asked) = peer.asked().await;
    assert!(
        asked.to_lowercase().contains("transfer-encoding: chunked"),
        "{asked}"
    );
    let mut body = [0; 14];
    soon(endpoint.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"4\r\nbody\r\n0\r\n\r\n");
    endpoint.write_all(WELL.as_bytes()).await.unwrap();
    // One without a body goes on without.
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    soon(client.read_exact(&mut [0; 4])).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: s\r\n\r\n")
        .await
        .unwrap();
    let asked = head(&mut endpoint).await;
    assert!(
        !asked.to_lowercase().contains("transfer-encoding"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_client_has_only_so_many_requests_at_once_on_a_connection() {
    let (scene, _peer) = scene().await;
    let mut client = scene.client_of_http2().await;
    // The waypoint's settings come with its first answer.
    let wrong = http::Request::get("http://s/..").header("x-ambit-hops", "10");
    let (answer, _) = client.send_request(wrong.body(()).unwrap(), true).unwrap();
    assert_eq!(soon(answer).await.unwrap().status(), 508);
    assert_eq!(client.current_max_send_streams(), 250);
}

#[tokio::test]
async fn a_client_of_http2_that_takes_its_upload_back_has_left() {
    let (scene, peer) = scene().await;
    let mut client = scene.client_of_http2().await;
    let request = http::Request::post("http://s/").body(()).unwrap();
    let (_answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"half"), false).unwrap();
    let (_endpoint, _) = peer.asked().await;
    body.send_reset(h2::Reason::CANCEL);
    scene
        .await_request(&["response_flags=\"DC\"", "response_code=\"0\""])
        .await;
    assert!(scene.sum("ambit_refusals_total", &[]) < 1.0);
}

#[tokio::test]
async fn a_connection_of_http2_ends_when_what_it_was_made_for_is_bound_no_longer() {
    let (scene, peer) = scene().await;
    peer.answer(WELL);
    let call = call("10.0.0.99:4000");
    let tie = Arc::clone(&call.tie);
    let (mut client, open) = scene.client_of_http2_of(call).await;
    let request = http::Request::get("http://s/").body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    assert_eq!(soon(answer).await.unwrap().status(), 200);
    tie.go_on(Step::Draining);
    soon(open).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_of_http1_ends_when_the_time_after_a_binding_is_over() {
    let scene = Scene::bounded(Bounds::default(), [service("server")]);
    let call = call("10.0.0.99:4000");
    let tie = Arc::clone(&call.tie);
    let mut client = scene.client_of(call);
    let began = tokio::time::Instant::now();
    tie.go_on(Step::Draining);
    assert!(matches!(client.read(&mut [0]).await, Ok(0) | Err(_)));
    let took = began.elapsed();
    assert!((LINGER..LINGER * 2).contains(&took), "{took:?}");
}
