use super::{series, sum};

const PAGE: &str =
    "# TYPE a counter\na_total{x=\"1\",y=\"b c\"} 3\na_total{x=\"2\"} 4\na_total 5\nab_total 9\n";

#[test]
fn series_are_summed_over_the_labels_that_are_not_asked_for() {
    assert!((sum(PAGE, "a_total", &[]) - 12.0).abs() < 1e-9);
    assert!((sum(PAGE, "a_total", &["x=\"1\""]) - 3.0).abs() < 1e-9);
    assert!((sum(PAGE, "a_total", &["x=\"1\"", "y=\"b c\""]) - 3.0).abs() < 1e-9);
    assert!(sum(PAGE, "missing", &[]).abs() < 1e-9);
}

#[test]
fn series_are_read_with_their_labels() {
    let found = series(PAGE, "a_total");
    assert_eq!(found.len(), 2, "one has no labels");
    let (labels, value) = &found[0];
    assert_eq!((labels["x"].as_str(), labels["y"].as_str()), ("1", "b c"));
    assert!((value - 3.0).abs() < 1e-9);
}
