//! Joins two TCP connections, for captured traffic that is not tunnelled.
//!
//! The same promises as `copy`: each way ends on its own, a break on one side becomes a
//! reset on the other, and no buffer is held while nothing moves.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::buffers::Buffer;
use crate::copy::{CopyEnd, Meter};

/// Bytes of one direction before other tasks get their turn.
const TURN: usize = 256 << 10;

/// Joins two TCP connections until both ways have ended or one side breaks. `meter` counts from
/// the point of view of `a`.
///
/// Dropping the future resets both sides.
pub async fn copy_plain(a: TcpStream, b: TcpStream, meter: &Meter) -> CopyEnd {
    let mut pair = Pair {
        a,
        b,
        finished: false,
    };
    let (mut up, mut down) = (Pump::default(), Pump::default());
    let end = poll_fn(|cx| {
        let sent = up.poll(&pair.a, &mut pair.b, &meter.sent, cx);
        if let Poll::Ready(Err(failed)) = sent {
            return Poll::Ready(failed.seen_from(Side::Source));
        }
        let received = down.poll(&pair.b, &mut pair.a, &meter.received, cx);
        match (sent, received) {
            (_, Poll::Ready(Err(failed))) => Poll::Ready(failed.seen_from(Side::Target)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(CopyEnd::Finished),
            _ => Poll::Pending,
        }
    })
    .await;
    pair.finished = matches!(end, CopyEnd::Finished);
    end
}

/// Both connections; reset together unless the copy has finished.
struct Pair {
    a: TcpStream,
    b: TcpStream,
    finished: bool,
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !self.finished {
            let _gone = self.a.set_zero_linger();
            let _gone = self.b.set_zero_linger();
        }
    }
}

/// Which end of a pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// One end of a pump broke.
struct Failed {
    side: Side,
    error: io::Error,
}

impl Failed {
    /// `near` is the side of the pump that the copy's first connection is on.
    fn seen_from(self, near: Side) -> CopyEnd {
        if self.side == near {
            CopyEnd::NearFailed(self.error)
        } else if self.error.kind() == io::ErrorKind::ConnectionReset {
            CopyEnd::FarReset(self.error.to_string())
        } else {
            CopyEnd::FarFailed(self.error.to_string())
        }
    }
}

/// One way.
#[derive(Debug, Default)]
struct Pump {
    /// What has been read and how much of it has been written.
    held: Option<(Buffer, usize)>,
    ended: bool,
}

impl Pump {
    fn poll(
        &mut self,
        from: &TcpStream,
        to: &mut TcpStream,
        count: &AtomicU64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let mut moved = 0;
        while !self.ended {
            if moved >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.held.is_none() && ready!(self.poll_fill(from, cx))? == 0 {
                self.ended = true;
                // The peer may have gone altogether; the other way tells.
                let _gone = Pin::new(&mut *to).poll_shutdown(cx);
                break;
            }
            let written = ready!(self.poll_empty(to, cx))?;
            count.fetch_add(written as u64, Ordering::Relaxed);
            moved += written;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, from: &TcpStream, cx: &mut Context<'_>) -> Poll<Result<usize, Failed>> {
        let failed = |error| Failed {
            side: Side::Source,
            error,
        };
        loop {
            ready!(from.poll_read_ready(cx)).map_err(failed)?;
            let mut buffer = Buffer::take();
            match from.try_read(buffer.space(usize::MAX)) {
                Ok(read) => {
                    buffer.fill(read);
                    self.held = (read > 0).then_some((buffer, 0));
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(failed(error))),
            }
        }
    }

    fn poll_empty(&mut self, to: &TcpStream, cx: &mut Context<'_>) -> Poll<Result<usize, Failed>> {
        let failed = |error| Failed {
            side: Side::Target,
            error,
        };
        let Some((buffer, done)) = &mut self.held else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(to.poll_write_ready(cx)).map_err(failed)?;
            match to.try_write(buffer.filled().get(*done..).unwrap_or_default()) {
                Ok(written) => {
                    *done += written;
                    if *done == buffer.filled().len() {
                        self.held = None;
                    }
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(failed(error))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
