//! Formats of times, in letters of strftime: those that Envoy knows and that mean the same
//! everywhere. Times are UTC, and those before 1970 are 1970.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::escape::Sink;

mod calendar;

use calendar::{Date, MONTHS, WEEKDAYS};

/// What stands for other letters.
const SHORTHANDS: [(&str, &str); 12] = [
    ("D", "%m/%d/%y"),
    ("x", "%m/%d/%y"),
    ("F", "%Y-%m-%d"),
    ("T", "%H:%M:%S"),
    ("X", "%H:%M:%S"),
    ("R", "%H:%M"),
    ("r", "%I:%M:%S %p"),
    ("c", "%a %b %e %H:%M:%S %Y"),
    ("h", "%b"),
    ("E4Y", "%Y"),
    ("E3S", "%S.%3f"),
    ("E6S", "%S.%6f"),
];

/// A part of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// As it stands.
    Literal(String),
    /// A number that fills so many places with this.
    Number(Number, u32, u8),
    /// Places of the second's fraction.
    Fraction(u32),
    /// A name.
    Name(Name),
    /// Always the same in UTC.
    Zone(&'static str),
}

/// A number in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Year,
    YearOfCentury,
    Century,
    Month,
    Day,
    DayOfYear,
    /// Monday is 1.
    DayFromMonday,
    /// Sunday is 0.
    DayFromSunday,
    WeekFromSunday,
    WeekFromMonday,
    IsoWeek,
    IsoYear,
    IsoYearOfCentury,
    Hour,
    /// Of twelve.
    HourOfHalf,
    Minute,
    Second,
    SinceEpoch,
}

/// A name in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Weekday,
    ShortWeekday,
    Month,
    ShortMonth,
    Half,
    SmallHalf,
}

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeFormat(Vec<Part>);

impl TimeFormat {
    /// Reads letters of strftime; else the specifier that is none.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        read(text, &mut parts)?;
        Ok(Self(parts))
    }

    /// Writes a time.
    pub(crate) fn put(&self, time: SystemTime, sink: &mut Sink<'_>) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = (since.as_secs(), u64::from(since.subsec_nanos()));
        let date = Date::of(seconds);
        for part in &self.0 {
            match part {
                Part::Literal(text) => sink.put(text.as_bytes()),
                Part::Zone(text) => sink.put(text.as_bytes()),
                Part::Fraction(places) => {
                    let unit = 10_u64.pow(9_u32.saturating_sub(*places));
                    sink.padded(nanos / unit, *places, b'0');
                }
                Part::Number(number, places, fill) => {
                    sink.padded(number.of(&date, seconds), *places, *fill);
                }
                Part::Name(name) => sink.put(name.of(&date, seconds).as_bytes()),
            }
        }
    }
}

fn read(text: &str, parts: &mut Vec<Part>) -> Result<(), String> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        literal(before, parts);
        let specifier = specifier(after);
        if let Some((_, long)) = SHORTHANDS.iter().find(|(short, _)| *short == specifier) {
            read(long, parts)?;
        } else if specifier == "%" {
            literal("%", parts);
        } else {
            parts.push(part(specifier).ok_or_else(|| format!("%{specifier}"))?);
        }
        rest = after.get(specifier.len()..).unwrap_or_default();
    }
    literal(rest, parts);
    Ok(())
}

/// What is after a percent sign: one letter, a digit and a letter, or `E` and what belongs to it.
fn specifier(text: &str) -> &str {
    let mut letters = text.char_indices();
    let last = letters.find(|(_, letter)| !letter.is_ascii_digit() && !matches!(letter, 'E' | ':'));
    let end = last.map_or(text.len(), |(at, letter)| at + letter.len_utf8());
    text.get(..end).unwrap_or(text)
}

fn literal(text: &str, parts: &mut Vec<Part>) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Literal(last)) => last.push_str(text),
        _ => parts.push(Part::Literal(text.into())),
    }
}

fn part(specifier: &str) -> Option<Part> {
    let zeros = |number, places| Some(Part::Number(number, places, b'0'));
    let spaces = |number| Some(Part::Number(number, 2, b' '));
    match specifier {
        "Y" => zeros(Number::Year, 1),
        "y" => zeros(Number::YearOfCentury, 2),
        "C" => zeros(Number::Century, 2),
        "m" => zeros(Number::Month, 2),
        "d" => zeros(Number::Day, 2),
        "e" => spaces(Number::Day),
        "j" => zeros(Number::DayOfYear, 3),
        "u" => zeros(Number::DayFromMonday, 1),
        "w" => zeros(Number::DayFromSunday, 1),
        "U" => zeros(Number::WeekFromSunday, 2),
        "W" => zeros(Number::WeekFromMonday, 2),
        "V" => zeros(Number::IsoWeek, 2),
        "G" => zeros(Number::IsoYear, 1),
        "g" => zeros(Number::IsoYearOfCentury, 2),
        "H" => zeros(Number::Hour, 2),
        "k" => spaces(Number::Hour),
        "I" => zeros(Number::HourOfHalf, 2),
        "l" => spaces(Number::HourOfHalf),
        "M" => zeros(Number::Minute, 2),
        "S" => zeros(Number::Second, 2),
        "s" => zeros(Number::SinceEpoch, 1),
        "A" => Some(Part::Name(Name::Weekday)),
        "a" => Some(Part::Name(Name::ShortWeekday)),
        "B" => Some(Part::Name(Name::Month)),
        "b" => Some(Part::Name(Name::ShortMonth)),
        "p" => Some(Part::Name(Name::Half)),
        "P" => Some(Part::Name(Name::SmallHalf)),
        "z" => Some(Part::Zone("+0000")),
        "Ez" | ":z" => Some(Part::Zone("+00:00")),
        "Z" => Some(Part::Zone("UTC")),
        "f" => Some(Part::Fraction(9)),
        _ => {
            let places = specifier.strip_suffix('f')?.parse().ok()?;
            (1..=9).contains(&places).then_some(Part::Fraction(places))
        }
    }
}

impl Number {
    fn of(self, date: &Date, seconds: u64) -> u64 {
        match self {
            Self::Year => date.year,
            Self::YearOfCentury => date.year % 100,
            Self::Century => date.year / 100,
            Self::Month => date.month,
            Self::Day => date.day,
            Self::DayOfYear => date.day_of_year + 1,
            Self::DayFromMonday => (date.weekday + 6) % 7 + 1,
            Self::DayFromSunday => date.weekday,
            Self::WeekFromSunday => (date.day_of_year + 7 - date.weekday) / 7,
            Self::WeekFromMonday => (date.day_of_year + 7 - (date.weekday + 6) % 7) / 7,
            Self::IsoWeek => date.iso_week().1,
            Self::IsoYear => date.iso_week().0,
            Self::IsoYearOfCentury => date.iso_week().0 % 100,
            Self::Hour => seconds / 3600 % 24,
            Self::HourOfHalf => (seconds / 3600 + 11) % 12 + 1,
            Self::Minute => seconds / 60 % 60,
            Self::Second => seconds % 60,
            Self::SinceEpoch => seconds,
        }
    }
}

impl Name {
    fn of(self, date: &Date, seconds: u64) -> &'static str {
        let find = |names: &[&'static str], at: u64| {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            names.get(at).copied().unwrap_or_default()
        };
        let short = |name: &'static str| name.get(..3).unwrap_or(name);
        let half = |names: [&'static str; 2]| find(&names, seconds / 43_200 % 2);
        match self {
            Self::Weekday => find(&WEEKDAYS, date.weekday),
            Self::ShortWeekday => short(find(&WEEKDAYS, date.weekday)),
            Self::Month => find(&MONTHS, date.month - 1),
            Self::ShortMonth => short(find(&MONTHS, date.month - 1)),
            Self::Half => half(["AM", "PM"]),
            Self::SmallHalf => half(["am", "pm"]),
        }
    }
}

#[cfg(test)]
mod tests;
