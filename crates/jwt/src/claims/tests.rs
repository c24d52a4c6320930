use serde_json::json;

use super::*;

fn read(claims: Value) -> Result<Claims, &'static str> {
    let Value::Object(all) = claims else {
        panic!("claims are an object");
    };
    Claims::read(all).map_err(|fault| fault.claim)
}

#[test]
fn who_and_for_whom() {
    let claims = read(json!({
        "iss": "https://issuer.example",
        "sub": "alice",
        "aud": ["shop", "cart"],
        "azp": "web",
        "exp": 1_900_000_000,
        "nbf": 1_800_000_000.9,
    }))
    .unwrap();
    assert_eq!(claims.principal(), Some("https://issuer.example/alice"));
    assert_eq!(claims.subject(), Some("alice"));
    assert_eq!(claims.audiences().collect::<Vec<_>>(), ["shop", "cart"]);
    assert_eq!(claims.presenter(), Some("web"));
    assert_eq!(claims.ends, Some(1_900_000_000));
    assert_eq!(claims.begins, Some(1_800_000_000));
}

#[test]
fn without_issuer_or_subject_there_is_no_principal() {
    for claims in [
        json!({}),
        json!({"iss": "a"}),
        json!({"sub": "b"}),
        json!({"iss": "", "sub": "b"}),
        json!({"iss": "a", "sub": ""}),
    ] {
        assert_eq!(read(claims).unwrap().principal(), None);
    }
}

#[test]
fn claims_of_the_wrong_type_are_faults() {
    for (claims, claim) in [
        (json!({"iss": 1}), "iss"),
        (json!({"sub": ["a"]}), "sub"),
        (json!({"sub": null}), "sub"),
        (json!({"jti": 1}), "jti"),
        (json!({"aud": 1}), "aud"),
        (json!({"aud": ["a", 1]}), "aud"),
        (json!({"aud": {"a": "b"}}), "aud"),
        (json!({"aud": null}), "aud"),
        (json!({"exp": "1900000000"}), "exp"),
        (json!({"exp": -1}), "exp"),
        (json!({"exp": -0.5}), "exp"),
        (json!({"exp": 1e300}), "exp"),
        (json!({"exp": null}), "exp"),
        (json!({"exp": true}), "exp"),
        (json!({"exp": [1]}), "exp"),
        (json!({"nbf": "now"}), "nbf"),
        (json!({"iat": "now"}), "iat"),
    ] {
        assert_eq!(read(claims.clone()).unwrap_err(), claim, "{claims}");
    }
    assert_eq!(read(json!({"exp": u64::MAX})).unwrap().ends, Some(u64::MAX));
    assert_eq!(read(json!({"exp": 0})).unwrap().ends, Some(0));
}

#[test]
fn conditions_find_claims() {
    let worded: Arc<[Arc<str>]> = vec!["teams".into()].into();
    let claims = read(json!({
        "scope": "read  write",
        "teams": "red blue",
        "name": "Alice Liddell",
        "groups": ["admin", 1, "staff"],
        "realm": {"access": {"roles": ["chef"], "scope": "a b"}},
        "admin": true,
        "level": 3,
        "shop.example/role": "x",
    }))
    .unwrap()
    .worded(&worded);
    for (path, value, found) in [
        (&["scope"][..], "write", true),
        (&["scope"], "read  write", false),
        (&["scope"], "", false),
        (&["teams"], "blue", true),
        (&["name"], "Alice", false),
        (&["name"], "Alice Liddell", true),
        (&["groups"], "staff", true),
        (&["groups"], "1", false),
        (&["realm", "access", "roles"], "chef", true),
        (&["realm", "access", "scope"], "a", false),
        (&["realm", "access"], "roles", false),
        (&["name", "x"], "Alice Liddell", false),
        (&["admin"], "true", false),
        (&["level"], "3", false),
        (&["shop.example/role"], "x", true),
        (&["absent"], "", false),
        (&[], "", false),
    ] {
        let has = claims.has(path, |one| one == value);
        assert_eq!(has, found, "{path:?} {value}");
    }
}

#[test]
fn names_with_dots_lead_into_objects() {
    let claims = read(json!({"a": {"b": {"c": 1}}, "a.b": 2, "x.y": 3})).unwrap();
    for (name, value) in [
        ("a.b.c", Some(1)),
        ("a.b", Some(2)),
        ("x.y", Some(3)),
        ("a.c", None),
        ("a.b.c.d", None),
        ("", None),
        (".", None),
    ] {
        assert_eq!(claims.named(name).and_then(Value::as_u64), value, "{name}");
    }
}

#[test]
fn what_takes_memory_is_counted() {
    let small = read(json!({"iss": "a"})).unwrap().size();
    let many = read(json!({"iss": "a", "l": vec![1; 1000]}))
        .unwrap()
        .size();
    let long = read(json!({"iss": "a", "l": "x".repeat(1000)}))
        .unwrap()
        .size();
    assert!(many > small + 1000 * size_of::<Value>());
    assert!(long > small + 1000);
}
