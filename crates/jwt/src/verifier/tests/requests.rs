//! What is read from requests and what becomes of them.

use http::Method;

use super::*;

fn places(rule: JwtRule, headers: &[(&str, &str)], params: &[&str], cookies: &[&str]) -> JwtRule {
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    let headers = headers.iter().map(|(name, prefix)| TokenHeader {
        name: (*name).into(),
        prefix: (*prefix).into(),
    });
    JwtRule {
        from_headers: headers.collect(),
        from_params: names(params),
        from_cookies: names(cookies),
        ..rule
    }
}

fn claim(header: &str, claim: &str) -> ClaimHeader {
    ClaimHeader {
        header: header.into(),
        claim: claim.into(),
    }
}

/// A rule that makes headers.
fn telling(issuer: &Issuer) -> JwtRule {
    JwtRule {
        output_payload_to_header: Some("x-payload".into()),
        output_claim_to_headers: vec![
            claim("x-sub", "sub"),
            claim("x-level", "level"),
            claim("x-admin", "admin"),
            claim("x-role", "realm.role"),
            claim("x-groups", "groups"),
        ],
        ..issuer.rule()
    }
}

#[test]
fn without_a_token_a_request_passes() {
    let verifier = verifier(vec![ALICE.rule()]);
    for headers in [
        &[][..],
        &[("authorization", "Basic YTpi")],
        &[("x-token", "a.b.c"), ("cookie", "access_token=a.b.c")],
    ] {
        assert_eq!(judge(&verifier, &request("/?a=b", headers)), Ok(None));
    }
}

#[test]
fn no_rules_ask_for_nothing() {
    let verifier = verifier(Vec::new());
    assert_eq!(judge(&verifier, &bearing("x")), Ok(None));
}

#[test]
fn a_token_counts_where_the_rules_look() {
    let named = [("x-token", "Token ")];
    let verifier = verifier(vec![places(ALICE.rule(), &named, &["t"], &["session"])]);
    let token = ALICE.token();
    let quoted = format!("a=b; session=\"{token}\"");
    let escaped = token.replace('.', "%2E").replace('e', "%65");
    for (target, headers, found) in [
        ("/", vec![("x-token", format!("Token {token}"))], true),
        ("/", vec![("X-Token", format!("token {token}"))], true),
        ("/", vec![("x-token", token.clone())], false),
        (
            "/",
            vec![("authorization", format!("Bearer {token}"))],
            false,
        ),
        (&format!("/?a=b&t={token}"), vec![], true),
        (&format!("/?%74={escaped}"), vec![], true),
        (&format!("/?access_token={token}"), vec![], false),
        ("/", vec![("cookie", format!("session={token}; a=b"))], true),
        ("/", vec![("cookie", quoted)], true),
        ("/", vec![("cookie", format!("Session={token}"))], false),
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, v)| (*name, v.as_str()))
            .collect();
        let claims = judge(&verifier, &request(target, &headers)).unwrap();
        assert_eq!(claims.is_some(), found, "{target} {headers:?}");
    }
}

#[test]
fn what_stands_where_a_token_should_must_be_one() {
    let verifier = verifier(vec![places(
        ALICE.rule(),
        &[("x-token", "")],
        &["t"],
        &["c"],
    )]);
    let token = ALICE.token();
    let malformed = Err(Reason::Malformed);
    for (target, headers) in [
        ("/", vec![("x-token", String::new())]),
        ("/", vec![("x-token", format!("{token}."))]),
        ("/", vec![("x-token", format!("{token}="))]),
        ("/", vec![("x-token", format!("Bearer {token}"))]),
        ("/", vec![("x-token", format!("{token}, {token}"))]),
        ("/", vec![("x-token", format!("{token}\u{e9}"))]),
        ("/?t", vec![]),
        ("/?t=", vec![]),
        (&format!("/?t={token}%20x"), vec![]),
        (&format!("/?t={token}%00"), vec![]),
        ("/", vec![("cookie", "c=".to_owned())]),
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, v)| (*name, v.as_str()))
            .collect();
        let result = judge(&verifier, &request(target, &headers));
        assert_eq!(result, malformed, "{target} {headers:?}");
    }
}

#[test]
fn one_token_in_several_places_is_one() {
    let verifier = verifier(vec![ALICE.rule()]);
    let token = ALICE.token();
    let bearer = format!("Bearer {token}");
    let parts = request(
        &format!("/?access_token={token}"),
        &[("authorization", &bearer), ("authorization", &bearer)],
    );
    assert!(judge(&verifier, &parts).unwrap().is_some());
}

#[test]
fn a_rule_sees_one_token() {
    let both = verifier(vec![ALICE.rule(), BOB.rule()]);
    let (alice, bob) = (ALICE.token(), BOB.token());
    let other = ALICE.token_with("sub", "other");
    let bearer = |token: &str| format!("Bearer {token}");
    for (one, two) in [(&alice, &other), (&alice, &bob), (&alice, &"x".to_owned())] {
        let in_query = request(
            &format!("/?access_token={two}"),
            &[("authorization", &bearer(one))],
        );
        assert_eq!(judge(&both, &in_query), Err(Reason::Several));
        let twice = [
            ("authorization", &*bearer(one)),
            ("authorization", &*bearer(two)),
        ];
        assert_eq!(judge(&both, &request("/", &twice)), Err(Reason::Several));
        let query = format!("/?access_token={one}&access_token={two}");
        assert_eq!(judge(&both, &request(&query, &[])), Err(Reason::Several));
    }
    let many = format!("/?{}", "access_token=x&".repeat(9));
    assert_eq!(judge(&both, &request(&many, &[])), Err(Reason::Several));
}

#[test]
fn rules_that_look_elsewhere_may_each_have_one() {
    let both = verifier(vec![
        places(BOB.rule(), &[("x-bob", "")], &[], &[]),
        places(ALICE.rule(), &[("x-alice", "")], &[], &[]),
    ]);
    let (alice, bob) = (ALICE.token(), BOB.token());
    let parts = request("/", &[("x-bob", &bob), ("x-alice", &alice)]);
    let passed = both.judge(&Head::of(&parts), now()).unwrap();
    let issuers: Vec<_> = passed.all_claims().map(|claims| claims.issuer()).collect();
    assert_eq!(issuers, [ALICE.name, BOB.name], "by issuer");
    assert_eq!(passed.claims().unwrap().issuer(), ALICE.name);
    // Each must be good, and in its own place.
    let bad = ALICE.token_with("exp", 1);
    for (in_bob, in_alice, reason) in [
        (&bob, &bad, Reason::Expired),
        (&alice, &alice, Reason::UnknownIssuer),
        (&alice, &bob, Reason::UnknownIssuer),
    ] {
        let parts = request("/", &[("x-bob", in_bob), ("x-alice", in_alice)]);
        assert_eq!(judge(&both, &parts), Err(reason));
    }
}

#[test]
fn tokens_are_taken_away_unless_they_go_on() {
    let named = |forward| {
        let rule = JwtRule {
            forward_original_token: forward,
            ..ALICE.rule()
        };
        verifier(vec![places(rule, &[("x-token", "")], &["t"], &["session"])])
    };
    let token = ALICE.token();
    let cookie = format!("session={token}");
    let all = || {
        request(
            &format!("/cart?a=%2f&t={token}&b"),
            &[("x-token", &token), ("cookie", &cookie), ("x-other", "1")],
        )
    };
    let after = applied(&named(false), all());
    assert_eq!(after.uri, "/cart?a=%2f&b");
    assert!(!after.headers.contains_key("x-token"));
    assert_eq!(text(&after.headers, "x-other"), ["1"]);
    assert_eq!(text(&after.headers, "cookie"), [&cookie], "as in Istio");
    let after = applied(&named(true), all());
    assert_eq!(after.uri, all().uri);
    assert_eq!(text(&after.headers, "x-token"), [&token]);
    // Of the whole URI the rest stays.
    let whole = request(&format!("http://shop.example:8080/?t={token}"), &[]);
    assert_eq!(
        applied(&named(false), whole).uri,
        "http://shop.example:8080/"
    );
    let twice = request(&format!("/?t={token}&%74={token}&tt=1"), &[]);
    assert_eq!(applied(&named(false), twice).uri, "/?tt=1");
}

#[test]
fn claims_become_headers() {
    let verifier = verifier(vec![telling(&ALICE)]);
    let token = ALICE.token_of(&json!({
        "iss": ALICE.name,
        "sub": "ælice",
        "level": 3,
        "admin": false,
        "realm": {"role": "chef"},
        "groups": ["a", "b"],
    }));
    let headers = applied(&verifier, bearing(&token)).headers;
    let payload = token.split('.').nth(1).unwrap();
    assert_eq!(text(&headers, "x-payload"), [payload]);
    assert_eq!(headers["x-sub"].as_bytes(), "ælice".as_bytes());
    assert_eq!(text(&headers, "x-level"), ["3"]);
    assert_eq!(text(&headers, "x-admin"), ["false"]);
    assert_eq!(text(&headers, "x-role"), ["chef"]);
    assert_eq!(text(&headers, "x-groups"), ["WyJhIiwiYiJd"]);
    // The same from the cache.
    assert_eq!(applied(&verifier, bearing(&token)).headers, headers);
}

#[test]
fn a_claim_cannot_be_two_headers() {
    let verifier = verifier(vec![telling(&ALICE)]);
    for subject in ["a\r\nx-admin: true", "a\nb", "\0", ""] {
        let headers = applied(&verifier, bearing(&ALICE.token_with("sub", subject))).headers;
        assert!(!headers.contains_key("x-sub"), "{subject:?}");
        assert!(!headers.contains_key("x-admin"));
    }
}

#[test]
fn nobody_else_sets_headers_of_claims() {
    let verifier = verifier(vec![telling(&ALICE)]);
    let forged = [
        ("x-sub", "root"),
        ("X-Sub", "root"),
        ("x-admin", "true"),
        ("x-payload", "e30"),
        ("x-other", "stays"),
    ];
    let bearer = format!("Bearer {}", ALICE.token());
    for token in [None, Some(("authorization", &*bearer))] {
        let headers: Vec<_> = forged.into_iter().chain(token).collect();
        let headers = applied(&verifier, request("/", &headers)).headers;
        let subjects: &[&str] = token.map_or(&[], |_| &["me"]);
        assert_eq!(text(&headers, "x-sub"), subjects);
        assert!(
            !headers.contains_key("x-admin"),
            "the token has no such claim"
        );
        assert_eq!(headers.contains_key("x-payload"), token.is_some());
        assert_eq!(text(&headers, "x-other"), ["stays"]);
    }
}

#[test]
fn the_first_rule_has_the_header() {
    let rule = |issuer: &Issuer, header: &str| places(telling(issuer), &[(header, "")], &[], &[]);
    let both = verifier(vec![rule(&BOB, "x-bob"), rule(&ALICE, "x-alice")]);
    let (alice, bob) = (ALICE.token_with("sub", "a"), BOB.token_with("sub", "b"));
    let parts = request("/", &[("x-bob", &bob), ("x-alice", &alice)]);
    assert_eq!(text(&applied(&both, parts).headers, "x-sub"), ["a"]);
    let parts = request("/", &[("x-bob", &bob)]);
    assert_eq!(text(&applied(&both, parts).headers, "x-sub"), ["b"]);
}

#[test]
fn a_question_of_a_browser_has_no_token() {
    let verifier = verifier(vec![telling(&ALICE)]);
    let ask = |method: Method, headers: &[(&str, &str)]| {
        let mut parts = request("/?access_token=bad", headers);
        parts.method = method;
        parts
    };
    let origin = ("origin", "https://shop.example");
    let asks = ("access-control-request-method", "POST");
    let preflight = || ask(Method::OPTIONS, &[origin, asks, ("x-sub", "root")]);
    assert_eq!(judge(&verifier, &preflight()), Ok(None));
    let after = applied(&verifier, preflight());
    assert!(!after.headers.contains_key("x-sub"));
    for other in [
        ask(Method::GET, &[origin, asks]),
        ask(Method::OPTIONS, &[origin]),
        ask(Method::OPTIONS, &[asks]),
        ask(Method::OPTIONS, &[("origin", ""), asks]),
    ] {
        assert_eq!(judge(&verifier, &other), Err(Reason::Malformed));
    }
}

#[test]
fn of_several_tokens_that_of_the_first_rule_says_who_calls_wherever_it_is() {
    let carol = Issuer::new("https://carol.example");
    let usual = [("authorization", "Bearer ")];
    let rules = vec![
        places(ALICE.rule(), &usual, &[], &[]),
        places(BOB.rule(), &[("x-bob", "")], &[], &[]),
        places(carol.rule(), &usual, &[], &[]),
    ];
    // Of the place that is looked at first, but of the last rule.
    let last = format!("Bearer {}", carol.token());
    let headers = [("authorization", &*last), ("x-bob", &*BOB.token())];
    let verifier = verifier(rules);
    let parts = request("/", &headers);
    let passed = verifier.judge(&Head::of(&parts), now()).unwrap();
    let issuers: Vec<_> = passed.all_claims().map(|claims| claims.issuer()).collect();
    assert_eq!(issuers, [BOB.name, carol.name]);
    assert_eq!(
        passed.claims().map(|claims| claims.issuer()),
        Some(BOB.name)
    );
}
