//! A root of the mesh: a self-signed P-256 certificate and its key.
//!
//! Its SPIFFE id is that of the trust domain itself (SPIFFE X509-SVID section 4.1), so that a root
//! loaded for another trust domain is noticed. Every root has a subject of its own: verifiers that
//! look roots up by name find the right one while two are trusted.

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

/// Life of a root. It is replaced when a fifth of it is left.
const LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far a root's life begins in the past, for clocks that lag.
const BACKDATED: Duration = Duration::from_secs(3600);

/// Why a root could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
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
}

/// A root: certificate and key. `Debug` shows no key.
pub(crate) struct Root {
    der: CertificateDer<'static>,
    pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
    serial: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Root {
    /// Makes a new one.
    pub(crate) fn make(trust_domain: &TrustDomain, now: SystemTime) -> Result<Self, RootError> {
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

    /// Loads one, checking that certificate, key and trust domain belong together.
    pub(crate) fn load(
        pem: &str,
        key_pem: &str,
        trust_domain: &TrustDomain,
    ) -> Result<Self, RootError> {
        let key = KeyPair::from_pem(key_pem).map_err(RootError::Key)?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| RootError::Certificate(error.to_string()))?;
        let (_rest, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|error| RootError::Certificate(error.to_string()))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(RootError::Mismatch);
        }
        if !parsed.is_ca() {
            return Err(RootError::NotAnAuthority);
        }
        if !is_of(&parsed, trust_domain) {
            return Err(RootError::TrustDomain(trust_domain.clone()));
        }
        let serial = parsed.raw_serial_as_string();
        let not_before = instant(parsed.validity().not_before.timestamp());
        let not_after = instant(parsed.validity().not_after.timestamp());
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        let (pem, key_pem) = (pem.to_owned(), key_pem.to_owned());
        Ok(Self {
            pem,
            key_pem,
            issuer,
            serial,
            not_before,
            not_after,
            der,
        })
    }

    /// The certificate.
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The certificate as text.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
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

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root")
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

/// A random serial number: positive and at most 20 bytes (RFC 5280 section 4.1.2.2).
pub(crate) fn random_serial() -> Result<SerialNumber, RootError> {
    let mut bytes = [0; 16];
    // The library says no more than that it failed.
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| RootError::Random)?;
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
