//! Errors that are made on purpose: which of them a request meets.

use std::time::Duration;

use ambit_model::{AbortStatus, Faults, Share};

use crate::weight::below;

/// What a request meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// It waits.
    pub delay: Option<Duration>,
    /// After that, it is answered so.
    pub abort: Option<AbortStatus>,
}

/// The errors that a request meets. Each is drawn by itself: `random` are two numbers that have
/// nothing to do with each other, evenly distributed.
pub fn inject(faults: &Faults, random: [u64; 2]) -> Injected {
    let [of_delay, of_abort] = random;
    let delay = faults.delay.as_ref().filter(|it| hits(it.of, of_delay));
    let abort = faults.abort.as_ref().filter(|it| hits(it.of, of_abort));
    Injected {
        delay: delay.map(|delay| delay.fixed),
        abort: abort.map(|abort| abort.with),
    }
}

/// Whether a request is among a share of all.
pub(crate) fn hits(share: Share, random: u64) -> bool {
    share.of > 0 && below(share.of.into(), random) < share.share.into()
}

#[cfg(test)]
mod tests;
