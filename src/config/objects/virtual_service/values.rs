//! Values within virtual services: durations as Go writes them, and shares of a hundred.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use ambit_model::Share;

/// Nanoseconds of each unit; those of two letters come before what they may be taken for.
const UNITS: [(&str, f64); 7] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];
/// Longest duration that is taken: ten million hours, or more than a thousand years.
const LONGEST: f64 = 1e7 * 3600e9;
/// Parts of a hundred that a share is counted in, as Envoy does.
const PARTS: u32 = 1_000_000;

/// A duration such as `1h30m`, `2s` or `0.5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

/// A share of a hundred, `{value: 0.1}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Percentage {
    /// So many of a hundred; none if absent.
    #[serde(default)]
    pub value: Percent,
}

/// So many of a hundred, down to a ten-thousandth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent(u32);

impl Span {
    /// Reads the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(40).collect();
        let wrong = || format!("`{shown}` is not a duration such as 1h30m, 2s, 0.5s or 100ms");
        let mut rest = text;
        let mut nanos = 0.0;
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if text.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            let (number, after) = rest
                .split_at_checked(digits.ok_or_else(wrong)?)
                .ok_or_else(wrong)?;
            let number: f64 = number.parse().ok().ok_or_else(wrong)?;
            let unit = |(unit, nanos): &(&str, f64)| Some((after.strip_prefix(unit)?, *nanos));
            let (after, unit) = UNITS.iter().find_map(unit).ok_or_else(wrong)?;
            nanos += number * unit;
            rest = after;
        }
        if nanos > LONGEST {
            return Err(format!("`{shown}` is longer than anything is waited for"));
        }
        Ok(Self(Duration::from_secs_f64(nanos / 1e9)))
    }

    /// How long it is.
    pub fn length(self) -> Duration {
        self.0
    }

    /// How long it is; none for zero, which means no limit.
    pub fn limit(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_secs(), self.0.subsec_nanos()) {
            (seconds, 0) => write!(f, "{seconds}s"),
            (0, nanos) => write!(f, "{nanos}ns"),
            (seconds, nanos) => write!(f, "{seconds}s{nanos}ns"),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl Percent {
    /// The share that it is.
    pub fn share(self) -> Share {
        Share {
            share: self.0,
            of: PARTS,
        }
    }

    /// All of a hundred.
    pub fn all() -> Self {
        Self(PARTS)
    }
}

impl TryFrom<f64> for Percent {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        if !(0.0..=100.0).contains(&value) {
            return Err(format!("{value} is not from 0 to 100"));
        }
        let parts = (value * f64::from(PARTS / 100)).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to a million"
        )]
        Ok(Self(parts as u32))
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        Self::from(percent.0) / Self::from(PARTS / 100)
    }
}

#[cfg(test)]
mod tests;
