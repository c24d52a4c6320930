//! One connection of the opening side: TLS and HTTP/2 handshake, its driver task, its streams.
//!
//! The pool holds a [`Connection`]; while it does, streams can be opened. The [`Driver`] task
//! moves the bytes and sends PINGs. The connection ends when the pool has let go and the last
//! stream is over, or when the peer is dead; the driver then tells the pool by `leave`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_identity::{HandshakeFailure, client_config, confirm_alpn, peer_identity};
use ambit_model::SpiffeId;
use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{Request, StatusCode};
use parking_lot::Mutex;
use rustls::pki_types::{IpAddr, ServerName};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::guard::Guard;
use crate::keepalive::{Beat, Keepalive};
use crate::pool::{Dialled, Key, OpenError};
use crate::settings::Settings;
use crate::stream::Stream;
use crate::transport::{ReadAhead, TLS_BUFFER, Transport, Watch};
use crate::window::Window;

/// Set in [`Usage::streams`] when no more streams may be opened.
const RETIRED: usize = 1 << (usize::BITS - 1);
/// Shortest time over which a rate is measured.
const SAMPLE: Duration = Duration::from_millis(100);

/// How much a connection is in use.
#[derive(Debug)]
pub(crate) struct Usage {
    streams: AtomicUsize,
    /// The peer has answered something: the handshake was good on its side too.
    proven: AtomicBool,
    born: Instant,
    /// Milliseconds from `born` to the end of the last stream.
    idle_since: AtomicU64,
    watch: Arc<Watch>,
    sample: Mutex<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    moved: u64,
    rate: u64,
}

impl Usage {
    fn new(watch: Arc<Watch>) -> Self {
        let now = Instant::now();
        Self {
            streams: AtomicUsize::new(0),
            proven: AtomicBool::new(false),
            born: now,
            idle_since: AtomicU64::new(0),
            watch,
            sample: Mutex::new(Sample {
                at: now,
                moved: 0,
                rate: 0,
            }),
        }
    }

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Acquire) & !RETIRED
    }

    /// Whether streams may still be opened.
    pub(crate) fn is_open(&self) -> bool {
        self.streams.load(Ordering::Acquire) & RETIRED == 0
    }

    /// Opens no more streams from now on.
    pub(crate) fn retire(&self) {
        self.streams.fetch_or(RETIRED, Ordering::AcqRel);
    }

    /// Retires a connection that has had no stream for so long.
    fn retire_if_idle(&self, release: Duration) -> bool {
        let idle_since = Duration::from_millis(self.idle_since.load(Ordering::Acquire));
        self.born.elapsed().saturating_sub(idle_since) >= release
            && self
                .streams
                .compare_exchange(0, RETIRED, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// A place for one more stream, if there are fewer than `limit`.
    pub(crate) fn lease(self: &Arc<Self>, limit: usize) -> Option<Lease> {
        let one_more = |streams| (streams < limit.min(RETIRED)).then_some(streams + 1);
        self.streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()?;
        Some(Lease(Arc::clone(self)))
    }

    /// Bytes per second lately, both directions.
    pub(crate) fn rate(&self) -> u64 {
        let mut sample = self.sample.lock();
        let elapsed = sample.at.elapsed();
        if elapsed >= SAMPLE {
            let moved = self.watch.moved.load(Ordering::Relaxed);
            let millis = u64::try_from(elapsed.as_millis())
                .unwrap_or(u64::MAX)
                .max(1);
            let rate = moved.saturating_sub(sample.moved).saturating_mul(1000) / millis;
            *sample = Sample {
                at: Instant::now(),
                moved,
                rate,
            };
        }
        sample.rate
    }
}

/// A stream's place on its connection.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Usage>);

impl Drop for Lease {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::AcqRel) & !RETIRED == 1 {
            let now = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.idle_since.store(now, Ordering::Release);
        }
    }
}

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
        tokio::spawn(driver);
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
        self.usage.proven.store(true, Ordering::Release);
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(Attempt::Final(OpenError::Refused { status }));
        }
        let baggage = response
            .headers()
            .get("baggage")
            .and_then(|value| value.to_str().ok());
        let baggage = baggage.map(str::to_owned);
        let connection = Arc::clone(&self.usage.watch);
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
        let proven = self.usage.proven.load(Ordering::Acquire);
        match self.usage.watch.failure() {
            Some(failure @ HandshakeFailure::ByPeer(_)) if !proven => {
                Attempt::Final(OpenError::Handshake(failure.clone()))
            }
            Some(failure) => Attempt::Gone(failure.to_string()),
            None => Attempt::Gone(error.to_string()),
        }
    }
}

type Shaken = (
    SendRequest<Bytes>,
    client::Connection<Transport, Bytes>,
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
        .header_table_size(0)
        .enable_push(false)
        .handshake(transport)
        .await
        .map_err(|error| HandshakeFailure::NotHttp2(error.to_string()))?;
    Ok((requests, connection, peer, watch))
}

/// The task of one connection.
struct Driver<L: FnOnce(&Arc<Usage>)> {
    connection: client::Connection<Transport, Bytes>,
    keepalive: Keepalive,
    window: Window,
    usage: Arc<Usage>,
    leave: Option<L>,
    idle_release: Duration,
}

impl<L: FnOnce(&Arc<Usage>)> Driver<L> {
    /// What is done now and then.
    fn rest(&mut self) {
        if let Some(window) = self.window.shrunk(&self.usage.watch.blocked) {
            self.connection.set_target_window_size(window);
        }
        if self.usage.retire_if_idle(self.idle_release) {
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
        let blocked = &this.usage.watch.blocked;
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
