//! The accepting side: a handshake, then a session of streams that the peer opens.
//!
//! [`Session::next`] must be awaited for anything to move, so a session is a loop in one task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use ambit_identity::{
    Credential, HandshakeFailure, PeerIdentityError, Trust, confirm_alpn, peer_expiry,
    peer_identity, server_config,
};
use ambit_model::SpiffeId;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::gather::{Gathered, Turn};
use crate::guard::{Flood, Guard};
use crate::keepalive::{Beat, Keepalive};
use crate::read_ahead::ReadAhead;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::transport::{TLS_BUFFER, Transport, Watch};
use crate::window::Window;

/// How long a refused peer gets to read the alert before the connection is closed on it.
const LINGER: Duration = Duration::from_millis(500);
/// Resets of streams that we had not looked at yet (CVE-2023-44487).
const PENDING_RESETS: usize = 50;

/// Why a session ended before the peer was done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// The peer sent more of something than anybody needs.
    #[error("the peer floods us: {0}")]
    Flood(#[from] Flood),
    /// The peer answers no PING.
    #[error("the peer answers no PING")]
    Dead,
    /// The peer broke the rules of HTTP/2.
    #[error("the peer does not keep to HTTP/2: {0}")]
    Protocol(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
}

impl SessionError {
    /// A stable word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Flood(flood) => flood.word(),
            Self::Dead => "dead_peer",
            Self::Protocol(_) => "protocol_error",
            Self::Lost(_) => "connection_lost",
        }
    }
}

/// A stream could not be answered, because it or its connection is gone.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the stream ended before its answer: {0}")]
pub struct AnswerError(String);

/// A peer's connection, and the streams that it opens.
#[derive(Debug)]
pub struct Session {
    connection: Box<server::Connection<Gathered<Transport>, Bytes>>,
    turn: Turn,
    keepalive: Keepalive,
    window: Window,
    watch: Arc<Watch>,
    peer: SpiffeId,
    proved_until: SystemTime,
}

/// Shakes hands with a client: TLS, its identity, HTTP/2.
pub async fn accept(
    tcp: TcpStream,
    credential: &Credential,
    trust: &Trust,
    settings: &Settings,
) -> Result<Session, HandshakeFailure> {
    // Boxed: the state of a handshake is large, and soon over.
    let shake = Box::pin(shake(tcp, credential, trust, settings));
    let shaken = timeout(settings.handshake_timeout, shake).await;
    shaken.map_err(|_elapsed| HandshakeFailure::Timeout)?
}

async fn shake(
    tcp: TcpStream,
    credential: &Credential,
    trust: &Trust,
    settings: &Settings,
) -> Result<Session, HandshakeFailure> {
    tcp.set_nodelay(true).map_err(HandshakeFailure::from_io)?;
    let config = server_config(credential, trust)
        .map_err(|error| HandshakeFailure::Other(error.to_string()))?;
    let accepting = TlsAcceptor::from(config)
        .accept(ReadAhead::new(tcp))
        .into_fallible();
    let mut tls = match accepting.await {
        Ok(tls) => tls,
        Err((error, io)) => {
            linger(io).await;
            return Err(HandshakeFailure::from_io(error));
        }
    };
    let (_, session) = tls.get_mut();
    session.set_buffer_limit(Some(TLS_BUFFER));
    confirm_alpn(session.alpn_protocol())?;
    let chain = session.peer_certificates().unwrap_or_default();
    let unreadable = |error: PeerIdentityError| HandshakeFailure::NotSpiffe(error.to_string());
    let peer = peer_identity(chain).map_err(unreadable)?;
    let proved_until = peer_expiry(chain).map_err(unreadable)?;
    let proved_until = proved_until.min(credential.not_after());
    let transport = Transport::new(tls.into(), Guard::of_client());
    let watch = transport.watch();
    let mut connection = server::Builder::new()
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.max_frame)
        .max_header_list_size(settings.request_headers)
        .max_concurrent_streams(settings.max_streams)
        .max_send_buffer_size(settings.send_buffer)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_concurrent_reset_streams(settings.given_up)
        .header_table_size(0)
        .handshake(Gathered::new(transport))
        .await
        .map_err(|error| match watch.failure() {
            Some(failure) => failure.clone(),
            None => HandshakeFailure::NotHttp2(error.to_string()),
        })?;
    let keepalive = Keepalive::new(connection.ping_pong(), settings);
    Ok(Session {
        connection: Box::new(connection),
        turn: Turn::default(),
        keepalive,
        window: Window::new(settings),
        watch,
        peer,
        proved_until,
    })
}

/// Lets a refused peer read why: closing with its bytes unread would send it a TCP reset, which
/// overtakes the alert.
async fn linger(mut io: ReadAhead) {
    let _closed = io.shutdown().await;
    let mut ignored = [0; 1024];
    let drained = async { while matches!(io.read(&mut ignored).await, Ok(read) if read > 0) {} };
    let _elapsed = timeout(LINGER, drained).await;
}

impl Session {
    /// Who the peer is.
    pub fn peer(&self) -> &SpiffeId {
        &self.peer
    }

    /// When the first of the two certificates of the handshake expires: the identities hold no
    /// longer, and what begins later belongs into another session.
    pub fn proved_until(&self) -> SystemTime {
        self.proved_until
    }

    /// The next stream; `None` when the peer is done. Nothing of the session moves, and no stream
    /// of it, unless this is awaited.
    pub async fn next(&mut self) -> Option<Result<Incoming, SessionError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Incoming, SessionError>>> {
        let blocked = &self.watch.blocked;
        while let Poll::Ready(beat) = self.keepalive.poll_beat(cx) {
            if beat == Beat::Dead {
                return Poll::Ready(Some(Err(SessionError::Dead)));
            }
            if let Some(window) = self.window.shrunk(blocked) {
                self.connection.set_target_window_size(window);
            }
        }
        if let Some(window) = self.window.grown(blocked, cx.waker()) {
            self.connection.set_target_window_size(window);
        }
        let connection = &mut self.connection;
        // The future is only a way to poll: nothing is lost when it is made anew each time.
        let accept = |cx: &mut Context<'_>| pin!(connection.accept()).poll(cx);
        let accepted = ready!(self.turn.poll(cx, accept));
        Poll::Ready(accepted.map(|accepted| match accepted {
            Ok((request, answer)) => Ok(Incoming::new(request, answer, &self.watch)),
            Err(error) => Err(session_error(&self.watch, &error)),
        }))
    }

    /// Takes no new streams; those there may finish. Go on awaiting [`Self::next`] until it ends.
    pub fn drain(&mut self) {
        self.connection.graceful_shutdown();
    }

    /// Ends the session and all its streams at once, as dropping it does.
    pub fn close(self) {
        drop(self);
    }
}

fn session_error(watch: &Watch, error: &h2::Error) -> SessionError {
    if let Some(flood) = watch.flood() {
        return flood.into();
    }
    match watch.failure() {
        Some(failure) => SessionError::Lost(failure.to_string()),
        None if error.is_io() => SessionError::Lost(error.to_string()),
        None => SessionError::Protocol(error.to_string()),
    }
}

/// A stream that the peer asks for. Dropped without an answer, it is reset.
#[derive(Debug)]
pub struct Incoming {
    head: http::request::Parts,
    body: RecvStream,
    answer: SendResponse<Bytes>,
    connection: Arc<Watch>,
}

impl Incoming {
    fn new(
        request: Request<RecvStream>,
        answer: SendResponse<Bytes>,
        connection: &Arc<Watch>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let connection = Arc::clone(connection);
        Self {
            head,
            body,
            answer,
            connection,
        }
    }

    /// Where the peer wants to go, as it wrote it.
    pub fn authority(&self) -> Option<&str> {
        self.head.uri.authority().map(http::uri::Authority::as_str)
    }

    /// Whether it asks for a tunnel at all.
    pub fn is_connect(&self) -> bool {
        self.head.method == Method::CONNECT
    }

    /// A request header, if there is one and it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// Waits until the peer has given up on the stream. For use beside a connect to the
    /// application.
    pub async fn cancelled(&mut self) {
        let _reason = poll_fn(|cx| self.answer.poll_reset(cx)).await;
    }

    /// Grants the stream.
    pub fn accept(mut self, baggage: Option<&str>) -> Result<Stream, AnswerError> {
        let mut response = Response::new(());
        if let Some(value) = baggage.and_then(|text| HeaderValue::from_str(text).ok()) {
            response.headers_mut().insert("baggage", value);
        }
        let send = self
            .answer
            .send_response(response, false)
            .map_err(|error| AnswerError(error.to_string()))?;
        Ok(Stream::new(send, self.body, self.connection, None))
    }

    /// Refuses the stream with an HTTP status; an invalid one becomes 500.
    pub fn refuse(mut self, status: u16) {
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Fails only if the peer has gone, and then it does not matter.
        let _gone = self.answer.send_response(response, true);
    }
}

#[cfg(test)]
mod tests;
