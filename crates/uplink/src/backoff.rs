//! Waits between attempts to reach the control plane: 10 ms, doubling to 15 s, less some jitter so
//! that the agents of a cluster do not come back in step.

use std::time::Duration;

use tonic::{Code, Status};

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(15);
/// How often a control plane without a service is asked again: it may be replaced by ours.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The waits of one stream.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// From the shortest wait on.
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    /// Something worked: the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(LONGEST);
        full.mul_f64(rand::random_range(0.75..=1.0))
    }

    /// How long to wait after a stream has ended like that.
    pub fn wait_after(&mut self, stream: &'static str, ended: &Result<(), Status>) -> Duration {
        let Err(status) = ended else {
            return self.next_wait();
        };
        if is_not_served(status) {
            return ASK_AGAIN;
        }
        let message = status.message();
        tracing::debug!(stream, code = %status.code(), message, "no stream");
        self.next_wait()
    }
}

/// Whether the control plane is of another make and does not have the service.
pub fn is_not_served(status: &Status) -> bool {
    status.code() == Code::Unimplemented
}

#[cfg(test)]
mod tests {
    //! The sequence of waits.

    use super::*;

    #[test]
    fn waits_double_from_10_ms_to_15_s_and_start_over() {
        let mut backoff = Backoff::new();
        for exponent in 0..20 {
            let full = (FIRST * (1 << exponent)).min(LONGEST);
            let wait = backoff.next_wait();
            assert!(
                wait <= full && wait >= full.mul_f64(0.74),
                "{exponent}: {wait:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }
}
