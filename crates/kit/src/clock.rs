//! The clock: the one place that reads the time of day, and how it is written for people.
//!
//! Machines (rotation, subscriptions, drains) never ask for the time, they are told; the thin tasks
//! around them ask here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;
/// Units of a span of time as people write it, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
/// Longest span that can be written: a century, so that adding it to the time of day is safe.
const LONGEST: u64 = 36_525 * 86_400_000;

/// A text is not a span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a span of time: expected a number with ms, s, m, h or d, such as 90s or 24h")]
pub struct SpanError(String);

/// The monotonic time, for waits and intervals.
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until then; for ever if there is no then.
pub async fn until(then: Option<impl Into<tokio::time::Instant>>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
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

/// The time of day as RFC 3339 writes it, in UTC with milliseconds. Every line of a log has it.
pub fn rfc3339(time: SystemTime) -> String {
    let since = since_epoch(time);
    let (days, seconds) = (
        since.as_secs() / SECONDS_PER_DAY,
        since.as_secs() % SECONDS_PER_DAY,
    );
    let (year, month, day) = civil(days);
    let clock = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    let mut text = String::with_capacity("0000-00-00T00:00:00.000Z".len());
    let mut digits = |value: u64, powers: &[u64], after: char| {
        for power in powers {
            text.push(char::from(b'0' + (value / power % 10) as u8));
        }
        text.push(after);
    };
    digits(year, &[1000, 100, 10, 1], '-');
    digits(month, &[10, 1], '-');
    digits(day, &[10, 1], 'T');
    for (value, after) in clock.into_iter().zip([':', ':', '.']) {
        digits(value, &[10, 1], after);
    }
    digits(since.subsec_millis().into(), &[100, 10, 1], 'Z');
    text
}

/// Reads a span of time as people write it: `250ms`, `90s`, `10m`, `24h`, `7d`.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let bad = || SpanError(text.to_owned());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
    let (_, millis) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_illegal| bad())?;
    let millis = number
        .checked_mul(*millis)
        .filter(|millis| *millis <= LONGEST);
    Ok(Duration::from_millis(millis.ok_or_else(bad)?))
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
