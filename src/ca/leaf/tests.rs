use std::time::UNIX_EPOCH;

use ambit_model::TrustDomain;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

const IDENTITY: &str = "spiffe://cluster.local/ns/shop/sa/web";
const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn root() -> Signer {
    Signer::make(&TrustDomain::new("cluster.local").unwrap(), now()).unwrap()
}

fn request(alter: impl FnOnce(&mut CertificateParams)) -> String {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    alter(&mut params);
    params.serialize_request(&key).unwrap().pem().unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

fn sign(request: &str, life: Duration) -> Result<SignedLeaf, LeafError> {
    sign_workload(&root(), request, &IDENTITY.parse().unwrap(), life, now())
}

fn der(leaf: &SignedLeaf) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(leaf.pem.as_bytes()).unwrap()
}

fn seconds(time: x509_parser::time::ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap()
}

#[test]
fn the_name_is_what_was_authorised_whatever_the_request_says() {
    let requests = [
        request(|_| {}),
        request(|params| params.subject_alt_names = vec![uri(IDENTITY)]),
        request(|params| {
            params.subject_alt_names = vec![
                uri("spiffe://cluster.local/ns/admin/sa/root"),
                SanType::DnsName(Ia5String::try_from("bank.example").unwrap()),
            ];
            params
                .distinguished_name
                .push(DnType::CommonName, "spiffe://cluster.local/ns/a/sa/b");
        }),
        request(|params| {
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }),
    ];
    for request in requests {
        let der = der(&sign(&request, DAY).unwrap());
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert!(names.critical);
        assert!(
            matches!(names.value.general_names[..], [GeneralName::URI(uri)] if uri == IDENTITY)
        );
        assert_eq!(leaf.subject().iter().count(), 0);
        assert!(!leaf.is_ca());
        let usage = leaf.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && !usage.key_cert_sign());
        let extended = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && extended.server_auth && !extended.code_signing);
    }
}

#[test]
fn lives_are_backdated_a_little_and_end_with_the_root() {
    let request = request(|_| {});
    for (life, before, after) in [(86_400, 60, 86_400), (10, 1, 10), (3, 1, 3), (0, 1, 2)] {
        let leaf = sign(&request, Duration::from_secs(life)).unwrap();
        let der = der(&leaf);
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(
            seconds(parsed.validity().not_before),
            1_800_000_000 - before,
            "{life}"
        );
        assert_eq!(
            seconds(parsed.validity().not_after),
            1_800_000_000 + after,
            "{life}"
        );
        assert_eq!(leaf.not_after, now() + Duration::from_secs(after));
    }
    let root = root();
    let late = root.not_after() - Duration::from_secs(100);
    let identity = IDENTITY.parse().unwrap();
    let leaf = sign_workload(&root, &request, &identity, DAY, late).unwrap();
    assert_eq!(leaf.not_after, root.not_after());
    let over = sign_workload(&root, &request, &identity, DAY, root.not_after());
    assert!(matches!(over, Err(LeafError::Expired)));
}

/// A request, and the error that it leads to.
type Case<'a> = (&'a str, fn(&LeafError) -> bool);

#[test]
fn garbage_oversize_forgery_and_foreign_keys_are_refused() {
    let good = request(|_| {});
    let mut forged = pem_body(&good);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = as_pem(&forged);
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let foreign = CertificateParams::default()
        .serialize_request(&ed25519)
        .unwrap()
        .pem()
        .unwrap();
    let long = format!("{good}{}", "\n".repeat(MAX_REQUEST));
    let half = good.split_at(good.len() / 2).0;
    let cases: [Case<'_>; 6] = [
        ("", |error| matches!(error, LeafError::Request(_))),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
            |error| matches!(error, LeafError::Request(_)),
        ),
        (half, |error| matches!(error, LeafError::Request(_))),
        (&forged, |error| matches!(error, LeafError::Request(_))),
        (&foreign, |error| matches!(error, LeafError::KeyKind)),
        (&long, |error| matches!(error, LeafError::TooLong(_))),
    ];
    for (request, expected) in cases {
        let error = sign(request, DAY).unwrap_err();
        assert!(expected(&error) && error.is_the_senders(), "{error:?}");
    }
}

fn pem_body(pem: &str) -> Vec<u8> {
    rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

fn as_pem(der: &[u8]) -> String {
    use std::fmt::Write;
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place > chunk.len() { '=' } else { digit });
        }
    }
    let mut pem = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    for line in text.as_bytes().chunks(64) {
        writeln!(pem, "{}", std::str::from_utf8(line).unwrap()).unwrap();
    }
    pem + "-----END CERTIFICATE REQUEST-----\n"
}

#[test]
fn the_control_planes_own_certificate_names_its_hosts() {
    let names = ["ambit-control-plane", "localhost", "127.0.0.1"].map(str::to_owned);
    let made = make_server(&root(), &names, DAY, now()).unwrap();
    let der = made.chain[0].clone();
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let found = leaf.subject_alternative_name().unwrap().unwrap().value;
    assert_eq!(found.general_names.len(), 3);
    assert!(matches!(
        found.general_names[0],
        GeneralName::DNSName("ambit-control-plane")
    ));
    assert!(matches!(
        found.general_names[2],
        GeneralName::IPAddress([127, 0, 0, 1])
    ));
    assert_eq!(made.not_after, now() + DAY);
}
