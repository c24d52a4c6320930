//! A request's body that several tries can send: what has gone by is kept, up to a bound, and sent
//! again before the rest.
//!
//! One try reads at a time, the last one. An endpoint may answer before it has all of a body, and its connection goes
//! on to ask for the rest: that ends when another try is to begin ([`Replayable::take_back`]). A body that has
//! outgrown the bound cannot be sent again ([`Replayable::may_repeat`]): never is a part of it sent as the whole. What
//! is kept is copied: a piece is a part of all that was read with it, also for others, and would keep that. Once there is an answer to
//! give, nothing is kept any more, and the client may be as slow as it likes ([`Replayable::answered`]).

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use ambit_kit::clock;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep, timeout};

use super::body::{BodyError, Watch as _};
use super::copied::Copier;
use super::grpc::Messages;
use super::scan::Fault;
use crate::request::sealed::Seal;

/// The turn of a try that there cannot be.
const NOBODY: u64 = 0;

/// What a client has sent of a body, however often that was sent on.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Bytes.
    pub(crate) bytes: AtomicU64,
    /// Messages, if it is gRPC.
    pub(crate) messages: AtomicU64,
    /// How it broke off, if it did.
    pub(crate) broke: OnceLock<Broke>,
    /// When all of it had come.
    pub(crate) ended: OnceLock<Instant>,
    /// Wakes who waits for that.
    end: Notify,
}

impl Sent {
    fn end(&self) {
        self.ended.get_or_init(clock::now);
        self.end.notify_waiters();
    }

    /// Waits until all of it has come: when that was. What stands still for as long as a piece may take
    /// counts as whole, for nobody reads it.
    async fn whole(self: Arc<Self>, patience: Duration) -> Instant {
        let mut before = None;
        loop {
            let end = self.end.notified();
            if let Some(ended) = self.ended.get() {
                return *ended;
            }
            let bytes = self.bytes.load(Ordering::Relaxed);
            if before.replace(bytes) == Some(bytes) {
                return clock::now();
            }
            // Whatever comes first: it is looked at again.
            timeout(patience, end).await.ok();
        }
    }
}

/// Why what a client sends broke off: that is not the endpoint's fault, whatever it looks like there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broke {
    /// It left, or took the request back.
    #[error("the client left in the middle of the request")]
    Left,
    /// It sent something else than HTTP.
    #[error(transparent)]
    Malformed(Fault),
    /// It sent nothing for too long.
    #[error("the body did not come in time")]
    Late,
}

/// How far a client's request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// All of it is there.
    Whole,
    /// There is more to come, or more that nobody has asked for.
    Partly,
    /// There is more that will not come.
    Broken,
}

impl Broke {
    fn of(error: &hyper::Error) -> Self {
        let source = std::error::Error::source(error);
        let of_connection = source.and_then(|source| source.downcast_ref::<io::Error>());
        let inner = of_connection.and_then(io::Error::get_ref);
        let fault = inner.and_then(|inner| inner.downcast_ref::<Fault>());
        fault.map_or(Self::Left, |fault| Self::Malformed(*fault))
    }
}

/// A body, kept as it goes by.
#[derive(Clone, Debug)]
pub(crate) struct Replayable(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    rest: Incoming,
    /// What has gone by, if it can be sent again.
    kept: Vec<u8>,
    trailers: Option<HeaderMap>,
    copier: Option<Copier>,
    bytes: usize,
    sent: Arc<Sent>,
    messages: Option<Messages>,
    most: usize,
    /// How long the next piece may take.
    patience: Duration,
    /// What trailers must not have.
    seal: Seal,
    /// More went by than is kept.
    outgrown: bool,
    /// There is an answer to give.
    is_answered: bool,
    /// Which try reads it.
    turn: u64,
    /// Wakes whoever waits for the next piece.
    reader: Option<Waker>,
    ended: bool,
}

impl Replayable {
    /// Keeps at most so many bytes. Whoever waits for a piece waits no longer than `patience`.
    pub(crate) fn new(body: Incoming, most: usize, patience: Duration, seal: Seal) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            ended: body.is_end_stream(),
            rest: body,
            kept: Vec::new(),
            trailers: None,
            copier: None,
            bytes: 0,
            sent: Arc::default(),
            messages: None,
            most,
            patience,
            seal,
            outgrown: false,
            is_answered: false,
            turn: 0,
            reader: None,
        })))
    }

    /// Where its bytes are counted, and its messages if it is gRPC; and noted when it ended.
    pub(crate) fn counted(&self, is_grpc: bool) -> Arc<Sent> {
        let mut kept = self.0.lock();
        kept.messages = is_grpc.then(Messages::default);
        Arc::clone(&kept.sent)
    }

    /// Feeds copies with what comes from now on.
    pub(crate) fn copied_by(&self, copier: Copier) {
        self.0.lock().copier = Some(copier);
    }

    /// How it broke off, if it did.
    pub(crate) fn broke(&self) -> Option<Broke> {
        self.0.lock().sent.broke.get().copied()
    }

    /// How far it has come.
    pub(crate) fn came(&self) -> Came {
        let kept = self.0.lock();
        if kept.sent.broke.get().is_some() {
            return Came::Broken;
        }
        match kept.is_whole() {
            true => Came::Whole,
            false => Came::Partly,
        }
    }

    /// When all of it had come, if it has.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.0.lock().sent.ended.get().copied()
    }

    /// Waits until all of it has come, or nobody reads it any more: when that was.
    pub(crate) fn whole(&self) -> impl Future<Output = Instant> + Send + use<> {
        let kept = self.0.lock();
        Arc::clone(&kept.sent).whole(kept.patience)
    }

    /// Whether all of it could be sent once more.
    pub(crate) fn may_repeat(&self) -> bool {
        !self.0.lock().outgrown
    }

    /// The same, and then nobody reads on who has read so far.
    pub(crate) fn take_back(&self) -> bool {
        let mut kept = self.0.lock();
        if kept.outgrown {
            return false;
        }
        kept.turn += 1;
        let reader = kept.reader.take();
        drop(kept);
        // Its connection, or stream, is to end now, and not when the next piece comes.
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// There is an answer to give: it is sent no more, and the rest of it may take as long as it takes.
    pub(crate) fn answered(&self) {
        let mut kept = self.0.lock();
        kept.is_answered = true;
        kept.forget();
    }

    /// What is known of its length.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.0.lock().size_from(0)
    }

    /// The body for one try; nobody else reads it any more. One that cannot be sent again breaks off at once.
    pub(crate) fn once(&self) -> Replay {
        let turn = {
            let mut kept = self.0.lock();
            kept.turn += 1;
            match kept.outgrown {
                true => NOBODY,
                false => kept.turn,
            }
        };
        Replay {
            body: self.clone(),
            turn,
            next: 0,
            trailers_sent: false,
            late: None,
        }
    }
}

/// The body of one try.
#[derive(Debug)]
pub(crate) struct Replay {
    body: Replayable,
    turn: u64,
    next: usize,
    trailers_sent: bool,
    /// When the piece that is waited for is late.
    late: Option<Pin<Box<Sleep>>>,
}

impl Drop for Replay {
    fn drop(&mut self) {
        // Whoever sends a body of known length does not ask for what comes at its end, which may be trailers.
        self.body.0.lock().end_copies();
    }
}

impl HttpBody for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut kept = this.body.0.lock();
        if kept.turn != this.turn {
            return Poll::Ready(Some(Err(BodyError::Abandoned)));
        }
        if let Some(again) = kept.kept.get(this.next..).filter(|again| !again.is_empty()) {
            this.next += again.len();
            let again = Bytes::copy_from_slice(again);
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        if kept.ended {
            let trailers = kept.trailers.clone().filter(|_| !this.trailers_sent);
            this.trailers_sent = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let Poll::Ready(mut next) = Pin::new(&mut kept.rest).poll_frame(cx) else {
            if kept.is_answered {
                this.late = None;
                return Poll::Pending;
            }
            kept.reader = Some(cx.waker().clone());
            let patience = kept.patience;
            let late = this.late.get_or_insert_with(|| Box::pin(sleep(patience)));
            ready!(late.as_mut().poll(cx));
            kept.break_off(Broke::Late);
            return Poll::Ready(Some(Err(BodyError::Late)));
        };
        this.late = None;
        if let Some(Ok(frame)) = &mut next
            && let Some(trailers) = frame.trailers_mut()
        {
            kept.seal.take_in_trailers(trailers);
        }
        match &next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    kept.keep(data);
                    this.next = kept.kept.len();
                } else if let Some(trailers) = frame.trailers_ref() {
                    kept.trailers = Some(trailers.clone());
                    kept.ended = true;
                    this.trailers_sent = true;
                }
            }
            Some(Err(error)) => kept.break_off(Broke::of(error)),
            None => kept.ended = true,
        }
        if kept.is_whole() {
            kept.sent.end();
        }
        kept.feed(next.as_ref());
        Poll::Ready(next.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.body.0.lock();
        let all = self.next >= kept.kept.len();
        let over = kept.ended || kept.rest.is_end_stream();
        all && over && (self.trailers_sent || kept.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.0.lock().size_from(self.next)
    }
}

impl Kept {
    /// What is known of the length after so many bytes of what is kept.
    fn size_from(&self, next: usize) -> SizeHint {
        let again = self.kept.len().saturating_sub(next) as u64;
        if self.ended {
            return SizeHint::with_exact(again);
        }
        match self.rest.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(again + rest),
            None => SizeHint::default(),
        }
    }

    /// All of it has come. Whoever sends a body of known length does not ask for more at its end.
    fn is_whole(&self) -> bool {
        let rest = &self.rest;
        self.ended || rest.is_end_stream() || rest.size_hint().exact() == Some(0)
    }

    /// Nothing more comes, and nothing is sent again.
    fn break_off(&mut self, why: Broke) {
        self.sent.broke.get_or_init(|| why);
        self.forget();
    }

    /// Shows the copies what came.
    fn feed(&mut self, next: Option<&Result<Frame<Bytes>, hyper::Error>>) {
        let Some(copier) = &mut self.copier else {
            return;
        };
        match next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    copier.data(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    copier.trailers(trailers);
                }
                if self.ended || self.rest.is_end_stream() {
                    self.end_copies();
                }
            }
            Some(Err(_)) => self.copier = None,
            None => self.end_copies(),
        }
    }

    /// The copies are whole too, if this is.
    fn end_copies(&mut self) {
        if self.is_whole()
            && let Some(mut copier) = self.copier.take()
        {
            copier.end();
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        self.bytes += piece.len();
        let bytes = piece.len() as u64;
        self.sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(messages) = &mut self.messages {
            let ended = messages.ended_by(piece);
            self.sent.messages.fetch_add(ended, Ordering::Relaxed);
        }
        if self.outgrown || self.bytes > self.most {
            self.forget();
        } else {
            self.kept.extend_from_slice(piece);
        }
    }

    /// It is not sent again.
    fn forget(&mut self) {
        self.outgrown = true;
        self.kept = Vec::new();
    }
}

#[cfg(test)]
pub(crate) mod tests;
