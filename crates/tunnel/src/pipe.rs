//! A stream of a tunnel as a pair of byte streams, for protocols that read and write such.
//!
//! [`copy()`](crate::copy()) is for what is passed on untouched; this is for a program that speaks
//! HTTP inside the tunnel. Reading buffers nothing: what came is lent until it is consumed, and
//! only then may the far end send more. What comes while nobody reads is noticed all the same
//! ([`Unread`]), for the window of the connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::{Stream, StreamError, Waiting};
use crate::unread::Unread;

/// The longest piece that is sent at once; more waits for the next call.
const LONGEST_PIECE: usize = 64 * 1024;

/// A stream, read and written as bytes. Dropped before its own way has ended, it is reset; before
/// the far end's has, it is left alone for a moment, and then the far end is told to send no more.
#[derive(Debug)]
pub struct Pipe {
    stream: Stream,
    /// What came and is not consumed yet.
    came: Bytes,
    /// The far end has ended its way.
    ended: bool,
    finished: bool,
    unread: Arc<Unread>,
}

/// Where to see what waits in a pipe, while others read and write it.
#[derive(Clone, Debug)]
pub struct Held {
    unread: Arc<Unread>,
    waiting: Arc<Waiting>,
}

impl Held {
    /// Whether bytes have come that the reader leaves where they are.
    pub fn is_unread(&self) -> bool {
        self.unread.is_stuck()
    }

    /// Bytes that were written and that the far end does not take. Not those of one piece: the
    /// connection keeps the last for a while when it has gone.
    pub fn unsent(&self) -> usize {
        self.waiting.bytes().saturating_sub(LONGEST_PIECE)
    }
}

impl Pipe {
    /// Where to see what waits in it.
    pub fn held(&self) -> Held {
        Held {
            unread: Arc::clone(&self.unread),
            waiting: Arc::clone(self.stream.waiting()),
        }
    }

    /// Reads and writes this stream.
    pub fn new(stream: Stream) -> Self {
        let unread = Unread::new(Arc::clone(stream.connection()));
        Self {
            stream,
            came: Bytes::new(),
            ended: false,
            finished: false,
            unread,
        }
    }

    fn poll_came(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unread.asked();
        if self.came.is_empty() && !self.ended {
            match ready!(self.stream.poll_read(cx)) {
                Some(bytes) => self.came = bytes.map_err(broken)?,
                None => self.ended = true,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until more is lent than now, and lends it all; false if the far end has ended its way.
    ///
    /// How much may be lent is for the caller to bound: the far end may send a window of it.
    pub async fn fill_more(&mut self) -> io::Result<bool> {
        self.unread.asked();
        if self.ended {
            return Ok(false);
        }
        match poll_fn(|cx| self.stream.poll_read(cx)).await {
            Some(bytes) => {
                let bytes = bytes.map_err(broken)?;
                self.came = if self.came.is_empty() {
                    bytes
                } else {
                    [&*self.came, &*bytes].concat().into()
                };
                Ok(true)
            }
            None => {
                self.ended = true;
                Ok(false)
            }
        }
    }

    fn use_up(&mut self, used: usize) {
        self.came.advance(used.min(self.came.len()));
        self.stream.release(used);
        self.leave();
    }

    /// The reader goes away, and may not come back for long.
    fn leave(&mut self) {
        if self.came.is_empty() && !self.ended {
            self.unread.quiet();
            let nobody = Waker::from(Arc::clone(&self.unread));
            match self.stream.poll_read(&mut Context::from_waker(&nobody)) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(bytes))) => self.came = bytes,
                // Told again to whoever asks next.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) => self.ended = true,
            }
        }
        if self.came.is_empty() {
            self.unread.asked();
        } else {
            self.unread.left();
        }
    }

    /// Sends as much of these as there is room for.
    fn poll_send<'a>(
        &mut self,
        cx: &mut Context<'_>,
        parts: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Poll<io::Result<usize>> {
        let wanted = parts.clone().map(<[u8]>::len).sum::<usize>();
        let wanted = wanted.min(LONGEST_PIECE);
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.stream.poll_room(cx, wanted)).map_err(broken)?;
        let mut piece = BytesMut::with_capacity(room);
        for part in parts {
            let fits = part.len().min(room - piece.len());
            piece.extend_from_slice(part.get(..fits).unwrap_or_default());
        }
        let sent = piece.len();
        self.stream.send_piece(piece.freeze()).map_err(broken)?;
        Poll::Ready(Ok(sent))
    }
}

fn broken(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_came(cx))?;
        let fits = self.came.len().min(buffer.remaining());
        buffer.put_slice(self.came.get(..fits).unwrap_or_default());
        self.use_up(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Pipe {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_came(cx))?;
        if !this.came.is_empty() {
            this.unread.left();
        }
        Poll::Ready(Ok(&this.came))
    }

    fn consume(mut self: Pin<&mut Self>, used: usize) {
        self.use_up(used);
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, std::iter::once(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, parts.iter().map(|part| &**part))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The connection sends what it has without being asked. Whoever neither reads nor writes for a
    /// while learns here that the far end has reset the stream.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream.poll_reset(cx) {
            Poll::Ready(error) => Poll::Ready(Err(broken(error))),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            self.finished = true;
            self.stream.finish().map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.unread.asked();
        if self.finished && !self.ended {
            self.stream.leave_to_end();
        }
    }
}

#[cfg(test)]
mod tests;
