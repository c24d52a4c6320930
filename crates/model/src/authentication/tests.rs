use super::*;

fn rule() -> JwtRule {
    JwtRule {
        issuer: Some("https://issuer.example".into()),
        ..JwtRule::default()
    }
}

fn authentication(rule: JwtRule) -> RequestAuthentication {
    RequestAuthentication {
        name: PolicyName::new("shop", "jwt"),
        rules: vec![rule],
    }
}

fn header(name: &str, prefix: &str) -> TokenHeader {
    TokenHeader {
        name: name.into(),
        prefix: prefix.into(),
    }
}

fn claim(header: &str, claim: &str) -> ClaimHeader {
    ClaimHeader {
        header: header.into(),
        claim: claim.into(),
    }
}

/// A rule with everything.
fn full() -> JwtRule {
    JwtRule {
        audiences: vec!["shop".into()],
        jwks: Some(r#"{"keys":[]}"#.into()),
        jwks_uri: Some("https://issuer.example/keys".into()),
        timeout: Some(Duration::from_secs(3)),
        from_headers: vec![header("x-token", "Token ")],
        from_params: vec!["token".into()],
        from_cookies: vec!["session".into()],
        forward_original_token: true,
        output_payload_to_header: Some("x-payload".into()),
        output_claim_to_headers: vec![claim("x-sub", "sub")],
        space_delimited_claims: vec!["roles".into()],
        ..rule()
    }
}

#[test]
fn what_is_written_is_read_again() {
    for rule in [rule(), full()] {
        let authentication = authentication(rule);
        authentication.check().unwrap();
        let written = serde_json::to_string(&authentication).unwrap();
        let read: RequestAuthentication = serde_json::from_str(&written).unwrap();
        assert_eq!(read, authentication);
    }
}

#[test]
fn what_is_not_known_is_an_error() {
    let mut written = serde_json::to_value(authentication(full())).unwrap();
    written["rules"][0]["fetchedBy"] = "nobody".into();
    assert!(serde_json::from_value::<RequestAuthentication>(written).is_err());
}

#[test]
fn keys_are_fetched_of_rules_without() {
    let uri: Arc<str> = "https://issuer.example/keys".into();
    let fetched = JwtRule {
        jwks_uri: Some(Arc::clone(&uri)),
        ..rule()
    };
    let mut both = authentication(full());
    assert!(both.key_uris().is_empty());
    both.rules.push(fetched);
    assert_eq!(both.key_uris(), [&uri].into());
}

#[test]
fn problems_name_the_field() {
    let base = rule;
    let output = |name: &str| JwtRule {
        output_payload_to_header: Some(name.into()),
        ..base()
    };
    let place = |name: &str, prefix: &str| JwtRule {
        from_headers: vec![header("x-good", ""), header(name, prefix)],
        ..base()
    };
    let claims = |claims: Vec<ClaimHeader>| JwtRule {
        output_claim_to_headers: claims,
        ..base()
    };
    let cases = [
        (JwtRule::default(), "issuer"),
        (
            JwtRule {
                issuer: Some("".into()),
                ..base()
            },
            "issuer",
        ),
        (
            JwtRule {
                audiences: vec!["a".into(), "".into()],
                ..base()
            },
            "audiences[1]",
        ),
        (
            JwtRule {
                audiences: vec!["a".into(); 65],
                ..base()
            },
            "audiences",
        ),
        (
            JwtRule {
                jwks: Some("".into()),
                ..base()
            },
            "jwks",
        ),
        (
            JwtRule {
                jwks_uri: Some("file:///etc/shadow".into()),
                ..base()
            },
            "jwksUri",
        ),
        (
            JwtRule {
                from_params: vec!["".into()],
                ..base()
            },
            "fromParams[0]",
        ),
        (
            JwtRule {
                from_cookies: vec!["a;b".into()],
                ..base()
            },
            "fromCookies[0]",
        ),
        (place("x bad", ""), "fromHeaders[1].name"),
        (place("", ""), "fromHeaders[1].name"),
        (place(":path", ""), "fromHeaders[1].name"),
        (place("content-length", ""), "fromHeaders[1].name"),
        (place("X-Upper", ""), "fromHeaders[1].name"),
        (place("x-token", "a\nb"), "fromHeaders[1].prefix"),
        (output("host"), "outputPayloadToHeader"),
        (output("transfer-encoding"), "outputPayloadToHeader"),
        (output(":authority"), "outputPayloadToHeader"),
        (output("authorization"), "outputPayloadToHeader"),
        (output("cookie"), "outputPayloadToHeader"),
        (output("x-forwarded-client-cert"), "outputPayloadToHeader"),
        (output("x\r\ny"), "outputPayloadToHeader"),
        (
            JwtRule {
                output_payload_to_header: Some("x-good".into()),
                ..place("x-other", "")
            },
            "outputPayloadToHeader",
        ),
        (
            claims(vec![claim("x-a", "a"), claim("x-a", "b")]),
            "outputClaimToHeaders[1].header",
        ),
        (
            claims(vec![claim("x-a", "")]),
            "outputClaimToHeaders[0].claim",
        ),
    ];
    for (rule, field) in cases {
        let problem = authentication(rule.clone()).check().unwrap_err();
        assert_eq!(problem.field, format!("jwtRules[0].{field}"), "{rule:?}");
        assert!(!problem.advice.is_empty());
    }
}

#[test]
fn there_is_an_end_to_rules() {
    let mut many = authentication(rule());
    many.rules = vec![rule(); 65];
    assert_eq!(many.check().unwrap_err().field, "jwtRules");
}
