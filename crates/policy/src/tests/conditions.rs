use ambit_model::RequestAction;
use serde_json::{Value, json};

use super::asking::{Ask, Row, check, matches, web};
use super::written::rule;

#[expect(clippy::needless_pass_by_value, reason = "so that tables are short")]
fn when(key: &str, field: &str, values: Value) -> Value {
    json!({"when": [{"key": key, field: values}]})
}

/// Rows of one key, with `values` and with `notValues`.
fn both(key: &str, rows: Vec<(Value, Ask, bool)>) {
    let mut all: Vec<Row> = Vec::new();
    for (values, ask, expected) in rows {
        all.push((when(key, "values", values.clone()), ask.clone(), expected));
        all.push((when(key, "notValues", values), ask, !expected));
    }
    check(all);
}

#[test]
fn headers_are_found_by_a_name_in_any_case() {
    let with = |value: &str| web().header("X-Tier", value);
    let key = "request.headers[x-tier]";
    both(
        key,
        vec![
            (json!(["gold"]), with("gold"), true),
            (json!(["gold"]), with("Gold"), false),
            (json!(["gold"]), with(" gold"), false),
            (json!(["gold"]), with("golden"), false),
            (json!(["go*"]), with("golden"), true),
            (json!(["*en"]), with("golden"), true),
            (json!(["iron", "gold"]), with("gold"), true),
            (json!(["*"]), with("gold"), true),
            (json!(["*"]), web(), false),
            (json!(["gold"]), web(), false),
            (json!(["gold"]), with(""), false),
            // Bytes that are no text.
            (json!(["gold"]), with("g\u{fc}ld"), false),
            (json!(["g*"]), with("g\u{fc}ld"), true),
            // Another header.
            (json!(["gold"]), web().header("x-tier2", "gold"), false),
            (json!(["gold"]), web().header("tier", "gold"), false),
        ],
    );
    let upper = "request.headers[X-TIER]";
    both(upper, vec![(json!(["gold"]), with("gold"), true)]);
}

/// Of several lines, all must meet what allows, and any or their joint text may meet what refuses.
#[test]
fn several_lines_of_a_header_are_read_against_their_sender() {
    // Values, lines, whether they allow and whether they refuse.
    let rows: &[(&str, &[&str], bool, bool)] = &[
        ("gold", &["gold", "iron"], false, true),
        ("gold", &["iron", "gold"], false, true),
        ("gold", &["gold", "gold"], true, true),
        ("gold", &["", "gold"], false, true),
        ("gold", &["iron", "lead"], false, false),
        ("gold*", &["golden", "gold"], true, true),
        ("gold*", &["golden", "iron"], false, true),
        ("*", &[""], false, true),
        ("*", &["", ""], false, true),
        ("gold", &[""], false, false),
        ("*", &["", "gold"], false, true),
        ("gold,iron", &["gold", "iron"], false, true),
        ("gold,iron", &["gold,iron"], true, true),
        ("gold,iron", &["gold,iron", "gold"], false, true),
        ("gold, iron", &["gold", "iron"], false, false),
        ("a,,b", &["a", "", "b"], false, true),
    ];
    for (value, lines, allows, refuses) in rows {
        let ask = lines
            .iter()
            .fold(web(), |ask, line| ask.header("x-tier", line));
        let key = "request.headers[x-tier]";
        for (action, field, expected) in [
            (RequestAction::Allow, "values", *allows),
            (RequestAction::Deny, "values", *refuses),
            (RequestAction::Audit, "values", *refuses),
            (RequestAction::Allow, "notValues", !*refuses),
            (RequestAction::Deny, "notValues", !*allows),
            (RequestAction::Audit, "notValues", !*allows),
        ] {
            let rule = rule(&when(key, field, json!([value])));
            let found = matches(&rule, action, &ask);
            assert_eq!(found, expected, "{action:?} {field} {value} {lines:?}");
        }
    }
    // Each line may meet another of the values.
    let two = web().header("x-tier", "gold").header("x-tier", "iron");
    let either = rule(&when(
        "request.headers[x-tier]",
        "values",
        json!(["iron", "gold"]),
    ));
    assert!(matches(&either, RequestAction::Allow, &two));
}

#[test]
fn the_header_host_is_the_host_that_was_asked_for() {
    both(
        "request.headers[Host]",
        vec![
            (json!(["shop.example.com"]), web(), true),
            (json!(["shop.example.com"]), web().host("other"), false),
            // As any header: with its case, and all of it.
            (
                json!(["shop.example.com"]),
                web().host("Shop.example.com"),
                false,
            ),
            (
                json!(["shop.example.com"]),
                web().host("shop.example.com:80"),
                false,
            ),
            (json!(["*"]), web().without_host(), false),
            // Whatever lines there are.
            (json!(["other"]), web().header("host", "other"), false),
        ],
    );
}

#[test]
fn sources_are_asked_for_by_keys_as_by_fields() {
    both(
        "source.ip",
        vec![
            (json!(["10.0.0.0/8"]), web(), true),
            (json!(["192.0.2.7"]), web(), false),
            (json!(["10.0.0.0/8"]), web().source("::ffff:10.1.2.3"), true),
        ],
    );
    both(
        "remote.ip",
        vec![
            (json!(["192.0.2.7"]), web(), true),
            (json!(["10.0.0.9"]), web(), false),
        ],
    );
    both(
        "source.namespace",
        vec![
            (json!(["shop"]), web(), true),
            (json!(["s*"]), web(), true),
            (json!(["bank"]), web(), false),
            (json!(["*"]), web().plaintext(), false),
        ],
    );
    both(
        "source.principal",
        vec![
            (json!(["cluster.local/ns/shop/sa/web"]), web(), true),
            (
                json!(["spiffe://cluster.local/ns/shop/sa/web"]),
                web(),
                true,
            ),
            (json!(["*/sa/web"]), web(), true),
            (json!(["*/sa/api"]), web(), false),
            (json!(["*"]), web().plaintext(), false),
        ],
    );
    both(
        "source.serviceAccount",
        vec![
            (json!(["web"]), web(), true),
            (json!(["shop/web"]), web(), true),
            (json!(["bank/web"]), web(), false),
            (json!(["web"]), web().plaintext(), false),
        ],
    );
}

#[test]
fn destinations_are_asked_for_by_keys() {
    both(
        "destination.ip",
        vec![
            (json!(["10.0.0.1"]), web(), true),
            (json!(["10.0.0.0/30"]), web(), true),
            (json!(["10.0.0.9"]), web(), false),
            (
                json!(["10.0.0.1"]),
                web().destination("[::ffff:10.0.0.1]:80"),
                true,
            ),
            (json!(["fd00::/8"]), web().destination("[fd00::1]:80"), true),
        ],
    );
    both(
        "destination.port",
        vec![
            (json!(["8080"]), web(), true),
            (json!(["80", "443"]), web(), false),
        ],
    );
    both(
        "connection.sni",
        vec![
            (json!(["a.example.com"]), web().sni("a.example.com"), true),
            (json!(["*.example.com"]), web().sni("a.example.com"), true),
            (json!(["a.example.com"]), web().sni("b.example.com"), false),
            (json!(["*"]), web().sni("a"), true),
            (json!(["*"]), web(), false),
            // What was asked for on the connection, not by the request.
            (json!(["shop.example.com"]), web(), false),
        ],
    );
}

#[test]
fn tokens_are_asked_for_by_keys() {
    let token = |claims: Value| web().claims(claims);
    both(
        "request.auth.principal",
        vec![
            (json!(["i/s"]), token(json!({"iss": "i", "sub": "s"})), true),
            (json!(["i/*"]), token(json!({"iss": "i", "sub": "s"})), true),
            (
                json!(["i/t"]),
                token(json!({"iss": "i", "sub": "s"})),
                false,
            ),
            (json!(["*"]), web(), false),
        ],
    );
    both(
        "request.auth.audiences",
        vec![
            (json!(["a"]), token(json!({"aud": "a"})), true),
            (json!(["a"]), token(json!({"aud": ["b", "a"]})), true),
            (json!(["a"]), token(json!({"aud": ["b"]})), false),
            (json!(["a"]), token(json!({"aud": "b a"})), false),
            (json!(["a"]), token(json!({"azp": "a"})), false),
            (json!(["*"]), token(json!({"aud": []})), false),
            (json!(["*"]), web(), false),
        ],
    );
    both(
        "request.auth.presenter",
        vec![
            (json!(["p"]), token(json!({"azp": "p"})), true),
            (json!(["p"]), token(json!({"azp": "q"})), false),
            (json!(["p"]), token(json!({"aud": "p"})), false),
            (json!(["*"]), web(), false),
        ],
    );
}

#[test]
fn claims_are_texts_or_lists_of_texts_however_deep() {
    let token = |claims: Value| web().claims(claims);
    both(
        "request.auth.claims[groups]",
        vec![
            (json!(["admin"]), token(json!({"groups": "admin"})), true),
            (
                json!(["admin"]),
                token(json!({"groups": ["dev", "admin"]})),
                true,
            ),
            (
                json!(["adm*"]),
                token(json!({"groups": ["dev", "admin"]})),
                true,
            ),
            (json!(["admin"]), token(json!({"groups": ["dev"]})), false),
            (
                json!(["admin"]),
                token(json!({"groups": "admin dev"})),
                false,
            ),
            (
                json!(["admin"]),
                token(json!({"groups": {"admin": "admin"}})),
                false,
            ),
            (
                json!(["admin"]),
                token(json!({"groups": [["admin"]]})),
                false,
            ),
            (json!(["1"]), token(json!({"groups": 1})), false),
            (json!(["true"]), token(json!({"groups": true})), false),
            (json!(["*"]), token(json!({"groups": null})), false),
            (json!(["*"]), token(json!({"groups": ""})), false),
            (json!(["*"]), token(json!({"groups": []})), false),
            (json!(["*"]), token(json!({"groups": [""]})), false),
            (json!(["*"]), token(json!({"groups": ["", "a"]})), true),
            (json!(["2"]), token(json!({"groups": [1, "2"]})), true),
            (json!(["admin"]), token(json!({"Groups": "admin"})), false),
            (json!(["*"]), token(json!({})), false),
            (json!(["*"]), web(), false),
        ],
    );
    both(
        "request.auth.claims[realm][roles]",
        vec![
            (
                json!(["a"]),
                token(json!({"realm": {"roles": ["a"]}})),
                true,
            ),
            (json!(["a"]), token(json!({"realm": {"roles": "a"}})), true),
            (json!(["a"]), token(json!({"realm": {"other": "a"}})), false),
            (json!(["a"]), token(json!({"realm": "a"})), false),
            (
                json!(["a"]),
                token(json!({"realm": [{"roles": "a"}]})),
                false,
            ),
            (json!(["a"]), token(json!({"roles": "a"})), false),
            (json!(["a"]), token(json!({"realm.roles": "a"})), false),
        ],
    );
    let url = "request.auth.claims[https://idp.org/role]";
    let claim = json!({"https://idp.org/role": "a"});
    both(url, vec![(json!(["a"]), token(claim), true)]);
}

#[test]
fn scopes_and_permissions_are_lists_of_words() {
    let token = |claims: Value| web().claims(claims);
    let words = json!(["write"]);
    both(
        "request.auth.claims[scope]",
        vec![
            (words.clone(), token(json!({"scope": "read write"})), true),
            (words.clone(), token(json!({"scope": "read  write "})), true),
            (words.clone(), token(json!({"scope": "read"})), false),
            (words.clone(), token(json!({"scope": ["write"]})), true),
            (words.clone(), token(json!({"scope": "rewrite"})), false),
            (
                json!(["read write"]),
                token(json!({"scope": "read write"})),
                false,
            ),
            (json!(["*"]), token(json!({"scope": " "})), false),
        ],
    );
    let ask = token(json!({"permission": "read write", "scp": "write"}));
    both("request.auth.claims[permission]", vec![(words, ask, true)]);
    // Only where they stand at the top.
    let inner = token(json!({"a": {"scope": "read write"}}));
    both(
        "request.auth.claims[a][scope]",
        vec![(json!(["write"]), inner, false)],
    );
}

#[test]
fn values_and_not_values_of_a_condition_must_hold() {
    let rule = json!({"when": [{
        "key": "request.headers[x]",
        "values": ["a*"],
        "notValues": ["*z", "ab"],
    }]});
    let twice = json!({"when": [
        {"key": "request.headers[x]", "values": ["a*"]},
        {"key": "request.headers[x]", "values": ["*b"]},
    ]});
    check(vec![
        (rule.clone(), web().header("x", "ac"), true),
        (rule.clone(), web().header("x", "az"), false),
        (rule.clone(), web().header("x", "ab"), false),
        (rule.clone(), web().header("x", "c"), false),
        (rule, web(), false),
        (twice.clone(), web().header("x", "ab"), true),
        (twice, web().header("x", "a"), false),
    ]);
}
