use std::collections::BTreeSet;

use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;

/// Short texts of few letters, so that many begin with others.
fn text() -> impl Strategy<Value = Arc<str>> {
    "(/[ab]{0,2}){0,3}".prop_map(Arc::from)
}

fn path_test() -> impl Strategy<Value = PathTest> {
    prop_oneof![
        3 => text().prop_map(PathTest::Exact),
        4 => text().prop_map(PathTest::Segments),
        4 => text().prop_map(PathTest::Prefix),
    ]
}

fn may_match(test: &PathTest, path: &str) -> bool {
    match test {
        PathTest::Exact(text) => **text == *path,
        PathTest::Segments(text) | PathTest::Prefix(text) => path.starts_with(&**text),
        PathTest::Regex { begins, .. } => path.starts_with(&**begins),
        PathTest::Folded { .. } => true,
    }
}

proptest! {
    #[test]
    fn candidates_are_those_whose_text_the_path_begins_with(
        tests in prop::collection::vec(path_test(), 0..30),
        path in text(),
    ) {
        let index = Index::new(&tests);
        let mut met = BTreeSet::new();
        for positions in index.candidates(&path) {
            prop_assert!(positions.is_sorted());
            met.extend(positions.iter().copied());
        }
        let fits = tests.iter().enumerate().filter(|(_, test)| may_match(test, &path));
        let expected: BTreeSet<usize> = fits.map(|(position, _)| position).collect();
        prop_assert_eq!(met, expected);
    }
}

/// Every list that an index has for a path.
fn met(index: &Index, path: &str) -> Vec<Vec<usize>> {
    index.candidates(path).map(<[_]>::to_vec).collect()
}

proptest! {
    #[test]
    fn a_changed_index_is_like_a_new_one(
        before in prop::collection::vec((path_test(), any::<bool>()), 0..20),
        between in prop::collection::vec(prop::collection::vec(path_test(), 0..2), 21),
        paths in prop::collection::vec(text(), 8),
    ) {
        let old: Vec<_> = before.iter().map(|(test, _)| test.clone()).collect();
        let mut now: Vec<PathTest> = Vec::new();
        let (mut moved, mut added) = (Vec::new(), Vec::new());
        let mut between = between.into_iter();
        let mut add = |now: &mut Vec<PathTest>| {
            let new = between.next().unwrap_or_default();
            added.extend(now.len()..now.len() + new.len());
            now.extend(new);
        };
        for (test, stays) in &before {
            add(&mut now);
            moved.push(if *stays { now.len() } else { GONE });
            now.extend(stays.then(|| test.clone()));
        }
        add(&mut now);
        let added = added.iter().map(|place| (*place, &now[*place]));
        let changed = Index::new(&old).changed(&moved, added);
        let new = Index::new(&now);
        for path in &paths {
            prop_assert_eq!(met(&changed, path), met(&new, path));
        }
        prop_assert_eq!(changed.exact.len(), new.exact.len());
        prop_assert_eq!(changed.prefixes.len(), new.prefixes.len());
    }
}

#[test]
fn a_path_meets_few_of_a_thousand() {
    let tests: Vec<PathTest> = (0..1000)
        .map(|n| match n % 4 {
            0 => PathTest::Exact(format!("/shop/{n}/cart").into()),
            1 => PathTest::Segments(format!("/shop/{n}").into()),
            2 => PathTest::Regex {
                begins: format!("/shop/{n}/").into(),
                regex: Regex::new("x").unwrap().into(),
            },
            _ => PathTest::Prefix(format!("/shop/{n}/").into()),
        })
        .collect();
    let index = Index::new(&tests);
    for path in [
        "/shop/300/cart",
        "/shop/301/cart",
        "/shop/302/cart",
        "/shop/303/cart",
        "/shop",
        "/",
    ] {
        let met: usize = index.candidates(path).map(<[usize]>::len).sum();
        // `/shop/301` begins with none but itself; no other number ends where its slash is.
        assert!(met <= 3, "{path} meets {met}");
    }
}
