use super::*;

#[test]
fn the_median_does_not_care_for_one_bad_run() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0, 900.0, 2.0]), Some(3.0));
    assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
}

#[test]
fn a_quantile_is_one_of_the_values() {
    let mut values: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(quantile(&mut values, 0.5), Some(50.0));
    assert_eq!(quantile(&mut values, 0.99), Some(99.0));
    assert_eq!(quantile(&mut [7.0], 0.99), Some(7.0));
    assert_eq!(quantile(&mut [], 0.5), None);
}

#[test]
fn figures_are_short() {
    let shown = [0.1234, 1.234, 12.34, 123.4, 1234.5, 1_234_567.0, -123.4].map(show);
    assert_eq!(
        shown,
        ["0.123", "1.23", "12.3", "123", "1,234", "1,234,567", "-123"]
    );
    assert_eq!(show_if(None), "–");
}

#[test]
fn a_goal_is_reached_on_its_bound() {
    assert_eq!(Goal::AtLeast(0.8).verdict(0.8), "reached");
    assert_eq!(Goal::AtLeast(0.8).verdict(0.79), "not reached");
    assert_eq!(Goal::AtMost(1.25).verdict(1.26), "not reached");
    assert_eq!(Goal::AtMost(150.0).text(" µs"), "≤ 150 µs");
    assert_eq!(Goal::AtLeast(0.8).text(""), "≥ 0.80");
}
