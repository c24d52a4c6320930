use proptest::prelude::*;

use super::*;

const ENROL: &str = r#"{"op":"enrol","netns":"/run/netns/x","uid":"u-1","namespace":"shop",
    "name":"web-0","service_account":"web","ips":["10.0.0.2","fd00::2"]}"#;

#[test]
fn an_enrolment_is_read_with_all_its_fields() {
    let Request::Enrol(enrol) = parse(ENROL.as_bytes()).unwrap() else {
        panic!("not an enrolment")
    };
    assert_eq!(enrol.netns.as_deref(), Some("/run/netns/x"));
    assert_eq!(enrol.names().uid.as_str(), "u-1");
    assert_eq!(enrol.names().ips.len(), 2);
}

#[test]
fn the_short_requests_are_read() {
    assert_eq!(
        parse(br#"{"op":"list"}"#).unwrap(),
        Request::List(Nothing {})
    );
    assert_eq!(
        parse(br#"{"op":"replace-proxy"}"#).unwrap(),
        Request::ReplaceProxy(Nothing {})
    );
    let release = ReleaseRequest {
        uid: PodUid::parse("u-1").unwrap(),
    };
    assert_eq!(
        parse(br#"{"op":"release","uid":"u-1"}"#).unwrap(),
        Request::Release(release)
    );
}

#[test]
fn what_is_not_a_request_is_an_error_with_a_message() {
    let long_uid = ENROL.replace("u-1", &"u".repeat(41));
    let relative = ENROL.replace("/run/netns/x", "netns/x");
    let unknown_field = ENROL.replace("\"uid\"", "\"force\":true,\"uid\"");
    let no_uid = r#"{"op":"release"}"#;
    let bad = [
        "",
        "{",
        "[]",
        "null",
        r#"{"op":"reboot"}"#,
        no_uid,
        r#"{"op":"list","x":1}"#,
    ];
    let bad = bad
        .into_iter()
        .chain([&*long_uid, &*relative, &*unknown_field]);
    for line in bad {
        let error = parse(line.as_bytes()).expect_err(line);
        assert!(!error.to_string().is_empty());
    }
    assert!(matches!(
        parse(&[b' '; LINE_BYTES + 1]),
        Err(RequestError::TooLong)
    ));
}

#[test]
fn an_answer_is_one_line_without_empty_parts() {
    let line = Answer::in_state("captured").to_line();
    assert_eq!(line, b"{\"ok\":true,\"state\":\"captured\"}\n");
    let error = parse(b"{").unwrap_err();
    let line = Answer::refused("bad_request", &error).to_line();
    assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
    let back: Answer = serde_json::from_slice(&line).unwrap();
    assert_eq!(back.reason.as_deref(), Some("bad_request"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        drop(parse(&bytes));
    }

    #[test]
    fn no_damage_to_a_request_makes_the_parser_panic(at in 0..ENROL.len(), byte in any::<u8>()) {
        let mut bytes = ENROL.as_bytes().to_vec();
        bytes[at] = byte;
        drop(parse(&bytes));
    }
}
