use super::sum;

const PAGE: &str =
    "# TYPE a counter\na_total{x=\"1\",y=\"b c\"} 3\na_total{x=\"2\"} 4\na_total 5\nab_total 9\n";

#[test]
fn series_are_summed_over_the_labels_that_are_not_asked_for() {
    assert!((sum(PAGE, "a_total", &[]) - 12.0).abs() < 1e-9);
    assert!((sum(PAGE, "a_total", &["x=\"1\""]) - 3.0).abs() < 1e-9);
    assert!((sum(PAGE, "a_total", &["x=\"1\"", "y=\"b c\""]) - 3.0).abs() < 1e-9);
    assert!(sum(PAGE, "missing", &[]).abs() < 1e-9);
}
