//! The admission webhook on 15017: HTTP/1.1 over TLS, `POST /validate` only, with the certificate of
//! the control plane's own port.
//!
//! Whoever asks is not known: an answer tells no more than the object asked about and the name of one
//! that contradicts it. So every wait and every size is bounded, few bodies are held at once, and a part
//! of them for one source address. What cannot be judged is answered with an error; the API server then
//! does as `failurePolicy` says.
//!
//! Tasks: "webhook", one, and "webhook connection", one per connection; all end with the stop token.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ambit_kit::metrics::Registry;
use ambit_kit::tasks::Tasks;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::{Semaphore, mpsc};
use tonic::transport::server::Connected;

use super::configuration::{Handle, NotReady};
use super::sources::Sources;
use super::tls::{Accepted, Peer};
use crate::admission::{self, Question, ReviewError};
use crate::config::verdict::{Read, Verdict};

/// The only page.
const PATH: &str = "/validate";
/// Largest review: two versions of a policy, each longer than any that can be read by people, with
/// what kubectl notes on it. An object of twice that size can be stored: it is for `failurePolicy`.
const MAX_BODY: usize = 1024 * 1024;
/// Bodies held at once; read, each may be many times as large.
const BODIES: usize = 16;
/// Of them, those of one source address.
const BODIES_OF_ONE: usize = BODIES / 4;
/// Longest wait for a place among them, and for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a request's head, also between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// Longest life of a connection; the API server opens another.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// Time to finish an answer that is under way at the end of a connection's life.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// Largest request head.
const MAX_HEAD: usize = 16 * 1024;

/// What answers.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    configuration: Handle,
    bodies: Arc<Semaphore>,
    bodies_by_source: Sources,
    reviews: Family<[(&'static str, &'static str); 1], Counter>,
}

/// Why a review is not answered.
#[derive(Debug, thiserror::Error)]
enum WebhookError {
    #[error("only POST {PATH} is answered here")]
    Page,
    #[error("a review of at most {MAX_BODY} bytes has to come within {BODY_TIMEOUT:?}")]
    Body,
    #[error("too many reviews at once; try again")]
    Busy,
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error(transparent)]
    NotReady(#[from] NotReady),
}

impl WebhookError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Page => StatusCode::NOT_FOUND,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Review(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Webhook {
    /// By way of the configuration task.
    pub(super) fn new(configuration: Handle, registry: &Registry) -> Self {
        let reviews = registry.register(
            "ambit_admission_reviews",
            "Policies and routes judged before they were written, by outcome",
            Family::<[(&'static str, &'static str); 1], Counter>::default(),
        );
        for outcome in ["allowed", "refused", "failed"] {
            drop(reviews.get_or_create(&[("outcome", outcome)]));
        }
        Self {
            configuration,
            bodies: Arc::new(Semaphore::new(BODIES)),
            bodies_by_source: Sources::new(BODIES_OF_ONE),
            reviews,
        }
    }

    /// Serves connections whose handshake is over.
    pub(super) fn start(self, mut accepted: mpsc::Receiver<io::Result<Accepted>>, tasks: &Tasks) {
        let (stop, connections) = (tasks.token(), tasks.clone());
        tasks.spawn("webhook", async move {
            loop {
                let connection = tokio::select! {
                    connection = accepted.recv() => connection,
                    () = stop.cancelled() => return,
                };
                match connection {
                    Some(Ok(connection)) => {
                        let serve = self.clone().serve(connection, connections.clone());
                        connections.spawn("webhook connection", serve);
                    }
                    Some(Err(error)) => tracing::debug!(%error, "a webhook connection is lost"),
                    None => return,
                }
            }
        });
    }

    async fn serve(self, connection: Accepted, tasks: Tasks) {
        let peer = connection.connect_info();
        let service = service_fn(move |request| {
            let (webhook, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, Infallible>(webhook.respond(request, peer).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(connection), service);
        tokio::pin!(served);
        tokio::select! {
            _ended = served.as_mut() => return,
            () = tokio::time::sleep(CONNECTION_LIFE) => {}
            () = tasks.token().cancelled_owned() => {}
        }
        served.as_mut().graceful_shutdown();
        // Whoever is not answered by then asks again.
        tokio::time::timeout(LAST_ANSWER, served).await.ok();
    }

    async fn respond(&self, request: Request<Incoming>, peer: Peer) -> Response<Full<Bytes>> {
        let (status, content_type, text, outcome) = match self.review(request, peer).await {
            Ok((uid, verdict)) => {
                let outcome = if verdict.refused.is_empty() {
                    "allowed"
                } else {
                    tracing::info!(findings = ?verdict.refused, "an object is refused");
                    "refused"
                };
                let text = admission::answer(&uid, &verdict).to_string();
                (StatusCode::OK, "application/json", text, outcome)
            }
            Err(error) => {
                tracing::debug!(%error, "a review is not answered");
                (error.status(), "text/plain", format!("{error}\n"), "failed")
            }
        };
        self.reviews.get_or_create(&[("outcome", outcome)]).inc();
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(content_type);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }

    async fn review(
        &self,
        request: Request<Incoming>,
        Peer { source, .. }: Peer,
    ) -> Result<(String, Verdict), WebhookError> {
        if (request.method(), request.uri().path()) != (&Method::POST, PATH) {
            return Err(WebhookError::Page);
        }
        // First of its own share: whoever waits for that keeps nobody else waiting.
        let place = async {
            (
                self.bodies_by_source.wait(source).await,
                self.bodies.acquire().await,
            )
        };
        let Ok((_share, Ok(_place))) = tokio::time::timeout(BODY_TIMEOUT, place).await else {
            return Err(WebhookError::Busy);
        };
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        let Ok(Ok(body)) = tokio::time::timeout(BODY_TIMEOUT, body).await else {
            return Err(WebhookError::Body);
        };
        let Question {
            uid,
            namespace,
            new,
            old,
            aside,
        } = Question::read(&body.to_bytes())?;
        let verdict = match new {
            Some(new) => self.judge_change(&namespace, new, old).await?,
            None => Verdict {
                warned: aside.into_iter().collect(),
                ..Verdict::default()
            },
        };
        Ok((uid, verdict))
    }

    /// Judges a version beside the one that it takes the place of: who does not make it worse is not
    /// stopped.
    async fn judge_change(
        &self,
        namespace: &Arc<str>,
        new: Read,
        old: Option<Read>,
    ) -> Result<Verdict, NotReady> {
        let verdict = self.configuration.judge(namespace, new).await?;
        match old {
            Some(old) if !verdict.refused.is_empty() => {
                let before = self.configuration.judge(namespace, old).await?;
                let was_there = |finding| before.refused.contains(finding);
                Ok(if verdict.refused.iter().all(was_there) {
                    verdict.tolerant()
                } else {
                    verdict
                })
            }
            _ => Ok(verdict),
        }
    }
}
