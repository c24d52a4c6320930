//! The Gregorian calendar since 1970.

/// Names of days, from Sunday.
pub(super) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Names of months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    pub(super) year: u64,
    /// From 1.
    pub(super) month: u64,
    /// From 1.
    pub(super) day: u64,
    /// From 0.
    pub(super) day_of_year: u64,
    /// Sunday is 0.
    pub(super) weekday: u64,
}

impl Date {
    /// The day of a second since 1970.
    ///
    /// Years are counted from 1 March of the year 0: then the leap day is the last of its year, and
    /// month `m` begins on day `(153 * m + 2) / 5`.
    pub(super) fn of(seconds: u64) -> Self {
        let days = seconds / 86_400;
        // 1970-01-01 is day 719,468 of that count, and a Thursday.
        let (cycle, day) = ((days + 719_468) / 146_097, (days + 719_468) % 146_097);
        let leaps = day / 36_524 - day / 146_096;
        let year_of_cycle = (day - day / 1_460 + leaps) / 365;
        let year = cycle * 400 + year_of_cycle;
        let day = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month = (5 * day + 2) / 153;
        let (year, first_of_year) = match month < 10 {
            true => (year, 59 + u64::from(is_leap(year))),
            false => (year + 1, 0),
        };
        Self {
            year,
            month: (month + 2) % 12 + 1,
            day: day - (153 * month + 2) / 5 + 1,
            day_of_year: match month < 10 {
                true => first_of_year + day,
                false => day - 306,
            },
            weekday: (days + 4) % 7,
        }
    }

    /// Year and week as ISO 8601 counts them: a week belongs to the year of its Thursday.
    pub(super) fn iso_week(&self) -> (u64, u64) {
        // The day of the year of this week's Thursday, or how far it is from either end.
        let from_monday = (self.weekday + 6) % 7;
        let thursday = self.day_of_year + 3;
        let length = |year| 365 + u64::from(is_leap(year));
        match thursday.checked_sub(from_monday) {
            None => {
                let thursday = thursday + length(self.year - 1) - from_monday;
                (self.year - 1, thursday / 7 + 1)
            }
            Some(thursday) if thursday >= length(self.year) => (self.year + 1, 1),
            Some(thursday) => (self.year, thursday / 7 + 1),
        }
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}
