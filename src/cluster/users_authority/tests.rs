use super::*;
use crate::ca::given_for_tests;

fn users(named: Option<&str>) -> UsersAuthority {
    UsersAuthority {
        namespace: "ambit-system".to_owned(),
        named: named.map(str::to_owned),
        trust_domain: TrustDomain::new("cluster.local").unwrap(),
    }
}

fn secret(parts: &[(&str, &str)]) -> Secret {
    let data = parts
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
    Secret {
        data: Some(data.collect()),
        ..Secret::default()
    }
}

fn cacerts(given: &Given) -> Secret {
    secret(&[
        ("ca-cert.pem", &given.certificate),
        ("ca-key.pem", &given.key),
        ("cert-chain.pem", &given.chain),
        ("root-cert.pem", &given.roots),
    ])
}

#[test]
fn both_shapes_are_read_and_mean_the_same() {
    let given = given_for_tests();
    let istio = users(None).read(&cacerts(&given)).unwrap();
    let chain = given.chain.clone();
    let manager = secret(&[
        ("tls.crt", &chain),
        ("tls.key", &given.key),
        ("ca.crt", &given.roots),
    ]);
    let manager = users(Some("mesh-ca")).read(&manager).unwrap();
    assert_eq!(istio.serial(), manager.serial());
    let without_chain = given.roots.clone();
    let missing = secret(&[
        ("ca-cert.pem", &given.certificate),
        ("root-cert.pem", &without_chain),
    ]);
    let why = users(None).read(&missing).unwrap_err();
    assert!(why.contains("ca-key.pem"), "{why}");
    let why = users(Some("mesh-ca")).read(&cacerts(&given)).unwrap_err();
    assert!(why.contains("tls.crt"), "{why}");
}

#[test]
fn the_last_good_one_stays_when_the_next_is_bad() {
    let users = users(None);
    let (offers, seen) = watch::channel(Offer::Unknown);
    let bad = secret(&[("ca-cert.pem", "garbage")]);
    users.offer(Some(&bad), &offers);
    let Offer::Unusable { why } = seen.borrow().clone() else {
        panic!("it was taken");
    };
    assert!(why.contains("ambit-system/cacerts"), "{why}");
    users.offer(Some(&cacerts(&given_for_tests())), &offers);
    assert!(matches!(*seen.borrow(), Offer::Given(_)));
    users.offer(Some(&bad), &offers);
    assert!(matches!(*seen.borrow(), Offer::Given(_)));
}

#[test]
fn cacerts_that_is_gone_is_a_wish_and_a_named_one_a_mistake() {
    let (offers, seen) = watch::channel(Offer::Unknown);
    users(None).offer(None, &offers);
    let Offer::Nothing { since } = *seen.borrow() else {
        panic!("something is offered");
    };
    users(None).offer(None, &offers);
    assert!(matches!(*seen.borrow(), Offer::Nothing { since: still } if still == since));

    let (offers, seen) = watch::channel(Offer::Unknown);
    users(Some("mesh-ca")).offer(None, &offers);
    assert!(matches!(*seen.borrow(), Offer::Unusable { .. }));
}
