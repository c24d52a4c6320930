//! Through a real parser: what it is shown, and what the client is answered.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, DuplexStream, duplex};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

const LIMITS: Limits = Limits {
    line: 1024,
    head: 4096,
    fields: 32,
};

/// A server that answers with method, path and body length, and counts what it was asked.
struct Server {
    client: DuplexStream,
    fault: FaultCell,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start() -> Self {
        let (client, server) = duplex(256);
        let verified = Verified::new(BufStream::new(server), LIMITS, PATIENCE);
        let fault = verified.fault();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let answer = service_fn(move |request: Request<Incoming>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                let (head, body) = request.into_parts();
                let length = body.collect().await.map_or(0, |body| body.to_bytes().len());
                let text = format!("{} {} {length}", head.method, head.uri.path());
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
            }
        });
        let serving = http1::Builder::new()
            .half_close(true)
            .serve_connection(verified, answer);
        tokio::spawn(serving);
        Self {
            client,
            fault,
            asked,
        }
    }

    fn fault(&self) -> Option<Fault> {
        self.fault.get().map(|wrong| wrong.fault)
    }

    /// Sends all, so many bytes at once, and reads until the server closes.
    async fn exchange(&mut self, text: &str, at_once: usize) -> String {
        let (mut reader, mut writer) = tokio::io::split(&mut self.client);
        let sending = async {
            for piece in text.as_bytes().chunks(at_once) {
                // The server may have closed already.
                drop(writer.write_all(piece).await);
            }
            drop(writer.shutdown().await);
        };
        let mut answer = Vec::new();
        let reading = reader.read_to_end(&mut answer);
        let both = async { tokio::join!(sending, reading) };
        let ((), read) = tokio::time::timeout(Duration::from_secs(10), both)
            .await
            .expect("the server neither answers nor closes");
        read.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

#[tokio::test]
async fn requests_in_any_pieces_are_answered_in_order() {
    let body = "b".repeat(3000);
    let text = format!(
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n{body}\
         POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n{body}\r\n0\r\nX: y\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    for at_once in [1, 7, 100, 10_000] {
        let mut server = Server::start();
        let answer = server.exchange(&text, at_once).await;
        let expected = ["POST /1 3000", "POST /2 3000", "GET /3 0"];
        let positions: Vec<_> = expected.iter().map(|text| answer.find(text)).collect();
        assert!(
            positions.iter().all(Option::is_some) && positions.is_sorted(),
            "{at_once}: {answer}"
        );
        assert_eq!(server.fault(), None);
    }
}

#[tokio::test]
async fn a_bad_head_is_never_shown_and_is_answered_after_those_before_it() {
    let good = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let bad = "GET /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for at_once in [1, 10_000] {
        let mut server = Server::start();
        let answer = server
            .exchange(&format!("{good}{bad}{good}"), at_once)
            .await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let refused = answer.find("HTTP/1.1 400 Bad Request\r\n").unwrap();
        assert!(answer.find("GET /1").unwrap() < refused, "{answer}");
        assert_eq!(server.asked.load(Ordering::Relaxed), 1);
        assert_eq!(server.fault(), Some(Fault::Ambiguous));
    }
}

#[tokio::test]
async fn a_bad_chunk_ends_the_request_without_a_second_answer() {
    let text =
        "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n";
    let mut server = Server::start();
    let answer = server.exchange(text, 10_000).await;
    assert!(!answer.contains("400 Bad Request"), "{answer}");
    assert_eq!(server.fault(), Some(Fault::Chunk));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_with_its_own_status() {
    let text = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(5000)
    );
    let mut server = Server::start();
    let answer = server.exchange(&text, 100).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
}

/// Sends this and nothing more, for as long as the server has patience.
async fn stall(text: &str) -> (String, Duration, Option<Fault>) {
    let mut server = Server::start();
    let began = Instant::now();
    server.client.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    server.client.read_to_string(&mut answer).await.unwrap();
    (answer, began.elapsed(), server.fault())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_to_its_end_is_given_up() {
    for text in ["G", "GET / HTTP/1.1\r\nHost: a\r\nX:", "\r"] {
        let (answer, took, fault) = stall(text).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{text:?}: {answer}");
        assert_eq!((took.as_secs(), fault), (30, Some(Fault::Late)), "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_all_its_time_for_each_request() {
    let mut server = Server::start();
    let pause = Duration::from_secs(25);
    for _ in 0..3 {
        // Between two requests there is no hurry.
        sleep(pause * 4).await;
        let begin = b"POST /1 HTTP/1.1\r\nHost: a\r\n";
        server.client.write_all(begin).await.unwrap();
        sleep(pause).await;
        let end = b"Content-Length: 4\r\n\r\nha";
        server.client.write_all(end).await.unwrap();
        sleep(pause * 2).await;
        server.client.write_all(b"lf").await.unwrap();
        let mut answer = vec![0; 256];
        let read = server.client.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.ends_with("POST /1 4"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_takes_as_long_as_it_comes_and_not_as_long_as_its_connection() {
    let pause = Duration::from_secs(7);
    for (pieces, took) in [
        (&["GET / HTTP/1.1\r\nno header\r\n\r\n"][..], Duration::ZERO),
        (
            &["GET / HTTP/1.1\r\n", "no ", "header\r\n\r\n"][..],
            pause * 2,
        ),
        (&["\r\nGET", " /"][..], PATIENCE),
    ] {
        let mut server = Server::start();
        sleep(pause * 10).await;
        let good = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
        server.client.write_all(good).await.unwrap();
        sleep(pause * 10).await;
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                sleep(pause).await;
            }
            server.client.write_all(piece.as_bytes()).await.unwrap();
        }
        let mut answers = String::new();
        server.client.read_to_string(&mut answers).await.unwrap();
        assert_eq!(
            server.fault.get().map(|wrong| wrong.took),
            Some(took),
            "{pieces:?}"
        );
    }
}
