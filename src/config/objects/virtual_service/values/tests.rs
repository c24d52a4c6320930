use super::*;

#[test]
fn durations_are_read_as_go_writes_them() {
    for (text, millis) in [
        ("2s", 2000),
        ("0.5s", 500),
        ("100ms", 100),
        ("1h30m", 5_400_000),
        ("1m0.5s", 60_500),
        ("1.5h", 5_400_000),
        ("0s", 0),
        ("0", 0),
        ("1000us", 1),
    ] {
        let span = Span::new(text).unwrap();
        assert_eq!(span.length(), Duration::from_millis(millis), "{text}");
        assert_eq!(Span::new(&span.to_string()), Ok(span), "{text}");
    }
    for text in [
        "",
        "s",
        "5",
        "5 s",
        "-1s",
        "1d",
        "1.2.3s",
        "1e3s",
        "99999999999h",
        ".",
    ] {
        assert!(Span::new(text).is_err(), "{text}");
    }
}

#[test]
fn shares_are_of_a_hundred_and_fine() {
    for (value, share) in [(0.0, 0), (0.1, 1000), (10.0, 100_000), (100.0, 1_000_000)] {
        let percent = Percent::try_from(value).unwrap();
        assert_eq!(
            percent.share(),
            Share {
                share,
                of: 1_000_000
            }
        );
        assert!((f64::from(percent) - value).abs() < 1e-9);
    }
    for value in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
        assert!(Percent::try_from(value).is_err(), "{value}");
    }
}
