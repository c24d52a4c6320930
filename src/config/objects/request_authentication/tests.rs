use std::time::Duration;

use super::*;

/// A key that signatures could be verified with.
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"key","x":"_s2qLKlQNmJrqakRKNE2Czvj8ChgR8nIB63IkISteDQ"}]}"#;

/// Reads a `spec` in YAML; where it is wrong and what is found there, as an author sees it.
fn read(spec: &str) -> Result<RequestAuthentication, (String, String)> {
    let text = format!("metadata: {{name: jwt, namespace: shop}}\nspec: {spec}\n");
    let documents = crate::config::documents::parse_documents(text.as_bytes());
    let document = documents.unwrap().remove(0).unwrap();
    let read = serde_path_to_error::deserialize(&document);
    let object: RequestAuthentication =
        read.map_err(|error| (error.path().to_string(), error.inner().to_string()))?;
    object
        .check()
        .map_err(|finding| (finding.field, finding.what))?;
    Ok(object)
}

fn rule(fields: &str) -> Result<RequestAuthentication, (String, String)> {
    read(&format!("{{jwtRules: [{{issuer: a, {fields}}}]}}"))
}

#[test]
fn every_field_reaches_the_model() {
    let object = read(&format!(
        "
  selector: {{matchLabels: {{app: web}}}}
  jwtRules:
  - issuer: https://issuer.example
    audiences: [shop, cart]
    jwksUri: https://issuer.example/keys
    jwks: '{KEYS}'
    fromHeaders: [{{name: X-Token, prefix: 'Token '}}, {{name: x-other}}]
    fromParams: [t]
    fromCookies: [session]
    outputPayloadToHeader: X-Payload
    forwardOriginalToken: true
    outputClaimToHeaders: [{{header: X-Sub, claim: sub}}]
    timeout: 3s
    spaceDelimitedClaims: [roles]"
    ))
    .unwrap();
    assert!(object.selector().is_some());
    let header = |name: &str, prefix: &str| model::TokenHeader {
        name: name.into(),
        prefix: prefix.into(),
    };
    let expected = model::JwtRule {
        issuer: Some("https://issuer.example".into()),
        audiences: vec!["shop".into(), "cart".into()],
        jwks: Some(KEYS.into()),
        jwks_uri: Some("https://issuer.example/keys".into()),
        timeout: Some(Duration::from_secs(3)),
        from_headers: vec![header("x-token", "Token "), header("x-other", "")],
        from_params: vec!["t".into()],
        from_cookies: vec!["session".into()],
        forward_original_token: true,
        output_payload_to_header: Some("x-payload".into()),
        output_claim_to_headers: vec![model::ClaimHeader {
            header: "x-sub".into(),
            claim: "sub".into(),
        }],
        space_delimited_claims: vec!["roles".into()],
    };
    let model = object.to_model();
    assert_eq!(model.name, PolicyName::new("shop", "jwt"));
    assert_eq!(model.rules, [expected]);
}

#[test]
fn what_is_written_is_read_again() {
    let object = rule("fromHeaders: [{name: X-Token}], timeout: 500ms").unwrap();
    let written = serde_json::to_value(&object).unwrap();
    assert_eq!(
        serde_json::from_value::<RequestAuthentication>(written).unwrap(),
        object
    );
}

#[test]
fn little_is_needed() {
    for spec in [
        "{}",
        "{jwtRules: []}",
        "{jwtRules: [{issuer: a}]}",
        "{jwtRules: [{jwksUri: https://a/keys}]}",
        "{jwtRules: [{issuer: a, jwks_uri: https://a/keys}]}",
        "{selector: {matchLabels: {}}, jwtRules: [{issuer: a}]}",
        "{targetRefs: [{kind: Service, name: web}], jwtRules: [{issuer: a}]}",
        "{targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: w}}",
    ] {
        assert!(read(spec).is_ok(), "{spec}: {:?}", read(spec));
    }
}

#[test]
fn errors_lead_to_the_field() {
    let one = "spec.jwtRules[0]";
    for (fields, field, what) in [
        ("audience: [b]", "", "unknown field `audience`"),
        ("audiences: b", ".audiences", "expected a sequence"),
        ("audiences: ['']", ".audiences[0]", "empty"),
        ("audiences: [1]", ".audiences[0]", "expected a string"),
        ("fromHeaders: [x]", ".fromHeaders[0]", "expected struct"),
        (
            "fromHeaders: [{name: 'x y'}]",
            ".fromHeaders[0].name",
            "`x y`",
        ),
        (
            "fromHeaders: [{name: Host}]",
            ".fromHeaders[0].name",
            "`host`",
        ),
        (
            "fromHeaders: [{nam: x}]",
            ".fromHeaders[0]",
            "unknown field `nam`",
        ),
        ("fromParams: ['']", ".fromParams[0]", "empty"),
        ("fromCookies: ['a=b']", ".fromCookies[0]", "`a=b`"),
        (
            "outputPayloadToHeader: Authorization",
            ".outputPayloadToHeader",
            "`authorization`",
        ),
        (
            "outputClaimToHeaders: [{header: x, claim: a}, {header: X, claim: b}]",
            ".outputClaimToHeaders[1].header",
            "`x` is made of something else",
        ),
        (
            "forwardOriginalToken: 'yes'",
            ".forwardOriginalToken",
            "a boolean",
        ),
        ("timeout: 3", ".timeout", "expected"),
        ("timeout: soon", ".timeout", "`soon` is not a duration"),
        ("jwks: ''", ".jwks", "empty"),
        ("jwks: '{}'", ".jwks", "no JSON object with a list `keys`"),
        (
            "jwks: '{\"keys\": []}'",
            ".jwks",
            "no key that a token could be verified with",
        ),
        (
            "jwks: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"AA\"}]}'",
            ".jwks",
            "(key 0: it is a shared secret",
        ),
        (
            "jwksUri: file:///etc/passwd",
            ".jwksUri",
            "is not a URL of HTTP",
        ),
        ("jwksUri: null", ".jwksUri", "null"),
    ] {
        let (at, found) = rule(fields).unwrap_err();
        let parent = at.starts_with(one) && what.starts_with("unknown field");
        assert!(at == format!("{one}{field}") || parent, "{fields}: {at}");
        assert!(found.contains(what), "{fields}: {found}");
    }
    for (spec, field) in [
        ("{jwtRules: [{}]}", "spec.jwtRules[0].issuer"),
        ("{jwtRules: [{issuer: ''}]}", "spec.jwtRules[0].issuer"),
        ("{jwtRules: null}", "spec.jwtRules"),
        ("{selector: null}", "spec.selector"),
        (
            "{selector: {matchLabels: {a: '*'}}}",
            "spec.selector.matchLabels",
        ),
        (
            "{selector: {}, targetRefs: [{kind: Service, name: web}]}",
            "spec.selector",
        ),
    ] {
        assert_eq!(read(spec).unwrap_err().0, field, "{spec}");
    }
}
