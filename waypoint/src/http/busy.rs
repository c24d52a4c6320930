//! Whether a request of an HTTP/1 connection is being answered: until then nothing that stands behind
//! it may look like the end of the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Whether one is; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<State>);

#[derive(Debug, Default)]
struct State {
    answering: AtomicBool,
    reader: AtomicWaker,
}

/// One is, until this is dropped.
#[derive(Debug)]
pub(crate) struct Answering(Busy);

impl Busy {
    /// A request has come. There is one at a time.
    pub(crate) fn begin(&self) -> Answering {
        self.0.answering.store(true, Ordering::Release);
        Answering(self.clone())
    }

    /// Waits until none is being answered.
    pub(crate) fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.reader.register(cx.waker());
        match self.0.answering.load(Ordering::Acquire) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let State { answering, reader } = &*self.0.0;
        answering.store(false, Ordering::Release);
        reader.wake();
    }
}
