use super::*;

fn at(seconds: u64, millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis)
}

#[test]
fn known_instants_are_written_as_rfc_3339() {
    for (seconds, millis, text) in [
        (0, 0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, 999, "2000-02-28T23:59:59.999Z"),
        (951_782_400, 0, "2000-02-29T00:00:00.000Z"),
        (951_868_800, 7, "2000-03-01T00:00:00.007Z"),
        (1_767_225_599, 0, "2025-12-31T23:59:59.000Z"),
        (1_767_225_600, 0, "2026-01-01T00:00:00.000Z"),
        (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
    ] {
        assert_eq!(rfc3339(at(seconds, millis)), text);
    }
}

#[test]
fn every_day_follows_the_one_before() {
    let mut last = civil(0);
    for day in 1..60_000 {
        let this = civil(day);
        let next_day = this.0 == last.0 && this.1 == last.1 && this.2 == last.2 + 1;
        let next_month = this.0 == last.0 && this.1 == last.1 + 1 && this.2 == 1;
        let next_year = this.0 == last.0 + 1 && (this.1, this.2) == (1, 1);
        assert!(
            next_day || next_month || next_year,
            "{last:?} then {this:?}"
        );
        last = this;
    }
}

#[test]
fn a_time_before_1970_is_the_epoch() {
    assert_eq!(unix_seconds(UNIX_EPOCH - Duration::from_secs(5)), 0);
    assert_eq!(unix_millis(at(3, 4)), 3004);
}

#[test]
fn spans_are_read_as_people_write_them() {
    for (text, millis) in [
        ("250ms", 250),
        ("0s", 0),
        ("90s", 90_000),
        ("10m", 600_000),
        ("24h", 86_400_000),
    ] {
        assert_eq!(
            parse_span(text).unwrap(),
            Duration::from_millis(millis),
            "{text}"
        );
    }
    assert_eq!(parse_span("7d").unwrap(), Duration::from_secs(7 * 86_400));
    for bad in [
        "",
        "s",
        "10",
        "10 s",
        "-1s",
        "1.5h",
        "99999999999d",
        "10y",
        "é",
    ] {
        assert_eq!(parse_span(bad), Err(SpanError(bad.to_owned())), "{bad}");
    }
}
