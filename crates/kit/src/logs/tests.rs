use super::*;

#[test]
fn levels_and_lists_are_taken_and_misspelt_words_refused() {
    for good in [
        "info",
        "DEBUG",
        "off",
        "info,h2=warn",
        "warn, ambit_tunnel=trace",
    ] {
        assert!(parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "inof",
        "info,",
        "h2=",
        "h2=loud",
        "h2",
        "info;debug",
        "=,=",
    ] {
        assert!(matches!(parse(bad), Err(LogsError::Level(_))), "{bad}");
    }
}

#[test]
fn the_level_changes_at_run_time_and_a_bad_one_changes_nothing() {
    let logs = init(true, "info").unwrap();
    assert!(matches!(init(false, "info"), Err(LogsError::Twice)));
    assert!(!tracing::enabled!(tracing::Level::DEBUG));
    logs.set_level("debug").unwrap();
    assert!(tracing::enabled!(tracing::Level::DEBUG));
    assert!(logs.set_level("louder").is_err());
    assert!(tracing::enabled!(tracing::Level::DEBUG));
    assert_eq!(logs.level(), "debug");
}
