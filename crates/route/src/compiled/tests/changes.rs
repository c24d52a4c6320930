//! Routes that come after others: what is taken over, and that nobody can tell by the answers.

use ambit_model::FieldMatch;

use super::*;

/// A rule with a match, both by their names.
fn one(path: &str, name: &str) -> (Arc<HttpMatch>, Arc<HttpRule>) {
    let when = HttpMatch {
        path: Some(PathMatch::Segments(path.into())),
        ..HttpMatch::default()
    };
    (when.into(), rule(name).into())
}

/// A match of an expression, and if there is one of a header.
fn when(path: &str, header: Option<&str>) -> Arc<HttpMatch> {
    let header = header.map(|name| FieldMatch {
        name: name.into(),
        value: TextMatch::Exact("yes".into()),
        invert: false,
    });
    Arc::new(HttpMatch {
        path: Some(PathMatch::Regex(Pattern(path.into()))),
        headers: header.into_iter().collect(),
        ..HttpMatch::default()
    })
}

fn list(all: &[&(Arc<HttpMatch>, Arc<HttpRule>)]) -> HttpRoutes {
    let matches = all.iter().zip(0..).map(|((when, _), rule)| RoutedMatch {
        when: Arc::clone(when),
        rule,
    });
    HttpRoutes {
        matches: matches.collect(),
        rules: all.iter().map(|(_, rule)| Arc::clone(rule)).collect(),
    }
}

fn after(before: &Compiled, routes: &HttpRoutes) -> (Compiled, Vec<CompileError>) {
    Compiled::after(Some(before), routes, &mut Patterns::of([before]))
}

/// The rule that a request for a path meets.
fn met(compiled: &Compiled, path: &str) -> Option<Arc<Rule>> {
    let request = Request::get(path)
        .header("x-one", "yes")
        .header("x-two", "yes");
    let head = request.body(()).unwrap().into_parts().0;
    Some(Arc::clone(compiled.find(&Head::of(&head))?.rule))
}

fn is_same(before: &Compiled, now: &Compiled, path: &str) -> bool {
    Arc::ptr_eq(&met(before, path).unwrap(), &met(now, path).unwrap())
}

#[test]
fn rules_that_have_not_changed_are_the_same_and_the_changed_one_is_not() {
    let (a, b, c) = (one("/a", "a"), one("/b", "b"), one("/c", "c"));
    let before = Compiled::new(&list(&[&a, &b, &c])).unwrap();
    let changed = (Arc::clone(&b.0), one("/b", "other").1);
    let (now, problems) = after(&before, &list(&[&a, &changed, &c]));
    assert_eq!(problems, []);
    assert!(is_same(&before, &now, "/a") && is_same(&before, &now, "/c"));
    assert_eq!(&*met(&now, "/b").unwrap().model.name, "other");
    assert_eq!(&*met(&before, "/b").unwrap().model.name, "b");
    assert!(
        Arc::ptr_eq(&before.0.index, &now.0.index),
        "no path has changed"
    );
}

#[test]
fn a_rule_that_is_gone_answers_nothing_and_one_that_moved_is_the_same() {
    let (a, b, all) = (one("/a", "a"), one("/b", "b"), one("/", "all"));
    let before = Compiled::new(&list(&[&a, &b, &all])).unwrap();
    let (now, _) = after(&before, &list(&[&b, &all]));
    assert_eq!(&*met(&now, "/a").unwrap().model.name, "all");
    assert!(is_same(&before, &now, "/b"));
    // The order counts, wherever a rule comes from.
    let (now, _) = after(&before, &list(&[&all, &a, &b]));
    assert_eq!(&*met(&now, "/a").unwrap().model.name, "all");
    let (back, _) = after(&now, &list(&[&a, &b, &all]));
    assert!(is_same(&before, &back, "/a") && is_same(&before, &back, "/b"));
}

#[test]
fn a_rule_is_broken_as_long_as_one_of_its_matches_is() {
    let (a, b) = (one("/a", "a"), one("/b", "b"));
    let good = list(&[&a, &b]);
    let mut bad = good.clone();
    bad.matches.push(RoutedMatch {
        when: when("(", None),
        rule: 1,
    });
    let before = Compiled::new(&good).unwrap();
    for first in [&good, &bad] {
        let (first, _) = after(&before, first);
        // Told each time, not only when it came.
        let (broken, problems) = after(&first, &bad);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(met(&broken, "/b").unwrap().broken.is_some());
        assert!(is_same(&before, &broken, "/a"));
        let (mended, problems) = after(&broken, &good);
        assert_eq!(problems, []);
        assert!(met(&mended, "/b").unwrap().broken.is_none());
    }
}

#[test]
fn a_match_that_cannot_be_used_leaves_the_others_as_they_were() {
    let (a, b) = (one("/a", "a"), one("/b", "b"));
    // Its header is asked for by nobody, as it is no match.
    let broken = (when("(", Some("x-one")), rule("broken").into());
    let named = (when("/n", Some("x-two")), rule("named").into());
    let (before, _) = after(
        &Compiled::new(&list(&[])).unwrap(),
        &list(&[&a, &b, &broken, &named]),
    );
    let without = Compiled::new(&list(&[&a, &b, &named])).unwrap();
    assert_eq!(before.0.names.uses(), without.0.names.uses());
    let changed = one("/b", "changed");
    let (now, problems) = after(&before, &list(&[&a, &changed, &broken, &named]));
    assert_eq!(problems.len(), 1, "{problems:?}");
    let same = |place: usize| {
        let (was, is) = (&before.0.entries[place].ready, &now.0.entries[place].ready);
        Arc::ptr_eq(was, is)
    };
    assert!(same(0) && !same(1) && same(2));
}

#[test]
fn a_rule_that_has_too_many_expressions_afterwards_has_none_left() {
    // So the control plane tells of it: the rule has nothing but its name, the test is of anything.
    let many = (when("/m.*", Some("x-one")), rule("many").into());
    let other = (when("/o.*", None), rule("other").into());
    let before = Compiled::new(&list(&[&many, &other])).unwrap();
    let none = HttpMatch {
        path: Some(PathMatch::Prefix("".into())),
        ..HttpMatch::default()
    };
    let (now, problems) = after(
        &before,
        &list(&[&other, &(none.into(), rule("many").into())]),
    );
    assert_eq!(problems, []);
    assert!(is_same(&before, &now, "/o"));
    let expressions: Vec<_> = now.expressions().map(|regex| regex.as_str()).collect();
    assert_eq!(expressions, [r"\A(?:/o.*)\z"]);
    let uses = now.0.names.uses();
    assert!(!uses.has_idle(), "no request is read for x-one");
    let (back, _) = after(&now, &list(&[&many, &other]));
    assert_eq!(&*met(&back, "/m").unwrap().model.name, "many");
}

#[test]
fn an_expression_is_made_once_whatever_match_has_it_and_whenever() {
    let first = (when("/a.*", None), rule("first").into());
    let other = (when("/a.*", Some("x-one")), rule("other").into());
    let before = Compiled::new(&list(&[&first])).unwrap();
    let (now, _) = after(&before, &list(&[&other, &first]));
    let all: Vec<_> = before.expressions().chain(now.expressions()).collect();
    assert_eq!(all.len(), 3);
    assert!(all.windows(2).all(|pair| Arc::ptr_eq(pair[0], pair[1])));
}

#[test]
fn names_that_nobody_asks_for_any_more_are_not_read() {
    let one = (when("/a", Some("x-one")), rule("one").into());
    let two = (when("/b", Some("x-two")), rule("two").into());
    let before = Compiled::new(&list(&[&one, &two])).unwrap();
    let (now, _) = after(&before, &list(&[&two]));
    assert_eq!(
        now.0.names.uses(),
        Compiled::new(&list(&[&two])).unwrap().0.names.uses()
    );
    assert!(met(&now, "/a").is_none());
    assert!(is_same(&before, &now, "/b"));
}
