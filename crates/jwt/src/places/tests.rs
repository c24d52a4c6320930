use std::sync::Arc;

use ambit_model::TokenHeader;
use http::{HeaderMap, HeaderValue, Method};

use super::*;

fn header(name: &str, prefix: &str) -> TokenHeader {
    TokenHeader {
        name: name.into(),
        prefix: prefix.into(),
    }
}

fn rule(headers: &[TokenHeader], params: &[&str], cookies: &[&str]) -> JwtRule {
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    JwtRule {
        from_headers: headers.to_vec(),
        from_params: names(params),
        from_cookies: names(cookies),
        ..JwtRule::default()
    }
}

fn places(rules: &[JwtRule]) -> Places {
    let mut places = Places::default();
    for rule in rules {
        places.add(rule).unwrap();
    }
    places
}

/// Where something is found, and what.
fn found(places: &Places, headers: &[(&str, &str)], query: Option<&str>) -> Vec<(String, String)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        map.append(HeaderName::try_from(*name).unwrap(), value);
    }
    let head = Head {
        method: &Method::GET,
        query,
        headers: &map,
    };
    let found = places.find(&head).unwrap();
    let found = found.into_iter().map(|found| {
        let token = String::from_utf8(found.token.into_owned()).unwrap();
        (places.get(found.place).unwrap().to_string(), token)
    });
    found.collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs.iter();
    owned
        .map(|(place, token)| ((*place).to_owned(), (*token).to_owned()))
        .collect()
}

#[test]
fn the_usual_places() {
    let usual = places(&[JwtRule::default()]);
    let authorization = "header authorization";
    for (value, tokens) in [
        ("Bearer a.b.c", &[(authorization, "a.b.c")][..]),
        ("bearer a.b.c", &[(authorization, "a.b.c")]),
        ("BEARER  a.b.c ", &[(authorization, "a.b.c")]),
        ("Bearer\ta.b.c", &[(authorization, "a.b.c")]),
        ("Bearer a b", &[(authorization, "a b")]),
        ("Bearer ", &[(authorization, "")]),
        ("Bearer", &[]),
        ("Bearera.b.c", &[]),
        ("Basic a.b.c", &[]),
        ("Token Bearer a.b.c", &[]),
        ("a.b.c", &[]),
        ("", &[]),
    ] {
        let found = found(&usual, &[("authorization", value)], None);
        assert_eq!(found, pairs(tokens), "{value}");
    }
    let parameter = "parameter access_token";
    for (query, tokens) in [
        ("access_token=a.b.c", &[(parameter, "a.b.c")][..]),
        ("x=1&access%5Ftoken=a%2Eb.c&y", &[(parameter, "a.b.c")]),
        (
            "access_token=a&access_token=b",
            &[(parameter, "a"), (parameter, "b")],
        ),
        ("access_token", &[(parameter, "")]),
        ("Access_Token=a", &[]),
        ("token=a", &[]),
    ] {
        assert_eq!(found(&usual, &[], Some(query)), pairs(tokens), "{query}");
    }
    // Only where the rules say.
    assert_eq!(found(&usual, &[("cookie", "access_token=a")], None), []);
}

#[test]
fn named_places_stand_for_the_usual_ones() {
    let named = places(&[rule(&[header("x-token", "")], &["t"], &["session"])]);
    let headers = [
        ("authorization", "Bearer a"),
        ("x-token", "b"),
        ("cookie", "a=1; session=c;session2=x"),
        ("cookie", "session=\"d\"; session; =x; session=\"e"),
    ];
    let expected = pairs(&[
        ("header x-token", "b"),
        ("parameter t", "f"),
        ("cookie session", "c"),
        ("cookie session", "d"),
        ("cookie session", "\"e"),
    ]);
    assert_eq!(
        found(&named, &headers, Some("access_token=x&t=f")),
        expected
    );
}

#[test]
fn the_longest_prefix_counts() {
    let several = places(&[
        rule(&[header("authorization", "")], &[], &[]),
        rule(&[header("authorization", "Custom")], &[], &[]),
        rule(&[header("authorization", "Custom two ")], &[], &[]),
    ]);
    assert_eq!(several.len(), 3);
    for (value, token) in [
        ("a", "a"),
        ("Custom a", "a"),
        ("Customa", "a"),
        ("custom TWO a", "a"),
        ("Custom twoa", "twoa"),
    ] {
        let expected = pairs(&[("header authorization", token)]);
        assert_eq!(found(&several, &[("authorization", value)], None), expected);
    }
}

#[test]
fn a_place_of_several_rules_is_one() {
    let mut places = Places::default();
    let usual = places.add(&JwtRule::default()).unwrap();
    let same = rule(
        &[header("authorization", "bearer ")],
        &["access_token"],
        &[],
    );
    assert_eq!(places.add(&same).unwrap(), usual);
    assert_eq!(found(&places, &[("authorization", "Bearera")], None), []);
    // One that asks for no space makes none needed.
    let unspaced = rule(&[header("authorization", "Bearer")], &[], &[]);
    assert_eq!(places.add(&unspaced).unwrap(), usual[..1]);
    let expected = pairs(&[("header authorization", "a")]);
    assert_eq!(
        found(&places, &[("authorization", "Bearera")], None),
        expected
    );
}

#[test]
fn there_is_an_end_to_tokens() {
    let usual = places(&[JwtRule::default()]);
    let find = |number: usize| {
        let head = Head {
            method: &Method::GET,
            query: Some(&"access_token=a&".repeat(number)),
            headers: &HeaderMap::new(),
        };
        usual.find(&head).map(|found| found.len())
    };
    assert_eq!(find(8), Ok(8));
    assert_eq!(find(9), Err(TooMany));
}
