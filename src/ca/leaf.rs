//! Certificates of workloads and of the control plane itself.
//!
//! From a request only the public key is taken, after its signature proved that the sender has
//! the private one. Names, usages and life are the server's: whatever else a request asks for is
//! not even looked at.

use std::time::{Duration, SystemTime};

use ambit_model::SpiffeId;
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::signer::{Signer, SignerError, instant, random_serial};

/// Longest request taken, as PEM: one with an RSA-4096 key and many names would fit.
const MAX_REQUEST: usize = 16 * 1024;
/// Shortest life that can be asked for: certificates count whole seconds.
pub(crate) const SHORTEST_LIFE: Duration = Duration::from_secs(2);
/// How far a certificate's life begins in the past, for peers whose clocks lag; never more than
/// the tenth part of its life, so that lives of seconds are still mostly in the future.
const BACKDATED: Duration = Duration::from_secs(60);

/// Why a certificate was not signed.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// The request is too long.
    #[error("a certificate request of {0} bytes is over the limit of {MAX_REQUEST}")]
    TooLong(usize),
    /// The request is none, or its signature does not hold.
    #[error("the certificate request cannot be used: {0}")]
    Request(rcgen::Error),
    /// The key is of a kind that the mesh does not use.
    #[error("the key of a certificate request must be ECDSA P-256 or P-384")]
    KeyKind,
    /// What signs is about to end.
    #[error("the life of the mesh's own authority is over: renew it")]
    Expired,
    /// How long certificates live could not be written down.
    #[error("the authority's state is not kept now, so nothing is signed; try again")]
    NotKept,
    /// Nothing the sender could change.
    #[error("the certificate could not be made: {0}")]
    Made(#[from] rcgen::Error),
    /// Nothing the sender could change.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl LeafError {
    /// True if the sender of the request has to change something.
    pub fn is_the_senders(&self) -> bool {
        matches!(self, Self::TooLong(_) | Self::Request(_) | Self::KeyKind)
    }
}

/// A certificate just signed.
#[derive(Clone, Debug)]
pub struct SignedLeaf {
    /// The certificate as PEM.
    pub pem: String,
    /// The certificates between it and a trusted root, as PEM, its issuer first.
    pub chain: Vec<String>,
    /// Its serial number.
    pub serial: String,
    /// End of its life.
    pub not_after: SystemTime,
}

/// Key and certificate of the control plane's own port.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The certificate, and those between it and a trusted root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// End of its life.
    pub not_after: SystemTime,
}

/// Signs for the identity that the *server* authorised.
pub(crate) fn sign_workload(
    signer: &Signer,
    request_pem: &str,
    identity: &SpiffeId,
    life: Duration,
    now: SystemTime,
) -> Result<SignedLeaf, LeafError> {
    if request_pem.len() > MAX_REQUEST {
        return Err(LeafError::TooLong(request_pem.len()));
    }
    let request =
        CertificateSigningRequestParams::from_pem(request_pem).map_err(LeafError::Request)?;
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
    ];
    if !kinds.contains(&request.public_key.algorithm()) {
        return Err(LeafError::KeyKind);
    }
    let names = vec![SanType::URI(Ia5String::try_from(identity.as_str())?)];
    let mut params = params(names, life, signer, now)?;
    // An empty subject makes the name in the extension the only one (RFC 5280 section 4.1.2.6).
    params.distinguished_name = DistinguishedName::new();
    let (certificate, not_after) = signed(&params, &request.public_key, signer)?;
    let serial = serial_of(certificate.der());
    Ok(SignedLeaf {
        pem: certificate.pem(),
        chain: signer.chain().iter().map(|c| c.pem.clone()).collect(),
        serial,
        not_after,
    })
}

/// Makes a key and a certificate for the control plane's own port.
pub(crate) fn make_server(
    signer: &Signer,
    dns_names: &[String],
    life: Duration,
    now: SystemTime,
) -> Result<ServerCertificate, LeafError> {
    let names = dns_names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_no_address) => Ia5String::try_from(name.as_str()).map(SanType::DnsName),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut params = params(names, life, signer, now)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "ambit control plane");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let (certificate, not_after) = signed(&params, &key, signer)?;
    Ok(ServerCertificate {
        chain: std::iter::once(certificate.der().clone())
            .chain(signer.chain().iter().map(|c| c.der.clone()))
            .collect(),
        key: PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
        not_after,
    })
}

/// What all certificates have in common.
fn params(
    names: Vec<SanType>,
    life: Duration,
    signer: &Signer,
    now: SystemTime,
) -> Result<CertificateParams, LeafError> {
    let life = life.max(SHORTEST_LIFE);
    let not_after = (now + life).min(signer.not_after());
    if not_after <= now {
        return Err(LeafError::Expired);
    }
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    params.not_before = (now - BACKDATED.min(life / 10)).into();
    params.not_after = not_after.into();
    params.serial_number = Some(random_serial()?);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Signs, and says when the life really ends: certificates know no fractions of seconds.
fn signed(
    params: &CertificateParams,
    key: &impl PublicKeyData,
    signer: &Signer,
) -> Result<(rcgen::Certificate, SystemTime), LeafError> {
    let not_after = instant(params.not_after.unix_timestamp());
    Ok((params.signed_by(key, signer.issuer())?, not_after))
}

fn serial_of(der: &[u8]) -> String {
    x509_parser::parse_x509_certificate(der)
        .map(|(_rest, parsed)| parsed.raw_serial_as_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
