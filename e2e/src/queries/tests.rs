use std::collections::BTreeSet;

use super::{LATENCIES, TABLE, all, named};

#[test]
fn every_line_is_an_expression_of_its_own_name() {
    let lines = TABLE.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names: BTreeSet<&str> = all().map(|(name, _)| name).collect();
    assert_eq!(lines.count(), names.len());
    for name in LATENCIES {
        assert!(named(name).is_ok(), "{name}");
    }
    assert!(named("nothing").is_err());
}
