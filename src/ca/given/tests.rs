use rcgen::{
    BasicConstraints, DistinguishedName, DnType, IsCa, KeyUsagePurpose, SignatureAlgorithm,
};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn domain() -> TrustDomain {
    TrustDomain::new("cluster.local").unwrap()
}

fn params(name: &str, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = (now - DAY).into();
    params.not_after = (now + 365 * DAY).into();
    params
}

/// A user's root with an intermediate, and one more below it that is to sign for the mesh.
pub(crate) struct Issued {
    root: String,
    middle: String,
    last: String,
    key: KeyPair,
    middle_key: KeyPair,
}

impl Issued {
    /// With a P-256 key.
    pub(crate) fn under_a_root(now: SystemTime) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self::with(key, &params("mesh", now), now)
    }

    fn with(key: KeyPair, last: &CertificateParams, now: SystemTime) -> Self {
        Self::all(key, &params("root", now), &params("middle", now), last)
    }

    fn all(
        key: KeyPair,
        root: &CertificateParams,
        middle: &CertificateParams,
        last: &CertificateParams,
    ) -> Self {
        let (root_key, middle_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root_cert = root.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::from_params(root, &root_key);
        let middle_cert = middle.signed_by(&middle_key, &root_issuer).unwrap();
        let last = last
            .signed_by(&key, &Issuer::from_params(middle, &middle_key))
            .unwrap();
        Self {
            root: root_cert.pem(),
            middle: middle_cert.pem(),
            last: last.pem(),
            key,
            middle_key,
        }
    }

    /// The one that signs for the mesh made anew, with another key and under the same root.
    pub(crate) fn renewed(&self, now: SystemTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.middle, &self.middle_key).unwrap();
        let last = params("mesh", now).signed_by(&key, &issuer).unwrap();
        let middle_key = KeyPair::try_from(self.middle_key.serialize_der()).unwrap();
        Self {
            root: self.root.clone(),
            middle: self.middle.clone(),
            last: last.pem(),
            key,
            middle_key,
        }
    }

    /// As in Istio's `cacerts`.
    pub(crate) fn given(&self) -> Given {
        Given {
            certificate: self.last.clone(),
            key: self.key.serialize_pem(),
            chain: format!("{}{}", self.last, self.middle),
            roots: self.root.clone(),
        }
    }
}

fn check(given: &Given) -> Result<Signer, String> {
    Signer::given(given, &domain(), now()).map_err(|error| error.to_string())
}

#[test]
fn the_chain_goes_with_leaves_and_the_root_into_the_bundle() {
    let issued = Issued::under_a_root(now());
    let signer = check(&issued.given()).unwrap();
    let pems = |shown: &[Shown]| {
        shown
            .iter()
            .map(|s| s.pem.replace('\r', ""))
            .collect::<Vec<_>>()
    };
    let clean = |pem: &String| pem.replace('\r', "");
    assert_eq!(
        pems(signer.chain()),
        [&issued.last, &issued.middle].map(clean)
    );
    assert_eq!(pems(signer.anchors()), [clean(&issued.root)]);
    assert!(!format!("{signer:?} {:?}", issued.given()).contains("KEY"));
    // As cert-manager has it: the chain behind the certificate, the root apart.
    let manager = Given {
        certificate: format!("{}{}", issued.last, issued.middle),
        chain: String::new(),
        ..issued.given()
    };
    assert!(check(&manager).unwrap().is_same(&signer));
    // A chain that ends with the root itself carries it no further.
    let whole = Given {
        chain: format!("{}{}", issued.middle, issued.root),
        ..issued.given()
    };
    assert!(check(&whole).unwrap().is_same(&signer));
}

#[test]
fn a_self_signed_root_may_be_given_too() {
    let key = KeyPair::generate().unwrap();
    let root = params("root", now()).self_signed(&key).unwrap().pem();
    let given = Given {
        certificate: root.clone(),
        key: key.serialize_pem(),
        chain: String::new(),
        roots: root,
    };
    let signer = check(&given).unwrap();
    assert!(signer.chain().is_empty() && signer.anchors().len() == 1);
}

#[test]
fn keys_of_every_usual_kind_and_form_are_read() {
    let key = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm).unwrap();
    for key in [
        key(&rcgen::PKCS_ECDSA_P256_SHA256),
        key(&rcgen::PKCS_ECDSA_P384_SHA384),
        key(&rcgen::PKCS_RSA_SHA256),
    ] {
        let issued = Issued::with(key, &params("mesh", now()), now());
        check(&issued.given()).unwrap();
    }
    // The same keys in the older forms, as `openssl` writes them, parameters and all.
    for text in [
        include_str!("tests/sec1-p256.pem"),
        include_str!("tests/sec1-p384.pem"),
        include_str!("tests/pkcs1-rsa.pem"),
    ] {
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
        let issued = Issued::with(
            KeyPair::try_from(&der).unwrap(),
            &params("mesh", now()),
            now(),
        );
        let given = Given {
            key: text.to_owned(),
            ..issued.given()
        };
        check(&given).unwrap();
    }
    let ed = key(&rcgen::PKCS_ED25519);
    let refused = check(&Issued::with(ed, &params("mesh", now()), now()).given()).unwrap_err();
    assert!(refused.contains("of another kind"), "{refused}");
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    let (issued, other) = (Issued::under_a_root(now()), Issued::under_a_root(now()));
    let good = issued.given();
    let of = |alter: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("mesh", now());
        alter(&mut params);
        Issued::with(KeyPair::generate().unwrap(), &params, now()).given()
    };
    let below = |alter: &dyn Fn(&mut CertificateParams)| {
        let mut middle = params("middle", now());
        alter(&mut middle);
        let last = params("mesh", now());
        Issued::all(
            KeyPair::generate().unwrap(),
            &params("root", now()),
            &middle,
            &last,
        )
        .given()
    };
    let without = |alter: &dyn Fn(&mut Given)| {
        let mut given = good.clone();
        alter(&mut given);
        given
    };
    let cases = [
        (
            without(&|g| g.key = other.key.serialize_pem()),
            "does not belong to",
        ),
        (
            without(&|g| g.key = "garbage".to_owned()),
            "key cannot be read",
        ),
        (
            without(&|g| g.certificate = String::new()),
            "certificate cannot be read",
        ),
        (
            without(&|g| g.roots = String::new()),
            "roots cannot be read",
        ),
        (
            without(&|g| g.chain = "garbage".to_owned()),
            "chain cannot be read",
        ),
        (
            without(&|g| g.roots = g.roots.replace("-----END", "")),
            "does not end",
        ),
        (without(&|g| g.roots = g.roots.repeat(40)), "more than"),
        (
            without(&|g| g.roots = other.root.clone()),
            "not verified by the roots",
        ),
        (
            without(&|g| g.chain = other.middle.clone()),
            "not verified by the roots",
        ),
        (
            of(&|p| p.is_ca = IsCa::ExplicitNoCa),
            "not that of an authority",
        ),
        (
            of(&|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
            "not that of an authority",
        ),
        (
            of(&|p| p.not_after = (now() - DAY / 2).into()),
            "certificate is valid from",
        ),
        (of(&|p| p.not_before = (now() + DAY).into()), "renew it"),
        (
            below(&|p| p.not_after = (now() - DAY / 2).into()),
            "chain is valid from",
        ),
        (
            below(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            "not verified by the roots",
        ),
    ];
    for (given, reason) in cases {
        let refused = check(&given).unwrap_err();
        assert!(refused.contains(reason), "{refused} instead of {reason}");
    }
}

#[test]
fn it_lives_no_longer_than_its_chain() {
    let mut middle = params("middle", now());
    middle.not_after = (now() + DAY).into();
    let issued = Issued::all(
        KeyPair::generate().unwrap(),
        &params("root", now()),
        &middle,
        &params("mesh", now()),
    );
    assert_eq!(check(&issued.given()).unwrap().not_after(), now() + DAY);
}

#[test]
fn a_renewed_intermediate_has_the_same_roots_and_another_root_has_not() {
    let issued = Issued::under_a_root(now());
    let one = check(&issued.given()).unwrap();
    let shorter = Given {
        certificate: issued.middle.clone(),
        ..issued.given()
    };
    assert!(check(&shorter).is_err(), "the key is another's");
    let both = Given {
        roots: format!("{}{}", issued.root, Issued::under_a_root(now()).root),
        ..issued.given()
    };
    let both = check(&both).unwrap();
    assert!(!both.has_the_anchors_of(&one) && !one.has_the_anchors_of(&both));
    assert!(one.has_the_anchors_of(&one));
}
