//! TCP read in large pieces, for rustls, which reads 4 KiB at a time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::buffers::Buffer;

/// A TCP connection that is read in large pieces. Holds a buffer only while bytes are in it.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    tcp: TcpStream,
    ahead: Option<(Buffer, usize)>,
}

impl ReadAhead {
    /// Begins with nothing read.
    pub(crate) fn new(tcp: TcpStream) -> Self {
        Self { tcp, ahead: None }
    }

    /// Fills the buffer if there is anything to read; `Some(0)` at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            let mut buffer = Buffer::take();
            match self.tcp.try_read(buffer.space(usize::MAX)) {
                Ok(read) => {
                    buffer.fill(read);
                    if read > 0 {
                        self.ahead = Some((buffer, 0));
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_none() && ready!(self.poll_fill(cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some((buffer, done)) = &mut self.ahead {
            let rest = buffer.filled().get(*done..).unwrap_or_default();
            let amount = rest.len().min(buf.remaining());
            buf.put_slice(rest.get(..amount).unwrap_or_default());
            *done += amount;
            if amount == rest.len() {
                self.ahead = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
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
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
