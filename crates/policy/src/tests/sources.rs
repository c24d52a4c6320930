use serde_json::{Value, json};

use super::asking::{Row, check, web};

#[expect(clippy::needless_pass_by_value, reason = "so that tables are short")]
fn from(source: Value) -> Value {
    json!({"from": [{"source": source}]})
}

/// Rows of one field and of its negation, for the values given.
fn both(field: &str, negated: &str, rows: Vec<(Value, super::asking::Ask, bool)>) {
    let mut all: Vec<Row> = Vec::new();
    for (values, ask, expected) in rows {
        all.push((from(json!({field: values})), ask.clone(), expected));
        all.push((from(json!({negated: values})), ask, !expected));
    }
    check(all);
}

#[test]
fn principals_are_without_their_scheme_and_plaintext_has_none() {
    let other = || web().peer("spiffe://other.org/ns/shop/sa/web");
    both(
        "principals",
        "notPrincipals",
        vec![
            (json!(["cluster.local/ns/shop/sa/web"]), web(), true),
            (
                json!(["spiffe://cluster.local/ns/shop/sa/web"]),
                web(),
                true,
            ),
            (json!(["cluster.local/ns/shop/sa/we"]), web(), false),
            (json!(["cluster.local/ns/shop/sa/Web"]), web(), false),
            (json!(["x", "cluster.local/ns/shop/sa/web"]), web(), true),
            (json!(["cluster.local/ns/shop/*"]), web(), true),
            (json!(["cluster.local/ns/shop/sa/web*"]), web(), true),
            (json!(["cluster.local/ns/bank/*"]), web(), false),
            (json!(["*/ns/shop/sa/web"]), web(), true),
            (json!(["*/ns/shop/sa/web"]), other(), true),
            (json!(["*/sa/api"]), web(), false),
            (json!(["cluster.local/ns/shop/sa/web"]), other(), false),
            (json!(["*"]), web(), true),
            (json!(["*"]), web().plaintext(), false),
            (json!(["cluster.local/*"]), web().plaintext(), false),
            (json!(["*/sa/web"]), web().plaintext(), false),
        ],
    );
}

#[test]
fn namespaces_are_those_of_the_identity() {
    both(
        "namespaces",
        "notNamespaces",
        vec![
            (json!(["shop"]), web(), true),
            (json!(["sho"]), web(), false),
            (json!(["bank", "shop"]), web(), true),
            (json!(["sh*"]), web(), true),
            (json!(["*op"]), web(), true),
            (json!(["*"]), web(), true),
            (json!(["Shop"]), web(), false),
            (
                json!(["shop"]),
                web().peer("spiffe://td/ns/shopping/sa/web"),
                false,
            ),
            (json!(["web"]), web(), false),
            (json!(["shop"]), web().plaintext(), false),
            (json!(["*"]), web().plaintext(), false),
        ],
    );
}

#[test]
fn service_accounts_are_of_the_policys_namespace_unless_they_name_another() {
    let of_bank = || web().peer("spiffe://cluster.local/ns/bank/sa/web");
    both(
        "serviceAccounts",
        "notServiceAccounts",
        vec![
            (json!(["web"]), web(), true),
            (json!(["web"]), of_bank(), false),
            (json!(["shop/web"]), web(), true),
            (json!(["bank/web"]), of_bank(), true),
            (json!(["bank/web"]), web(), false),
            (json!(["api", "web"]), web(), true),
            (json!(["we"]), web(), false),
            (
                json!(["web"]),
                web().peer("spiffe://other.org/ns/shop/sa/web"),
                true,
            ),
            (json!(["web"]), web().plaintext(), false),
        ],
    );
}

#[test]
fn blocks_of_addresses_are_of_the_connection_or_of_the_first_client() {
    let v6 = || web().source("fd00::9").remote("2001:db8::7");
    let mapped = || web().source("::ffff:10.0.0.9").remote("::ffff:192.0.2.7");
    both(
        "ipBlocks",
        "notIpBlocks",
        vec![
            (json!(["10.0.0.9"]), web(), true),
            (json!(["10.0.0.0/24"]), web(), true),
            (json!(["10.0.0.77/24"]), web(), true),
            (json!(["192.0.2.7"]), web(), false),
            (json!(["10.0.1.0/24", "10.0.0.8/30"]), web(), true),
            (json!(["0.0.0.0/0"]), web(), true),
            (json!(["::/0"]), web(), false),
            (json!(["fd00::/8"]), v6(), true),
            (json!(["10.0.0.0/8"]), v6(), false),
            (json!(["10.0.0.0/8"]), mapped(), true),
            (json!(["::ffff:10.0.0.0/104"]), web(), true),
            (json!(["10.0.0.9"]), web().plaintext(), true),
        ],
    );
    both(
        "remoteIpBlocks",
        "notRemoteIpBlocks",
        vec![
            (json!(["192.0.2.7"]), web(), true),
            (json!(["192.0.2.0/24"]), web(), true),
            (json!(["10.0.0.0/8"]), web(), false),
            (json!(["2001:db8::/32"]), v6(), true),
            (json!(["192.0.2.0/24"]), mapped(), true),
        ],
    );
}

#[test]
fn request_principals_are_issuer_and_subject_of_the_token() {
    let token = |issuer: &str, subject: &str| web().claims(json!({"iss": issuer, "sub": subject}));
    let jane = || token("https://idp.org", "jane");
    let nested = || token("https://idp.org/tenant", "jane");
    both(
        "requestPrincipals",
        "notRequestPrincipals",
        vec![
            (json!(["https://idp.org/jane"]), jane(), true),
            (json!(["https://idp.org/joe"]), jane(), false),
            (json!(["https://idp.com/jane"]), jane(), false),
            (json!(["https://idp.org/*"]), jane(), true),
            // Another issuer, not a subject with a slash.
            (json!(["https://idp.org/*"]), nested(), false),
            (json!(["https://idp.org/tenant/jane"]), nested(), true),
            (
                json!(["https://idp.org/tenant/jane"]),
                token("https://idp.org", "tenant/jane"),
                false,
            ),
            (json!(["https://idp.org/ja*"]), jane(), true),
            (json!(["https://idp.org/jo*"]), jane(), false),
            (json!(["*/jane"]), jane(), true),
            (json!(["*/jan"]), jane(), false),
            (json!(["*.org/jane"]), jane(), true),
            (json!(["*ne"]), jane(), true),
            (json!(["idp*"]), token("idp", "x"), true),
            (json!(["idp*"]), jane(), false),
            (json!(["*"]), jane(), true),
            (json!(["x/y", "https://idp.org/jane"]), jane(), true),
            (json!(["*"]), web(), false),
            (json!(["*"]), web().claims(json!({"iss": "a"})), false),
            (json!(["*"]), web().claims(json!({"sub": "a"})), false),
            (json!(["*"]), token("", "a"), false),
            (json!(["*"]), token("a", ""), false),
            (
                json!(["a/*"]),
                web().claims(json!({"iss": ["a"], "sub": "b"})),
                false,
            ),
            (
                json!(["a/1"]),
                web().claims(json!({"iss": "a", "sub": 1})),
                false,
            ),
        ],
    );
}

#[test]
fn all_fields_of_a_source_must_hold_and_one_source_must() {
    let shop_here = json!({"namespaces": ["shop"], "ipBlocks": ["10.0.0.0/8"]});
    let not_web = json!({"namespaces": ["shop"], "notPrincipals": ["*/sa/web"]});
    let bank = json!({"namespaces": ["bank"]});
    let two = |a: &Value, b: &Value| json!({"from": [{"source": a}, {"source": b}]});
    check(vec![
        (from(shop_here.clone()), web(), true),
        (from(shop_here.clone()), web().source("192.0.2.1"), false),
        (from(shop_here.clone()), web().plaintext(), false),
        (from(not_web.clone()), web(), false),
        (
            from(not_web.clone()),
            web().peer("spiffe://td/ns/shop/sa/api"),
            true,
        ),
        (two(&bank, &shop_here), web(), true),
        (two(&shop_here, &bank), web(), true),
        (two(&bank, &not_web), web(), false),
        (
            from(json!({"ipBlocks": ["10.0.0.0/8"], "notIpBlocks": ["10.0.0.9"]})),
            web(),
            false,
        ),
        (
            from(json!({"ipBlocks": ["10.0.0.0/8"], "notIpBlocks": ["10.0.0.8"]})),
            web(),
            true,
        ),
        (
            from(json!({"notNamespaces": ["bank"]})),
            web().plaintext(),
            true,
        ),
    ]);
}
