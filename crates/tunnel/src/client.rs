//! One connection of the opening side: TLS and HTTP/2 handshake, its driver task, its streams.
//!
//! The pool holds a [`Connection`]; while it does, streams can be opened. The [`Driver`] task
//! moves the bytes and sends PINGs. The connection ends when the pool has let go and the last
//! stream is over, or when the peer is dead; the driver then tells the pool by `leave`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_identity::{HandshakeFailure, client_config, confirm_alpn, peer_identity};
use ambit_model::SpiffeId;
use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Request, StatusCode};
use rustls::pki_types::{IpAddr, ServerName};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::gather::{Gathered, in_turns};
use crate::guard::Guard;
use crate::keepalive::{Beat, Keepalive};
use crate::open::{Dialled, Key, OpenError};
use crate::read_ahead::ReadAhead;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::transport::{TLS_BUFFER, Transport, Watch};
use crate::usage::{Lease, Usage};
use crate::window::Window;

/// Why a stream could not be opened on a certain connection.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The connection is of no use, and the peer has not begun to serve the request.
    Gone(String),
    /// No other connection would do better.
    Final(OpenError),
}

/// One connection of the opening side.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    peer: SpiffeId,
    usage: Arc<Usage>,
}

impl Connection {
    /// Shakes hands over a fresh TCP connection. `leave` is called when the pool should let go.
    pub(crate) async fn start(
        dialled: Dialled,
        key: &Key,
        settings: &Settings,
        leave: impl FnOnce(&Arc<Usage>) + Send + Unpin + 'static,
    ) -> Result<Arc<Self>, HandshakeFailure> {
        // Boxed: the state of a handshake is large, and soon over.
        let shake = Box::pin(shake(dialled, key, settings));
        let shaken = timeout(settings.handshake_timeout, shake).await;
        let (requests, mut connection, peer, watch) =
            shaken.map_err(|_elapsed| HandshakeFailure::Timeout)??;
        let usage = Arc::new(Usage::new(watch));
        let driver = Box::new(Driver {
            keepalive: Keepalive::new(connection.ping_pong(), settings),
            connection,
            window: Window::new(settings),
            usage: Arc::clone(&usage),
            leave: Some(leave),
            idle_release: settings.idle_release,
        });
        tokio::spawn(in_turns(driver));
        Ok(Arc::new(Self {
            requests,
            peer,
            usage,
        }))
    }

    /// How much it is in use.
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Who the peer is.
    pub(crate) fn peer(&self) -> &SpiffeId {
        &self.peer
    }

    /// Streams that this connection may carry at a time.
    pub(crate) fn limit(&self, settings: &Settings) -> usize {
        settings
            .streams_per_connection
            .min(self.requests.current_max_send_streams())
    }

    /// Sends the request and waits for the answer. Returns the stream and the peer's baggage.
    pub(crate) async fn open(
        &self,
        request: Request<()>,
        lease: Lease,
        settings: &Settings,
    ) -> Result<(Stream, Option<String>), Attempt> {
        let answer = timeout(settings.answer_timeout, self.ask(request)).await;
        let (send, response) = match answer {
            Err(_elapsed) => return Err(Attempt::Final(OpenError::Timeout)),
            Ok(Err(error)) => return Err(self.failed(&error)),
            Ok(Ok(answer)) => answer,
        };
        self.usage.prove();
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(Attempt::Final(OpenError::Refused { status }));
        }
        let baggage = response
            .headers()
            .get("baggage")
            .and_then(|value| value.to_str().ok());
        let baggage = baggage.map(str::to_owned);
        let connection = Arc::clone(self.usage.watch());
        let stream = Stream::new(send, response.into_body(), connection, Some(lease));
        Ok((stream, baggage))
    }

    async fn ask(
        &self,
        request: Request<()>,
    ) -> Result<(h2::SendStream<Bytes>, http::Response<h2::RecvStream>), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, send) = requests.send_request(request, false)?;
        Ok((send, response.await?))
    }

    fn failed(&self, error: &h2::Error) -> Attempt {
        if error.is_reset() {
            return match error.reason() {
                // RFC 9113 section 8.7: nothing has been done for this request.
                Some(h2::Reason::REFUSED_STREAM) => Attempt::Gone(error.to_string()),
                _ => Attempt::Final(OpenError::Closed(error.to_string())),
            };
        }
        self.usage.retire();
        // In TLS 1.3 a server refuses the client's certificate after the client has finished,
        // so that what belongs to the handshake shows only here.
        match self.usage.watch().failure() {
            Some(failure @ HandshakeFailure::ByPeer(_)) if !self.usage.is_proven() => {
                Attempt::Final(OpenError::Handshake(failure.clone()))
            }
            Some(failure) => Attempt::Gone(failure.to_string()),
            None => Attempt::Gone(error.to_string()),
        }
    }
}

type Shaken = (
    SendRequest<Bytes>,
    client::Connection<Gathered<Transport>, Bytes>,
    SpiffeId,
    Arc<Watch>,
);

async fn shake(
    dialled: Dialled,
    key: &Key,
    settings: &Settings,
) -> Result<Shaken, HandshakeFailure> {
    let Dialled {
        tcp,
        credential,
        trust,
    } = dialled;
    tcp.set_nodelay(true).map_err(HandshakeFailure::from_io)?;
    let config = client_config(&credential, &trust, Arc::clone(&key.expected))
        .map_err(|error| HandshakeFailure::Other(error.to_string()))?;
    // Neither sent nor compared; rustls wants a name to file the session under.
    let name = ServerName::IpAddress(IpAddr::from(key.to.ip()));
    let connecting = TlsConnector::from(config).connect(name, ReadAhead::new(tcp));
    let mut tls = connecting.await.map_err(HandshakeFailure::from_io)?;
    let (_, session) = tls.get_mut();
    session.set_buffer_limit(Some(TLS_BUFFER));
    confirm_alpn(session.alpn_protocol())?;
    let peer = peer_identity(session.peer_certificates().unwrap_or_default())
        .map_err(|error| HandshakeFailure::NotSpiffe(error.to_string()))?;
    let transport = Transport::new(tls.into(), Guard::of_server());
    let watch = transport.watch();
    let (requests, connection) = client::Builder::new()
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.max_frame)
        .max_header_list_size(settings.response_headers)
        .max_send_buffer_size(settings.send_buffer)
        .max_concurrent_reset_streams(settings.given_up)
        .header_table_size(0)
        .enable_push(false)
        .handshake(Gathered::new(transport))
        .await
        .map_err(|error| HandshakeFailure::NotHttp2(error.to_string()))?;
    Ok((requests, connection, peer, watch))
}

/// The task of one connection.
struct Driver<L: FnOnce(&Arc<Usage>)> {
    connection: client::Connection<Gathered<Transport>, Bytes>,
    keepalive: Keepalive,
    window: Window,
    usage: Arc<Usage>,
    leave: Option<L>,
    idle_release: Duration,
}

impl<L: FnOnce(&Arc<Usage>)> Driver<L> {
    /// What is done now and then.
    fn rest(&mut self) {
        if let Some(window) = self.window.shrunk(&self.usage.watch().blocked) {
            self.connection.set_target_window_size(window);
        }
        if self.usage.retire_if_idle(self.idle_release, Instant::now()) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        self.usage.retire();
        if let Some(leave) = self.leave.take() {
            leave(&self.usage);
        }
    }
}

impl<L: FnOnce(&Arc<Usage>) + Unpin> Future for Driver<L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        while let Poll::Ready(beat) = this.keepalive.poll_beat(cx) {
            match beat {
                Beat::Alive => this.rest(),
                Beat::Dead => {
                    tracing::debug!("tunnel peer answers no PING; the connection is dropped");
                    return Poll::Ready(());
                }
            }
        }
        let blocked = &this.usage.watch().blocked;
        if let Some(window) = this.window.grown(blocked, cx.waker()) {
            this.connection.set_target_window_size(window);
        }
        Pin::new(&mut this.connection).poll(cx).map(|ended| {
            if let Err(error) = ended {
                tracing::debug!(%error, "tunnel connection ended");
            }
        })
    }
}

impl<L: FnOnce(&Arc<Usage>)> Drop for Driver<L> {
    fn drop(&mut self) {
        self.leave();
    }
}
