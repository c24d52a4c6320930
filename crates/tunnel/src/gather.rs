//! What all streams of a connection have to say goes out at once.
//!
//! HTTP/2 writes frame by frame, and tokio runs a task that was just woken next: left alone, every
//! stream has its frame written before the next stream runs, with a system call and a TLS record for
//! each. [`Turn`] changes that, where a connection is driven:
//!
//! 1. woken, the connection lets one turn of the run queue go by, in which others hand it frames;
//! 2. polled, it writes into memory ([`Gathered`]) as often as it likes, and flushes nothing;
//! 3. polled again, it flushes.
//!
//! Whether bytes are gathered is a matter of the thread and the moment, so [`Gathered`] polled by
//! anything else writes straight through.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::buffers::Buffer;

/// Pieces of this length are not copied where nothing waits before them.
const LARGE: usize = 16 << 10;

/// What goes on in this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    /// Nothing that is gathered.
    Through,
    /// A connection is polled that will be polled again to flush.
    Gathering,
    /// The same, and there is something to flush.
    Gathered,
}

thread_local! {
    static NOW: Cell<Now> = const { Cell::new(Now::Through) };
}

/// The turns of one connection.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    waited: bool,
}

impl Turn {
    /// Polls what drives a connection.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = NOW.replace(Now::Gathering);
        let polled = poll(cx);
        let flushes = NOW.replace(before) == Now::Gathered;
        let polled = match polled {
            Poll::Pending if flushes => poll(cx),
            polled => polled,
        };
        // After an event the next is asked for at once: that is the same turn.
        self.waited = polled.is_ready();
        polled
    }
}

/// Polls a future that drives a connection, in turns, to its end.
pub async fn in_turns<F: Future>(future: F) -> F::Output {
    let (mut future, mut turn) = (pin!(future), Turn::default());
    poll_fn(|cx| turn.poll(cx, |cx| future.as_mut().poll(cx))).await
}

/// A connection whose bytes are gathered where it is polled in turns.
#[derive(Debug)]
pub struct Gathered<C> {
    connection: C,
    /// What waits, and how much of it is written already.
    held: Option<(Buffer, usize)>,
}

impl<C> Gathered<C> {
    /// Writes to this.
    pub fn new(connection: C) -> Self {
        Self {
            connection,
            held: None,
        }
    }

    /// Holds what is written, as far as it fits; 0 if nothing does.
    fn hold(&mut self, bytes: &[u8]) -> usize {
        let (buffer, _) = self.held.get_or_insert_with(|| (Buffer::take(), 0));
        buffer.push(bytes)
    }
}

impl<C: AsyncWrite + Unpin> Gathered<C> {
    /// Writes all that is held.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((buffer, done)) = &mut self.held {
            let rest = buffer.filled().get(*done..).unwrap_or_default();
            if rest.is_empty() {
                self.held = None;
                break;
            }
            let written = ready!(Pin::new(&mut self.connection).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *done += written;
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Gathered<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buffer)
    }
}

impl<C: AsyncBufRead + Unpin> AsyncBufRead for Gathered<C> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().connection).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, used: usize) {
        Pin::new(&mut self.connection).consume(used);
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Gathered<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if NOW.get() == Now::Through || (length >= LARGE && this.held.is_none()) {
            ready!(this.poll_out(cx))?;
            return Pin::new(&mut this.connection).poll_write_vectored(cx, parts);
        }
        loop {
            let mut taken = 0;
            for part in parts {
                let fits = this.hold(part);
                taken += fits;
                if fits < part.len() {
                    break;
                }
            }
            if taken > 0 || length == 0 {
                return Poll::Ready(Ok(taken));
            }
            ready!(this.poll_out(cx))?;
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if NOW.get() != Now::Through {
            NOW.set(Now::Gathered);
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
