use super::*;

#[test]
fn names_are_those_that_kubernetes_admits() {
    let long_label = "a".repeat(64);
    let long_name = "a".repeat(254);
    let cases: &[(&str, bool, bool)] = &[
        ("web", true, true),
        ("web-0", true, true),
        ("0web", true, true),
        ("web.shop", false, true),
        ("", false, false),
        ("-web", false, false),
        ("web-", false, false),
        ("web..shop", false, false),
        (".web", false, false),
        ("Web", false, false),
        ("web/../root", false, false),
        ("web\n", false, false),
        ("wéb", false, false),
        (&long_label, false, true),
        (&long_name, false, false),
    ];
    for (text, label, name) in cases {
        assert_eq!(Label::new(text).is_ok(), *label, "label {text:?}");
        assert_eq!(Name::new(text).is_ok(), *name, "name {text:?}");
    }
}

#[test]
fn uids_hold_nothing_that_a_path_could_trip_over() {
    assert!(Uid::new("5e2f6a3c-7e0b-4a55-9d5a-0c5a5d7a0c11").is_ok());
    for text in ["", "a/b", "a b", "\0", &"a".repeat(129)] {
        assert!(Uid::new(text).is_err(), "{text:?}");
    }
}
