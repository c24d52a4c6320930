//! What later tries read of a body.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

use super::*;
use crate::scene::{Scene, soon};

/// A body of unknown length that a client has begun to send, kept up to so many bytes.
pub(crate) async fn begun(most: usize) -> (DuplexStream, Replayable) {
    begun_by(most, Duration::from_secs(60)).await
}

/// The same, of which each piece is waited for so long.
async fn begun_by(most: usize, patience: Duration) -> (DuplexStream, Replayable) {
    let (mut client, far) = tokio::io::duplex(1 << 16);
    let (tell, mut told) = mpsc::channel(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            tell.send(request.into_body()).await.unwrap();
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(far), service));
    let head = b"POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head).await.unwrap();
    let body = soon(told.recv()).await.unwrap();
    let seal = Seal::of(&Scene::new([]).proxy.view());
    (client, Replayable::new(body, most, patience, seal))
}

/// The next piece of a body; what is wrong if there is none.
async fn piece(of: &mut Replay) -> Result<Bytes, BodyError> {
    let frame = soon(of.frame()).await.unwrap()?;
    Ok(frame.into_data().unwrap())
}

#[tokio::test]
async fn a_body_that_has_outgrown_its_bound_is_never_sent_in_part() {
    let (mut client, body) = begun(6).await;
    let mut first = body.once();
    client.write_all(b"4\r\nhell\r\n").await.unwrap();
    assert_eq!(piece(&mut first).await.unwrap(), "hell");
    // All of it can be sent again, and who has read so far reads no more.
    let mut second = body.once();
    assert_eq!(piece(&mut second).await.unwrap(), "hell");
    assert!(matches!(piece(&mut first).await, Err(BodyError::Abandoned)));
    client.write_all(b"4\r\no, w\r\n").await.unwrap();
    assert_eq!(piece(&mut second).await.unwrap(), "o, w");
    assert!(!body.may_repeat() && !body.take_back());
    let mut third = body.once();
    client.write_all(b"4\r\norld\r\n0\r\n\r\n").await.unwrap();
    assert!(matches!(piece(&mut third).await, Err(BodyError::Abandoned)));
}

/// A piece is a part of all that was read with it: it is not kept itself.
#[tokio::test]
async fn what_is_kept_is_as_much_as_was_sent_and_nothing_once_there_is_an_answer() {
    let (mut client, body) = begun(100).await;
    let mut first = body.once();
    for _ in 0..10 {
        client.write_all(b"2\r\nab\r\n").await.unwrap();
        piece(&mut first).await.unwrap();
    }
    let again = piece(&mut body.once()).await.unwrap();
    assert_eq!(again, "ab".repeat(10));
    assert!(body.0.lock().kept.capacity() <= 100);
    body.answered();
    assert!(!body.may_repeat());
    assert_eq!(body.0.lock().kept.capacity(), 0);
}

#[tokio::test]
async fn who_reads_when_another_try_begins_is_told_at_once() {
    let (_client, body) = begun(100).await;
    let mut first = body.once();
    let reads = tokio::spawn(async move { piece(&mut first).await });
    while body.0.lock().reader.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(body.take_back());
    let read = soon(reads).await.unwrap();
    assert!(matches!(read, Err(BodyError::Abandoned)), "{read:?}");
}

#[tokio::test]
async fn a_client_may_be_slow_once_there_is_an_answer() {
    let patience = Duration::from_millis(20);
    for is_answered in [false, true] {
        let (mut client, body) = begun_by(100, patience).await;
        let mut first = body.once();
        let reads = tokio::spawn(async move { piece(&mut first).await });
        if is_answered {
            body.answered();
        }
        sleep(5 * patience).await;
        client.write_all(b"2\r\nab\r\n").await.unwrap();
        let read = soon(reads).await.unwrap();
        assert_eq!(read.is_ok(), is_answered, "{read:?}");
    }
}
