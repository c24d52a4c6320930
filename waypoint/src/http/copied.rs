//! Copies of a body while it goes by. A copy never holds the body up: where its reader is too far
//! behind, it breaks off.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use super::body::{BodyError, Watch};
use super::replay::Came;

/// Pieces of a body that may wait for the reader of a copy.
const PIECES: usize = 256;
/// Bytes of them.
const BYTES: usize = 256 * 1024;
/// A piece of fewer bytes is copied: it is a part of all that was read with it, and would keep that.
const SMALL: usize = 4 * 1024;

#[derive(Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// Where the pieces of one copy go.
#[derive(Debug)]
struct Feed {
    pieces: mpsc::Sender<Piece>,
    way: Arc<Way>,
}

/// How it stands with a copy.
#[derive(Debug, Default)]
struct Way {
    /// Bytes that wait for its reader.
    waiting: AtomicUsize,
    /// Set when there is no more to read.
    came: OnceLock<Came>,
}

/// How far a copy has been read, for who has it no more.
#[derive(Debug)]
pub(crate) struct Progress(Arc<Way>);

impl Progress {
    /// How far it has been read.
    pub(crate) fn came(&self) -> Came {
        self.0.came.get().copied().unwrap_or(Came::Partly)
    }
}

/// Looks at a body and feeds its copies.
#[derive(Debug, Default)]
pub(crate) struct Copier(Vec<Feed>);

/// A copy, as far as it has come.
#[derive(Debug)]
pub(crate) struct Copied {
    pieces: mpsc::Receiver<Piece>,
    way: Arc<Way>,
    /// What is still to be read.
    size: SizeHint,
    ended: bool,
}

impl Copied {
    /// How far it has been read, from now on.
    pub(crate) fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.way))
    }

    /// There is no more to read. What comes first holds.
    fn is(&self, came: Came) {
        self.way.came.set(came).ok();
    }
}

impl Copier {
    /// One more copy of a body of this size.
    pub(crate) fn copy(&mut self, size: SizeHint) -> Copied {
        let (sender, receiver) = mpsc::channel(PIECES);
        let way = Arc::<Way>::default();
        self.0.push(Feed {
            pieces: sender,
            way: Arc::clone(&way),
        });
        Copied {
            pieces: receiver,
            way,
            size,
            ended: false,
        }
    }

    /// Feeds all copies; one that cannot take it is let go of.
    fn feed(&mut self, piece: impl Fn() -> Piece) {
        self.0.retain(|feed| feed.pieces.try_send(piece()).is_ok());
    }
}

impl Watch for Copier {
    fn data(&mut self, bytes: &Bytes) {
        if self.0.is_empty() {
            return;
        }
        let own = (bytes.len() < SMALL).then(|| Bytes::copy_from_slice(bytes));
        let bytes = own.as_ref().unwrap_or(bytes);
        self.0.retain(|feed| {
            let waiting = feed.way.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            waiting < BYTES && feed.pieces.try_send(Piece::Data(bytes.clone())).is_ok()
        });
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.feed(|| Piece::Trailers(trailers.clone()));
    }

    fn end(&mut self) {
        self.feed(|| Piece::End);
    }

    fn broken(&mut self, _error: &BodyError) {
        self.0.clear();
    }
}

impl HttpBody for Copied {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(this.pieces.poll_recv(cx)) {
            Some(Piece::Data(bytes)) => {
                this.way.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let left = this.size.exact().map(|left| left.saturating_sub(read));
                this.size = left.map_or(this.size, SizeHint::with_exact);
                // Who knows how many bytes there are may not ask for the end.
                if left == Some(0) {
                    this.is(Came::Whole);
                }
                Some(Ok(Frame::data(bytes)))
            }
            Some(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Some(Piece::End) => {
                this.ended = true;
                this.is(Came::Whole);
                None
            }
            None => {
                this.is(Came::Broken);
                Some(Err(BodyError::Abandoned))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

#[cfg(test)]
mod tests;
