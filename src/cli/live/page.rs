//! One page of one process, over a port-forward of its own.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::client::UpgradeConnectionError;
use tokio::task::JoinSet;

use super::Wanted;

/// Largest page taken: a dump of some ten thousand pods.
const LARGEST: usize = 256 << 20;

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum PageError {
    /// The caller has no right to.
    #[error("not allowed: it needs `get` and `create` on pods/portforward in the mesh's namespace")]
    Forbidden,
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The process answered, but not with the page.
    #[error("the process answered with {0}")]
    Status(StatusCode),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Asks for it.
pub(super) async fn fetch(pods: &Api<Pod>, wanted: &Wanted) -> Result<String, PageError> {
    let mut forwarder = match pods.portforward(&wanted.pod, &[wanted.port]).await {
        Ok(forwarder) => forwarder,
        Err(error) => return Err(refusal(error)),
    };
    let (stream, broken) = (
        forwarder.take_stream(wanted.port),
        forwarder.take_error(wanted.port),
    );
    let (Some(stream), Some(broken)) = (stream, broken) else {
        return Err(PageError::Failed("the port was not forwarded".to_owned()));
    };
    let answer = tokio::select! {
        answer = ask(stream, wanted.path) => answer,
        Some(error) = broken => Err(PageError::Failed(error.trim().to_owned())),
    };
    forwarder.abort();
    answer
}

async fn ask(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> Result<String, PageError> {
    let failed = |error: hyper::Error| PageError::Failed(error.to_string());
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http1::handshake(io).await.map_err(failed)?;
    // Dropped, and so ended, with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| PageError::Failed(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(PageError::Status(response.status()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| PageError::Failed(error.to_string()))?;
    String::from_utf8(body.to_bytes().to_vec())
        .map_err(|error| PageError::Failed(error.to_string()))
}

fn refusal(error: kube::Error) -> PageError {
    match error {
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED,
        )) => PageError::Forbidden,
        kube::Error::Api(status) => PageError::Failed(status.message),
        other => PageError::Failed(other.to_string()),
    }
}
