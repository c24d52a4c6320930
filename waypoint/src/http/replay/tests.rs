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
async fn begun(most: usize) -> (DuplexStream, Replayable) {
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
    let patience = Duration::from_secs(60);
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
