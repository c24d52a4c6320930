//! The two verifiers: of a server by its client, of a client by its server.
//!
//! Both check the chain at the time of the handshake, then that the leaf names exactly one
//! workload of our trust domain. A client also knows whom it wants to meet; a server takes any
//! workload of the trust domain and leaves the rest to policy.

use std::sync::Arc;

use ambit_model::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use crate::credential::{PeerIdentityError, peer_identity};
use crate::provider::provider;
use crate::trust::Trust;

/// What is wrong with a peer whose chain is good. Travels through rustls as `OtherError`.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WrongPeer {
    #[error(transparent)]
    Identity(#[from] PeerIdentityError),
    #[error("{presented} is not of the trust domain {own}")]
    TrustDomain { presented: SpiffeId, own: String },
    #[error("{presented} is not among the expected identities")]
    Unexpected {
        presented: SpiffeId,
        expected: Arc<[SpiffeId]>,
    },
}

impl From<WrongPeer> for Error {
    fn from(wrong: WrongPeer) -> Self {
        CertificateError::Other(OtherError(Arc::new(wrong))).into()
    }
}

/// Verifies a server on behalf of a client that expects certain identities.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    pub(crate) trust: Trust,
    pub(crate) expected: Arc<[SpiffeId]>,
}

/// Verifies clients on behalf of a server.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    pub(crate) trust: Trust,
}

/// The peer's one identity, if it is of our trust domain.
fn member(trust: &Trust, leaf: &CertificateDer<'_>) -> Result<SpiffeId, WrongPeer> {
    let presented = peer_identity(std::slice::from_ref(leaf))?;
    let own = trust.trust_domain().as_str();
    if presented.trust_domain() != own {
        return Err(WrongPeer::TrustDomain {
            presented,
            own: own.to_owned(),
        });
    }
    Ok(presented)
}

/// An authority of the same name with another key is unknown to us, whatever webpki calls it.
fn by_whom(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::UnknownIssuer.into()
        }
        other => other,
    }
}

/// A signature within a handshake of TLS 1.3, by the mesh's algorithms.
pub(crate) fn tls13_signature(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider().signature_verification_algorithms;
    verify_tls13_signature(message, cert, dss, algorithms)
}

/// The same of TLS 1.2.
pub(crate) fn tls12_signature(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider().signature_verification_algorithms;
    verify_tls12_signature(message, cert, dss, algorithms)
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        // The mesh knows peers by identity; DNS names mean nothing here.
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        let roots = self.trust.roots();
        verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, now, algorithms)
            .map_err(by_whom)?;
        let presented = member(&self.trust, end_entity)?;
        if !self.expected.contains(&presented) {
            let expected = Arc::clone(&self.expected);
            return Err(WrongPeer::Unexpected {
                presented,
                expected,
            }
            .into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.clients().root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let clients = self.trust.clients();
        let verified = clients
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(by_whom)?;
        member(&self.trust, end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.clients().supported_verify_schemes()
    }
}
