//! One connection of the admin pages: HTTP/1.1 with every wait bounded.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{Ask, Page, Routes};

/// Longest wait for a request's head, also between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest life of a connection; scrapers simply come again.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);
/// Time to finish an answer that is under way at the end of a connection's life.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Time for the first request of a connection that was accepted just before the end.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Largest body taken: commands are short.
const MAX_BODY: usize = 64 * 1024;
/// Largest request head.
const MAX_HEAD: usize = 16 * 1024;

/// Serves one connection to its end. When asked to stop it still answers the first request: whoever
/// was accepted is not sent away for having come at the wrong moment.
pub(super) async fn serve<C>(client: C, routes: Arc<Routes>, stop: CancellationToken)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let asked = CancellationToken::new();
    let first = asked.clone();
    let service = service_fn(move |request| {
        let routes = Arc::clone(&routes);
        first.cancel();
        async move { Ok::<_, Infallible>(respond(&routes, request).await) }
    });
    let stopped = async {
        stop.cancelled().await;
        // Too late is no harm here: the connection then ends unanswered.
        tokio::time::timeout(FIRST_REQUEST, asked.cancelled())
            .await
            .ok();
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(client), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = tokio::time::sleep(CONNECTION_LIFE) => None,
        () = stopped => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_ANSWER, connection)
                .await
                .unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

async fn respond(routes: &Routes, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return response(refusal),
    };
    let accept = head
        .headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let ask = Ask {
        query: head.uri.query().unwrap_or_default().to_owned(),
        accept: accept.map(str::to_owned),
        body,
    };
    response(routes.answer(&head.method, head.uri.path(), ask).await)
}

async fn read(body: Incoming) -> Result<Bytes, Page> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Page {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            ..Page::text(format!(
                "the body was not taken ({error}); limit {MAX_BODY} bytes\n"
            ))
        }),
        Err(_elapsed) => Err(Page {
            status: StatusCode::REQUEST_TIMEOUT,
            ..Page::text("the body did not come in time\n")
        }),
    }
}

fn response(page: Page) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(page.body));
    *response.status_mut() = page.status;
    let content_type = HeaderValue::from_static(page.content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}
