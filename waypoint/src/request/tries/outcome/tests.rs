//! What tries come to, by how far the client's request has come.

use std::net::SocketAddr;

use http::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::http::body::Body;

type Result = std::result::Result<(Response<()>, ()), TryError>;

/// What is found on a connection that is closed.
async fn closed() -> hyper::Error {
    let (near, far) = tokio::io::duplex(64);
    drop(far);
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
    let (sent, _) = tokio::join!(sender.send_request(Request::new(Body::empty())), connection);
    sent.unwrap_err()
}

#[tokio::test]
async fn what_a_try_came_to_by_how_far_the_request_had_come() {
    use Came::{Broken, Partly, Whole};
    let to: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let not_taken = || async {
        let cause = closed().await;
        let stale = false;
        Err(SendError::NotTaken { to, cause, stale }.into())
    };
    let reset = || async {
        let cause = closed().await;
        let reused = false;
        Err(SendError::Reset { to, cause, reused }.into())
    };
    let unconnected = |error| Err(SendError::Connect(error).into());
    let late = |asked| {
        let of_try = true;
        Err(TryError::Timeout { asked, of_try })
    };
    let status = |status| Ok((Response::builder().status(status).body(()).unwrap(), ()));
    let answer = |status: u16| {
        Some(TryOutcome::Response {
            status: status.try_into().unwrap(),
            grpc_status: None,
        })
    };
    let unknown = || ConnectError::Link(LinkError::Unsupported("new".into()));
    let table: Vec<(Result, Came, Option<TryOutcome>, Option<Outcome>)> = vec![
        (status(200), Partly, answer(200), Some(Outcome::Status(200))),
        (status(503), Whole, answer(503), Some(Outcome::Status(503))),
        (
            late(true),
            Whole,
            Some(TryOutcome::Timeout),
            Some(Outcome::TimedOut),
        ),
        (late(true), Partly, None, None),
        (late(true), Broken, None, None),
        (late(false), Partly, Some(TryOutcome::Timeout), None),
        (late(false), Whole, Some(TryOutcome::Timeout), None),
        (
            reset().await,
            Whole,
            Some(TryOutcome::Reset),
            Some(Outcome::Reset),
        ),
        (
            reset().await,
            Partly,
            Some(TryOutcome::Reset),
            Some(Outcome::Reset),
        ),
        (reset().await, Broken, Some(TryOutcome::Reset), None),
        (
            not_taken().await,
            Whole,
            Some(TryOutcome::RefusedStream),
            Some(Outcome::Reset),
        ),
        (
            not_taken().await,
            Broken,
            Some(TryOutcome::RefusedStream),
            None,
        ),
        (
            unconnected(ConnectError::Late(to)),
            Partly,
            Some(TryOutcome::ConnectFailure),
            Some(Outcome::ConnectFailed),
        ),
        (
            unconnected(ConnectError::Full(to)),
            Whole,
            Some(TryOutcome::ConnectFailure),
            None,
        ),
        (unconnected(ConnectError::Pending(to)), Whole, None, None),
        (unconnected(unknown()), Whole, None, None),
        (
            Err(TryError::Refused(Box::new(
                Fault::unroutable(String::new()),
            ))),
            Whole,
            None,
            None,
        ),
    ];
    for (result, came, outcome, of_endpoint) in table {
        assert_eq!(outcome_of(&result, came), outcome, "{result:?}, {came:?}");
        assert_eq!(noted(&result, came), of_endpoint, "{result:?}, {came:?}");
    }
}

#[test]
fn whose_time_was_over_is_told() {
    for (of_try, flag) in [(true, Flag::TryTimeout), (false, Flag::Timeout)] {
        let late = TryError::Timeout {
            asked: true,
            of_try,
        };
        let fault = late.fault();
        assert_eq!((fault.status.as_u16(), fault.flag), (504, flag));
    }
}

/// What is found where an endpoint refuses a stream of HTTP/2.
async fn refused() -> hyper::Error {
    let (near, far) = tokio::io::duplex(1 << 16);
    let refuses = tokio::spawn(async move {
        let mut endpoint = h2::server::handshake(far).await.unwrap();
        while let Some(Ok((_, mut answer))) = endpoint.accept().await {
            answer.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(near));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://s/").body(Body::empty()).unwrap();
    let error = sender.send_request(request).await.unwrap_err();
    refuses.abort();
    connection.abort();
    error
}

#[tokio::test]
async fn an_endpoint_that_refuses_a_request_has_been_met() {
    let to = "127.0.0.1:1".parse().unwrap();
    for (cause, flag, reason) in [
        (refused().await, "UR", "upstream_reset"),
        (closed().await, "UF", "connect_failed"),
    ] {
        let stale = false;
        let fault = TryError::from(SendError::NotTaken { to, cause, stale }).fault();
        assert_eq!((fault.flag.letters(), fault.reason), (flag, reason));
    }
}
