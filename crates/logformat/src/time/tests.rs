//! Letters of times: of one moment as Envoy 1.40 writes them, of others as strftime does.

use std::time::Duration;

use super::*;
use crate::escape::Style;
use crate::fixtures;

fn written(format: &str, time: SystemTime) -> String {
    let mut line = Vec::new();
    let format = TimeFormat::read(format).unwrap();
    format.put(time, &mut Sink::new(&mut line, Style::Plain));
    String::from_utf8(line).unwrap()
}

#[test]
fn letters_mean_what_they_mean_to_envoy() {
    for (letters, expected) in [
        ("%Y", "2026"),
        ("%m", "11"),
        ("%d", "22"),
        ("%H", "10"),
        ("%M", "01"),
        ("%S", "58"),
        ("%z", "+0000"),
        ("%Z", "UTC"),
        ("%a", "Sun"),
        ("%A", "Sunday"),
        ("%b", "Nov"),
        ("%B", "November"),
        ("%h", "Nov"),
        ("%j", "326"),
        ("%e", "22"),
        ("%y", "26"),
        ("%D", "11/22/26"),
        ("%F", "2026-11-22"),
        ("%T", "10:01:58"),
        ("%R", "10:01"),
        ("%p", "AM"),
        ("%P", "am"),
        ("%I", "10"),
        ("%l", "10"),
        ("%k", "10"),
        ("%c", "Sun Nov 22 10:01:58 2026"),
        ("%x", "11/22/26"),
        ("%X", "10:01:58"),
        ("%r", "10:01:58 AM"),
        ("%U", "47"),
        ("%W", "46"),
        ("%u", "7"),
        ("%w", "0"),
        ("%C", "20"),
        ("%G", "2026"),
        ("%g", "26"),
        ("%V", "47"),
        ("%s", "1795341718"),
        ("%f", "271450000"),
        ("%1f", "2"),
        ("%2f", "27"),
        ("%3f", "271"),
        ("%6f", "271450"),
        ("%9f", "271450000"),
        ("%%", "%"),
        ("%E3S", "58.271"),
        ("%E6S", "58.271450"),
        ("%Ez", "+00:00"),
        ("%:z", "+00:00"),
        ("%E4Y", "2026"),
        ("abc", "abc"),
        ("%s.%3f", "1795341718.271"),
        ("%s%f", "1795341718271450000"),
        ("%3f%3f", "271271"),
        ("%Y-%m-%dT%H:%M:%S.%3f", "2026-11-22T10:01:58.271"),
        (
            "%Y/%m/%dT%H:%M:%S%z %s",
            "2026/11/22T10:01:58+0000 1795341718",
        ),
    ] {
        assert_eq!(written(letters, fixtures::start()), expected, "{letters}");
    }
}

#[test]
fn what_is_no_letter_of_a_time_is_named() {
    for (letters, expected) in [
        ("%n", "%n"),
        ("%Y %", "%"),
        ("%q", "%q"),
        ("%0f", "%0f"),
        ("%12f", "%12f"),
        ("%-d", "%-"),
        ("%_d", "%_"),
        ("%5Y", "%5Y"),
        ("%E*S", "%E*"),
        ("%3", "%3"),
        ("a%é", "%é"),
        ("%E", "%E"),
        ("%3%f", "%3%"),
    ] {
        assert_eq!(TimeFormat::read(letters), Err(expected.into()), "{letters}");
    }
}

/// Every letter that depends on the day or hour, of moments at which calendars are difficult.
const LETTERS: &str =
    "%Y %y %C %m %d %e %j %u %w %U %W %V %G %g %H %k %I %l %M %S %p %P %A %a %B %b %h";
const MOMENTS: &[(u64, &str)] = &[
    (
        0,
        "1970 70 19 01 01  1 001 4 4 00 00 01 1970 70 00  0 12 12 00 00 AM am Thursday Thu January Jan Jan",
    ),
    (
        68212800,
        "1972 72 19 02 29 29 060 2 2 09 09 09 1972 72 12 12 12 12 00 00 PM pm Tuesday Tue February Feb Feb",
    ),
    (
        946684799,
        "1999 99 19 12 31 31 365 5 5 52 52 52 1999 99 23 23 11 11 59 59 PM pm Friday Fri December Dec Dec",
    ),
    (
        946684801,
        "2000 00 20 01 01  1 001 6 6 00 00 52 1999 99 00  0 12 12 00 01 AM am Saturday Sat January Jan Jan",
    ),
    (
        951786123,
        "2000 00 20 02 29 29 060 2 2 09 09 09 2000 00 01  1 01  1 02 03 AM am Tuesday Tue February Feb Feb",
    ),
    (
        1104498000,
        "2004 04 20 12 31 31 366 5 5 52 52 53 2004 04 13 13 01  1 00 00 PM pm Friday Fri December Dec Dec",
    ),
    (
        1104638706,
        "2005 05 20 01 02  2 002 7 0 01 00 53 2004 04 04  4 04  4 05 06 AM am Sunday Sun January Jan Jan",
    ),
    (
        1199092087,
        "2007 07 20 12 31 31 365 1 1 52 53 01 2008 08 09  9 09  9 08 07 AM am Monday Mon December Dec Dec",
    ),
    (
        1230465599,
        "2008 08 20 12 28 28 363 7 0 52 51 52 2008 08 11 11 11 11 59 59 AM am Sunday Sun December Dec Dec",
    ),
    (
        1325421296,
        "2012 12 20 01 01  1 001 7 0 01 00 52 2011 11 12 12 12 12 34 56 PM pm Sunday Sun January Jan Jan",
    ),
    (
        1609444800,
        "2020 20 20 12 31 31 366 4 4 52 52 53 2020 20 20 20 08  8 00 00 PM pm Thursday Thu December Dec Dec",
    ),
    (
        1609707600,
        "2021 21 20 01 03  3 003 7 0 01 00 53 2020 20 21 21 09  9 00 00 PM pm Sunday Sun January Jan Jan",
    ),
    (
        1795341718,
        "2026 26 20 11 22 22 326 7 0 47 46 47 2026 26 10 10 10 10 01 58 AM am Sunday Sun November Nov Nov",
    ),
    (
        4107520800,
        "2100 00 21 02 28 28 059 7 0 09 08 08 2100 00 18 18 06  6 00 00 PM pm Sunday Sun February Feb Feb",
    ),
    (
        4107564000,
        "2100 00 21 03 01  1 060 1 1 09 09 09 2100 00 06  6 06  6 00 00 AM am Monday Mon March Mar Mar",
    ),
    (
        13569397505,
        "2399 99 23 12 31 31 365 5 5 52 52 52 2399 99 05  5 05  5 05 05 AM am Friday Fri December Dec Dec",
    ),
];

#[test]
fn the_calendar_is_that_of_strftime() {
    for (seconds, expected) in MOMENTS {
        let time = UNIX_EPOCH + Duration::from_secs(*seconds);
        assert_eq!(written(LETTERS, time), *expected);
    }
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(written("%F %T", before), "1970-01-01 00:00:00");
}

#[test]
fn days_follow_each_other() {
    let mut last = Date::of(0);
    for day in 1..200_000_u64 {
        let next = Date::of(day * 86_400 + 86_399);
        assert_eq!(next.weekday, (last.weekday + 1) % 7);
        if next.day == 1 {
            let is_next = next.month == last.month + 1 && next.year == last.year;
            assert!(is_next || (next.year, next.month, last.month) == (last.year + 1, 1, 12));
        } else {
            assert_eq!(
                (next.year, next.month, next.day),
                (last.year, last.month, last.day + 1)
            );
        }
        let is_next = next.day_of_year == last.day_of_year + 1 && next.year == last.year;
        assert!(is_next || (next.day_of_year, next.month, next.day) == (0, 1, 1));
        let (week, before) = (next.iso_week(), last.iso_week());
        match next.weekday {
            1 => assert!(week == (before.0, before.1 + 1) || week == (before.0 + 1, 1)),
            _ => assert_eq!(week, before),
        }
        last = next;
    }
}
