//! What the client of a bad token is told, beside what an Envoy tells it that has the same rule: status, body
//! and challenge.

use std::net::{Ipv4Addr, SocketAddr};

use ambit_e2e::clients::Answer;
use ambit_e2e::keepalive::Connection;
use ambit_e2e::lab::address::Family;
use ambit_e2e::programs;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{HTTP, SPREAD};
use ambit_jwt::testing::{Signer, key_set};
use serde_json::{Value, json};

use crate::fronted::guarded;

const ISSUER: &str = "https://issuer.example";
const LISTENER: u16 = 20_000;
const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";

/// Of which we say more: that such algorithms are not taken, and that there is no key for one.
const OTHERWISE: [&str; 2] = ["alg of a shared secret", "alg of another key"];

/// A challenge without the query of its realm, which Envoy tells with the token in it.
fn without_query(challenge: String) -> String {
    match challenge.split_once('?') {
        Some((before, query)) => {
            let (_, after) = query.split_once('"').unwrap();
            format!("{before}\"{after}")
        }
        None => challenge,
    }
}

/// An Envoy with the rule that Istio makes of ours.
fn config(keys: &str) -> String {
    let provider = json!({
        "issuer": ISSUER, "audiences": ["shop"], "local_jwks": {"inline_string": keys},
    });
    let either = json!([{"provider_name": "issuer"}, {"allow_missing": {}}]);
    let manager = json!({"name": "http", "typed_config": {
        "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200}},
        ]}]},
        "http_filters": [
            {"name": "tokens", "typed_config": {
                "@type": format!("{FILTERS}.http.jwt_authn.v3.JwtAuthentication"),
                "providers": {"issuer": provider},
                "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": either}}}],
            }},
            {"name": "router", "typed_config": {"@type": format!("{FILTERS}.http.router.v3.Router")}},
        ],
    }});
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": LISTENER}});
    json!({"static_resources": {"listeners": [
        {"name": "http", "address": address, "filter_chains": [{"filters": [manager]}]},
    ]}})
    .to_string()
}

/// Tokens by what is wrong with them.
fn tokens(own: &Signer, foreign: &Signer, curve: &Signer) -> Vec<(&'static str, String)> {
    let head = json!({"alg": "RS256", "kid": "key"});
    let claims = |more: Value| {
        let mut claims =
            json!({"iss": ISSUER, "sub": "alice", "aud": "shop", "exp": 4_000_000_000_u64});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let with = |more: Value| own.token(&head, &claims(more));
    let good = with(json!({}));
    let headed = |head: &str| own.token_of(head, &claims(json!({})).to_string());
    let (head_part, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    vec![
        ("good", good.clone()),
        ("no signature", format!("{head_part}.{payload}.")),
        (
            "alg none",
            own.token(&json!({"alg": "none"}), &claims(json!({}))),
        ),
        ("alg none without a signature", {
            let token = own.token(&json!({"alg": "none"}), &claims(json!({})));
            let (signed, _) = token.rsplit_once('.').unwrap();
            format!("{signed}.")
        }),
        ("alg unknown", headed(r#"{"alg":"XY1","kid":"key"}"#)),
        (
            "alg of a shared secret",
            headed(r#"{"alg":"HS256","kid":"key"}"#),
        ),
        ("alg missing", headed(r#"{"kid":"key"}"#)),
        ("alg no text", headed(r#"{"alg":1,"kid":"key"}"#)),
        ("kid no text", headed(r#"{"alg":"RS256","kid":1}"#)),
        (
            "alg of another key",
            curve.token(&json!({"alg": "ES256", "kid": "key"}), &claims(json!({}))),
        ),
        ("wrong key", foreign.token(&head, &claims(json!({})))),
        (
            "another key's name",
            own.token(&json!({"alg": "RS256", "kid": "other"}), &claims(json!({}))),
        ),
        ("issuer", with(json!({"iss": "https://other.example"}))),
        (
            "no issuer",
            own.token(&head, &json!({"aud": "shop", "exp": 4_000_000_000_u64})),
        ),
        ("audience", with(json!({"aud": "bank"}))),
        (
            "no audience",
            own.token(&head, &json!({"iss": ISSUER, "exp": 4_000_000_000_u64})),
        ),
        ("expired", with(json!({"exp": 1}))),
        ("not yet valid", with(json!({"nbf": 4_000_000_000_u64}))),
        ("no parts", "abc".to_owned()),
        ("two parts", format!("{head_part}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        (
            "a header that is no base64",
            format!("@.{payload}.{signature}"),
        ),
        ("a header that is no JSON", headed("{")),
        ("a header that is no object", headed("[]")),
        (
            "a payload that is no base64",
            format!("{head_part}.@.{signature}"),
        ),
        (
            "a payload that is no JSON",
            own.token_of(&head.to_string(), "{"),
        ),
        (
            "a payload that is no object",
            own.token_of(&head.to_string(), "[]"),
        ),
        (
            "a signature that is no base64",
            format!("{head_part}.{payload}.@"),
        ),
        ("an issuer that is no text", with(json!({"iss": 1}))),
        ("a subject that is no text", with(json!({"sub": 1}))),
        ("an id that is no text", with(json!({"jti": 1}))),
        ("an audience that is no text", with(json!({"aud": 1}))),
        ("audiences that are no texts", with(json!({"aud": [1]}))),
        ("a begin that is no number", with(json!({"nbf": "ever"}))),
        ("a time that is no number", with(json!({"iat": "then"}))),
        ("an end that is no number", with(json!({"exp": "never"}))),
    ]
}

#[test]
fn clients_of_bad_tokens_are_told_what_envoy_tells_them() {
    let (world, _waypoint, _servers) = guarded(&["client"]);
    let [own, foreign] = [Signer::rsa(), Signer::rsa()];
    let curve = Signer::curve("ES256");
    let keys = key_set(&[own.public("key")]);
    let object = json!({
        "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
        "metadata": {"name": "tokens", "namespace": "shop"},
        "spec": {
            "targetRefs": [{"kind": "Service", "group": "", "name": "server"}],
            "jwtRules": [{"issuer": ISSUER, "jwks": keys, "audiences": ["shop"]}],
        },
    });
    world
        .mesh
        .configuration
        .apply("tokens", &object.to_string())
        .unwrap();
    let stranger = world.pod("stranger").unwrap();
    let dir = world.dir("envoy");
    std::fs::create_dir_all(&dir).unwrap();
    let _envoy = programs::envoy(&stranger, &dir, &config(&keys), LISTENER).unwrap();
    let client = world.pod("client").unwrap();
    let service = world.service("server", Family::V4, HTTP.0).unwrap();
    let ask = |is_ours: bool, path: &str, headers: &str| -> Answer {
        let mut connection = match is_ours {
            true => Connection::open(client.namespace(), service),
            false => Connection::open(
                stranger.namespace(),
                SocketAddr::from((Ipv4Addr::LOCALHOST, LISTENER)),
            ),
        }
        .unwrap();
        connection.get(path, headers).unwrap()
    };
    wait_until("tokens to be judged", SPREAD, || {
        ask(true, "/", "Authorization: Bearer a.b.c\r\n").status == 401
    })
    .unwrap();
    let mut others = Vec::new();
    let mut compare = |what: &str, path: &str, headers: &str, says: bool| {
        let [ours, theirs] = [true, false].map(|is_ours| {
            let answer = ask(is_ours, path, headers);
            let told = answer.status != 200 && says;
            let challenge = answer.header("www-authenticate").map(without_query);
            let rest = (answer.body.clone(), answer.header("content-type"));
            (answer.status, challenge, told.then_some(rest))
        });
        if ours != theirs {
            others.push(format!("{what}: ours {ours:?}, Envoy's {theirs:?}"));
        }
    };
    compare("missing", "/a", "", true);
    compare(
        "another scheme",
        "/a",
        "Authorization: Basic YTpi\r\n",
        true,
    );
    compare(
        "nothing behind the scheme",
        "/a",
        "Authorization: Bearer \r\n",
        true,
    );
    for (what, token) in tokens(&own, &foreign, &curve) {
        let header = format!("Authorization: Bearer {token}\r\n");
        // A header with what no token has, is none for Envoy.
        let says = !OTHERWISE.contains(&what) && !token.starts_with('@');
        compare(what, "/a", &header, says);
        let path = format!("/a?access_token={token}");
        let what_there = format!("{what}, in the query");
        compare(&what_there, &path, "", !OTHERWISE.contains(&what));
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}
