use super::*;

/// Which of the items of a new list are found in an old one, and whether a table was made.
fn found(old: &[&'static str], new: &[&'static str]) -> (Vec<bool>, bool) {
    let mut same = Same::new(old, |item| *item);
    let found = new.iter().map(|item| match same.find(*item) {
        Some(place) => {
            assert_eq!(old[place], *item);
            true
        }
        None => false,
    });
    let found = found.collect();
    (found, same.places.is_some())
}

#[test]
fn what_is_the_same_in_the_same_order_needs_no_table() {
    let (found, table) = found(&["a", "b", "c"], &["a", "b", "c"]);
    assert!(found.iter().all(|found| *found) && !table);
    assert_eq!(self::found(&[], &[]), (vec![], false));
}

#[test]
fn a_table_is_made_where_two_lists_have_little_in_common() {
    let all: Vec<&str> = "a b c d e f g h i j k l m n o p q r s t"
        .split(' ')
        .collect();
    let back: Vec<&str> = all.iter().rev().copied().collect();
    assert_eq!(found(&all, &back), (vec![true; all.len()], true));
    let new = [&["x"; 40][..], &all].concat();
    let expected = [&[false; 40][..], &[true; 20]].concat();
    assert_eq!(found(&all, &new), (expected, true));
}

#[test]
fn one_that_is_new_needs_no_table() {
    let (found, table) = found(&["a", "b", "c"], &["a", "x", "c"]);
    assert_eq!((found, table), (vec![true, false, true], false));
}

#[test]
fn what_came_went_moved_or_comes_twice_is_no_matter_of_the_others() {
    let old = ["a", "b", "c", "d"];
    for (new, expected) in [
        (
            vec!["a", "x", "b", "c", "d"],
            vec![true, false, true, true, true],
        ),
        (vec!["a", "d"], vec![true, true]),
        (vec!["d", "a", "b", "c"], vec![true; 4]),
        (vec!["a", "x", "c", "d"], vec![true, false, true, true]),
        (vec!["b", "b", "b"], vec![true; 3]),
    ] {
        assert_eq!(found(&old, &new).0, expected, "{new:?}");
    }
    assert_eq!(found(&[], &["a"]).0, [false]);
    assert_eq!(found(&["a", "a"], &["a", "a", "a"]).0, [true; 3]);
}
