//! How the waypoint goes: in steps, so that no request fails because of it.
//!
//! ```text
//! Serving --signal--> Leaving --LINGER--> Draining --half of the time--> Closing --> the end
//! ```
//!
//! A step is never taken back. What each means for a connection is said at [`Step`].

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

/// How far the waypoint is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Step {
    /// Not at all.
    Serving,
    /// It is not ready any more, and agents learn of that; everything is served as before.
    Leaving,
    /// Sessions take no new streams and HTTP/2 connections no new requests; on HTTP/1 the next
    /// answer is the last of its connection.
    Draining,
    /// HTTP/1 connections on which no request has come meanwhile end too.
    Closing,
}

/// The steps, as connections see them.
#[derive(Debug)]
pub(crate) struct Drain {
    /// The step once more, for those who only look: they take no lock.
    step: AtomicU8,
    told: watch::Sender<Step>,
}

impl Drain {
    /// Serving.
    pub(crate) fn new() -> Self {
        Self {
            step: AtomicU8::new(Step::Serving as u8),
            told: watch::Sender::new(Step::Serving),
        }
    }

    /// Goes on to this step.
    pub(crate) fn go_on(&self, to: Step) {
        self.step.fetch_max(to as u8, Ordering::Release);
        self.told.send_if_modified(|step| {
            let further = *step < to;
            *step = (*step).max(to);
            further
        });
    }

    /// Whether this step has been reached.
    pub(crate) fn has_reached(&self, step: Step) -> bool {
        self.step.load(Ordering::Acquire) >= step as u8
    }

    /// Waits for this step.
    pub(crate) async fn reached(&self, step: Step) {
        let mut told = self.told.subscribe();
        // The sender is `self`: it does not go meanwhile.
        told.wait_for(|now| *now >= step).await.ok();
    }
}

#[cfg(test)]
mod tests;
