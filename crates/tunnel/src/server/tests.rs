//! Foes and their like: peers that finish the handshake, or do not, and then misbehave.

use std::sync::atomic::Ordering;

use ambit_identity::client_config;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::Pool;
use crate::testing::{Serve, Server, World, check_echo, soon, until};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// HEADERS of a CONNECT without Huffman coding or table (RFC 7541 section 6.2.2).
fn connect(stream: u32) -> Vec<u8> {
    let mut block = vec![0x02, 7];
    block.extend(b"CONNECT");
    block.extend([0x01, 11]);
    block.extend(b"10.0.0.7:80");
    frame(1, 4, stream, &block)
}

/// `web`'s TLS connection to a server, with HTTP/2 left to the test.
async fn raw(world: &World, server: &Server) -> TlsStream<TcpStream> {
    let expected = [world.db.id().clone()].into();
    let config = client_config(&world.web, &world.trust, expected).unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("x").unwrap();
    soon(TlsConnector::from(config).connect(name, tcp))
        .await
        .unwrap()
}

/// The same, with the client's preface and settings sent.
async fn greeted(world: &World, server: &Server) -> TlsStream<TcpStream> {
    let mut tls = raw(world, server).await;
    tls.write_all(PREFACE).await.unwrap();
    tls.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    tls
}

/// Reads and throws away until the other side hangs up.
async fn drain<T: AsyncRead + Unpin>(tls: &mut T) {
    let mut ignored = vec![0; 64 << 10];
    while matches!(tls.read(&mut ignored).await, Ok(read) if read > 0) {}
}

/// Sends the same bytes until the server hangs up, reading answers or not.
async fn flood(tls: TlsStream<TcpStream>, mut next: impl FnMut(u32) -> Vec<u8>, read: bool) {
    let (mut from, mut to) = tokio::io::split(tls);
    let send = async {
        for round in 0..1_000_000 {
            if send_all(&mut to, &next(round)).await.is_err() {
                return;
            }
        }
    };
    let receive = async {
        if read {
            drain(&mut from).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    soon(async {
        tokio::select! {
            () = send => {}
            () = receive => {}
        }
    })
    .await;
}

async fn send_all<T: AsyncWrite + Unpin>(to: &mut T, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// The word of the only session error that a server has seen.
async fn the_error(server: &Server) -> &'static str {
    until(|| !server.seen.errors.lock().is_empty()).await;
    let errors = server.seen.errors.lock();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].word()
}

async fn still_serves(world: &World, server: &Server) {
    let pool = Pool::new(Settings::default());
    let mut opened = world.open(&pool, server.address).await.unwrap();
    check_echo(&mut opened.stream, "as if nothing had happened").await;
}

#[tokio::test]
async fn ping_and_settings_floods_end_the_session() {
    let world = World::new();
    for (kind, payload) in [(6, &[0; 8][..]), (4, &[]), (0xfe, &[1; 100])] {
        for read in [true, false] {
            let server = Server::echo(&world).await;
            let tls = greeted(&world, &server).await;
            flood(tls, |_| frame(kind, 0, 0, payload), read).await;
            assert_eq!(the_error(&server).await, "control_flood", "{kind} {read}");
            still_serves(&world, &server).await;
        }
    }
}

#[tokio::test]
async fn rapid_resets_end_the_session() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let tls = greeted(&world, &server).await;
    let open_and_reset = |round: u32| {
        let stream = round * 2 + 1;
        [connect(stream), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    };
    flood(tls, open_and_reset, true).await;
    // Either h2 notices that too many wait unseen, or we do that there are too many at all.
    let word = the_error(&server).await;
    assert!(["reset_flood", "protocol_error"].contains(&word), "{word}");
    still_serves(&world, &server).await;
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_one_by_one() {
    let world = World::new();
    let settings = Settings {
        max_streams: 5,
        ..Settings::default()
    };
    let server = Server::start(&world, settings, Serve::Echo).await;
    let mut tls = greeted(&world, &server).await;
    for round in 0..8 {
        tls.write_all(&connect(round * 2 + 1)).await.unwrap();
    }
    until(|| server.seen.streams.load(Ordering::SeqCst) == 5).await;
    let mut got = Vec::new();
    let refused = frame(3, 0, 11, &[0, 0, 0, 7]);
    soon(async {
        while !got.windows(refused.len()).any(|bytes| bytes == refused) {
            let mut block = [0; 4096];
            let read = tls.read(&mut block).await.unwrap();
            assert!(read > 0);
            got.extend_from_slice(&block[..read]);
        }
    })
    .await;
}

#[tokio::test]
async fn headers_over_the_limit_cost_no_memory_and_no_neighbour() {
    let world = World::new();
    let server = Server::echo(&world).await;
    // One field of 60 KiB fits a frame but not, twice, the list; CONTINUATION without end.
    let mut block = vec![0x02, 7];
    block.extend(b"CONNECT");
    let mut huge = vec![0x00, 1, b'x', 0x7f, 0xe1, 0xd3, 0x03];
    huge.extend(vec![b'y'; 60_000]);
    let tls = greeted(&world, &server).await;
    let more = |round| {
        if round == 0 {
            frame(1, 0, 1, &block)
        } else {
            frame(9, 0, 1, &huge)
        }
    };
    flood(tls, more, true).await;
    until(|| server.seen.ended.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.seen.streams.load(Ordering::SeqCst), 0);
    still_serves(&world, &server).await;
}

#[tokio::test]
async fn garbage_in_place_of_http_is_named_as_such() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let mut tls = raw(&world, &server).await;
    tls.write_all(&[0x5a; 1000]).await.unwrap();
    soon(drain(&mut tls)).await;
    until(|| !server.seen.failures.lock().is_empty()).await;
    let failure = server.seen.failures.lock()[0].clone();
    assert!(
        matches!(failure, HandshakeFailure::NotHttp2(_)),
        "{failure:?}"
    );
    assert_eq!(failure.word(), "bad_request");
}

#[tokio::test]
async fn garbage_after_a_good_start_ends_the_session() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let mut tls = greeted(&world, &server).await;
    tls.write_all(&frame(0, 0, 7, &[0x5a; 1000])).await.unwrap();
    soon(drain(&mut tls)).await;
    assert_eq!(the_error(&server).await, "protocol_error");
    still_serves(&world, &server).await;
}

#[tokio::test]
async fn garbage_in_place_of_tls_is_answered_with_an_alert() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    soon(tcp.read_to_end(&mut answer)).await.unwrap();
    // RFC 8446 section 5.1: content type alert.
    assert_eq!(answer.first(), Some(&21));
    until(|| !server.seen.failures.lock().is_empty()).await;
    assert_eq!(server.seen.failures.lock()[0].word(), "tls_failure");
}

#[tokio::test]
async fn a_handshake_that_stops_is_given_up() {
    let world = World::new();
    let settings = Settings {
        handshake_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let server = Server::start(&world, settings, Serve::Echo).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut half = raw(&world, &server).await;
    soon(async { tokio::join!(drain(&mut silent), drain(&mut half)) }).await;
    until(|| server.seen.failures.lock().len() == 2).await;
    for failure in server.seen.failures.lock().iter() {
        assert!(matches!(failure, HandshakeFailure::Timeout), "{failure:?}");
    }
}

#[tokio::test]
async fn a_request_tells_what_it_asks_for_and_when_it_is_given_up() {
    let world = World::new();
    let (give, mut take) = mpsc::unbounded_channel();
    let server = Server::start(&world, Settings::default(), Serve::HandIncoming(give)).await;
    let pool = Pool::new(Settings::default());
    let opening = tokio::spawn(async move { world.open(&pool, server.address).await.map(drop) });
    let mut incoming = soon(take.recv()).await.unwrap();
    assert!(incoming.is_connect());
    assert_eq!(incoming.authority(), Some("10.0.0.7:80"));
    assert_eq!(incoming.header("baggage"), Some("k8s=web"));
    assert_eq!(incoming.header("forwarded"), None);
    opening.abort();
    soon(incoming.cancelled()).await;
    assert!(incoming.accept(None).is_err());
}

#[tokio::test]
async fn a_drained_session_ends_after_its_last_stream() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let mut opened = world.open(&pool, server.address).await.unwrap();
    server.seen.drain.notify_waiters();
    for _ in 0..10 {
        check_echo(&mut opened.stream, "still there").await;
    }
    assert_eq!(server.seen.ended.load(Ordering::SeqCst), 0);
    opened.stream.finish().unwrap();
    assert!(soon(opened.stream.read()).await.unwrap().is_none());
    drop(opened);
    until(|| server.seen.ended.load(Ordering::SeqCst) == 1).await;
    assert!(server.seen.errors.lock().is_empty());
}
