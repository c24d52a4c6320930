//! A client's connection that speaks HTTP: its requests are answered one by one.
//!
//! Tasks: one per request of HTTP/2, which ends with its connection or when its answer is late.

use std::convert::Infallible;
use std::sync::Arc;

use ambit_decide::{Reason, Refusal};
use ambit_tunnel::{Gathered, in_turns};
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::activity::Activity;
use super::body::Body;
use super::guarded::Guarded;
use super::late::in_time;
use super::verified::Verified;
use crate::call::Call;
use crate::drain::Step;
use crate::proxy::Proxy;
use crate::request::{self, malformed};
use crate::review;
use crate::upstream::link::Width;
use crate::view::LINGER;

/// Window of one HTTP/2 stream, for what clients send.
const STREAM_WINDOW: u32 = 1 << 20;
/// Window of one HTTP/2 connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of one HTTP/2 stream that may wait for a client that does not read.
const UNREAD: usize = 128 << 10;

/// Bytes of an answer of HTTP/1 that may wait for a client that does not read; a head is shorter.
const WAITING: usize = 128 << 10;

/// Serves HTTP/1.
pub(crate) async fn http1<C>(proxy: &Arc<Proxy>, call: &Arc<Call>, connection: C)
where
    C: AsyncBufRead + AsyncWrite + Unpin + Send + 'static,
{
    let verified = Verified::new(connection, proxy.bounds.head, proxy.bounds.patience.head);
    let (fault, activity, busy) = (verified.fault(), verified.activity(), verified.busy());
    let answer = answering(proxy, call, last_if_draining);
    let service = service_fn(move |request| {
        let (answered, mark) = (answer(request), busy.begin());
        async move {
            let response = answered.await?;
            Ok::<_, Infallible>(response.map(|body| body.answering(mark)))
        }
    });
    let serving = http1::Builder::new()
        // A client that closes its connection does not wait for an answer.
        .half_close(false)
        // What it would wait for has passed us already.
        .header_read_timeout(None)
        .max_buf_size(WAITING)
        .serve_connection(verified, service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let served = std::pin::pin!(async {
        tokio::select! {
            ended = serving.as_mut() => ended,
            () = over(proxy, call, Step::Closing, &activity) => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    });
    let served = while_allowed(proxy, call, in_time(served)).await;
    let Some(ended) = served.flatten() else {
        return;
    };
    if let Some(wrong) = fault.get() {
        malformed::tell(proxy, call, *wrong);
    } else if let Err(error) = ended {
        tracing::debug!(client = %call.client.address, %error, "a client's connection broke");
    }
}

/// Serves HTTP/2 with prior knowledge.
pub(crate) async fn http2<C>(proxy: &Arc<Proxy>, call: &Arc<Call>, connection: C)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let step = last_step(proxy, call);
    let guarded = Guarded::new(connection);
    let (flood, activity) = (guarded.flood(), guarded.activity());
    let serving = http2::Builder::new(Streams)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(UNREAD)
        .max_concurrent_streams(proxy.bounds.requests)
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(proxy.bounds.head.head).unwrap_or(u32::MAX))
        .serve_connection(
            TokioIo::new(Gathered::new(guarded)),
            service_fn(answering(proxy, call, |_, _, response| response)),
        );
    let mut serving = std::pin::pin!(serving);
    let served = async {
        tokio::select! {
            ended = in_turns(serving.as_mut()) => return ended,
            () = over(proxy, call, step, &activity) => {}
        }
        serving.as_mut().graceful_shutdown();
        in_turns(serving).await
    };
    let Some(ended) = while_allowed(proxy, call, served).await else {
        return;
    };
    if let Some(flood) = flood.get() {
        let reason = Reason::from_word(flood.word()).unwrap_or(Reason::ResetFlood);
        proxy.cut(call, &Refusal::new(reason, flood.to_string()));
    } else if let Err(error) = ended {
        tracing::debug!(client = %call.client.address, %error, "a client's connection broke");
    }
}

/// Runs the requests of a connection.
#[derive(Clone, Copy, Debug)]
struct Streams;

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(tokio::spawn(async move {
            in_time(std::pin::pin!(future)).await
        }));
    }
}

/// Serves until a changed policy refuses the client, or there is no memory left for it; `None` if that
/// ended it.
async fn while_allowed<T>(
    proxy: &Proxy,
    call: &Call,
    serving: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        ended = serving => Some(ended),
        refusal = review::all_refused(proxy, call) => {
            proxy.cut(call, &refusal);
            None
        }
        () = call.holder.ended() => {
            proxy.cut(call, &proxy.pressure.refusal());
            None
        }
    }
}

/// Waits until a connection shall end once it has no request: at this step of the way out, or when
/// nothing has gone by for long.
async fn over(proxy: &Proxy, call: &Call, step: Step, activity: &Activity) {
    tokio::select! {
        () = proxy.drain.reached(step) => {}
        () = untied(call, step) => {}
        () = activity.ceased(proxy.bounds.idle) => {}
    }
}

/// The same where what was asked for is bound to this waypoint no longer.
async fn untied(call: &Call, step: Step) {
    call.tie.reached(Step::Draining).await;
    if step > Step::Draining {
        tokio::time::sleep(LINGER).await;
    }
}

/// The step at which a connection of HTTP/2 ends that begins now. One that has not begun would be
/// closed at once.
fn last_step(proxy: &Proxy, call: &Call) -> Step {
    match is_draining(proxy, call) {
        true => Step::Closing,
        false => Step::Draining,
    }
}

fn is_draining(proxy: &Proxy, call: &Call) -> bool {
    proxy.drain.has_reached(Step::Draining) || call.tie.has_reached(Step::Draining)
}

/// On the way out an answer tells the client to ask elsewhere the next time. A kept connection that
/// just closed could meet a request on its way.
fn last_if_draining(proxy: &Proxy, call: &Call, mut response: Response<Body>) -> Response<Body> {
    let goes_on = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_draining(proxy, call) && !goes_on {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// What answers the requests of one connection.
fn answering(
    proxy: &Arc<Proxy>,
    call: &Arc<Call>,
    finish: fn(&Proxy, &Call, Response<Body>) -> Response<Body>,
) -> impl Fn(Request<Incoming>) -> Answering + Send + 'static {
    let (proxy, call) = (Arc::clone(proxy), Arc::clone(call));
    move |request| {
        let under_way = call.holder.begin();
        let (proxy, call) = (Arc::clone(&proxy), Arc::clone(&call));
        Box::pin(async move {
            let width = Width::beside(under_way.others());
            let response = request::answer(&proxy, &call, request, width).await;
            let response = response.map(|body| body.under_way(under_way));
            Ok(finish(&proxy, &call, response))
        })
    }
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

#[cfg(test)]
mod tests;
