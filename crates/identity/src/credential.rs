//! A workload's certificate chain and private key, checked once when it arrives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::{SpiffeId, SpiffeIdError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::provider::provider;

/// Why a chain and key cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    /// There is no certificate.
    #[error("the certificate chain is empty")]
    Empty,
    /// The leaf is not an X.509 certificate.
    #[error("the leaf certificate cannot be read: {0}")]
    Certificate(String),
    /// The key is of no known form.
    #[error("the private key cannot be read: {0}")]
    Key(String),
    /// Key and leaf do not belong together.
    #[error("the private key does not belong to the leaf certificate")]
    Mismatch,
    /// The leaf does not name one workload.
    #[error("the leaf certificate is not a workload's: {0}")]
    Identity(#[from] PeerIdentityError),
}

/// Why a certificate does not name exactly one workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdentityError {
    /// No certificate at all.
    #[error("no certificate was presented")]
    NoCertificate,
    /// It is not an X.509 certificate.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// X509-SVID section 2: exactly one URI SAN.
    #[error("the certificate has {0} URI names where exactly one is required")]
    UriCount(usize),
    /// The URI is not one of ours.
    #[error("the certificate's URI name is no SPIFFE id of a service account: {0}")]
    NotSpiffe(#[from] SpiffeIdError),
}

/// The identity in a peer's chain (leaf first): its one URI SAN.
///
/// This reads, it does not verify; the handshake has done that by the time a chain is at hand.
pub fn peer_identity(certs: &[CertificateDer<'_>]) -> Result<SpiffeId, PeerIdentityError> {
    let leaf = certs.first().ok_or(PeerIdentityError::NoCertificate)?;
    let leaf = EndEntityCert::try_from(leaf)
        .map_err(|error| PeerIdentityError::Unreadable(format!("{error:?}")))?;
    let mut uris = leaf.valid_uri_names();
    match (uris.next(), uris.count()) {
        (None, _) => Err(PeerIdentityError::UriCount(0)),
        (Some(uri), 0) => Ok(uri.parse::<SpiffeId>()?),
        (Some(_), more) => Err(PeerIdentityError::UriCount(1 + more)),
    }
}

/// When a peer's certificate (leaf first) is valid no longer. This reads, it does not verify.
pub fn peer_expiry(certs: &[CertificateDer<'_>]) -> Result<SystemTime, PeerIdentityError> {
    let leaf = certs.first().ok_or(PeerIdentityError::NoCertificate)?;
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|error| PeerIdentityError::Unreadable(error.to_string()))?;
    Ok(system_time(leaf.validity().not_after))
}

/// A workload's chain and key. Cheap to clone; the key never leaves it.
#[derive(Clone)]
pub struct Credential {
    id: SpiffeId,
    not_before: SystemTime,
    not_after: SystemTime,
    serial: Arc<str>,
    resolver: Arc<SingleCertAndKey>,
}

impl Credential {
    /// Checks a chain (leaf first, DER) and its key (PKCS #8, SEC 1 or PKCS #1, DER).
    ///
    /// The chain is not verified against any root here, nor is the time: a credential that has
    /// expired is still one, and the peer will say so.
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, CredentialError> {
        let chain: Vec<CertificateDer<'static>> =
            chain.into_iter().map(CertificateDer::from).collect();
        let leaf = chain.first().ok_or(CredentialError::Empty)?;
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|error| CredentialError::Certificate(error.to_string()))?;
        let validity = parsed.validity();
        let not_before = system_time(validity.not_before);
        let not_after = system_time(validity.not_after);
        let serial = parsed.raw_serial_as_string().into();
        let id = peer_identity(&chain)?;
        let key =
            PrivateKeyDer::try_from(key).map_err(|error| CredentialError::Key(error.to_owned()))?;
        let certified =
            CertifiedKey::from_der(chain, key, provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => CredentialError::Mismatch,
                other => CredentialError::Key(other.to_string()),
            })?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        Ok(Self {
            id,
            not_before,
            not_after,
            serial,
            resolver,
        })
    }

    /// The workload's identity.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Start of validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Serial number of the leaf, in hexadecimal with colons.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    pub(crate) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::clone(&self.resolver)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.id)
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A certificate's time.
pub(crate) fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moved = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    moved.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
