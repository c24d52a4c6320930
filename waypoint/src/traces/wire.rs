//! The way to a collector: one plain connection, made when there is something to send, and anew after it
//! broke.
//!
//! Task: "collector", one per connection, which ends with it.

use std::sync::Arc;

use ambit_kit::tasks::Tasks;
use ambit_trace::{Answer, Collector, Protocol, Refused};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, TE};
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Most bytes of an answer that are read.
const LONGEST: usize = 64 << 10;

/// A collector.
#[derive(Debug)]
pub(super) struct Wire {
    /// Host and port.
    address: Arc<str>,
    protocol: Protocol,
    tasks: Tasks,
    /// Taken while it is used: what breaks under it is not used again.
    connection: Option<Sender>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Wire {
    /// The one at this address.
    pub(super) fn new(address: &Arc<str>, protocol: Protocol, tasks: Tasks) -> Self {
        Self {
            address: Arc::clone(address),
            protocol,
            tasks,
            connection: None,
        }
    }

    async fn connect(&self) -> Result<Sender, Refused> {
        let tcp = TcpStream::connect(&*self.address).await;
        let tcp = TokioIo::new(tcp.map_err(|error| refused(&error))?);
        match self.protocol {
            Protocol::Grpc => {
                let shaken = http2::handshake(TokioExecutor::new(), tcp).await;
                let (sender, connection) = shaken.map_err(|error| refused(&error))?;
                self.drive(connection);
                Ok(Sender::Http2(sender))
            }
            Protocol::Http(_) => {
                let shaken = http1::handshake(tcp).await;
                let (sender, connection) = shaken.map_err(|error| refused(&error))?;
                self.drive(connection);
                Ok(Sender::Http1(sender))
            }
        }
    }

    fn drive(&self, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
        drop(self.tasks.spawn("collector", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the collector has ended");
            }
        }));
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, Refused> {
        let (path, host) = (self.protocol.path(), &self.address);
        let request = match self.protocol {
            Protocol::Grpc => Request::post(format!("http://{host}{path}"))
                .version(Version::HTTP_2)
                .header(TE, HeaderValue::from_static("trailers")),
            Protocol::Http(_) => Request::post(path).header(HOST, &**host),
        };
        let request = request.header(CONTENT_TYPE, self.protocol.content_type());
        request
            .body(Full::new(body))
            .map_err(|error| refused(&error))
    }

    async fn ask(&mut self, body: Bytes) -> Result<Answer, Refused> {
        let request = self.request(body)?;
        let mut sender = match self.connection.take() {
            Some(sender) if sender.is_open() => sender,
            _ => self.connect().await?,
        };
        let answer = sender
            .send(request)
            .await
            .map_err(|error| refused(&error))?;
        let (head, body) = answer.into_parts();
        let read = Limited::new(body, LONGEST).collect().await;
        let read = read.map_err(|error| Refused(error.to_string()))?;
        let mut headers = head.headers;
        headers.extend(read.trailers().cloned().unwrap_or_default());
        self.connection = Some(sender);
        Ok(Answer {
            status: head.status,
            headers,
            body: read.to_bytes(),
        })
    }
}

impl Collector for Wire {
    async fn send(&mut self, body: Bytes) -> Result<Answer, Refused> {
        self.ask(body).await
    }
}

impl Sender {
    fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

fn refused(error: &(impl std::error::Error + ?Sized)) -> Refused {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    Refused(text)
}
