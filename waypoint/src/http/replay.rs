//! A request's body that several tries can send: what has gone by is kept, up to a bound, and sent
//! again before the rest.
//!
//! One try reads at a time: the next begins after the last was dropped. A body that has outgrown
//! the bound cannot be sent again ([`Replayable::may_repeat`]).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

use super::body::{BodyError, Watch as _};
use super::copied::Copier;
use super::grpc::Messages;

/// What a client has sent of a body, however often that was sent on.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Bytes.
    pub(crate) bytes: AtomicU64,
    /// Messages, if it is gRPC.
    pub(crate) messages: AtomicU64,
}

/// A body, kept as it goes by.
#[derive(Clone, Debug)]
pub(crate) struct Replayable(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    rest: Incoming,
    pieces: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    copier: Option<Copier>,
    bytes: usize,
    sent: Arc<Sent>,
    messages: Option<Messages>,
    most: usize,
    /// More went by than is kept.
    outgrown: bool,
    ended: bool,
}

impl Replayable {
    /// Keeps at most so many bytes.
    pub(crate) fn new(body: Incoming, most: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            ended: body.is_end_stream(),
            rest: body,
            pieces: Vec::new(),
            trailers: None,
            copier: None,
            bytes: 0,
            sent: Arc::default(),
            messages: None,
            most,
            outgrown: false,
        })))
    }

    /// Where its bytes are counted, and its messages if it is gRPC.
    pub(crate) fn counted(&self, is_grpc: bool) -> Arc<Sent> {
        let mut kept = self.0.lock();
        kept.messages = is_grpc.then(Messages::default);
        Arc::clone(&kept.sent)
    }

    /// Feeds copies with what comes from now on.
    pub(crate) fn copied_by(&self, copier: Copier) {
        self.0.lock().copier = Some(copier);
    }

    /// Whether all of it could be sent once more.
    pub(crate) fn may_repeat(&self) -> bool {
        !self.0.lock().outgrown
    }

    /// The body for one try.
    pub(crate) fn once(&self) -> Replay {
        Replay {
            body: self.clone(),
            next: 0,
            trailers_sent: false,
        }
    }
}

/// The body of one try.
#[derive(Debug)]
pub(crate) struct Replay {
    body: Replayable,
    next: usize,
    trailers_sent: bool,
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
        if let Some(piece) = kept.pieces.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if kept.ended {
            let trailers = kept.trailers.clone().filter(|_| !this.trailers_sent);
            this.trailers_sent = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let next = ready!(Pin::new(&mut kept.rest).poll_frame(cx));
        match &next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    kept.keep(data);
                    this.next = kept.pieces.len();
                } else if let Some(trailers) = frame.trailers_ref() {
                    kept.trailers = Some(trailers.clone());
                    kept.ended = true;
                    this.trailers_sent = true;
                }
            }
            Some(Err(_)) => kept.outgrown = true,
            None => kept.ended = true,
        }
        kept.feed(next.as_ref());
        Poll::Ready(next.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.body.0.lock();
        let all = self.next >= kept.pieces.len();
        let over = kept.ended || kept.rest.is_end_stream();
        all && over && (self.trailers_sent || kept.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.body.0.lock();
        let again = kept
            .pieces
            .iter()
            .skip(self.next)
            .map(Bytes::len)
            .sum::<usize>() as u64;
        let rest = kept.rest.size_hint();
        if kept.ended {
            return SizeHint::with_exact(again);
        }
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(again + rest),
            None => SizeHint::default(),
        }
    }
}

impl Kept {
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
                // Whoever sends a body of known length does not ask for more at its end.
                if self.ended || self.rest.is_end_stream() {
                    copier.end();
                    self.copier = None;
                }
            }
            Some(Err(_)) => self.copier = None,
            None => copier.end(),
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
            self.outgrown = true;
            self.pieces.clear();
        } else {
            self.pieces.push(piece.clone());
        }
    }
}
