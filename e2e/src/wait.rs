//! Waiting for something to become true, with a deadline: scenarios never sleep for a guess.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks; short beside every deadline, long beside the cost of a look.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls `probe` until it answers `Some`, and fails after `limit` saying what was awaited.
pub fn wait_for<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> Result<T> {
    wait_with_pauses(PAUSE, what, limit, probe)
}

/// Like [`wait_for`], with a pause of its own for a look that is not cheap.
pub fn wait_with_pauses<T>(
    pause: Duration,
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            bail!("waited {limit:?} for {what}");
        }
        thread::sleep(pause);
    }
}

/// Like [`wait_for`], for a plain condition; answers how long it took.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<Duration> {
    let start = Instant::now();
    wait_for(what, limit, || condition().then_some(()))?;
    Ok(start.elapsed())
}
