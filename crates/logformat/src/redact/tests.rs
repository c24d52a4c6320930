//! What is masked, and what is not.

use super::*;
use crate::escape::{LONGEST, Style};
use crate::{Format, fixtures};

fn masked(redaction: &Redaction, address: &str) -> String {
    let mut line = Vec::new();
    let mut sink = Sink::of(&mut line, Style::Plain, address.as_bytes(), LONGEST);
    redaction.put_address(address.as_bytes(), &mut sink);
    String::from_utf8(line).unwrap()
}

#[test]
fn secrets_in_parameters_are_masked_however_they_are_called() {
    for (address, expected) in [
        ("", ""),
        ("/", "/"),
        ("/?", "/?"),
        ("/a/b", "/a/b"),
        ("/?token=abc", "/?token=REDACTED"),
        ("/?a=1&token=abc&b=2", "/?a=1&token=REDACTED&b=2"),
        ("/?token=", "/?token=REDACTED"),
        ("/?token", "/?token"),
        ("/?=abc", "/?=abc"),
        ("/?token=a=b", "/?token=REDACTED"),
        ("/?token=abc?x=1", "/?token=REDACTED?x=1"),
        ("/?a=1;token=abc", "/?a=1;token=REDACTED"),
        ("/cart;token=abc/7", "/cart;token=REDACTED"),
        ("/#access_token=abc", "/#access_token=REDACTED"),
        ("/?&&token=abc", "/?&&token=REDACTED"),
        ("/?Access-Token=abc", "/?Access-Token=REDACTED"),
        ("/?accessToken=abc", "/?accessToken=REDACTED"),
        (
            "/?API_KEY=abc&apikey=d",
            "/?API_KEY=REDACTED&apikey=REDACTED",
        ),
        ("/?%74oken=abc", "/?%74oken=REDACTED"),
        ("/?%74%6F%6b%65n=abc", "/?%74%6F%6b%65n=REDACTED"),
        ("/?%7token=abc", "/?%7token=abc"),
        ("/?tokens=3", "/?tokens=3"),
        ("/?X-Amz-Signature=abc", "/?X-Amz-Signature=REDACTED"),
        ("/token=abc", "/token=abc"),
        ("http://shop/?code=7#a", "http://shop/?code=REDACTED#a"),
    ] {
        assert_eq!(masked(&Redaction::default(), address), expected);
        let alone = Redaction::default().address(address.as_bytes());
        assert_eq!(alone, expected.as_bytes());
    }
}

#[test]
fn headers_of_secrets_are_masked_whole_and_others_are_not() {
    let told = |format| fixtures::text(format, &fixtures::full());
    assert_eq!(told("%REQ(AUTHORIZATION)%"), "REDACTED");
    assert_eq!(told("%REQ(X-NO?authorization)%"), "REDACTED");
    assert_eq!(told("%RESP(Set-Cookie)%"), "REDACTED");
    assert_eq!(told("%REQ(AUTHORIZATION):3%"), "RED");
    assert_eq!(told("%REQ(COOKIE)%"), "-", "what is absent is no secret");
    assert_eq!(told("%REQ(REFERER)%"), "http://shop/?password=REDACTED#end");
    assert_eq!(told("%REQ(REFERER):20%"), "http://shop/?passwor");
    assert_eq!(told("%REQ_WITHOUT_QUERY(REFERER)%"), "http://shop/");
    assert_eq!(told("%REQ(USER-AGENT)%"), "curl/8");
    assert_eq!(
        told("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
        "/rewrite/q?x=1&token=REDACTED"
    );
}

#[test]
fn the_list_can_be_made_longer_or_left_out() {
    let facts = fixtures::full();
    let format = Format::text("%REQ(USER-AGENT)% %REQ(:PATH)% %REQ(AUTHORIZATION)%").unwrap();
    let told = |redaction| {
        let line = fixtures::line(&format.clone().redacting(redaction), &facts);
        String::from_utf8(line).unwrap()
    };
    assert_eq!(told(Redaction::default()), "curl/8 /new?x=1 REDACTED");
    let more = Redaction::default()
        .with_header("User-Agent")
        .with_parameter("X_");
    assert_eq!(told(more), "REDACTED /new?x=REDACTED REDACTED");
    assert_eq!(told(Redaction::off()), "curl/8 /new?x=1 Bearer abc");
    let own = Redaction::off().with_parameter("x");
    assert_eq!(told(own), "curl/8 /new?x=REDACTED Bearer abc");
}

#[test]
fn the_lists_are_as_they_are_compared() {
    assert!(
        HEADERS
            .iter()
            .all(|name| name.to_ascii_lowercase() == *name)
    );
    for name in PARAMETERS {
        assert!(compared(name.as_bytes()).eq(name.bytes()), "{name}");
    }
}
