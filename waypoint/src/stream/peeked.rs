//! A connection of which the first bytes have been read already.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

/// Gives the first bytes once more, then what comes.
#[derive(Debug)]
pub(crate) struct Peeked<C> {
    first: Bytes,
    connection: C,
}

impl<C> Peeked<C> {
    /// Puts bytes that were read back in front.
    pub(crate) fn new(first: Bytes, connection: C) -> Self {
        Self { first, connection }
    }
}

impl<C: AsyncBufRead + Unpin> AsyncRead for Peeked<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let lent = ready!(self.as_mut().poll_fill_buf(cx))?;
        let fits = lent.len().min(buffer.remaining());
        buffer.put_slice(lent.get(..fits).unwrap_or_default());
        self.consume(fits);
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncBufRead + Unpin> AsyncBufRead for Peeked<C> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            Pin::new(&mut this.connection).poll_fill_buf(cx)
        } else {
            Poll::Ready(Ok(&this.first))
        }
    }

    fn consume(mut self: Pin<&mut Self>, used: usize) {
        if self.first.is_empty() {
            Pin::new(&mut self.connection).consume(used);
        } else {
            self.first.advance(used);
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Peeked<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, parts)
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
