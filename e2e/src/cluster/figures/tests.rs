use super::*;

fn read(page: &str) -> Figures {
    let mut figures = Figures::default();
    figures.add(page);
    figures
}

#[test]
fn pages_add_up() {
    let mut figures = read("# HELP a of it\na{b=\"c\"} 2\n");
    figures.add("a{b=\"c\"} 3\nd 1\n");
    assert_eq!(figures.of("a{b=\"c\"}"), Some(5.0));
    let earlier = read("a{b=\"c\"} 1\n");
    assert_eq!(figures.since(&earlier).of("a{b=\"c\"}"), Some(4.0));
    assert_eq!(figures.since(&earlier).of("d"), Some(1.0));
}

#[test]
fn a_quantile_is_the_bound_that_enough_values_are_below() {
    let figures =
        read("h_bucket{le=\"0.1\"} 98\nh_bucket{le=\"1.0\"} 99\nh_bucket{le=\"+Inf\"} 100\n");
    assert_eq!(figures.quantile("h", 0.5), Some(0.1));
    assert_eq!(figures.quantile("h", 0.99), Some(1.0));
    assert_eq!(figures.quantile("h", 1.0), Some(f64::INFINITY));
    assert_eq!(read("h_bucket{le=\"+Inf\"} 0\n").quantile("h", 0.99), None);
    assert_eq!(figures.quantile("other", 0.99), None);
}
