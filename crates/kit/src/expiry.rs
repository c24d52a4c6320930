//! When what a peer has proved holds no longer: it is asked to leave then, and turned away if it does
//! not.

use std::time::{Duration, SystemTime};

use crate::clock;

/// How long a peer whose certificate has expired may go on opening streams in an old tunnel.
const TIME_TO_LEAVE: Duration = Duration::from_secs(60);

/// The time up to which a peer has proved who it is.
#[derive(Clone, Copy, Debug)]
pub struct Expiry(SystemTime);

impl Expiry {
    /// That time.
    #[must_use]
    pub fn new(at: SystemTime) -> Self {
        Self(at)
    }

    /// Waits for it: then the peer is to be asked to leave.
    pub async fn reached(self) {
        let left = self.0.duration_since(clock::wall());
        tokio::time::sleep(left.unwrap_or_default()).await;
    }

    /// Whether the peer should have left by now: then it is to be turned away.
    pub fn is_outstayed(self) -> bool {
        self.is_outstayed_at(clock::wall())
    }

    fn is_outstayed_at(self, now: SystemTime) -> bool {
        let late = now.duration_since(self.0);
        late.is_ok_and(|late| late > TIME_TO_LEAVE)
    }
}

#[cfg(test)]
mod tests;
