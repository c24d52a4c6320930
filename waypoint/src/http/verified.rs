//! A client's connection as the HTTP/1 parser sees it: only bytes that the [`Scanner`] has passed.
//!
//! ```text
//!  connection --lent--> Scanner --passed--> hyper
//!                          | not complete: held until more has come
//!                          | not complete for too long: a fault
//!                          | fault: what was passed before it, then the end, or an error within a
//!                          |        body; and, once hyper has answered what came before, our own
//!                          |        answer on the wire
//! ```
//!
//! To hyper the end of a connection in the middle of an exchange means that the client has left. So
//! what is ended by a fault ends when nothing is being answered any more ([`Busy`]).

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncBufRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;
use super::busy::Busy;
use super::scan::{Awaits, Fault, Limits, Scanner};

/// What a client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What.
    pub fault: Fault,
    /// How long it took, from the first byte of what could not be handed on.
    pub took: Duration,
}

/// The same for whoever drives the connection.
pub type FaultCell = Arc<OnceLock<Wrong>>;

/// A client's connection, read through the scanner.
#[derive(Debug)]
pub struct Verified<C> {
    connection: C,
    scanner: Scanner,
    /// The beginning of something that was not complete when it came.
    held: BytesMut,
    /// Since when something is held.
    since: Option<Instant>,
    /// Bytes at the front, of `held` or else of what the connection lends, that may be handed on.
    passed: usize,
    fault: FaultCell,
    activity: Activity,
    busy: Busy,
    /// From the first byte of a head to its last.
    patience: Duration,
    /// When patience with what is not complete ends.
    end: Option<Pin<Box<Sleep>>>,
    /// Our answer to a fault, as far as it is not written yet.
    answer: Option<io::Cursor<Vec<u8>>>,
}

impl<C> Verified<C> {
    /// Reads through a scanner with these limits. A head that has begun may take so long.
    pub fn new(connection: C, limits: Limits, patience: Duration) -> Self {
        Self {
            connection,
            scanner: Scanner::new(limits),
            held: BytesMut::new(),
            since: None,
            passed: 0,
            fault: FaultCell::default(),
            activity: Activity::default(),
            busy: Busy::default(),
            patience,
            end: None,
            answer: None,
        }
    }

    /// Where the fault will be, if there is one.
    pub fn fault(&self) -> FaultCell {
        Arc::clone(&self.fault)
    }

    /// Where to say that a request is being answered.
    pub(crate) fn busy(&self) -> Busy {
        self.busy.clone()
    }

    /// Where to see whether bytes go by.
    pub(crate) fn activity(&self) -> Activity {
        self.activity.clone()
    }

    fn note(&mut self, result: Result<(), Fault>) {
        let Err(fault) = result else { return };
        // An answer in the middle of a body would be taken for that of an earlier request.
        if self.scanner.awaits() == Awaits::Head {
            self.answer = Some(io::Cursor::new(answer_to(fault)));
        }
        let took = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        // Nothing is read after a fault, so there is only one.
        self.fault.get_or_init(|| Wrong { fault, took });
    }
}

/// What is written to a client that sends something else than HTTP.
fn answer_to(fault: Fault) -> Vec<u8> {
    let (status, body) = (fault.status(), format!("{fault}\n"));
    let phrase = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    format!(
        "HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

impl<C: AsyncBufRead + Unpin> Verified<C> {
    /// Makes sure that something may be handed on, unless the connection is over.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.passed == 0 && self.fault.get().is_none() {
            let Poll::Ready(came) = Pin::new(&mut self.connection).poll_fill_buf(cx)? else {
                return self.poll_late(cx);
            };
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.activity.note();
            let length = came.len();
            if self.held.is_empty() {
                let (passed, result) = self.scanner.passable(came);
                self.passed = passed;
                self.since = (passed == 0).then(Instant::now);
                if passed == 0 {
                    self.held.extend_from_slice(came);
                    Pin::new(&mut self.connection).consume(length);
                }
                self.note(result);
            } else {
                self.held.extend_from_slice(came);
                Pin::new(&mut self.connection).consume(length);
                let (passed, result) = self.scanner.passable(&self.held);
                self.passed = passed;
                if passed > 0 {
                    // The rest came just now.
                    self.since = Some(Instant::now());
                }
                self.note(result);
            }
            if self.passed > 0 {
                self.end = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for a client in the middle of a head, but not for ever.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.scanner.awaits() != Awaits::Head || self.held.is_empty() {
            return Poll::Pending;
        }
        let patience = self.patience;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(end.as_mut().poll(cx));
        self.note(Err(Fault::Late));
        Poll::Ready(Ok(()))
    }

    /// Hands on as much of what has passed as there is room for.
    fn hand_on(&mut self, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> io::Result<()> {
        let fits = self.passed.min(to.remaining());
        if self.held.is_empty() {
            let Poll::Ready(lent) = Pin::new(&mut self.connection).poll_fill_buf(cx)? else {
                return Ok(());
            };
            to.put_slice(lent.get(..fits).unwrap_or_default());
            Pin::new(&mut self.connection).consume(fits);
        } else {
            to.put_slice(self.held.get(..fits).unwrap_or_default());
            self.held.advance(fits);
        }
        self.passed -= fits;
        Ok(())
    }
}

impl<C: AsyncBufRead + Unpin> Read for Verified<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_passed(cx))?;
        if this.passed > 0 {
            this.hand_on(cx, to)?;
            return Poll::Ready(Ok(()));
        }
        match this.fault.get() {
            Some(_) if this.answer.is_some() => this.busy.poll_over(cx).map(Ok),
            Some(wrong) => Poll::Ready(Err(io::Error::other(wrong.fault))),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<C: AsyncWrite + Unpin> Write for Verified<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.activity.note();
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.activity.note();
        Pin::new(&mut self.connection).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(answer) = &mut this.answer {
            let connection = Pin::new(&mut this.connection);
            let written = ready!(connection.poll_write(cx, answer.chunk()))?;
            answer.advance(written);
            if !answer.has_remaining() || written == 0 {
                this.answer = None;
                ready!(Pin::new(&mut this.connection).poll_flush(cx))?;
            }
        }
        Pin::new(&mut this.connection).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
