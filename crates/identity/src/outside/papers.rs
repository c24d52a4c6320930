//! What a user gives for TLS with servers outside of the mesh, checked: authorities, a certificate and its key.
//!
//! It is checked where it comes from and again where it is used. The key never leaves it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ambit_model::{CredentialUse, OutsideCredential};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::OutsideRoots;
use crate::credential::system_time;
use crate::provider::provider;

/// Why it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PapersError {
    /// There is nothing.
    #[error("it has neither a certificate nor authorities")]
    Empty,
    /// There is too much.
    #[error("it is longer than 256 KiB")]
    Long,
    /// The certificate.
    #[error("its certificate cannot be read")]
    Certificate,
    /// The key.
    #[error("its private key is missing or cannot be read")]
    Key,
    /// A certificate is missing for the key.
    #[error("it has a private key without a certificate")]
    NoCertificate,
    /// Key and certificate.
    #[error("its private key does not belong to its certificate")]
    Mismatch,
    /// The authorities.
    #[error("its authorities cannot be read")]
    Roots,
    /// Its time is over.
    #[error("its certificate has expired")]
    Expired,
    /// Its time has not begun.
    #[error("its certificate is not valid yet")]
    NotYet,
    /// A part that is asked for.
    #[error("it has no certificate and key (tls.crt, tls.key)")]
    Unproved,
    /// A part that is asked for.
    #[error("it has no authorities (ca.crt)")]
    Unrooted,
}

/// What a user gives. Cheap to clone.
#[derive(Clone)]
pub struct OutsidePapers {
    own: Option<Own>,
    roots: Option<OutsideRoots>,
}

#[derive(Clone)]
struct Own {
    resolver: Arc<SingleCertAndKey>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl OutsidePapers {
    /// Most text that there may be, of all parts together: room for all authorities that browsers believe.
    pub const LONGEST: usize = 256 << 10;

    /// Checks what is given. The time is not looked at.
    pub fn read(given: &OutsideCredential) -> Result<Self, PapersError> {
        let OutsideCredential { chain, key, roots } = given;
        if chain.len() + key.len() + roots.len() > Self::LONGEST {
            return Err(PapersError::Long);
        }
        let own = match (chain.is_empty(), key.is_empty()) {
            (true, true) => None,
            (true, false) => return Err(PapersError::NoCertificate),
            (false, _) => Some(Own::read(chain, key)?),
        };
        let roots = match roots.is_empty() {
            true => None,
            false => {
                let nobody = OutsideRoots::only(&[]);
                let read = nobody.and_pem(roots.as_bytes());
                Some(read.ok_or(PapersError::Roots)?)
            }
        };
        if own.is_none() && roots.is_none() {
            return Err(PapersError::Empty);
        }
        Ok(Self { own, roots })
    }

    /// Whether they will do for somebody who asks for them so, at this time. Without verification no authority
    /// is needed.
    pub fn will_do(
        &self,
        asked: &CredentialUse,
        unverified: bool,
        now: SystemTime,
    ) -> Result<(), PapersError> {
        if self.roots.is_none() && !unverified {
            return Err(PapersError::Unrooted);
        }
        if !asked.certificate {
            return Ok(());
        }
        self.own.as_ref().ok_or(PapersError::Unproved)?;
        self.is_valid(now)
    }

    /// Whether the certificate is valid at this time, if there is one.
    pub fn is_valid(&self, now: SystemTime) -> Result<(), PapersError> {
        match &self.own {
            Some(own) if now > own.not_after => Err(PapersError::Expired),
            Some(own) if now < own.not_before => Err(PapersError::NotYet),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn roots(&self) -> Option<&OutsideRoots> {
        self.roots.as_ref()
    }

    pub(super) fn shown(&self) -> Option<Arc<SingleCertAndKey>> {
        Some(Arc::clone(&self.own.as_ref()?.resolver))
    }
}

impl fmt::Debug for OutsidePapers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not_after = self.own.as_ref().map(|own| own.not_after);
        f.debug_struct("OutsidePapers")
            .field("not_after", &not_after)
            .field("has_roots", &self.roots.is_some())
            .finish_non_exhaustive()
    }
}

impl Own {
    fn read(chain: &str, key: &str) -> Result<Self, PapersError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let chain = chain.map_err(|_unreadable| PapersError::Certificate)?;
        let leaf = chain.first().ok_or(PapersError::Certificate)?;
        let (_, parsed) =
            X509Certificate::from_der(leaf).map_err(|_unreadable| PapersError::Certificate)?;
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before, validity.not_after);
        let (not_before, not_after) = (system_time(not_before), system_time(not_after));
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
        let key = key.map_err(|_unreadable| PapersError::Key)?;
        let certified = CertifiedKey::from_der(chain, key, provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => PapersError::Mismatch,
            _ => PapersError::Key,
        })?;
        Ok(Self {
            resolver: Arc::new(SingleCertAndKey::from(certified)),
            not_before,
            not_after,
        })
    }
}

#[cfg(test)]
mod tests;
