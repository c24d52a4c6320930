//! One stream of a tunnel: bytes both ways, each way ended on its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::{Reason, RecvStream, SendStream};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::buffers::Buffer;
use crate::transport::Watch;
use crate::usage::Lease;

/// Pieces of one stream that may wait for the connection to take them. The send buffer bounds
/// their bytes; this bounds what many tiny pieces cost beside their bytes.
const MAX_PIECES: usize = 256;
/// How long the far end of a stream may take to end its way when ours has ended and nobody reads.
const LEFT_TO_END: Duration = Duration::from_secs(1);

/// Why a stream ended before its time.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// The far end has reset it.
    #[error("the far end has reset the stream: {0}")]
    Reset(String),
    /// The far end has sent all that it had to, and reads no further (RFC 9113 section 8.1).
    #[error("the far end reads no further")]
    Unread,
    /// The connection under it is gone.
    #[error("the tunnel is gone: {0}")]
    Lost(String),
}

impl From<h2::Error> for StreamError {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::of_reset(reason),
            _ => Self::Lost(error.to_string()),
        }
    }
}

impl StreamError {
    fn of_reset(reason: Reason) -> Self {
        match reason {
            Reason::NO_ERROR => Self::Unread,
            reason => Self::Reset(reason.description().to_owned()),
        }
    }
}

/// How many pieces of a stream wait for the connection.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pieces: AtomicUsize,
    bytes: AtomicUsize,
    reader: AtomicWaker,
}

impl Waiting {
    /// Bytes of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A piece on its way to the connection; says so when it has gone.
#[derive(Debug)]
struct Piece<T: AsRef<[u8]>> {
    bytes: T,
    waiting: Arc<Waiting>,
}

impl<T: AsRef<[u8]>> Piece<T> {
    fn new(bytes: T, waiting: &Arc<Waiting>) -> Self {
        let length = bytes.as_ref().len();
        waiting.pieces.fetch_add(1, Ordering::AcqRel);
        waiting.bytes.fetch_add(length, Ordering::Relaxed);
        Self {
            bytes,
            waiting: Arc::clone(waiting),
        }
    }
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Piece<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl<T: AsRef<[u8]>> Drop for Piece<T> {
    fn drop(&mut self) {
        let length = self.bytes.as_ref().len();
        self.waiting.bytes.fetch_sub(length, Ordering::Relaxed);
        if self.waiting.pieces.fetch_sub(1, Ordering::AcqRel) == MAX_PIECES {
            self.waiting.reader.wake();
        }
    }
}

/// One stream of a tunnel. Dropped before both ways have ended, it is reset.
#[derive(Debug)]
pub struct Stream {
    send: SendStream<Bytes>,
    receive: RecvStream,
    waiting: Arc<Waiting>,
    unreleased: usize,
    connection: Arc<Watch>,
    stuck: bool,
    /// Our way has ended.
    finished: bool,
    reset: bool,
    /// Tells the pool that the stream is over; streams of a session have none.
    lease: Option<Lease>,
}

impl Stream {
    pub(crate) fn new(
        send: SendStream<Bytes>,
        receive: RecvStream,
        connection: Arc<Watch>,
        lease: Option<Lease>,
    ) -> Self {
        Self {
            send,
            receive,
            waiting: Arc::default(),
            unreleased: 0,
            connection,
            stuck: false,
            finished: false,
            reset: false,
            lease,
        }
    }

    /// The next bytes; `None` when the far end has ended its way.
    ///
    /// The far end may send on when the bytes before these have been used: asking for more says so.
    pub async fn read(&mut self) -> Result<Option<Bytes>, StreamError> {
        self.release(self.unreleased);
        let next = poll_fn(|cx| self.poll_read(cx)).await.transpose()?;
        self.unreleased = next.as_ref().map_or(0, Bytes::len);
        Ok(next)
    }

    /// Sends bytes, as fast as the far end takes them.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let room = poll_fn(|cx| self.poll_room(cx, bytes.len())).await?;
            let part = bytes.split_to(room.min(bytes.len()));
            self.put(part, false)?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: Bytes, ends: bool) -> Result<(), StreamError> {
        let sent = self.send.send_data(bytes, ends);
        sent.map_err(|error| match error.reason() {
            Some(_) => error.into(),
            // A reset may have come since there was room, and says more than that there is no stream.
            None => self.end(),
        })
    }

    /// Ends our way; the far end may go on with its own.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        self.put(Bytes::new(), true)?;
        self.finished = true;
        Ok(())
    }

    /// Gives up both ways at once, as a TCP reset does (RFC 9113 section 8.5).
    pub fn reset(mut self) {
        self.send_reset();
    }

    /// The same, in place.
    pub(crate) fn send_reset(&mut self) {
        self.reset = true;
        self.send.send_reset(Reason::CONNECT_ERROR);
    }

    /// The next bytes, without saying that earlier ones have been used.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        loop {
            match ready!(self.receive.poll_data(cx)) {
                // An empty DATA frame carries at most the end.
                Some(Ok(bytes)) if bytes.is_empty() => {}
                next => return Poll::Ready(next.map(|bytes| bytes.map_err(StreamError::from))),
            }
        }
    }

    /// Lets the far end send so many bytes more.
    pub(crate) fn release(&mut self, used: usize) {
        if used > 0 {
            // Fails only for more than was received, which our own sums exclude.
            let _released = self.receive.flow_control().release_capacity(used);
        }
    }

    /// What waits for its connection.
    pub(crate) fn waiting(&self) -> &Arc<Waiting> {
        &self.waiting
    }

    /// What is known of its connection.
    pub(crate) fn connection(&self) -> &Arc<Watch> {
        &self.connection
    }

    /// Says whether there are bytes that the receiver does not take, for the connection's window.
    pub(crate) fn set_stuck(&mut self, stuck: bool) {
        if stuck == self.stuck {
            return;
        }
        self.stuck = stuck;
        if stuck {
            self.connection.blocked.enter();
        } else {
            self.connection.blocked.leave();
        }
    }

    /// How many bytes, up to `wanted`, may be sent now. What is not used must be given back with
    /// [`Self::spare`], because other streams could use it.
    pub(crate) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, StreamError>> {
        if self.waiting.pieces.load(Ordering::Acquire) >= MAX_PIECES {
            self.waiting.reader.register(cx.waker());
            if self.waiting.pieces.load(Ordering::Acquire) >= MAX_PIECES {
                return self.poll_reset(cx).map(Err);
            }
        }
        // Reserving wakes whoever waits for a reset, which is the task that runs here: a wake-up
        // of itself that costs it another turn, and tokio a wake-up of another thread.
        if let Poll::Ready(error) = self.poll_reset(&mut Context::from_waker(Waker::noop())) {
            return Poll::Ready(Err(error));
        }
        self.send.reserve_capacity(wanted);
        loop {
            let room = self.send.capacity().min(wanted);
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => return Poll::Ready(Err(self.end())),
            }
        }
    }

    /// Gives back room that was asked for.
    pub(crate) fn spare(&mut self) {
        self.send.reserve_capacity(0);
    }

    /// Sends what has been read into a buffer.
    pub(crate) fn send(&mut self, buffer: Buffer) -> Result<(), StreamError> {
        let bytes = match buffer.compact() {
            Ok(small) => Bytes::from_owner(Piece::new(small, &self.waiting)),
            Err(large) => Bytes::from_owner(Piece::new(large, &self.waiting)),
        };
        self.put(bytes, false)
    }

    /// Sends a piece for which there is room.
    pub(crate) fn send_piece(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let piece = Bytes::from_owner(Piece::new(bytes, &self.waiting));
        self.put(piece, false)
    }

    /// Ready when the far end has reset the stream, or the connection is gone.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        match ready!(self.send.poll_reset(cx)) {
            Ok(reason) => Poll::Ready(StreamError::of_reset(reason)),
            Err(error) => Poll::Ready(error.into()),
        }
    }

    /// Leaves a stream to itself of which our way has ended: it is not reset at once, so that the
    /// far end can end its own way.
    pub(crate) fn leave_to_end(&mut self) {
        if self.lease.is_none()
            && !self.receive.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            // The last handle of a stream resets it.
            let held = self.receive.flow_control().clone();
            drop(runtime.spawn(async move {
                sleep(LEFT_TO_END).await;
                drop(held);
            }));
        }
    }

    /// Why nothing can be sent any more.
    fn end(&mut self) -> StreamError {
        match self.poll_reset(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(error) => error,
            Poll::Pending => StreamError::Lost("the stream is closed".to_owned()),
        }
    }
}

impl Stream {
    /// Whether nothing is left to reset.
    fn is_over(&mut self) -> bool {
        let both_ended = self.finished && self.receive.is_end_stream();
        let noop = &mut Context::from_waker(Waker::noop());
        self.reset || both_ended || self.poll_reset(noop).is_ready()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.set_stuck(false);
        let Some(lease) = self.lease.take() else {
            return;
        };
        if self.is_over() {
            return;
        }
        let now = Instant::now();
        let turn = self.connection.resets.turn(now);
        if turn > now
            && let Ok(runtime) = Handle::try_current()
        {
            // The last handle of a stream resets it.
            let held = (self.receive.flow_control().clone(), lease);
            drop(runtime.spawn(async move {
                sleep_until(turn).await;
                drop(held);
            }));
        }
    }
}
