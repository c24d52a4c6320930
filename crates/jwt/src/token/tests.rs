use super::*;
use crate::base64url::encode;

fn token(header: &str, payload: &str) -> String {
    let (header, payload) = (encode(header.as_bytes()), encode(payload.as_bytes()));
    format!("{header}.{payload}.AAAA")
}

fn parsed(text: &str) -> Result<(), Reason> {
    let token = Token::parse(text.as_bytes());
    token.map(drop).map_err(|fault| fault.reason)
}

#[test]
fn what_is_signed_are_the_first_two_parts() {
    let text = token(
        r#"{"alg":"RS256","kid":"k","typ":"at+jwt"}"#,
        r#"{"iss":"a"}"#,
    );
    let token = Token::parse(text.as_bytes()).unwrap();
    assert_eq!(token.signed, text.strip_suffix(".AAAA").unwrap().as_bytes());
    assert!(token.signed.ends_with(token.payload));
    assert_eq!(token.algorithm, Algorithm::Rs256);
    assert_eq!(token.key.as_deref(), Some("k"));
    assert_eq!(token.signature, [0, 0, 0]);
    assert_eq!(token.claims.issuer(), "a");
}

#[test]
fn headers() {
    use Reason::{Algorithm, Malformed};
    for (header, result) in [
        (r#"{"alg":"ES512"}"#, Ok(())),
        (r#"{"alg":"EdDSA","kid":""}"#, Ok(())),
        (r#"{"alg":"RS256","b64":true}"#, Ok(())),
        (r#"{"alg":"RS256","jwk":{"kty":"RSA"},"x5c":[]}"#, Ok(())),
        (r#"{"alg":"none"}"#, Err(Algorithm)),
        (r#"{"alg":"None"}"#, Err(Algorithm)),
        (r#"{"alg":""}"#, Err(Algorithm)),
        (r#"{"alg":"rs256"}"#, Err(Algorithm)),
        (r#"{"alg":"RS256 "}"#, Err(Algorithm)),
        (r#"{"alg":"HS256"}"#, Err(Algorithm)),
        (r#"{"alg":"ES256K"}"#, Err(Algorithm)),
        (r#"{"alg":"RSA-OAEP","enc":"A128GCM"}"#, Err(Algorithm)),
        (r#"{"alg":"RS256","crit":["exp"]}"#, Err(Algorithm)),
        (r#"{"alg":"RS256","crit":[]}"#, Err(Algorithm)),
        (r#"{"alg":"RS256","crit":null}"#, Err(Algorithm)),
        (r#"{"alg":"RS256","b64":false}"#, Err(Algorithm)),
        (r#"{}"#, Err(Malformed)),
        (r#"{"alg":null}"#, Err(Malformed)),
        (r#"{"alg":["RS256"]}"#, Err(Malformed)),
        (r#"{"ALG":"RS256"}"#, Err(Malformed)),
        (r#"{"alg":"RS256","alg":"none"}"#, Err(Malformed)),
        (r#"{"alg":"RS256","kid":1}"#, Err(Malformed)),
        (r#"{"alg":"RS256","kid":null}"#, Err(Malformed)),
        (r#"["alg"]"#, Err(Malformed)),
        ("", Err(Malformed)),
        ("{", Err(Malformed)),
    ] {
        assert_eq!(parsed(&token(header, "{}")), result, "{header}");
    }
}

#[test]
fn payloads() {
    let header = r#"{"alg":"RS256"}"#;
    for (payload, good) in [
        ("{}", true),
        (r#"{"aud":["a"],"exp":1.5}"#, true),
        (r#"{"exp":1,"exp":2}"#, false),
        (r#"{"exp":"1"}"#, false),
        (r#"{"aud":1}"#, false),
        ("[]", false),
        (r#""{}""#, false),
        ("{}{}", false),
    ] {
        let expected = good.then_some(()).ok_or(Reason::Malformed);
        assert_eq!(parsed(&token(header, payload)), expected, "{payload}");
    }
}

#[test]
fn forms() {
    let good = token(r#"{"alg":"RS256"}"#, "{}");
    let (head, signature) = good.rsplit_once('.').unwrap();
    assert_eq!(parsed(&good), Ok(()));
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "a.b.c".into(),
        head.into(),
        format!("{head}."),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.AAAA"),
        format!("{good}="),
        format!("{head}.AB"),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}ä"),
        format!("{good}\0"),
        good.replacen('.', "..", 1),
        good.replace('.', "\u{ff0e}"),
        head.replace('.', &format!(".{signature}.")) + ".AAAA",
    ] {
        assert_eq!(parsed(&bad), Err(Reason::Malformed), "{bad:?}");
    }
    // A byte-order mark, as three bytes of the first part.
    let marked = token("\u{feff}{\"alg\":\"RS256\"}", "{}");
    assert_eq!(parsed(&marked), Err(Reason::Malformed));
}

#[test]
fn there_is_an_end_to_length_and_depth() {
    let with = |length: usize| {
        let payload = format!(r#"{{"a":"{}"}}"#, "x".repeat(length));
        parsed(&token(r#"{"alg":"RS256"}"#, &payload))
    };
    assert_eq!(with(12_000), Ok(()));
    assert_eq!(with(13_000), Err(Reason::TooLong));
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    let deep = token(r#"{"alg":"RS256"}"#, &format!(r#"{{"a":{deep}}}"#));
    assert_eq!(parsed(&deep), Err(Reason::Malformed));
}
