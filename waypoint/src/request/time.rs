//! How long a request may take, and from when on.
//!
//! By HTTPRoutes both times begin at the head: that of the request when it came, that of a try when it
//! begins. By VirtualServices they begin when the client has sent all of its request, as in Envoy: a long
//! upload is not late, and neither is a stream in both directions. There the time of a try ends with the
//! head of its answer, for what has begun is not tried again.

use std::time::{Duration, Instant};

use ambit_model::HttpRule;

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

    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Whether a body has to have come first.
    pub(super) fn is_from_end(&self) -> bool {
        self.from_end
    }

    /// When a request is late whose time began then.
    pub(super) fn of_all(&self, from: Instant) -> Option<Instant> {
        self.all.map(|all| from + all)
    }

    /// When a try of it is late, up to the head of its answer.
    pub(super) fn of_try(&self, from: Instant, tried: Instant) -> Option<Instant> {
        let each = self.each.map(|each| from.max(tried) + each);
        [each, self.of_all(from)].into_iter().flatten().min()
    }

    /// The same up to the end of its answer.
    pub(super) fn of_answer(&self, from: Instant, tried: Instant) -> Option<Instant> {
        match self.from_end {
            true => self.of_all(from),
            false => self.of_try(from, tried),
        }
    }
}

#[cfg(test)]
mod tests;
