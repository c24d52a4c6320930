//! The clock: the one place that reads the time of day, and how it is written for people.
//!
//! Machines (rotation, subscriptions, drains) never ask for the time, they are told; the thin tasks
//! around them ask here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// The monotonic time, for waits and intervals.
pub fn now() -> Instant {
    Instant::now()
}

/// The time of day, for certificates and logs.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Seconds since 1970 of a time of day; 0 for times before.
pub fn unix_seconds(time: SystemTime) -> u64 {
    since_epoch(time).as_secs()
}

/// Milliseconds since 1970 of a time of day; 0 for times before.
pub fn unix_millis(time: SystemTime) -> u64 {
    u64::try_from(since_epoch(time).as_millis()).unwrap_or(u64::MAX)
}

/// The time of day as RFC 3339 writes it, in UTC with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    let since = since_epoch(time);
    let (days, seconds) = (
        since.as_secs() / SECONDS_PER_DAY,
        since.as_secs() % SECONDS_PER_DAY,
    );
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from 1 March, so that the leap day is a year's last and months have a
/// regular length: month `m` after March begins on day `(153 * m + 2) / 5`.
fn civil(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 is 719,468 days before 1970-01-01; 400 years are 146,097 days.
    let days = days + 719_468;
    let (era, in_era) = (days / 146_097, days % 146_097);
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let after_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * after_march + 2) / 5 + 1;
    let month = if after_march < 10 {
        after_march + 3
    } else {
        after_march - 9
    };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests;
