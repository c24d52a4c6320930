//! What is wrong with a `RequestAuthentication`, told so that its author can put it right.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{JwtRule, RequestAuthentication};

/// More rules than anybody has issuers.
const MAX_RULES: usize = 64;
/// Places, audiences and outputs of one rule.
const MAX_ENTRIES: usize = 64;
/// Names, prefixes, issuers and audiences.
const MAX_TEXT: usize = 1024;

/// Headers that the frame or the way of a message depends on: no token is looked for in them, since it
/// would be taken away, and none is made of a claim.
const OF_THE_MESSAGE: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Headers that tell of the client or that it proves itself with: they are never made of a claim.
const OF_THE_CLIENT: [&str; 9] = [
    "authorization",
    "cookie",
    "forwarded",
    "proxy-authenticate",
    "proxy-authorization",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// What is wrong with a `RequestAuthentication`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}; {advice}")]
pub struct AuthenticationProblem {
    /// Path of the field in Istio's object, from `jwtRules` on.
    pub field: String,
    /// What was found there.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

type Checked = Result<(), AuthenticationProblem>;

fn problem(field: String, what: impl Into<String>, advice: &'static str) -> AuthenticationProblem {
    AuthenticationProblem {
        field,
        what: what.into(),
        advice,
    }
}

impl RequestAuthentication {
    /// The first thing that is wrong with it. One for which this fails is never used.
    pub fn check(&self) -> Checked {
        few("jwtRules", self.rules.len(), MAX_RULES)?;
        for (index, rule) in self.rules.iter().enumerate() {
            check_rule(&format!("jwtRules[{index}]"), rule)?;
        }
        Ok(())
    }
}

fn check_rule(at: &str, rule: &JwtRule) -> Checked {
    let optional = [("issuer", &rule.issuer), ("jwksUri", &rule.jwks_uri)];
    for (name, value) in optional {
        if let Some(value) = value {
            text(format!("{at}.{name}"), value)?;
        }
    }
    if rule.issuer.is_none() && rule.jwks_uri.is_none() && rule.jwks.is_none() {
        return Err(problem(
            format!("{at}.issuer"),
            "neither an issuer nor keys are given",
            "add the issuer of the tokens",
        ));
    }
    if let Some(uri) = &rule.jwks_uri
        && !(uri.starts_with("https://") || uri.starts_with("http://"))
    {
        return Err(problem(
            format!("{at}.jwksUri"),
            format!("`{uri}` is not a URL of HTTP"),
            "write it as https://HOST/PATH",
        ));
    }
    if rule.jwks.as_ref().is_some_and(|keys| keys.is_empty()) {
        return Err(problem(
            format!("{at}.jwks"),
            "empty",
            "add a key set, or remove the field so that the keys are fetched",
        ));
    }
    let lists = [
        ("audiences", &rule.audiences),
        ("fromParams", &rule.from_params),
        ("fromCookies", &rule.from_cookies),
        ("spaceDelimitedClaims", &rule.space_delimited_claims),
    ];
    for (name, list) in lists {
        let at = format!("{at}.{name}");
        few(&at, list.len(), MAX_ENTRIES)?;
        for (index, entry) in list.iter().enumerate() {
            text(format!("{at}[{index}]"), entry)?;
        }
    }
    check_cookies(at, rule)?;
    check_places(at, rule)?;
    check_outputs(at, rule)
}

fn check_cookies(at: &str, rule: &JwtRule) -> Checked {
    for (index, cookie) in rule.from_cookies.iter().enumerate() {
        if !is_token(cookie) {
            return Err(problem(
                format!("{at}.fromCookies[{index}]"),
                format!("`{cookie}` cannot be the name of a cookie"),
                "use letters, digits, hyphens and underscores",
            ));
        }
    }
    Ok(())
}

fn check_places(at: &str, rule: &JwtRule) -> Checked {
    few(
        &format!("{at}.fromHeaders"),
        rule.from_headers.len(),
        MAX_ENTRIES,
    )?;
    for (index, header) in rule.from_headers.iter().enumerate() {
        let at = format!("{at}.fromHeaders[{index}]");
        header_name(format!("{at}.name"), &header.name)?;
        let prefix = header.prefix.as_bytes();
        if prefix.len() > MAX_TEXT || prefix.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(problem(
                format!("{at}.prefix"),
                "has characters that no header has, or too many",
                "use printable characters of ASCII",
            ));
        }
    }
    Ok(())
}

fn check_outputs(at: &str, rule: &JwtRule) -> Checked {
    few(
        &format!("{at}.outputClaimToHeaders"),
        rule.output_claim_to_headers.len(),
        MAX_ENTRIES,
    )?;
    let mut taken = BTreeSet::new();
    let places = rule.from_headers.iter().map(|header| &header.name);
    let places: BTreeSet<&Arc<str>> = places.collect();
    let mut output = |field: String, name: &Arc<str>| {
        header_name(field.clone(), name)?;
        if OF_THE_CLIENT.contains(&&**name) {
            return Err(problem(
                field,
                format!("`{name}` says who the client is, and is not made of a claim"),
                "use a header of your own, such as x-jwt-payload",
            ));
        }
        if places.contains(name) {
            return Err(problem(
                field,
                format!("`{name}` is also where tokens are looked for"),
                "use another header: what clients send in this one is taken away",
            ));
        }
        if !taken.insert(Arc::clone(name)) {
            return Err(problem(
                field,
                format!("`{name}` is made of something else already"),
                "use a header for each",
            ));
        }
        Ok(())
    };
    if let Some(name) = &rule.output_payload_to_header {
        output(format!("{at}.outputPayloadToHeader"), name)?;
    }
    for (index, entry) in rule.output_claim_to_headers.iter().enumerate() {
        let at = format!("{at}.outputClaimToHeaders[{index}]");
        output(format!("{at}.header"), &entry.header)?;
        text(format!("{at}.claim"), &entry.claim)?;
    }
    Ok(())
}

/// The name of a header, in lower case, that can be added and taken away.
fn header_name(field: String, name: &str) -> Checked {
    if !is_token(name) || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(problem(
            field,
            format!("`{name}` cannot be the name of a header"),
            "use letters, digits and hyphens",
        ));
    }
    if OF_THE_MESSAGE.contains(&name) {
        return Err(problem(
            field,
            format!("the message itself depends on `{name}`"),
            "use a header of your own",
        ));
    }
    Ok(())
}

fn text(field: String, text: &str) -> Checked {
    let what = match text.len() {
        0 => "empty",
        1..=MAX_TEXT => return Ok(()),
        _ => "longer than 1024 bytes",
    };
    Err(problem(field, what, "write a value, or remove the entry"))
}

fn few(field: &str, number: usize, most: usize) -> Checked {
    if number <= most {
        return Ok(());
    }
    let what = format!("{number} entries, where {most} are allowed");
    Err(problem(field.to_owned(), what, "remove some"))
}

/// RFC 9110, 5.6.2, and not endless.
fn is_token(name: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=MAX_TEXT).contains(&name.len()) && name.bytes().all(is_of_token)
}
