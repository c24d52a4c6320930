use super::*;

fn rule(issuer: Option<&str>, uri: Option<&str>, keys: Option<&str>) -> JwtRule {
    JwtRule {
        issuer: issuer.map(Into::into),
        jwks_uri: uri.map(Into::into),
        jwks: keys.map(Into::into),
        ..JwtRule::default()
    }
}

#[test]
fn keys_come_from_where_the_rule_says() {
    let of = |issuer, uri, keys| {
        let source = KeySource::of(&rule(issuer, uri, keys));
        source.map(|source| source.to_string())
    };
    let issuer = Some("https://issuer");
    assert_eq!(of(issuer, Some("http://keys"), Some("{}")), None);
    assert_eq!(
        of(issuer, Some("http://keys"), None).unwrap(),
        "http://keys"
    );
    assert_eq!(
        of(issuer, None, None).unwrap(),
        "the discovery document of https://issuer"
    );
    assert_eq!(of(Some("accounts@issuer"), None, None), None);
}

#[test]
fn fetches_are_bounded_in_time_whatever_the_rule_says() {
    let of = |timeout: Option<u64>| {
        let timeout = timeout.map(Duration::from_secs);
        patience(&JwtRule {
            timeout,
            ..rule(Some("i"), None, None)
        })
        .as_secs()
    };
    assert_eq!(
        [of(None), of(Some(0)), of(Some(2)), of(Some(900))],
        [5, 5, 2, 60]
    );
}

#[test]
fn what_was_good_stays_when_a_fetch_fails() {
    let mut keys = Keys::default();
    let source = || KeySource::Uri("http://keys".into());
    assert!(
        keys.problem(&source())
            .unwrap()
            .contains("not been fetched")
    );
    assert!(!keys.were_asked(&source()));
    assert!(!keys.take(source(), Err("it is away".to_owned())));
    assert!(keys.were_asked(&source()));
    assert!(keys.of(&source()).is_none());
    assert!(keys.take(source(), Ok("{1}".into())));
    assert!(!keys.take(source(), Err("it lies".to_owned())));
    assert_eq!(keys.of(&source()).map(AsRef::as_ref), Some("{1}"));
    assert_eq!(keys.problem(&source()), Some("it lies"));
    assert!(!keys.take(source(), Ok("{1}".into())));
    assert_eq!(keys.problem(&source()), None);
    assert!(keys.take(source(), Ok("{2}".into())));
    keys.keep(&Wanted::new());
    assert!(keys.of(&source()).is_none());
}
