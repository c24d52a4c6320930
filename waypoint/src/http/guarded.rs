//! A client's connection of HTTP/2 as the library sees it, with an eye on frames that cost us more
//! than the client: the library bounds what it queues, not how often it is made to work.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use ambit_tunnel::{Flood, Guard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::activity::Activity;

/// What a client sent too much of, for whoever drives the connection.
pub(crate) type FloodCell = Arc<OnceLock<Flood>>;

/// A client's connection, whose frames are counted as they go by.
#[derive(Debug)]
pub(crate) struct Guarded<C> {
    connection: C,
    guard: Guard,
    flood: FloodCell,
    activity: Activity,
}

impl<C> Guarded<C> {
    /// From the client's preface on.
    pub(crate) fn new(connection: C) -> Self {
        Self {
            connection,
            guard: Guard::of_client(),
            flood: FloodCell::default(),
            activity: Activity::default(),
        }
    }

    /// Where the flood will be, if there is one.
    pub(crate) fn flood(&self) -> FloodCell {
        Arc::clone(&self.flood)
    }

    /// Where to see whether bytes go by.
    pub(crate) fn activity(&self) -> Activity {
        self.activity.clone()
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guarded<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(cx, buffer))?;
        self.activity.note();
        let read = buffer.filled().get(before..).unwrap_or_default();
        if let Err(flood) = self.guard.scan(read, Instant::now()) {
            self.flood.get_or_init(|| flood);
            return Poll::Ready(Err(io::Error::other(flood)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guarded<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write(cx, bytes))?;
        self.guard.wrote(&[IoSlice::new(bytes)], written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write_vectored(cx, parts))?;
        self.guard.wrote(parts, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
