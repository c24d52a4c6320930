//! The bytes under HTTP/2: TCP, a read-ahead, TLS, and a watch over what passes.
//!
//! From the socket up: [`ReadAhead`] turns rustls' many small reads into few large ones; TLS;
//! [`Transport`] counts bytes, lets the [`Guard`] see the frames, remembers the first
//! failure (HTTP/2 would keep only its text), and makes the reader pause now and then so that
//! writes get their turn.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use ambit_identity::HandshakeFailure;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_rustls::TlsStream;

use crate::guard::{Flood, Guard};
use crate::pace::Pace;
use crate::read_ahead::ReadAhead;
use crate::window::Blocked;

/// Bytes read in a row before writes get their turn: `h2` reads for as long as there is
/// something, and would hold back its own window updates and data meanwhile.
const READ_TURN: usize = 256 << 10;

/// Encrypted bytes that may wait for the socket to take them; also what goes out with one call.
pub(crate) const TLS_BUFFER: usize = 256 << 10;

/// What a transport has seen, for those who cannot look into it any more.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Bytes of both directions.
    pub(crate) moved: AtomicU64,
    /// Streams that are stuck.
    pub(crate) blocked: Blocked,
    /// Resets that we send.
    pub(crate) resets: Pace,
    /// Why reading or writing first failed.
    failure: OnceLock<HandshakeFailure>,
    flood: OnceLock<Flood>,
}

impl Watch {
    /// Why the transport failed, if it did.
    pub(crate) fn failure(&self) -> Option<&HandshakeFailure> {
        self.failure.get()
    }

    /// The flood that ended the connection, if one did.
    pub(crate) fn flood(&self) -> Option<Flood> {
        self.flood.get().copied()
    }

    fn failed(&self, error: &io::Error) {
        // An io::Error cannot be cloned; its rustls part and its kind can.
        let failure = match error
            .get_ref()
            .and_then(|e| e.downcast_ref::<rustls::Error>())
        {
            Some(tls) => HandshakeFailure::from_rustls(tls),
            None => HandshakeFailure::Io(Arc::new(io::Error::new(error.kind(), error.to_string()))),
        };
        let _first = self.failure.set(failure);
    }
}

/// The encrypted connection that HTTP/2 runs on.
#[derive(Debug)]
pub(crate) struct Transport {
    tls: TlsStream<ReadAhead>,
    watch: Arc<Watch>,
    guard: Guard,
    turn: usize,
}

impl Transport {
    /// Takes over a finished handshake.
    pub(crate) fn new(tls: TlsStream<ReadAhead>, guard: Guard) -> Self {
        Self {
            tls,
            watch: Arc::default(),
            guard,
            turn: 0,
        }
    }

    /// Where to learn later what has happened here.
    pub(crate) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    fn passed<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.watch.failed(error);
        }
        result
    }

    fn wrote(&mut self, parts: &[IoSlice<'_>], written: usize) {
        self.turn = 0;
        self.guard.wrote(parts, written);
        self.watch
            .moved
            .fetch_add(written as u64, Ordering::Relaxed);
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.turn >= READ_TURN {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let Poll::Ready(result) = Pin::new(&mut this.tls).poll_read(cx, buf) else {
            this.turn = 0;
            return Poll::Pending;
        };
        this.passed(result)?;
        let read = buf.filled().get(before..).unwrap_or_default();
        this.turn += read.len();
        this.watch
            .moved
            .fetch_add(read.len() as u64, Ordering::Relaxed);
        if let Err(flood) = this.guard.scan(read, Instant::now()) {
            let _first = this.watch.flood.set(flood);
            return Poll::Ready(Err(io::Error::other(flood)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.tls).poll_write(cx, bytes));
        let written = self.passed(result)?;
        self.wrote(&[IoSlice::new(bytes)], written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.tls).poll_write_vectored(cx, parts));
        let written = self.passed(result)?;
        self.wrote(parts, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.tls).poll_flush(cx));
        Poll::Ready(self.passed(result))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
