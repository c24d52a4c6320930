//! Values within routes, with the limits that Gateway API's definitions set: ports, weights, durations,
//! names and values of headers, and lists of bounded length.
//!
//! A folder of files has no API server that checked them, so it is done on reading.

use std::borrow::Borrow as _;
use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Largest weight of a backend.
const MAX_WEIGHT: u32 = 1_000_000;
/// Units of a duration, in milliseconds; `ms` comes before what its beginning or end may be taken for.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
/// Most parts of a duration, and most digits of one.
const MAX_PARTS: usize = 4;
const MAX_DIGITS: usize = 5;

/// A port from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RoutePort(NonZeroU16);

/// Share of a backend among those of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Weight(u32);

/// A duration in the form of Gateway API (GEP-2257): `1h30m`, `10s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteDuration(Duration);

/// A text of `1` to `MAX` characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX: usize>(Arc<str>);

/// Name of a header: a token of RFC 9110, section 5.6.2.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(Arc<str>);

/// Value that a header gets: visible characters, with single spaces or tabs in between.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldContent(Arc<str>);

impl RoutePort {
    fn new(number: &u16) -> Result<Self, String> {
        let number = NonZeroU16::new(*number);
        number
            .map(Self)
            .ok_or_else(|| "0 is not a port from 1 to 65535".to_owned())
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl Weight {
    fn new(number: &u32) -> Result<Self, String> {
        if *number > MAX_WEIGHT {
            return Err(format!(
                "{number} is more than the largest weight, {MAX_WEIGHT}"
            ));
        }
        Ok(Self(*number))
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl RouteDuration {
    /// Reads the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(80).collect();
        let wrong = || format!("`{shown}` is not a duration such as 1h30m, 10s or 500ms");
        let mut rest = text;
        let mut total = 0;
        let mut parts = 0;
        while !rest.is_empty() {
            let (number, after) = leading_number(rest).ok_or_else(wrong)?;
            let unit = |(unit, millis): &(&str, u64)| Some((after.strip_prefix(unit)?, *millis));
            let (after, millis) = UNITS.iter().find_map(unit).ok_or_else(wrong)?;
            total += u64::from(number) * millis;
            parts += 1;
            rest = after;
        }
        if parts == 0 || parts > MAX_PARTS {
            return Err(wrong());
        }
        Ok(Self(Duration::from_millis(total)))
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

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at_checked(digits)?;
    let number = number.parse().ok().filter(|_| digits <= MAX_DIGITS)?;
    Some((number, rest))
}

impl fmt::Display for RouteDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let parts = [
            (seconds / 3600, "h"),
            (seconds % 3600 / 60, "m"),
            (seconds % 60, "s"),
            (millis, "ms"),
        ];
        let mut shown = parts.iter().filter(|(number, _)| *number > 0);
        shown.try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

impl<const MAX: usize> Text<MAX> {
    fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().count() > MAX {
            return Err(format!("a text of 1 to {MAX} characters is expected here"));
        }
        Ok(Self(text.into()))
    }

    /// The text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FieldName {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 256 || !text.bytes().all(legal) {
            let shown: String = text.chars().take(80).collect();
            return Err(format!(
                "`{shown}` is not a name of a header: 1 to 256 letters, digits and !#$%&'*+-.^_`|~"
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name as it is written.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The name in lower case.
    pub fn lower_case(&self) -> Arc<str> {
        self.0.to_ascii_lowercase().into()
    }
}

impl FieldContent {
    fn new(text: &str) -> Result<Self, String> {
        let visible = |byte: &u8| byte.is_ascii_graphic();
        let legal = |pair: &[u8]| match pair {
            [first, second] => visible(first) || visible(second),
            _ => true,
        };
        let bytes = text.as_bytes();
        let known = |byte: &u8| visible(byte) || matches!(byte, b' ' | b'\t');
        let ends = bytes.first().is_some_and(visible) && bytes.last().is_some_and(visible);
        if !ends || bytes.len() > 4096 || !bytes.iter().all(known) || !bytes.windows(2).all(legal) {
            return Err(
                "a value of a header is expected here: 1 to 4096 visible characters of ASCII, with \
                 single spaces in between"
                    .to_owned(),
            );
        }
        Ok(Self(text.into()))
    }

    /// The text, shared.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Reads a list of at most so many entries; `null` as an empty one.
pub(super) fn at_most<'de, const MAX: usize, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Vec<T> = Option::deserialize(deserializer)?.unwrap_or_default();
    if list.len() > MAX {
        let count = list.len();
        let what = format!("{count} entries, of which {MAX} are allowed");
        return Err(D::Error::custom(what));
    }
    Ok(list)
}

macro_rules! checked {
    ($($type:ty, $from:ty: $inner:expr;)*) => {$(
        impl TryFrom<$from> for $type {
            type Error = String;

            fn try_from(value: $from) -> Result<Self, String> {
                Self::new(value.borrow())
            }
        }

        impl From<$type> for $from {
            fn from(value: $type) -> Self {
                $inner(&value)
            }
        }
    )*};
}

checked!(
    RoutePort, u16: |port: &RoutePort| port.number();
    Weight, u32: |weight: &Weight| weight.number();
    RouteDuration, String: ToString::to_string;
    FieldName, String: |name: &FieldName| name.0.as_ref().to_owned();
    FieldContent, String: |content: &FieldContent| content.0.as_ref().to_owned();
);

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests;
