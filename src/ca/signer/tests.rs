use super::*;

fn domain(name: &str) -> TrustDomain {
    TrustDomain::new(name).unwrap()
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

#[test]
fn a_root_made_can_be_loaded_again() {
    let made = Signer::make(&domain("cluster.local"), now()).unwrap();
    let loaded = Signer::load(made.pem(), made.key_pem(), &domain("cluster.local")).unwrap();
    assert_eq!(loaded.serial(), made.serial());
    assert_eq!(loaded.certificate, made.certificate);
    assert_eq!(loaded.not_after(), now() + LIFE);
    assert!(!format!("{made:?}").contains("KEY"));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let ours = domain("cluster.local");
    let (one, two) = (
        Signer::make(&ours, now()).unwrap(),
        Signer::make(&ours, now()).unwrap(),
    );
    let load = |pem: &str, key: &str, of: &TrustDomain| Signer::load(pem, key, of).unwrap_err();
    assert!(matches!(
        load(one.pem(), two.key_pem(), &ours),
        SignerError::Mismatch
    ));
    let foreign = load(one.pem(), one.key_pem(), &domain("other.example"));
    assert!(matches!(foreign, SignerError::TrustDomain(_)), "{foreign}");
    assert!(matches!(
        load(one.pem(), "garbage", &ours),
        SignerError::Key(_)
    ));
    assert!(matches!(
        load("garbage", one.key_pem(), &ours),
        SignerError::Certificate(_)
    ));
}

#[test]
fn a_leaf_is_not_taken_for_a_root() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["x".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let refused = Signer::load(&certificate.pem(), &key.serialize_pem(), &domain("x")).unwrap_err();
    assert!(matches!(refused, SignerError::NotAnAuthority));
}

#[test]
fn a_root_is_old_when_a_fifth_of_its_life_is_left() {
    let root = Signer::make(&domain("cluster.local"), now()).unwrap();
    let fifth = (LIFE + BACKDATED) / 5;
    assert!(!root.is_old(root.not_after() - fifth - Duration::from_secs(1)));
    assert!(root.is_old(root.not_after() - fifth));
}

#[test]
fn serials_are_positive_and_differ() {
    let (one, two) = (
        random_serial().unwrap().to_bytes(),
        random_serial().unwrap().to_bytes(),
    );
    assert_ne!(one, two);
    assert!(one[0] & 0x80 == 0 && one[0] != 0);
}
