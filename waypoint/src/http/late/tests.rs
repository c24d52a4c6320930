//! Clients that do not read what has to be complete by a time.

use std::io;
use std::time::Duration;

use ambit_model::HttpRule;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;

use super::*;
use crate::fixtures::{routed, service};
use crate::scene::{Peer, Scene, head, rest, soon};

/// Longer than anything on the way keeps.
const LENGTH: usize = 16 << 20;
const LIMIT: Duration = Duration::from_millis(300);

/// A service with a rule that has a time-out.
async fn scene() -> (Scene, Peer) {
    let peer = Peer::start().await;
    let rule = HttpRule {
        timeout: Some(LIMIT),
        ..HttpRule::default()
    };
    let scene = Scene::new([
        service("server"),
        peer.serves("server-0", "server"),
        routed(&["server"], rule),
    ]);
    (scene, peer)
}

/// Answers until the waypoint does not want it any more.
async fn answer(mut endpoint: TcpStream) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    endpoint.write_all(head.as_bytes()).await?;
    endpoint.write_all(&vec![b'x'; LENGTH]).await?;
    Ok(())
}

async fn get(client: &mut DuplexStream) {
    let get = b"GET / HTTP/1.1\r\nHost: s\r\n\r\n";
    client.write_all(get).await.unwrap();
}

#[tokio::test]
async fn a_client_of_http1_that_does_not_read_keeps_no_endpoint_beyond_the_time() {
    let (scene, peer) = scene().await;
    let mut client = scene.client();
    let began = Instant::now();
    get(&mut client).await;
    let (endpoint, _) = peer.asked().await;
    assert!(soon(answer(endpoint)).await.is_err());
    assert!(began.elapsed() >= LIMIT);
    scene.await_request(&["response_flags=\"UT\""]).await;
    // The connection ends with what it has of the answer.
    assert!(rest(&mut client).await.len() < LENGTH);
}

#[tokio::test]
async fn a_client_of_http2_that_does_not_read_keeps_no_endpoint_beyond_the_time() {
    let (scene, peer) = scene().await;
    let mut client = scene.client_of_http2().await;
    let began = Instant::now();
    let request = || http::Request::get("http://s/").body(()).unwrap();
    let (answered, _) = client.send_request(request(), true).unwrap();
    let (endpoint, _) = peer.asked().await;
    assert!(soon(answer(endpoint)).await.is_err());
    assert!(began.elapsed() >= LIMIT);
    scene.await_request(&["response_flags=\"UT\""]).await;
    // Its stream is reset, and the connection goes on.
    let mut body = soon(answered).await.unwrap().into_body();
    let error = async {
        loop {
            if let Err(error) = body.data().await.unwrap() {
                return error;
            }
        }
    };
    assert!(soon(error).await.is_reset());
    let (answered, _) = client.send_request(request(), true).unwrap();
    let (mut endpoint, _) = peer.asked().await;
    let empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    endpoint.write_all(empty).await.unwrap();
    assert_eq!(soon(answered).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_answer_that_never_waits_is_broken_off_too() {
    let (scene, peer) = scene().await;
    let mut client = scene.client();
    get(&mut client).await;
    let (mut endpoint, _) = peer.asked().await;
    // As much as is asked for, as long as it is asked for.
    let endless = async {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        endpoint.write_all(head.as_bytes()).await?;
        loop {
            endpoint.write_all(b"4\r\nmore\r\n").await?;
        }
    };
    let mut buffer = vec![0; 64 << 10];
    let read = async { while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    let (ended, ()) = soon(async { tokio::join!(endless, read) }).await;
    let _error: io::Result<()> = ended;
    scene.await_request(&["response_flags=\"UT\""]).await;
}

#[tokio::test]
async fn a_connection_whose_answer_was_in_time_goes_on() {
    let (scene, peer) = scene().await;
    let mut client = scene.client();
    get(&mut client).await;
    let (mut endpoint, _) = peer.asked().await;
    let empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    endpoint.write_all(empty).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    tokio::time::sleep(LIMIT * 2).await;
    get(&mut client).await;
    assert!(head(&mut endpoint).await.starts_with("GET / "));
    endpoint.write_all(empty).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
}

#[cfg(debug_assertions)]
#[tokio::test]
#[should_panic(expected = "nobody drives it")]
async fn a_time_that_nobody_keeps_is_told() {
    drop(Due::at(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_before_its_time_is_waited_for_no_longer() {
    let soon = Instant::now() + Duration::from_secs(1);
    let driven = in_time(Box::pin(async {
        drop(Due::at(soon));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let _due = Due::at(Instant::now());
        std::future::pending::<()>().await;
    }));
    let began = tokio::time::Instant::now();
    assert_eq!(driven.await, None);
    assert!(began.elapsed() >= Duration::from_secs(60));
}
