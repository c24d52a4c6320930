use std::time::{Duration, SystemTime};

use super::*;
use crate::testing::{Authority, Leaf};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";

#[test]
fn a_credential_tells_whose_it_is_and_for_how_long() {
    let authority = Authority::new("ca");
    let leaf = Leaf::of(WEB);
    let credential = authority.issue(&leaf);
    assert_eq!(credential.id().as_str(), WEB);
    // X.509 times have whole seconds.
    let second = Duration::from_secs(1);
    assert!(
        leaf.not_after
            .duration_since(credential.not_after())
            .unwrap()
            < second
    );
    assert!(
        leaf.not_before
            .duration_since(credential.not_before())
            .unwrap()
            < second
    );
    assert!(credential.not_before() < SystemTime::now());
    assert!(credential.serial().contains(':'));
    assert_ne!(credential.serial(), authority.issue(&leaf).serial());
}

#[test]
fn debug_output_shows_no_key() {
    let text = format!("{:?}", Authority::new("ca").workload("web"));
    assert!(text.contains(WEB) && !text.contains("key"), "{text}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let authority = Authority::new("ca");
    let (chain, _) = authority.sign(&Leaf::of(WEB));
    let (_, key) = authority.sign(&Leaf::of(WEB));
    let error = Credential::from_der(chain, key).unwrap_err();
    assert!(matches!(error, CredentialError::Mismatch), "{error}");
}

#[test]
fn broken_input_is_an_error_and_says_which_part() {
    let (chain, key) = Authority::new("ca").sign(&Leaf::of(WEB));
    let empty = Credential::from_der(vec![], key.clone()).unwrap_err();
    assert!(matches!(empty, CredentialError::Empty));
    let garbage = Credential::from_der(vec![b"garbage".to_vec()], key).unwrap_err();
    assert!(matches!(garbage, CredentialError::Certificate(_)));
    let no_key = Credential::from_der(chain, b"garbage".to_vec()).unwrap_err();
    assert!(matches!(no_key, CredentialError::Key(_)));
}

#[test]
fn a_certificate_must_name_exactly_one_workload() {
    let authority = Authority::new("ca");
    let cases: [(&[&str], PeerIdentityError); 3] = [
        (&[], PeerIdentityError::UriCount(0)),
        (&[WEB, WEB], PeerIdentityError::UriCount(2)),
        (
            &["https://cluster.local/ns/shop/sa/web"],
            PeerIdentityError::NotSpiffe(
                "https://cluster.local/ns/shop/sa/web"
                    .parse::<SpiffeId>()
                    .unwrap_err(),
            ),
        ),
    ];
    for (uris, expected) in cases {
        let (chain, key) = authority.sign(&Leaf::of(WEB).uris(uris));
        match Credential::from_der(chain, key).unwrap_err() {
            CredentialError::Identity(error) => assert_eq!(error, expected),
            other => panic!("{uris:?}: {other}"),
        }
    }
    assert_eq!(
        peer_identity(&[]).unwrap_err(),
        PeerIdentityError::NoCertificate
    );
}
