use std::net::SocketAddr;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn routes() -> Routes {
    Routes::new()
        .get("/hello", "greets", |ask| {
            Page::text(format!(
                "hello {}\n",
                ask.parameter("name").unwrap_or_default()
            ))
        })
        .post("/echo", "says it again", |ask| Page::text(ask.body))
        .route(Method::GET, "/later", "is waited for", |_ask| async {
            tokio::task::yield_now().await;
            Page::json(&[1, 2])
        })
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

async fn start() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let ended = tokio::spawn(serve(listener, routes(), stop.clone()));
    Server {
        address,
        stop,
        ended,
    }
}

async fn send(address: SocketAddr, request: &[u8]) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer))
        .await
        .unwrap();
    // A refused oversized request may end in a reset after the answer.
    drop(read);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn pages_answer_by_method_and_path() {
    let server = start().await;
    let answer = send(server.address, &get("/hello?name=a%20b+c%zz")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("hello a b c%zz\n"), "{answer}");
    let answer = send(server.address, &get("/later")).await;
    assert!(answer.contains("application/json"), "{answer}");
    let post =
        b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc";
    assert!(send(server.address, post).await.ends_with("abc"));
    assert!(
        send(server.address, &get("/echo"))
            .await
            .starts_with("HTTP/1.1 405")
    );
}

#[tokio::test]
async fn an_unknown_page_gets_the_list_of_pages() {
    let server = start().await;
    let answer = send(server.address, &get("/nope")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    for expected in ["GET  /hello", "greets", "POST /echo"] {
        assert!(answer.contains(expected), "{answer}");
    }
}

#[tokio::test]
async fn garbage_and_oversize_are_refused_and_the_next_is_served() {
    let server = start().await;
    assert!(
        !send(server.address, b"\x16\x03\x01\x02\x00garbage\r\n\r\n")
            .await
            .contains("200")
    );
    let mut huge = b"GET /hello HTTP/1.1\r\nx: ".to_vec();
    huge.resize(200_000, b'a');
    huge.extend_from_slice(b"\r\n\r\n");
    assert!(!send(server.address, &huge).await.contains(" 200 "));
    let head =
        "POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 70000\r\n\r\n";
    let mut large = head.as_bytes().to_vec();
    large.resize(large.len() + 70_000, b'a');
    assert!(
        send(server.address, &large)
            .await
            .starts_with("HTTP/1.1 413")
    );
    assert!(
        send(server.address, &get("/hello"))
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn who_came_just_before_the_end_is_still_answered_once() {
    let server = start().await;
    // Connections are accepted in order: an answer on a later one shows that this one is.
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    send(server.address, &get("/hello")).await;
    server.stop.cancel();
    tokio::task::yield_now().await;
    tcp.write_all(b"GET /hello?name=late HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello late\n"), "{answer}");
    tokio::time::timeout(PATIENCE, server.ended)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn idle_connections_end_when_asked_to_stop() {
    let server = start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 8];
    idle.read_exact(&mut first).await.unwrap();
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, server.ended)
        .await
        .unwrap()
        .unwrap();
}
