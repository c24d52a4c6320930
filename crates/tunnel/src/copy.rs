//! Joins a TCP connection and a stream: bytes both ways, each way ended on its own.
//!
//! One future without tasks or buffers of its own: it reads from TCP when there is something to
//! read *and* room in the tunnel, and holds what came from the tunnel only until TCP takes it. A
//! stalled side therefore stops the other by flow control, and an idle connection costs next to
//! nothing.
//!
//! Between two polls nothing is half done, so that a [`Copier`] can be paused there.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::buffers::{Buffer, SIZE};
use crate::stream::{Stream, StreamError};

/// Pieces from the tunnel that are written at once.
const GATHER: usize = 16;
/// Bytes that may have been written before the far end is told that it may send more. Saying it
/// for every piece would cost more than it brings.
const RELEASE: usize = 256 << 10;
/// Bytes of one direction before other tasks get their turn.
const TURN: usize = 256 << 10;
/// How long TCP may go on sending what the far end does not read, once what came has been written.
const UNREAD: Duration = Duration::from_secs(5);

/// Bytes counted, as seen from the TCP side given first.
#[derive(Debug, Default)]
pub struct Meter {
    /// From TCP into the tunnel.
    pub sent: AtomicU64,
    /// From the tunnel into TCP.
    pub received: AtomicU64,
}

/// How a copy ended.
#[derive(Debug)]
pub enum CopyEnd {
    /// Both ways have ended as they should.
    Finished,
    /// The TCP connection given first broke; the far end has been reset.
    NearFailed(io::Error),
    /// The far end reset its side; so was the TCP connection given first.
    FarReset(String),
    /// The tunnel under the stream, or the other TCP connection, broke.
    FarFailed(String),
}

/// Joins a TCP connection and a stream until both ways have ended or one side breaks.
///
/// Dropping the future resets both sides.
pub async fn copy(tcp: TcpStream, stream: Stream, meter: &Meter) -> CopyEnd {
    Copier::new(tcp, stream, meter).await
}

/// The way from TCP into the tunnel.
#[derive(Debug)]
enum Up {
    Open,
    /// The far end reads no further. What TCP still sends is read and goes nowhere, at last for a
    /// while only: closed with bytes unread, TCP would be reset, and lose what it has not delivered.
    Unread(Option<Pin<Box<Sleep>>>),
    Ended,
}

/// A copy that rests at a frame boundary, as plain parts.
#[derive(Debug)]
pub struct Paused {
    /// The TCP connection.
    pub tcp: TcpStream,
    /// The stream.
    pub stream: Stream,
    /// Bytes that have come from the tunnel and not gone into TCP yet.
    pub undelivered: Vec<Bytes>,
    /// Nothing is sent into the tunnel any more: TCP has sent its end, or the far end reads no further.
    pub sent_end: bool,
    /// The tunnel has sent its end. TCP may not know yet.
    pub received_end: bool,
}

#[derive(Debug)]
struct Sides {
    tcp: TcpStream,
    stream: Stream,
}

/// The future behind [`copy`], which can also be paused.
#[derive(Debug)]
pub struct Copier<'m> {
    sides: Option<Sides>,
    meter: &'m Meter,
    up: Up,
    /// The way from the tunnel into TCP has ended.
    down_ended: bool,
    /// From the tunnel, not yet written.
    undelivered: VecDeque<Bytes>,
    /// The tunnel has ended; TCP learns it after `undelivered`.
    ending: bool,
    /// Written, but the far end has not been told yet.
    unreleased: usize,
}

impl<'m> Copier<'m> {
    /// Joins the two; nothing moves until it is polled.
    pub fn new(tcp: TcpStream, stream: Stream, meter: &'m Meter) -> Self {
        Self {
            sides: Some(Sides { tcp, stream }),
            meter,
            up: Up::Open,
            down_ended: false,
            undelivered: VecDeque::new(),
            ending: false,
            unreleased: 0,
        }
    }

    /// Goes on where a copy was paused.
    pub fn resume(paused: Paused, meter: &'m Meter) -> Self {
        let Paused {
            tcp,
            stream,
            undelivered,
            sent_end,
            received_end,
        } = paused;
        let mut copier = Self::new(tcp, stream, meter);
        // If the far end read no further, TCP may have more to say; if not, it has said its end.
        copier.up = if sent_end { Up::Unread(None) } else { Up::Open };
        copier.undelivered = undelivered.into();
        copier.ending = received_end;
        copier
    }

    /// Takes the copy apart; `None` if it has ended.
    pub fn pause(mut self) -> Option<Paused> {
        let Sides { tcp, mut stream } = self.sides.take()?;
        stream.release(self.unreleased);
        Some(Paused {
            tcp,
            stream,
            undelivered: std::mem::take(&mut self.undelivered).into(),
            sent_end: !matches!(self.up, Up::Open),
            received_end: self.ending,
        })
    }

    /// TCP into the tunnel. Ready when that way has ended.
    fn poll_up(&self, sides: &mut Sides, cx: &mut Context<'_>) -> Poll<Result<(), UpError>> {
        let Sides { tcp, stream } = sides;
        let mut moved = 0;
        while moved < TURN {
            match tcp.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                // While TCP is quiet, the far end may still reset the stream.
                Poll::Pending => return stream.poll_reset(cx).map(|error| Err(error.into())),
            }
            let room = ready!(stream.poll_room(cx, SIZE))?;
            let mut buffer = Buffer::take();
            match tcp.try_read(buffer.space(room)) {
                Ok(0) => {
                    stream.finish()?;
                    return Poll::Ready(Ok(()));
                }
                Ok(read) => {
                    buffer.fill(read);
                    stream.send(buffer)?;
                    if read < room {
                        stream.spare();
                    }
                    self.meter.sent.fetch_add(read as u64, Ordering::Relaxed);
                    moved += read;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.spare(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The tunnel into TCP. Ready when that way has ended.
    fn poll_down(&mut self, sides: &mut Sides, cx: &mut Context<'_>) -> Poll<Result<(), CopyEnd>> {
        let mut moved = 0;
        while moved < TURN {
            self.gather(&mut sides.stream, cx)?;
            if self.undelivered.is_empty() {
                sides.stream.release(std::mem::take(&mut self.unreleased));
                if !self.ending {
                    return Poll::Pending;
                }
                // The peer of a half-closed connection may have gone altogether; the way up tells.
                let _gone = Pin::new(&mut sides.tcp).poll_shutdown(cx);
                return Poll::Ready(Ok(()));
            }
            match sides.tcp.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => sides.stream.set_stuck(false),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(CopyEnd::NearFailed(error))),
                Poll::Pending => {
                    sides.stream.set_stuck(true);
                    return Poll::Pending;
                }
            }
            match write(&sides.tcp, &self.undelivered) {
                Ok(written) => {
                    moved += written;
                    self.delivered(written);
                    if self.unreleased >= RELEASE {
                        sides.stream.release(std::mem::take(&mut self.unreleased));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(CopyEnd::NearFailed(error))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what the tunnel has ready, up to what is written at once.
    fn gather(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Result<(), CopyEnd> {
        while !self.ending && self.undelivered.len() < GATHER {
            match stream.poll_read(cx) {
                Poll::Ready(Some(Ok(bytes))) => self.undelivered.push_back(bytes),
                Poll::Ready(Some(Err(error))) => return Err(far_end(error)),
                Poll::Ready(None) => self.ending = true,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Forgets so many bytes from the front of what was to be written.
    fn delivered(&mut self, written: usize) {
        self.meter
            .received
            .fetch_add(written as u64, Ordering::Relaxed);
        self.unreleased += written;
        let mut rest = written;
        while rest > 0 {
            let Some(first) = self.undelivered.front_mut() else {
                return;
            };
            if rest < first.len() {
                first.advance(rest);
                return;
            }
            rest -= first.len();
            self.undelivered.pop_front();
        }
        if self.undelivered.is_empty() {
            // An idle connection keeps not even the queue's memory.
            self.undelivered = VecDeque::new();
        }
    }

    fn poll_sides(&mut self, sides: &mut Sides, cx: &mut Context<'_>) -> Poll<CopyEnd> {
        if !self.down_ended
            && let Poll::Ready(ended) = self.poll_down(sides, cx)
        {
            match ended {
                Ok(()) => self.down_ended = true,
                Err(end) => return Poll::Ready(end),
            }
        }
        if matches!(self.up, Up::Open)
            && let Poll::Ready(ended) = self.poll_up(sides, cx)
        {
            self.up = match ended {
                Ok(()) => Up::Ended,
                Err(UpError::Far(StreamError::Unread)) => Up::Unread(None),
                Err(UpError::Far(error)) => return Poll::Ready(far_end(error)),
                Err(UpError::Near(error)) => return Poll::Ready(CopyEnd::NearFailed(error)),
            }
        }
        if let Up::Unread(limit) = &mut self.up {
            let is_over = self.down_ended && {
                let limit = limit.get_or_insert_with(|| Box::pin(sleep(UNREAD)));
                limit.as_mut().poll(cx).is_ready()
            };
            match poll_discard(&sides.tcp, cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(CopyEnd::NearFailed(error)),
                Poll::Ready(Ok(())) => self.up = Up::Ended,
                Poll::Pending if is_over => self.up = Up::Ended,
                Poll::Pending => {}
            }
        }
        if self.down_ended && matches!(self.up, Up::Ended) {
            return Poll::Ready(CopyEnd::Finished);
        }
        Poll::Pending
    }
}

impl Future for Copier<'_> {
    type Output = CopyEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CopyEnd> {
        let this = &mut *self;
        let Some(mut sides) = this.sides.take() else {
            return Poll::Pending;
        };
        match this.poll_sides(&mut sides, cx) {
            Poll::Pending => {
                this.sides = Some(sides);
                Poll::Pending
            }
            Poll::Ready(CopyEnd::Finished) => Poll::Ready(CopyEnd::Finished),
            Poll::Ready(broken) => {
                break_off(sides);
                Poll::Ready(broken)
            }
        }
    }
}

impl Drop for Copier<'_> {
    fn drop(&mut self) {
        if let Some(sides) = self.sides.take() {
            break_off(sides);
        }
    }
}

/// Resets both sides, so that neither takes a torn connection for a finished one.
fn break_off(sides: Sides) {
    let Sides { tcp, mut stream } = sides;
    stream.send_reset();
    let _gone = tcp.set_zero_linger();
}

/// Reads what nobody wants. Ready when TCP has sent its end.
fn poll_discard(tcp: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let mut moved = 0;
    while moved < TURN {
        ready!(tcp.poll_read_ready(cx))?;
        let mut buffer = Buffer::take();
        match tcp.try_read(buffer.space(SIZE)) {
            Ok(0) => return Poll::Ready(Ok(())),
            Ok(read) => moved += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Why a way from TCP into the tunnel broke.
#[derive(Debug, thiserror::Error)]
enum UpError {
    #[error(transparent)]
    Near(#[from] io::Error),
    #[error(transparent)]
    Far(#[from] StreamError),
}

fn far_end(error: StreamError) -> CopyEnd {
    match error {
        StreamError::Reset(why) => CopyEnd::FarReset(why),
        StreamError::Unread => CopyEnd::FarReset(error.to_string()),
        StreamError::Lost(why) => CopyEnd::FarFailed(why),
    }
}

fn write(tcp: &TcpStream, pieces: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); GATHER];
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
    }
    tcp.try_write_vectored(slices.get(..pieces.len().min(GATHER)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
