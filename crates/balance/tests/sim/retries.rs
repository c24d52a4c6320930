//! Retries when every try fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_balance::{ActiveRequest, ActiveRetry, Backoff, Random, RetryBudget, RetryLimits};

const TRIES: u32 = 4;
const TRY_TAKES: Duration = Duration::from_millis(20);
const REQUESTS: u32 = 5_000;

/// A request whose current try ends in failure. The guards count as long as it lives.
struct Request {
    tries: u32,
    active: ActiveRequest,
    retry: Option<ActiveRetry>,
}

/// A backend that fails every try after a while.
struct Outage {
    budget: Arc<RetryBudget>,
    random: Random,
    /// By when their tries end, and by number.
    underway: BTreeMap<(Duration, u32), Request>,
    tries: u32,
}

impl Outage {
    fn begin(&mut self, now: Duration, number: u32) {
        let request = Request {
            tries: 1,
            active: self.budget.request(),
            retry: None,
        };
        self.underway.insert((now + TRY_TAKES, number), request);
    }

    /// Fails the tries that have ended by now, and makes new ones as the budget allows.
    fn fail(&mut self, now: Duration) {
        let later = self.underway.split_off(&(now, 0));
        for ((end, number), request) in std::mem::replace(&mut self.underway, later) {
            self.tries += 1;
            // What the try had of the budget goes back before the next one asks.
            drop(request.retry);
            if request.tries == TRIES {
                continue;
            }
            if let Some(retry) = self.budget.retry() {
                let wait = Backoff::default().wait(request.tries, self.random.any());
                let request = Request {
                    tries: request.tries + 1,
                    active: request.active,
                    retry: Some(retry),
                };
                self.underway
                    .insert((end + wait + TRY_TAKES, number), request);
            }
        }
    }
}

/// A request every millisecond. How many tries there are in all, and how many retries at once at
/// most.
fn tries(limits: RetryLimits) -> (u32, usize) {
    let mut outage = Outage {
        budget: Arc::new(RetryBudget::new(limits)),
        random: Random::new(9),
        underway: BTreeMap::new(),
        tries: 0,
    };
    let at_once = (0..REQUESTS).map(|number| {
        let now = Duration::from_millis(u64::from(number));
        outage.fail(now);
        outage.begin(now, number);
        let retries = outage.underway.values().filter(|r| r.retry.is_some());
        retries.count()
    });
    let at_once = at_once.max();
    (outage.tries, at_once.unwrap())
}

#[test]
fn a_backend_that_fails_everything_is_not_asked_much_more() {
    let unlimited = RetryLimits {
        percent: 1_000,
        minimum: 1_000,
        most: None,
    };
    let (all, _) = tries(unlimited);
    assert!(all > 4 * REQUESTS * 9 / 10, "the baseline: {all}");

    let (few, at_once) = tries(RetryLimits::default());
    assert!(few > REQUESTS * 21 / 20, "{few}: there are retries");
    assert!(few < REQUESTS * 5 / 4, "{few} tries of {REQUESTS} requests");
    // 20 to 26 requests are in progress.
    assert!((4..=6).contains(&at_once), "{at_once} retries at once");
}
