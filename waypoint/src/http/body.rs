//! Bodies on their way through: what one is made of, and what happens at its end.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::busy::Answering;
use super::copied::Copied;
use super::late::Due;
use super::replay::Replay;
use crate::pressure::holders::UnderWay;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Its sender or the connection failed.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// It took longer than it may.
    #[error("it was not complete in time")]
    Late,
    /// It is a copy that fell too far behind, or what it is a copy of broke off; or another try has taken its place.
    #[error("it was given up")]
    Abandoned,
}

/// Looks at a body as it goes by. Dropped when the body is.
pub(crate) trait Watch: Send + fmt::Debug {
    /// A piece went by.
    fn data(&mut self, bytes: &Bytes);
    /// Trailers went by.
    fn trailers(&mut self, trailers: &http::HeaderMap);
    /// The body went by to its end.
    fn end(&mut self);
    /// The body broke off.
    fn broken(&mut self, error: &BodyError);
}

/// A body.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    watch: Option<Box<dyn Watch>>,
    /// When it has to be complete.
    due: Option<Due>,
    /// The request that it answers counts as being answered while it is there.
    _answering: Option<Answering>,
    /// The request that it answers, on a client's connection.
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
enum Source {
    Whole(Option<Bytes>),
    Incoming(Incoming),
    Replay(Replay),
    Copied(Copied),
}

impl Body {
    /// Without a byte.
    pub(crate) fn empty() -> Self {
        Self::of(Source::Whole(None))
    }

    /// All of it at once.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(Source::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// As it comes.
    pub(crate) fn incoming(body: Incoming) -> Self {
        Self::of(Source::Incoming(body))
    }

    /// One that may have to be sent again.
    pub(crate) fn replay(replay: Replay) -> Self {
        Self::of(Source::Replay(replay))
    }

    /// A copy of one that goes elsewhere.
    pub(crate) fn copied(copied: Copied) -> Self {
        Self::of(Source::Copied(copied))
    }

    /// The same, looked at.
    pub(crate) fn watched(mut self, watch: Box<dyn Watch>) -> Self {
        self.watch = Some(watch);
        if self.is_end_stream() {
            self.over();
        }
        self
    }

    /// The same, as the answer to this.
    pub(crate) fn answering(mut self, answering: Answering) -> Self {
        self._answering = Some(answering);
        self
    }

    /// The same, as the answer to this request, which is under way while it is there.
    pub(crate) fn under_way(mut self, under_way: UnderWay) -> Self {
        self.under_way = Some(under_way);
        self
    }

    /// The same, to be complete by then.
    pub(crate) fn until(mut self, due: Option<Due>) -> Self {
        self.due = due;
        self
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            watch: None,
            due: None,
            _answering: None,
            under_way: None,
        }
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_late() {
            return Poll::Ready(Some(Err(BodyError::Late)));
        }
        let under_way = self.under_way.as_ref();
        let waits = under_way.is_some_and(|it| it.poll_turn(cx).is_pending());
        match &mut self.source {
            _ if waits => Poll::Pending,
            Source::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|next| next.map(|frame| frame.map_err(BodyError::Broken))),
            Source::Replay(body) => Pin::new(body).poll_frame(cx),
            Source::Copied(body) => Pin::new(body).poll_frame(cx),
        }
    }

    /// Whether it had to be complete by now and is not.
    fn is_late(&self) -> bool {
        self.due.as_ref().is_some_and(Due::is_over)
    }

    /// Has who watches see what comes next.
    fn note(&mut self, next: Option<&Result<Frame<Bytes>, BodyError>>) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        match next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watch.data(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    watch.trailers(trailers);
                }
                if self.is_end_stream() {
                    self.over();
                }
            }
            Some(Err(error)) => {
                watch.broken(error);
                self.watch = None;
            }
            None => self.over(),
        }
    }

    /// The end is told once, and what watched is let go of at once: the peer need not close first.
    fn over(&mut self) {
        self.due = None;
        if let Some(mut watch) = self.watch.take() {
            watch.end();
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // It was ended for that by who did not ask for more of it.
        if self.is_late()
            && let Some(watch) = &mut self.watch
        {
            watch.broken(&BodyError::Late);
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let next = ready!(this.poll_source(cx));
        this.note(next.as_ref());
        Poll::Ready(match &mut this.under_way {
            Some(under_way) => {
                next.map(|next| next.map(|frame| frame.map_data(|bytes| under_way.waits(bytes))))
            }
            None => next,
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Incoming(body) => body.is_end_stream(),
            Source::Replay(body) => body.is_end_stream(),
            Source::Copied(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(length as u64)
            }
            Source::Incoming(body) => body.size_hint(),
            Source::Replay(body) => body.size_hint(),
            Source::Copied(body) => body.size_hint(),
        }
    }
}
