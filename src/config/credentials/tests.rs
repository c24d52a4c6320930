use std::time::Duration;

use ambit_identity::testing::{Authority, Leaf};
use serde_json::{Value, json};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn secret() -> SecretName {
    SecretName {
        namespace: "shop".into(),
        name: "c".into(),
    }
}

fn tls(text: Value) -> Tls {
    serde_json::from_value(text).unwrap()
}

fn mutual() -> Tls {
    tls(json!({"mode": "MUTUAL", "credentialName": "c"}))
}

/// What is handed over now.
fn handed(credentials: &Credentials) -> Option<&OutsideCredential> {
    Some(&credentials.known.get(&secret())?.good.as_ref()?.0)
}

#[test]
fn what_was_good_stays_while_the_next_is_not_and_goes_with_the_secret() {
    let authority = Authority::new("ours");
    let leaf = Leaf::of_hosts(&["client.example.com"]);
    let (first, second) = (authority.papers(&leaf), authority.papers(&leaf));
    let expired = authority.papers(&leaf.clone().expired());
    let now = SystemTime::now();
    let mut known = Credentials::default();
    let said = |known: &Credentials| known.problem(&secret(), &mutual());
    assert_eq!(said(&known), None, "nobody has looked yet");
    assert!(known.take(&secret(), Ok(None), now));
    let missing = said(&known).unwrap();
    assert!(
        missing.contains("shop/c: it is not there; nothing is sent"),
        "{missing}"
    );
    assert!(known.take(&secret(), Ok(Some(first.clone())), now));
    assert_eq!((handed(&known), said(&known)), (Some(&first), None));
    assert!(!known.take(&secret(), Ok(Some(first.clone())), now));
    let broken = OutsideCredential {
        key: "x".into(),
        ..first.clone()
    };
    for (bad, why) in [
        (Err("forbidden".to_owned()), "forbidden"),
        (Ok(Some(broken)), "private key"),
        (Ok(Some(expired)), "expired"),
    ] {
        assert!(known.take(&secret(), bad, now));
        let said = said(&known).unwrap();
        assert!(
            said.contains(why) && said.contains("last good version"),
            "{said}"
        );
        assert_eq!(handed(&known), Some(&first));
    }
    assert!(known.take(&secret(), Ok(Some(second.clone())), now));
    assert_eq!((handed(&known), said(&known)), (Some(&second), None));
    // Its time goes by while it is there.
    assert!(known.take(&secret(), Ok(Some(second.clone())), now + 48 * HOUR));
    assert!(said(&known).unwrap().contains("expired; nothing is sent"));
    assert!(known.take(&secret(), Ok(None), now));
    assert_eq!(handed(&known), None);
    known.keep(&Wanted::new());
    assert_eq!(said(&known), None);
}

#[test]
fn what_is_held_of_a_namespace_and_of_all_is_bounded() {
    let good = Authority::new("ours").papers(&Leaf::of_hosts(&["client.example.com"]));
    let of = |namespace: &str, name: &str| SecretName {
        namespace: namespace.into(),
        name: name.into(),
    };
    // Text between certificates counts, and is passed over.
    let long = |length: usize| OutsideCredential {
        roots: format!("{}\n{}", "x".repeat(length), good.roots).into(),
        ..good.clone()
    };
    let (short, long) = (long(60 << 10), long(120 << 10));
    let now = SystemTime::now();
    let mut known = Credentials::default();
    let all = (0..9).map(|number| of("shop", &format!("s{number}")));
    let all: Vec<_> = all.collect();
    for name in &all {
        known.take(name, Ok(Some(long.clone())), now);
    }
    let (last, first) = (&all[8], &all[0]);
    let said = known.problem(last, &mutual()).unwrap();
    assert!(
        said.contains(
            "shop/s8: with it the Secrets of its namespace have more than 1 MiB; nothing"
        ),
        "{said}"
    );
    assert_eq!(known.problem(first, &mutual()), None);
    // Another namespace has room of its own, and so has who becomes shorter.
    let other = of("shop-x", "c");
    known.take(&other, Ok(Some(long.clone())), now);
    assert_eq!(known.problem(&other, &mutual()), None);
    for name in [first, last] {
        known.take(name, Ok(Some(short.clone())), now);
        assert_eq!(known.problem(name, &mutual()), None);
    }
    // What does not fit takes nothing from what is there.
    assert!(known.take(last, Ok(Some(long.clone())), now));
    let said = known.problem(last, &mutual()).unwrap();
    assert!(said.contains("the last good version stays"), "{said}");
    known.take(first, Ok(None), now);
    known.take(last, Ok(Some(long.clone())), now);
    assert_eq!(known.problem(last, &mutual()), None);
    for number in 0..MOST_OF_ALL / length(&long) {
        let name = of(&format!("n{}", number / 8), &format!("s{number}"));
        known.take(&name, Ok(Some(long.clone())), now);
    }
    let sum: usize = known.known.values().map(Known::length).sum();
    assert!(known.held == sum && sum <= MOST_OF_ALL, "{sum}");
    let one_more = of("one-more", "c");
    known.take(&one_more, Ok(Some(long.clone())), now);
    let said = known.problem(&one_more, &mutual()).unwrap();
    assert!(
        said.contains("all namespaces have more than 64 MiB"),
        "{said}"
    );
    known.keep(&Wanted::from([one_more.clone()]));
    known.take(&one_more, Ok(Some(long)), now);
    assert_eq!(known.problem(&one_more, &mutual()), None);
}

#[test]
fn who_knows_nothing_of_a_secret_takes_it_from_nobody() {
    let mut configuration = Configuration::default();
    let told = |configuration: &Configuration| configuration.credential(&secret());
    assert_eq!(told(&configuration), None);
    let now = SystemTime::now();
    configuration.take_credential(&secret(), Err("forbidden".to_owned()), now);
    assert_eq!(told(&configuration), None);
    let broken = OutsideCredential {
        roots: "x".into(),
        ..OutsideCredential::default()
    };
    configuration.take_credential(&secret(), Ok(Some(broken)), now);
    assert_eq!(told(&configuration), None);
    configuration.take_credential(&secret(), Ok(None), now);
    assert_eq!(told(&configuration), Some(OutsideCredential::default()));
    let good = Authority::new("ours").papers(&Leaf::of_hosts(&["client.example.com"]));
    configuration.take_credential(&secret(), Ok(Some(good.clone())), now);
    assert_eq!(told(&configuration), Some(good));
}

#[test]
fn what_a_rule_needs_of_it_is_said() {
    let authority = Authority::new("ours");
    let all = authority.papers(&Leaf::of_hosts(&["client.example.com"]));
    let roots = OutsideCredential {
        roots: all.roots.clone(),
        ..OutsideCredential::default()
    };
    let own = OutsideCredential {
        roots: "".into(),
        ..all.clone()
    };
    let simple = tls(json!({"mode": "SIMPLE", "credentialName": "c"}));
    let unverified =
        tls(json!({"mode": "MUTUAL", "credentialName": "c", "insecureSkipVerify": true}));
    for (given, tls, expected) in [
        (&all, &mutual(), None),
        (&roots, &simple, None),
        (&roots, &mutual(), Some("tls.crt")),
        (&own, &mutual(), Some("ca.crt")),
        (&own, &unverified, None),
    ] {
        let mut known = Credentials::default();
        known.take(&secret(), Ok(Some(given.clone())), SystemTime::now());
        let said = known.problem(&secret(), tls);
        assert_eq!(said.is_some(), expected.is_some(), "{said:?}");
        assert!(
            said.unwrap_or_default()
                .contains(expected.unwrap_or_default())
        );
    }
}

#[test]
fn no_secret_is_shown() {
    let authority = Authority::new("ours");
    let given = authority.papers(&Leaf::of_hosts(&["client.example.com"]));
    let line = given.key.lines().nth(1).unwrap().to_owned();
    let mut known = Credentials::default();
    known.take(&secret(), Ok(Some(given)), SystemTime::now());
    assert!(!format!("{known:?}").contains(&line));
}

#[test]
fn only_names_are_wanted() {
    let namespace = "shop".into();
    let of = |text: Value| named(&namespace, &tls(text));
    assert_eq!(
        of(json!({"mode": "MUTUAL", "credentialName": "c"})),
        Some(Ok(secret()))
    );
    assert_eq!(of(json!({"mode": "SIMPLE"})), None);
    assert_eq!(
        of(json!({"mode": "ISTIO_MUTUAL", "credentialName": "c"})),
        None
    );
    for odd in ["other/c", "../c", "", "C", "kubernetes://c"] {
        assert_eq!(
            of(json!({"mode": "SIMPLE", "credentialName": odd})),
            Some(Err(())),
            "{odd}"
        );
    }
}
