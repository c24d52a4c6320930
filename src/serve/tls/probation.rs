//! A connection that ends unless a call of it is let in within some time: strangers who speak no
//! HTTP/2, or answer its pings and do nothing else, do not keep places from agents.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Whether a call has been let in; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admitted(Arc<AtomicBool>);

impl Admitted {
    /// One has been.
    pub(crate) fn admit(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that fails when its time is over before a call was let in.
#[derive(Debug)]
pub(super) struct Probation<S> {
    inner: S,
    admitted: Admitted,
    /// Gone once a call has been let in.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Probation<S> {
    /// With so much time, or without end.
    pub(super) fn new(inner: S, time: Option<Duration>) -> Self {
        Self {
            inner,
            admitted: Admitted::default(),
            until: time.map(|time| Box::pin(tokio::time::sleep(time))),
        }
    }

    /// The way to end it.
    pub(super) fn admitted(&self) -> Admitted {
        self.admitted.clone()
    }

    /// Fails when the time is over; until then the task is woken for that.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(until) = &mut self.until else {
            return Ok(());
        };
        if self.admitted.0.load(Ordering::Relaxed) {
            self.until = None;
        } else if until.as_mut().poll(cx).is_ready() {
            let why = "no call of the connection was let in in time";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Probation<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Probation<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
