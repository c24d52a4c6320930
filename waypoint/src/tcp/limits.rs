//! When a connection that is passed on is ended, whoever still holds it: for its age, or because nothing
//! goes by on it.
//!
//! What holds is what was said of its endpoints when it was made. Without a word about it a connection may
//! be silent for an hour, as with Envoy: an end that got lost on the way would keep it for ever.

use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use ambit_kit::clock;
use tokio::time::{Instant, sleep_until};

use crate::http::activity::Activity;
use crate::view::Terms;

/// How long a connection may be silent if nobody says.
const SILENCE: Duration = Duration::from_secs(3600);
/// How often it is looked at in the time that it may be silent: so much longer it may last.
const LOOKS: u32 = 4;
/// It is looked at no more often than this.
const SHORTEST: Duration = Duration::from_millis(1);

/// What ends a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    born: Instant,
    /// Never for that if absent.
    silence: Option<Duration>,
    lifetime: Option<Duration>,
}

impl Limits {
    /// Of a connection that is made now.
    pub(super) fn of(terms: Option<&Terms>) -> Self {
        let given = terms.map(|terms| &terms.policy.connections);
        let silence = given.and_then(|given| given.silence).unwrap_or(SILENCE);
        Self {
            born: Instant::now(),
            silence: (!silence.is_zero()).then_some(silence),
            lifetime: given.and_then(|given| given.lifetime),
        }
    }

    /// What comes of something, unless the connection is to be ended before, by which nothing goes till then.
    pub(crate) async fn unless_reached<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        let nothing = Activity::default();
        tokio::select! {
            biased;
            done = what => Some(done),
            _why = self.reached(&nothing) => None,
        }
    }

    /// Waits until the connection is to be ended; why.
    pub(super) async fn reached(&self, activity: &Activity) -> Refusal {
        tokio::select! {
            biased;
            () = self.too_old() => {
                let detail = "it is as old as the DestinationRule of its service lets it become";
                Refusal::new(Reason::ConnectionDuration, detail)
            }
            silence = self.silent(activity) => {
                let detail = format!("nothing has gone by for {silence:?}");
                Refusal::new(Reason::IdleTimeout, detail)
            }
        }
    }

    async fn too_old(&self) {
        let end = self.lifetime.and_then(|limit| self.born.checked_add(limit));
        clock::until(end).await;
    }

    /// How long it was silent, once that is too long.
    async fn silent(&self, activity: &Activity) -> Duration {
        let Some(silence) = self.silence else {
            return std::future::pending().await;
        };
        let look = (silence / LOOKS).max(SHORTEST);
        let mut last = self.born;
        while let Some(due) = last.checked_add(silence) {
            let soon = Instant::now().checked_add(look).unwrap_or(due);
            sleep_until(due.min(soon)).await;
            let now = Instant::now();
            if activity.take() {
                last = now;
            } else if now >= due {
                return silence;
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
