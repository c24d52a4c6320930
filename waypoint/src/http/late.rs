//! Answers that have to be complete by a time, also where the client does not read them.
//!
//! hyper asks a body for its next piece only when there is room for it, and a client that does not read
//! leaves none. So what drives hyper is ended instead ([`in_time`]): a connection of HTTP/1, or the task of
//! one stream of HTTP/2, which resets that. The body goes with it, and with the body the connection to
//! the endpoint.
//!
//! A body tells whatever polls it ([`Due`]). Nothing is paid for one that may take as long as it likes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use ambit_kit::clock;
use tokio::time::sleep_until;

tokio::task_local! {
    /// That of the answer which is written by what is polled: there is one at a time.
    static TIMER: RefCell<Option<Timer>>;
}

/// Waits for the time of one answer.
struct Timer {
    due: Weak<OnceLock<Instant>>,
    over: Over,
}

/// Ends when the time is over.
type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// When an answer has to be complete, once that is known. Nobody waits for it any more when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Due(Arc<OnceLock<Instant>>);

impl Due {
    /// Then: what is polled now ends.
    pub(crate) fn at(deadline: Instant) -> Self {
        let due = Arc::new(OnceLock::from(deadline));
        let over = Box::pin(sleep_until(deadline.into()));
        Self::waiting(due, over)
    }

    /// When that says which will be known later: what is polled now ends then.
    pub(crate) fn when(known: impl Future<Output = Instant> + Send + 'static) -> Self {
        let due = Arc::<OnceLock<Instant>>::default();
        let told = Arc::downgrade(&due);
        let over = async move {
            let deadline = known.await;
            if let Some(due) = told.upgrade() {
                due.get_or_init(|| deadline);
            }
            sleep_until(deadline.into()).await;
        };
        Self::waiting(due, Box::pin(over))
    }

    fn waiting(due: Arc<OnceLock<Instant>>, over: Over) -> Self {
        let timer = Timer {
            due: Arc::downgrade(&due),
            over,
        };
        if TIMER.try_with(|slot| slot.replace(Some(timer))).is_err() {
            // It is still told to what polls the body, but a client that does not read is not hurried.
            tracing::error!("an answer that has its time is made where nobody drives it");
            debug_assert!(false, "an answer is made where nobody drives it");
        }
        Self(due)
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.0.get().is_some_and(|due| clock::now() >= *due)
    }
}

/// Drives what writes answers to its end; `None` if one was not complete in time.
pub(crate) fn in_time<F>(mut future: F) -> impl Future<Output = Option<F::Output>>
where
    F: Future + Unpin,
{
    let driven = poll_fn(move |cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        // It had its chance to break the answer off by itself.
        Poll::Pending => TIMER
            .with(|timer| poll_late(&mut timer.borrow_mut(), cx))
            .map(|()| None),
    });
    TIMER.scope(RefCell::default(), driven)
}

fn poll_late(slot: &mut Option<Timer>, cx: &mut Context<'_>) -> Poll<()> {
    match slot {
        Some(timer) if timer.due.strong_count() > 0 => timer.over.as_mut().poll(cx),
        _ => {
            *slot = None;
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests;
