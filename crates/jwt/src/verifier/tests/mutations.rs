//! Nothing but a good token is one.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let named = JwtRule {
        from_cookies: vec!["session".into()],
        ..BOB.rule()
    };
    verifier(vec![ALICE.rule(), named])
});
static GOOD: LazyLock<String> = LazyLock::new(|| ALICE.token());

/// What a mutation does to bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
    Swap(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (index(), prop::sample::select(&b"AZaz09-_.="[..]))
            .prop_map(|(at, byte)| Mutation::Set(at, byte)),
        index().prop_map(Mutation::Remove),
        index().prop_map(Mutation::Cut),
        (index(), index()).prop_map(|(one, other)| Mutation::Repeat(one, other)),
        (index(), index()).prop_map(|(one, other)| Mutation::Swap(one, other)),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = |index: &Index| index.index(bytes.len());
        match self {
            Self::Set(index, byte) => {
                let at = at(index);
                bytes[at] = *byte;
            }
            Self::Insert(index, byte) => bytes.insert(at(index), *byte),
            Self::Remove(index) => {
                bytes.remove(at(index));
            }
            Self::Cut(index) => bytes.truncate(at(index)),
            Self::Repeat(one, other) => {
                let part = bytes[at(one).min(at(other))..].to_vec();
                bytes.extend(part);
            }
            Self::Swap(one, other) => {
                let (one, other) = (at(one), at(other));
                bytes.swap(one, other);
            }
        }
    }
}

/// Whether it is good, wherever it stands; bytes that no header can have are not sent in one.
fn is_good(token: &[u8]) -> bool {
    let mut headers = Vec::new();
    if let Ok(text) = std::str::from_utf8(token) {
        headers.push(("authorization", format!("Bearer {text}")));
        headers.push(("cookie", format!("session={text}")));
    }
    let escaped: String = token.iter().map(|byte| format!("%{byte:02x}")).collect();
    let in_query = request(&format!("/?access_token={escaped}"), &[]);
    let mut good = judge(&VERIFIER, &in_query).is_ok_and(|claims| claims.is_some());
    for (name, value) in headers {
        let Ok(value) = http::HeaderValue::from_bytes(value.as_bytes()) else {
            continue;
        };
        let mut parts = request("/", &[]);
        parts.headers.insert(name, value);
        good |= judge(&VERIFIER, &parts).is_ok_and(|claims| claims.is_some());
    }
    good
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_mutated_token_is_not_good(mutations in prop::collection::vec(mutation(), 1..4)) {
        let mut token = GOOD.clone().into_bytes();
        for mutation in &mutations {
            mutation.apply(&mut token);
        }
        // Spaces around it are no part of it.
        let is_same = token.trim_ascii() == GOOD.as_bytes();
        prop_assert!(is_same || !is_good(&token));
    }

    #[test]
    fn other_bytes_are_not_good(bytes: Vec<u8>) {
        prop_assert!(!is_good(&bytes));
    }

    #[test]
    fn other_parts_are_not_good(
        header in "[ -~]{0,40}",
        claims in "[ -~]{0,80}",
        signature: Vec<u8>,
    ) {
        let encode = |text: &[u8]| crate::base64url::encode(text);
        let (header, claims) = (encode(header.as_bytes()), encode(claims.as_bytes()));
        let token = format!("{header}.{claims}.{}", encode(&signature));
        prop_assert!(!is_good(token.as_bytes()));
    }

    #[test]
    fn claims_under_a_good_signature_do_no_harm(claims in "[ -~]{0,80}") {
        // Whatever an issuer signs, there is a verdict.
        let token = ALICE.key.token_of(r#"{"alg":"ES256"}"#, &claims);
        prop_assert!(!is_good(token.as_bytes()) || claims.contains(ALICE.name));
    }
}

#[test]
fn the_good_one_is() {
    assert!(is_good(GOOD.as_bytes()));
}
