use super::*;
use crate::config::objects::{Kind, ObjectKey};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::AuthorizationPolicy, "a", name)
}

fn entries(entries: &[(&str, &str)]) -> Entries {
    let entry = |(name, document): &(&str, &str)| (entry_of(&key(name)), (*document).to_owned());
    entries.iter().map(entry).collect()
}

fn report(unreadable: &[&str], last_good: &[(&str, Value)]) -> Report {
    Report {
        statuses: Vec::new(),
        last_good: last_good
            .iter()
            .map(|(name, d)| (key(name), d.clone()))
            .collect(),
        unreadable: unreadable.iter().map(|name| key(name)).collect(),
    }
}

#[test]
fn an_entry_is_there_while_its_policy_cannot_be_read() {
    let broken = report(&["one"], &[("one", json!(1))]);
    let kept = next(&Entries::new(), &broken);
    assert_eq!(kept, entries(&[("one", "1")]));
    let without = report(&["one"], &[]);
    assert_eq!(next(&kept, &without), kept, "a leader that never had it");
    assert!(next(&kept, &report(&[], &[])).is_empty(), "mended, or gone");
}

#[test]
fn what_is_written_is_the_difference_only() {
    let there = entries(&[("one", "1"), ("two", "2")]);
    let next = entries(&[("two", "2"), ("three", "3")]);
    let patch = difference(&there, &next);
    let expected = json!({"data": {
        entry_of(&key("one")): null,
        entry_of(&key("three")): "3",
    }});
    assert_eq!(patch, expected);
}

#[test]
fn what_does_not_fit_is_left_out() {
    let large = Value::from("x".repeat(MOST - 100));
    let both = report(&["one", "two"], &[("one", large.clone()), ("two", large)]);
    assert_eq!(next(&Entries::new(), &both).len(), 1);
}

#[test]
fn a_namespace_with_large_policies_pushes_out_none_of_another() {
    let of = |namespace: &str, name: &str, size: usize| {
        let key = ObjectKey::new(Kind::AuthorizationPolicy, namespace, name);
        (key, Value::from("x".repeat(size)))
    };
    let report = Report {
        last_good: vec![
            of("a", "large", MOST / 2),
            of("a", "larger", MOST / 2 + 1),
            of("a", "small", 100),
            of("z", "one", MOST / 4),
        ],
        ..Report::default()
    };
    let kept = next(&Entries::new(), &report);
    let kept: Vec<&str> = kept.keys().map(String::as_str).collect();
    let expected =
        ["a.large", "a.small", "z.one"].map(|name| format!("AuthorizationPolicy.{name}"));
    assert_eq!(kept, expected);
}
