//! A client's connection that speaks HTTP: its requests are answered one by one.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::verified::Verified;
use crate::call::Call;
use crate::proxy::Proxy;
use crate::request;

/// Window of one HTTP/2 stream, for what clients send.
const STREAM_WINDOW: u32 = 1 << 20;
/// Window of one HTTP/2 connection.
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves HTTP/1.
pub(crate) async fn http1<C>(proxy: &Arc<Proxy>, call: &Arc<Call>, connection: C)
where
    C: AsyncBufRead + AsyncWrite + Unpin + Send + 'static,
{
    let verified = Verified::new(connection, proxy.bounds.head);
    let fault = verified.fault();
    let serving = http1::Builder::new()
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(proxy.bounds.head_time)
        .serve_connection(verified, service_fn(answering(proxy, call)))
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = proxy.drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    let client = call.client.address;
    if let Some(fault) = fault.get() {
        tracing::info!(%client, reason = "malformed_request", "a request was refused: {fault}");
    } else if let Err(error) = ended {
        tracing::debug!(%client, %error, "a client's connection broke");
    }
}

/// Serves HTTP/2 with prior knowledge.
pub(crate) async fn http2<C>(proxy: &Arc<Proxy>, call: &Arc<Call>, connection: C)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(proxy.bounds.streams)
        .max_header_list_size(u32::try_from(proxy.bounds.head.head).unwrap_or(u32::MAX))
        .serve_connection(TokioIo::new(connection), service_fn(answering(proxy, call)));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = proxy.drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(client = %call.client.address, %error, "a client's connection broke");
    }
}

/// What answers the requests of one connection.
fn answering(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
) -> impl Fn(Request<Incoming>) -> Answering + Send + 'static {
    let (proxy, call) = (Arc::clone(proxy), Arc::clone(call));
    move |request| {
        let (proxy, call) = (Arc::clone(&proxy), Arc::clone(&call));
        Box::pin(async move { Ok(request::answer(&proxy, &call, request).await) })
    }
}

type Answering = std::pin::Pin<
    Box<dyn Future<Output = Result<http::Response<super::body::Body>, Infallible>> + Send>,
>;
