//! What is made of the service's answers.

use rcgen::{BasicConstraints, Certificate, IsCa, Issuer};

use super::*;

/// A certificate authority.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root: Certificate,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    /// Its root certificate, DER.
    fn root(&self) -> Vec<u8> {
        self.root.der().to_vec()
    }
}

fn id(account: &str) -> SpiffeId {
    SpiffeId::from_parts("cluster.local", "shop", account)
}

/// An answer for one identity to a request for another.
fn answer(ca: &Ca, asked: &SpiffeId, given: &SpiffeId) -> (KeyPair, Vec<String>) {
    let (key, _) = signing_request(asked).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(given.as_str().try_into().unwrap())];
    let leaf = params.signed_by(&key, &ca.issuer).unwrap();
    (key, vec![leaf.pem(), ca.root.pem()])
}

#[test]
fn a_request_asks_for_one_identity_and_nothing_else() {
    let (_, csr) = signing_request(&id("web")).unwrap();
    let request = rcgen::CertificateSigningRequestParams::from_pem(&csr).unwrap();
    let expected = SanType::URI(id("web").as_str().try_into().unwrap());
    assert_eq!(request.params.subject_alt_names, [expected]);
    assert_eq!(request.params.distinguished_name.iter().count(), 0);
}

#[test]
fn a_good_answer_gives_chain_key_and_all_roots() {
    let (ca, next) = (Ca::new(), Ca::new());
    let (key, mut chain) = answer(&ca, &id("web"), &id("web"));
    chain[1].push_str(&next.root.pem());
    let issued = check(&id("web"), &key, &chain).unwrap();
    assert_eq!(issued.certificate.chain.len(), 1);
    assert_eq!(issued.roots, [ca.root(), next.root()]);
    assert_eq!(issued.certificate.key, key.serialize_der());
}

#[test]
fn an_answer_for_somebody_else_is_refused() {
    let ca = Ca::new();
    let (key, chain) = answer(&ca, &id("web"), &id("admin"));
    let error = check(&id("web"), &key, &chain).unwrap_err();
    assert!(matches!(error, FetchError::Identity { got, .. } if got == id("admin")));
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let ca = Ca::new();
    let (_, chain) = answer(&ca, &id("web"), &id("web"));
    let (other, _) = signing_request(&id("web")).unwrap();
    let error = check(&id("web"), &other, &chain).unwrap_err();
    assert!(matches!(error, FetchError::Credential { .. }));
}

#[test]
fn answers_that_are_no_chain_are_refused() {
    let ca = Ca::new();
    let (key, chain) = answer(&ca, &id("web"), &id("web"));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_owned();
    let cases = [
        vec![],
        vec![chain[0].clone()],
        vec![String::new(), chain[1].clone()],
        vec![broken, chain[1].clone()],
    ];
    for case in cases {
        assert!(check(&id("web"), &key, &case).is_err(), "{case:?}");
    }
}
