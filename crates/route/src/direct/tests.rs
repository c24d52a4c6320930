use super::*;

fn direct(status: u16, body: Option<Content>) -> Result<Direct, Problem> {
    Direct::new(&DirectResponse { status, body })
}

#[test]
fn answers_are_text_or_bytes() {
    let text = direct(503, Some(Content::Text("closed".into()))).unwrap();
    assert_eq!((text.status.as_u16(), &*text.body), (503, &b"closed"[..]));
    for (base64, expected) in [
        ("", &b""[..]),
        ("AA==", &[0]),
        ("/+8", &[255, 239]),
        ("_-8=", &[255, 239]),
        ("Y2xvc2Vk", b"closed"),
    ] {
        let given = direct(200, Some(Content::Base64(base64.into()))).unwrap();
        assert_eq!(&*given.body, expected, "{base64}");
    }
    assert!(direct(200, None).unwrap().body.is_empty());
    assert!(
        direct(204, Some(Content::Text("no".into())))
            .unwrap()
            .body
            .is_empty()
    );
}

#[test]
fn what_is_no_answer_is_a_problem() {
    for status in [0, 100, 199, 600, 999] {
        assert!(direct(status, None).is_err(), "{status}");
    }
    for base64 in ["A", "a b", "=AAA"] {
        assert!(
            direct(200, Some(Content::Base64(base64.into()))).is_err(),
            "{base64}"
        );
    }
    let long = "x".repeat(LONGEST + 1);
    assert!(direct(200, Some(Content::Text(long.into()))).is_err());
}
