//! A client's connection as bytes: a stream of a tunnel, or TCP without one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ambit_tunnel::{Held, Pipe};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::either::Either;
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once.
const READ: usize = 8 * 1024;

/// A client's connection.
pub(crate) type Connection = Either<Pipe, Plain>;

/// Waits until more is lent than now, and lends it all; false if the client has ended its way.
///
/// How much may be lent is for the caller to bound.
pub(crate) async fn fill_more(connection: &mut Connection) -> io::Result<bool> {
    match connection {
        Either::Left(pipe) => pipe.fill_more().await,
        Either::Right(plain) => plain.fill_more().await,
    }
}

/// Where to see what waits in its tunnel, if it has one: without, it waits in the kernel.
pub(crate) fn held<C>(connection: &Either<Pipe, C>) -> Option<Held> {
    match connection {
        Either::Left(pipe) => Some(pipe.held()),
        Either::Right(_) => None,
    }
}

/// A connection without a tunnel. While nothing comes it holds no buffer.
#[derive(Debug)]
pub(crate) struct Plain {
    tcp: TcpStream,
    /// What came and is not consumed yet.
    came: BytesMut,
}

impl Plain {
    /// Reads and writes this.
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            came: BytesMut::new(),
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.tcp.poll_read_ready(cx)?.is_pending() {
            if self.came.is_empty() {
                self.came = BytesMut::new();
            }
            return Poll::Pending;
        }
        self.came.reserve(READ);
        poll_read_buf(Pin::new(&mut self.tcp), cx, &mut self.came)
    }

    async fn fill_more(&mut self) -> io::Result<bool> {
        let read = std::future::poll_fn(|cx| self.poll_more(cx)).await?;
        Ok(read > 0)
    }

    fn poll_came(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.came.is_empty() {
            ready!(self.poll_more(cx))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_came(cx))?;
        let fits = self.came.len().min(buffer.remaining());
        buffer.put_slice(self.came.get(..fits).unwrap_or_default());
        self.came.advance(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Plain {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_came(cx))?;
        Poll::Ready(Ok(&this.came))
    }

    fn consume(mut self: Pin<&mut Self>, used: usize) {
        let used = used.min(self.came.len());
        self.came.advance(used);
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
