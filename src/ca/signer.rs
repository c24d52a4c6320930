//! What signs in the mesh: a self-made root, or an authority that the user gave (`given.rs`).
//!
//! A self-made root is a self-signed P-256 certificate. Its SPIFFE id is that of the trust domain
//! itself (SPIFFE X509-SVID section 4.1), so that a root loaded for another trust domain is
//! noticed. Every root has a subject of its own: verifiers that look roots up by name find the
//! right one while two are trusted.
//!
//! A given authority has certificates between its leaves and the roots to trust: its *chain*,
//! which goes with every leaf. The roots are its *anchors*; a self-made root is its own anchor and
//! has no chain.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_model::TrustDomain;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::given::GivenError;

/// Life of a root. It is replaced when a fifth of it is left.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far a root's life begins in the past, for clocks that lag.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Why what signs could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The crypto library failed.
    #[error("the root could not be made: {0}")]
    Made(#[from] rcgen::Error),
    /// The system has no random numbers.
    #[error("no random numbers for the serial of a certificate")]
    Random,
    /// The certificate is no certificate.
    #[error("the root certificate cannot be read: {0}")]
    Certificate(String),
    /// The key is no key.
    #[error("the root's key cannot be read: {0}")]
    Key(rcgen::Error),
    /// The key belongs to another certificate.
    #[error("key and certificate of the root do not belong together")]
    Mismatch,
    /// The certificate may not sign.
    #[error("the certificate is not that of an authority")]
    NotAnAuthority,
    /// It is a root, but not of this mesh.
    #[error(
        "the root is not one of trust domain {0}: keep each trust domain in a state of its own"
    )]
    TrustDomain(TrustDomain),
    /// What the user gave cannot be used.
    #[error(transparent)]
    Given(#[from] GivenError),
    /// What the user gave cannot be used, and nothing was used before.
    #[error("there is no authority yet and the user's cannot be used: {0}")]
    Unusable(Arc<str>),
}

/// A certificate as it is given away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// In binary.
    pub(crate) der: CertificateDer<'static>,
    /// As text.
    pub(crate) pem: String,
}

/// What signs: certificate and key, and the way from leaves to trusted roots. `Debug` shows no key.
pub struct Signer {
    pub(super) certificate: Shown,
    pub(super) key_pem: String,
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) serial: String,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    pub(super) chain: Vec<Shown>,
    pub(super) anchors: Vec<Shown>,
    pub(super) is_given: bool,
}

impl Signer {
    /// Makes a new root.
    pub(crate) fn make(trust_domain: &TrustDomain, now: SystemTime) -> Result<Self, SignerError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let serial = random_serial()?;
        let name: String = serial
            .to_bytes()
            .iter()
            .take(4)
            .map(|b| format!("{b:02x}"))
            .collect();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, trust_domain.as_str());
        params
            .distinguished_name
            .push(DnType::CommonName, format!("ambit root {name}"));
        params.serial_number = Some(serial);
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LIFE).into();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let id = Ia5String::try_from(format!("spiffe://{trust_domain}"))?;
        params.subject_alt_names = vec![SanType::URI(id)];
        let certificate = params.self_signed(&key)?;
        Self::load(&certificate.pem(), &key.serialize_pem(), trust_domain)
    }

    /// Loads a root, checking that certificate, key and trust domain belong together.
    pub(crate) fn load(
        pem: &str,
        key_pem: &str,
        trust_domain: &TrustDomain,
    ) -> Result<Self, SignerError> {
        let key = KeyPair::from_pem(key_pem).map_err(SignerError::Key)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| SignerError::Certificate(error.to_string()))?;
        let (_rest, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|error| SignerError::Certificate(error.to_string()))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(SignerError::Mismatch);
        }
        if !parsed.is_ca() {
            return Err(SignerError::NotAnAuthority);
        }
        if !is_of(&parsed, trust_domain) {
            return Err(SignerError::TrustDomain(trust_domain.clone()));
        }
        let serial = parsed.raw_serial_as_string();
        let not_before = instant(parsed.validity().not_before.timestamp());
        let not_after = instant(parsed.validity().not_after.timestamp());
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        let pem = pem.to_owned();
        let certificate = Shown { der, pem };
        Ok(Self {
            anchors: vec![certificate.clone()],
            certificate,
            key_pem: key_pem.to_owned(),
            issuer,
            serial,
            not_before,
            not_after,
            chain: Vec::new(),
            is_given: false,
        })
    }

    /// The certificate as text.
    pub(crate) fn pem(&self) -> &str {
        &self.certificate.pem
    }

    /// What goes with every leaf, the issuer of the leaf first.
    pub(crate) fn chain(&self) -> &[Shown] {
        &self.chain
    }

    /// The roots to trust.
    pub(crate) fn anchors(&self) -> &[Shown] {
        &self.anchors
    }

    /// True if the user gave it.
    pub(crate) fn is_given(&self) -> bool {
        self.is_given
    }

    /// True if it is the same in every respect that matters to others.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.certificate.der == other.certificate.der
            && self.chain == other.chain
            && self.has_the_anchors_of(other)
    }

    /// True if whoever trusts the other's leaves trusts those of this one, and the reverse.
    pub(crate) fn has_the_anchors_of(&self, other: &Self) -> bool {
        let holds = |of: &Self, one: &Shown| of.anchors.iter().any(|a| a.der == one.der);
        self.anchors.iter().all(|anchor| holds(other, anchor))
            && other.anchors.iter().all(|anchor| holds(self, anchor))
    }

    /// The key as text, for the store alone.
    pub(crate) fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// What signs.
    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// The serial number, as people write it.
    pub(crate) fn serial(&self) -> &str {
        &self.serial
    }

    /// End of its life.
    pub(crate) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// True once only a fifth of its life is left.
    pub(crate) fn is_old(&self, now: SystemTime) -> bool {
        let life = self
            .not_after
            .duration_since(self.not_before)
            .unwrap_or_default();
        now + life / 5 >= self.not_after
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

/// A random serial number: positive and at most 20 bytes (RFC 5280 section 4.1.2.2).
pub(crate) fn random_serial() -> Result<SerialNumber, SignerError> {
    let mut bytes = [0; 16];
    // The library says no more than that it failed.
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| SignerError::Random)?;
    let [first, ..] = &mut bytes;
    *first = *first & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn is_of(certificate: &X509Certificate<'_>, trust_domain: &TrustDomain) -> bool {
    let expected = format!("spiffe://{trust_domain}");
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    names
        .value
        .general_names
        .iter()
        .any(|name| matches!(name, GeneralName::URI(uri) if *uri == expected))
}

/// Seconds since 1970, as certificates count, as a time of day.
pub(crate) fn instant(unix_seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests;
