use std::os::unix::fs::PermissionsExt;

use http::HeaderMap;

use super::*;
use crate::serve::caller::bearer;

fn nodes(names: &[&str]) -> Vec<Subject> {
    let node = |name: &&str| Subject::Node((*name).into());
    names.iter().map(node).collect()
}

fn with(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", value.parse().unwrap());
    headers
}

fn ask(tokens: &Tokens, headers: &HeaderMap) -> Result<Caller, Refusal> {
    tokens.caller(bearer(headers)?)
}

fn of(state: &Path, node: &str) -> HeaderMap {
    let token = fs::read_to_string(state.join("tokens").join(node)).unwrap();
    with(&format!("Bearer {}", token.trim()))
}

#[test]
fn every_node_gets_a_token_of_its_own_that_lasts() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", None).unwrap();
    assert!(tokens.admit(nodes(&["n1", "n2"])).is_empty());
    let (one, two) = (of(state.path(), "n1"), of(state.path(), "n2"));
    assert_eq!(&*ask(&tokens, &one).unwrap().name, "n1");
    assert_eq!(&*ask(&tokens, &two).unwrap().name, "n2");
    let mode = fs::metadata(state.path().join("tokens/n1"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = Tokens::open(state.path(), "cluster.local", None).unwrap();
    let early = ask(&again, &one).unwrap_err();
    assert_eq!(
        early.status().code(),
        tonic::Code::Unavailable,
        "it is not known yet which nodes there are"
    );
    again.admit(nodes(&["n1"]));
    assert_eq!(&*ask(&again, &one).unwrap().name, "n1");
    assert!(ask(&again, &two).is_err(), "n2 is gone");
    again.admit(nodes(&["n1", "n2"]));
    assert_eq!(&*ask(&again, &two).unwrap().name, "n2");
}

#[test]
fn whoever_has_no_or_another_token_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", None).unwrap();
    tokens.admit(nodes(&["n1"]));
    let forged = "0".repeat(64);
    let long = "a".repeat(5000);
    let basic = fs::read_to_string(state.path().join("tokens/n1")).unwrap();
    let cases = [
        HeaderMap::new(),
        with(""),
        with("Bearer "),
        with(&format!("Bearer {forged}")),
        with(&format!("Bearer {long}")),
        with(&format!("Basic {}", basic.trim())),
        with(basic.trim()),
    ];
    for metadata in cases {
        let refused = ask(&tokens, &metadata).unwrap_err();
        assert_eq!(
            refused.status().code(),
            tonic::Code::Unauthenticated,
            "{metadata:?}"
        );
    }
}

#[test]
fn a_damaged_token_is_made_anew() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", None).unwrap();
    files::write_whole(&state.path().join("tokens/n1"), b"\n", files::SECRET).unwrap();
    assert!(tokens.admit(nodes(&["n1"])).is_empty());
    assert!(ask(&tokens, &with("Bearer ")).is_err());
    assert!(ask(&tokens, &of(state.path(), "n1")).is_ok());
}

#[test]
fn names_that_would_leave_the_directory_get_no_token() {
    let state = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", None).unwrap();
    for name in ["../evil", "", "..", "a/b", ".hidden"] {
        let problems = tokens.admit(nodes(&[name]));
        assert!(matches!(problems[..], [TokenError::Name(_)]), "{name}");
    }
}

#[test]
fn the_operators_file_is_read_and_checked() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("given");
    fs::write(&path, "# comment\n\nn7 0123456789abcdef\n").unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", Some(&path)).unwrap();
    let caller = ask(&tokens, &with("Bearer 0123456789abcdef")).unwrap();
    assert_eq!(&*caller.name, "n7");
    for bad in ["n7\n", "n7 short\n"] {
        fs::write(&path, bad).unwrap();
        let refused = Tokens::open(state.path(), "cluster.local", Some(&path)).unwrap_err();
        assert!(
            matches!(refused, TokenError::Line { line: 1, .. }),
            "{refused}"
        );
    }
}

#[test]
fn a_waypoint_s_token_says_which_gateway_it_is_of() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("given");
    let given = "waypoint/shop/cart-waypoint of-the-waypoint-of-shop\n";
    fs::write(&path, given).unwrap();
    let tokens = Tokens::open(state.path(), "cluster.local", Some(&path)).unwrap();
    let caller = tokens.caller("of-the-waypoint-of-shop").unwrap();
    assert!(caller.node().is_err(), "it is no agent");
    let Who::Waypoint(waypoint) = &caller.who else {
        panic!("{caller:?}");
    };
    let hostname = "cart-waypoint.shop.svc.cluster.local";
    assert_eq!(waypoint.service, ServiceName::new("shop", hostname));

    for bad in ["waypoint/shop", "waypoint/../x", "waypoint/shop/a/b"] {
        fs::write(&path, format!("{bad} of-the-waypoint-of-shop\n")).unwrap();
        let opened = Tokens::open(state.path(), "cluster.local", Some(&path));
        assert!(
            matches!(opened, Err(TokenError::Line { line: 1, .. })),
            "{bad}"
        );
    }
}
