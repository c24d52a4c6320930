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

const CNI: &str = r#"{"op":"cni-add","netns":"/var/run/netns/cni-1","uid":"u-1","namespace":"shop",
    "name":"web-0","ips":["10.0.0.2"],"container":"c-1","of_a_newer_plugin":1}"#;

#[test]
fn what_the_plugin_writes_is_read() {
    use ambit_cni::agent::{Attachment, Request as Asked};
    let attachment = Attachment {
        netns: "/var/run/netns/cni-1".into(),
        uid: "u-1".to_owned(),
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        ips: vec!["10.0.0.2".parse().unwrap()],
        container: "c-1".to_owned(),
    };
    let read = |asked: Asked| parse(&serde_json::to_vec(&asked).unwrap()).unwrap();
    let Request::CniAdd(pod) = parse(CNI.as_bytes()).unwrap() else {
        panic!("not an ADD")
    };
    assert_eq!(pod.names("web".to_owned()).service_account, "web");
    assert_eq!(
        read(Asked::CniAdd(attachment.clone())),
        Request::CniAdd(pod.clone())
    );
    assert_eq!(read(Asked::CniCheck(attachment)), Request::CniCheck(pod));
    let (uid, container) = ("u-1".to_owned(), "c-1".to_owned());
    let end = CniEnd {
        uid: PodUid::parse("u-1").unwrap(),
        container: container.clone(),
    };
    assert_eq!(read(Asked::CniDel { uid, container }), Request::CniDel(end));
}

#[test]
fn what_the_plugin_reads_is_what_is_answered() {
    let error = parse(b"{").unwrap_err();
    for answer in [
        Answer::in_state("captured"),
        Answer::refused("bad_request", &error),
    ] {
        let read: ambit_cni::agent::Answer = serde_json::from_slice(&answer.to_line()).unwrap();
        assert_eq!((read.ok, read.state), (answer.ok, answer.state));
        assert_eq!((read.error, read.reason), (answer.error, answer.reason));
    }
}

#[test]
fn what_no_runtime_could_have_said_is_refused() {
    for (part, other) in [
        ("u-1", ""),
        ("u-1", "../u"),
        ("shop", "a/b"),
        ("web-0", ""),
        ("10.0.0.2", "127.0.0.1"),
        ("\"10.0.0.2\"", ""),
        ("c-1", "-c"),
        ("c-1", "c\\u0000"),
        ("/var/run", "var/run"),
        ("cni-add", "cni-gc"),
    ] {
        let damaged = CNI.replace(part, other);
        assert!(parse(damaged.as_bytes()).is_err(), "{part:?} as {other:?}");
    }
    assert!(parse(br#"{"op":"cni-del","uid":"u-1","container":""}"#).is_err());
    assert!(parse(br#"{"op":"cni-del","container":"c"}"#).is_err());
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
