//! Bodies on their way through: what one is made of, and what happens at its end.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep_until};

use super::busy::Answering;
use super::copied::Copied;
use super::replay::Replay;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Its sender or the connection failed.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// It took longer than it may.
    #[error("it was not complete in time")]
    Late,
    /// It is a copy that fell too far behind, or what it is a copy of broke off.
    #[error("the copy was given up")]
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
    end: Option<Pin<Box<Sleep>>>,
    /// The request that it answers counts as being answered while it is there.
    _answering: Option<Answering>,
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
    pub(crate) fn watched(self, watch: Box<dyn Watch>) -> Self {
        let mut body = Self {
            watch: Some(watch),
            ..self
        };
        if body.is_end_stream() {
            body.over();
        }
        body
    }

    /// The same, as the answer to this.
    pub(crate) fn answering(self, answering: Answering) -> Self {
        Self {
            _answering: Some(answering),
            ..self
        }
    }

    /// The same, to be complete by then.
    pub(crate) fn until(self, deadline: Option<Instant>) -> Self {
        let end = deadline.map(|deadline| Box::pin(sleep_until(deadline.into())));
        Self { end, ..self }
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            watch: None,
            end: None,
            _answering: None,
        }
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.source {
            Source::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Incoming(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|next| next.map(|frame| frame.map_err(BodyError::Broken))),
            Source::Replay(body) => Pin::new(body).poll_frame(cx),
            Source::Copied(body) => Pin::new(body).poll_frame(cx),
        };
        if polled.is_pending()
            && let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(BodyError::Late)));
        }
        polled
    }

    /// The end is told once, and what watched is let go of at once: the peer need not close first.
    fn over(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            watch.end();
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
        let polled = this.poll_source(cx);
        let Poll::Ready(next) = &polled else {
            return polled;
        };
        let Some(watch) = &mut this.watch else {
            return polled;
        };
        match next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watch.data(data);
                } else if let Some(trailers) = frame.trailers_ref() {
                    watch.trailers(trailers);
                }
                if this.is_end_stream() {
                    this.over();
                }
            }
            Some(Err(error)) => {
                watch.broken(error);
                this.watch = None;
            }
            None => this.over(),
        }
        polled
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
