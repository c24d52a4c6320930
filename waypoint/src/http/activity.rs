//! Whether bytes go by on a connection: noted for nothing, looked at seldom.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether bytes go by; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<AtomicBool>);

impl Activity {
    /// Bytes go by.
    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether any have gone by since this was asked last.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// Waits until none has gone by for `idle`, or up to twice as long.
    pub(crate) async fn ceased(&self, idle: Duration) {
        loop {
            tokio::time::sleep(idle).await;
            if !self.take() {
                return;
            }
        }
    }
}

/// A connection on which bytes both ways are noted, and counted.
#[derive(Debug)]
pub(crate) struct Active<C> {
    connection: C,
    activity: Activity,
    came: u64,
    went: u64,
    is_broken: bool,
}

impl<C> Active<C> {
    /// Notes there what goes by.
    pub(crate) fn new(connection: C, activity: Activity) -> Self {
        Self {
            connection,
            activity,
            came: 0,
            went: 0,
            is_broken: false,
        }
    }

    /// Bytes that have been read.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// Bytes that have been written.
    pub(crate) fn went(&self) -> u64 {
        self.went
    }

    /// Whether it broke off, and did not just end.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    fn noted<T>(&mut self, result: io::Result<T>) -> Poll<io::Result<T>> {
        match &result {
            Ok(_) => self.activity.note(),
            Err(_) => self.is_broken = true,
        }
        Poll::Ready(result)
    }

    fn written(&mut self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(written) = &result {
            self.went += *written as u64;
        }
        self.noted(result)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Active<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.connection).poll_read(cx, buffer));
        self.came += (buffer.filled().len() - before) as u64;
        self.noted(read)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Active<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write(cx, bytes));
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.connection).poll_write_vectored(cx, parts));
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.connection).poll_flush(cx));
        self.is_broken |= flushed.is_err();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut self.connection).poll_shutdown(cx));
        self.is_broken |= ended.is_err();
        Poll::Ready(ended)
    }
}
