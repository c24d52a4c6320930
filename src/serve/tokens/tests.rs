use std::os::unix::fs::PermissionsExt;

use super::*;

fn nodes(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn with(value: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", value.parse().unwrap());
    metadata
}

fn bearer(state: &Path, node: &str) -> MetadataMap {
    let token = fs::read_to_string(state.join("tokens").join(node)).unwrap();
    with(&format!("Bearer {}", token.trim()))
}

#[test]
fn every_node_gets_a_token_of_its_own_that_lasts() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), None).unwrap();
    assert!(tokens.set_nodes(&nodes(&["n1", "n2"])).is_empty());
    let (one, two) = (bearer(state.path(), "n1"), bearer(state.path(), "n2"));
    assert_eq!(&*tokens.caller(&one).unwrap().node, "n1");
    assert_eq!(&*tokens.caller(&two).unwrap().node, "n2");
    let mode = fs::metadata(state.path().join("tokens/n1"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = Tokens::open(state.path(), None).unwrap();
    let early = again.caller(&one).unwrap_err();
    assert_eq!(
        early.code(),
        tonic::Code::Unavailable,
        "it is not known yet which nodes there are"
    );
    again.set_nodes(&nodes(&["n1"]));
    assert_eq!(&*again.caller(&one).unwrap().node, "n1");
    assert!(again.caller(&two).is_err(), "n2 is gone");
    again.set_nodes(&nodes(&["n1", "n2"]));
    assert_eq!(&*again.caller(&two).unwrap().node, "n2");
}

#[test]
fn whoever_has_no_or_another_token_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), None).unwrap();
    tokens.set_nodes(&nodes(&["n1"]));
    let forged = "0".repeat(64);
    let long = "a".repeat(5000);
    let basic = fs::read_to_string(state.path().join("tokens/n1")).unwrap();
    let cases = [
        MetadataMap::new(),
        with(""),
        with("Bearer "),
        with(&format!("Bearer {forged}")),
        with(&format!("Bearer {long}")),
        with(&format!("Basic {}", basic.trim())),
        with(basic.trim()),
    ];
    for metadata in cases {
        let refused = tokens.caller(&metadata).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated, "{metadata:?}");
    }
}

#[test]
fn a_damaged_token_is_made_anew() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), None).unwrap();
    files::write_whole(&state.path().join("tokens/n1"), b"\n", files::SECRET).unwrap();
    assert!(tokens.set_nodes(&nodes(&["n1"])).is_empty());
    assert!(tokens.caller(&with("Bearer ")).is_err());
    assert!(tokens.caller(&bearer(state.path(), "n1")).is_ok());
}

#[test]
fn names_that_would_leave_the_directory_get_no_token() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), None).unwrap();
    for name in ["../evil", "", "..", "a/b", ".hidden"] {
        let problems = tokens.set_nodes(&nodes(&[name]));
        assert!(matches!(problems[..], [TokenError::Name(_)]), "{name}");
    }
}

#[test]
fn the_operators_file_is_read_and_checked() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("given");
    fs::write(&path, "# comment\n\nn7 0123456789abcdef\n").unwrap();
    let tokens = Tokens::open(state.path(), Some(&path)).unwrap();
    let caller = tokens.caller(&with("Bearer 0123456789abcdef")).unwrap();
    assert_eq!(&*caller.node, "n7");
    for bad in ["n7\n", "n7 short\n"] {
        fs::write(&path, bad).unwrap();
        let refused = Tokens::open(state.path(), Some(&path)).unwrap_err();
        assert!(
            matches!(refused, TokenError::Line { line: 1, .. }),
            "{refused}"
        );
    }
}
