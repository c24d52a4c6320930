//! How long a request may take, and from when on.
//!
//! By HTTPRoutes both times begin at the head: that of the request when it came, that of a try when it
//! begins. By VirtualServices they begin when the client has sent all of its request, as in Envoy: a long
//! upload is not late, and neither is a stream in both directions. There the time of a try ends with the
//! head of its answer, for what has begun is not tried again.
//!
//! [`Time`] is how long a request may take, [`Clock`] that of one on its way: it knows how far its body has come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambit_model::HttpRule;
use tokio::time::error::Elapsed;

use crate::http::late::Due;
use crate::http::replay::Replayable;

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// When it came, or had been made to wait on purpose.
    began: Instant,
    /// All of it.
    all: Option<Duration>,
    /// Each try.
    each: Option<Duration>,
    /// From when all of it has come.
    from_end: bool,
}

impl Time {
    /// As long as it wants.
    pub(super) fn unbounded(began: Instant) -> Self {
        Self {
            began,
            all: None,
            each: None,
            from_end: false,
        }
    }

    /// What a rule allows.
    pub(super) fn by(rule: &HttpRule, began: Instant) -> Self {
        Self {
            began,
            all: rule.timeout,
            each: rule.try_timeout,
            from_end: rule.timed_from_end,
        }
    }

    /// Waits for what has to be done before the request is sent, as long as all of it may take.
    pub(super) async fn limit<T>(&self, doing: impl Future<Output = T>) -> Result<T, Elapsed> {
        match self.of_all(self.began) {
            None => Ok(doing.await),
            Some(deadline) => tokio::time::timeout_at(deadline.into(), doing).await,
        }
    }

    /// When a request is late whose time began then.
    fn of_all(&self, from: Instant) -> Option<Instant> {
        self.all.map(|all| from + all)
    }

    /// When a try of it is late, up to the head of its answer.
    fn of_try(&self, from: Instant, tried: Instant) -> Option<Instant> {
        let each = self.each.map(|each| from.max(tried) + each);
        [each, self.of_all(from)].into_iter().flatten().min()
    }

    /// The same up to the end of its answer.
    fn of_answer(&self, from: Instant, tried: Instant) -> Option<Instant> {
        match self.from_end {
            true => self.of_all(from),
            false => self.of_try(from, tried),
        }
    }
}

/// The time of a request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock<'a> {
    time: Time,
    /// The body that has to have come before time counts.
    awaited: Option<&'a Replayable>,
}

impl<'a> Clock<'a> {
    /// That of a request with this body.
    pub(super) fn new(time: Time, body: Option<&'a Replayable>) -> Self {
        let awaited = body.filter(|_| time.from_end);
        Self { time, awaited }
    }

    /// Whether the request has taken too long, or will have after a wait.
    pub(super) fn is_over_after(self, wait: Duration, now: Instant) -> bool {
        self.end().is_some_and(|end| now + wait >= end)
    }

    /// When the request has to be over, if that is known by now.
    fn end(self) -> Option<Instant> {
        let from = match self.awaited {
            Some(body) => body.ended()?,
            None => self.time.began,
        };
        self.time.of_all(from)
    }

    /// Waits until a try that began then is late, and says whether it is by its own time. Time in which it
    /// has no connection yet counts from the head of the request, unless all of that has come before.
    pub(super) async fn late(self, tried: Instant, asks: &AtomicBool) -> bool {
        let ended = self.awaited.and_then(Replayable::ended);
        let mut from = ended.unwrap_or(self.time.began);
        let mut awaited = self.awaited.filter(|_| ended.is_none());
        while let Some(late) = self.time.of_try(from, tried) {
            tokio::time::sleep_until(late.into()).await;
            let coming = awaited.take().filter(|_| asks.load(Ordering::Relaxed));
            let Some(body) = coming else {
                return self.time.of_all(from).is_none_or(|all| late < all);
            };
            from = body.whole().await;
        }
        std::future::pending().await
    }

    /// When an answer has to be complete whose try began then.
    pub(super) fn due(self, tried: Instant) -> Option<Due> {
        let time = self.time;
        match self.awaited {
            None => time.of_answer(time.began, tried).map(Due::at),
            Some(body) => match body.ended() {
                Some(whole) => time.of_answer(whole, tried).map(Due::at),
                None => {
                    // Not known yet, but whether there is one.
                    time.of_answer(tried, tried)?;
                    let whole = body.whole();
                    let known = async move {
                        let whole = whole.await;
                        time.of_answer(whole, tried).unwrap_or(whole)
                    };
                    Some(Due::when(known))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests;
