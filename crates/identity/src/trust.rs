//! Whom a workload believes: the roots of its trust domain.

use std::fmt;
use std::sync::Arc;

use ambit_model::TrustDomain;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::provider::provider;

/// Why a trust bundle cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TrustError {
    /// Nothing to trust: every handshake would fail.
    #[error("the trust bundle of {0} holds no root")]
    NoRoots(TrustDomain),
    /// One of the roots is broken; `index` counts from 0.
    #[error("root {index} of the trust bundle of {trust_domain} cannot be read: {cause}")]
    Root {
        /// Whose bundle.
        trust_domain: TrustDomain,
        /// Which root.
        index: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// rustls does not take the bundle.
    #[error("the trust bundle of {0} cannot be used: {1}")]
    Verifier(TrustDomain, String),
}

/// The roots of a trust domain. Several of them overlap while one takes over from another.
///
/// Cheap to clone; the verifiers are built once, here, and shared by all configurations.
#[derive(Clone)]
pub struct Trust {
    trust_domain: TrustDomain,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    /// Reads the roots (DER). All of them must be readable: a bundle that is half understood
    /// would refuse good peers without saying why.
    pub fn new(trust_domain: TrustDomain, roots_der: &[Vec<u8>]) -> Result<Self, TrustError> {
        if roots_der.is_empty() {
            return Err(TrustError::NoRoots(trust_domain));
        }
        let mut roots = RootCertStore::empty();
        for (index, der) in roots_der.iter().enumerate() {
            roots
                .add(CertificateDer::from(der.as_slice()).into_owned())
                .map_err(|error| TrustError::Root {
                    trust_domain: trust_domain.clone(),
                    index,
                    cause: error.to_string(),
                })?;
        }
        let roots = Arc::new(roots);
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider()));
        // Hints would tell anybody who connects what our roots are called, and help nobody.
        let clients = builder
            .clear_root_hint_subjects()
            .build()
            .map_err(|error| TrustError::Verifier(trust_domain.clone(), error.to_string()))?;
        Ok(Self {
            trust_domain,
            roots,
            clients,
        })
    }

    /// The trust domain that these roots speak for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// How many roots are believed.
    pub fn root_count(&self) -> usize {
        self.roots.len()
    }

    pub(crate) fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    pub(crate) fn clients(&self) -> &dyn ClientCertVerifier {
        self.clients.as_ref()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("trust_domain", &self.trust_domain)
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
