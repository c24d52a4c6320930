//! TLS with servers outside of the mesh, as anybody speaks it: public authorities, names of hosts, TLS
//! 1.2 too. Nothing of the mesh's trust holds for them, and they learn no identity of it.
//!
//! Sessions are not resumed: each connection is verified by what is believed when it is made.
//!
//! A user may say by whom servers are to be verified, and what is to be shown to them: `outside/papers.rs`.

mod papers;

use std::io;
use std::path::Path;
use std::sync::Arc;

use ambit_model::OutsideTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

pub use self::papers::{OutsidePapers, PapersError};
use crate::provider::provider;
use crate::verify::{tls12_signature, tls13_signature};

/// Authorities that are believed about servers outside of the mesh.
#[derive(Clone, Debug)]
pub struct OutsideRoots(Arc<RootCertStore>);

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum OutsideRootsError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    File(String, io::Error),
    /// It has no certificate that can be used.
    #[error("{0} has no certificate that can be used")]
    Empty(String),
}

impl OutsideRoots {
    /// Those of the system (or of `SSL_CERT_FILE`). There may be none: then no server is believed.
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!(
                "the system has no authorities: TLS with hosts outside of the mesh will fail"
            );
        }
        tracing::debug!(added, ignored, "authorities of the system");
        Self(Arc::new(roots))
    }

    /// These too, of a file of PEM. All of them must be readable.
    pub fn and_file(self, path: &Path) -> Result<Self, OutsideRootsError> {
        let name = || path.display().to_string();
        let text = std::fs::read(path).map_err(|error| OutsideRootsError::File(name(), error))?;
        let roots = self.and_pem(&text);
        roots.ok_or_else(|| OutsideRootsError::Empty(name()))
    }

    /// These too, of PEM; `None` if there is none, or one of them cannot be used.
    fn and_pem(self, text: &[u8]) -> Option<Self> {
        let mut roots = Arc::unwrap_or_clone(self.0);
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(text) {
            roots.add(certificate.ok()?).ok()?;
        }
        (roots.len() > before).then(|| Self(Arc::new(roots)))
    }

    /// These alone (DER); what cannot be read is left out.
    pub fn only(roots_der: &[Vec<u8>]) -> Self {
        let mut roots = RootCertStore::empty();
        let given = roots_der.iter().cloned().map(CertificateDer::from);
        roots.add_parsable_certificates(given);
        Self(Arc::new(roots))
    }
}

/// What TLS with a server is spoken by.
#[derive(Clone, Copy, Debug)]
pub enum Means<'a> {
    /// Servers are believed by these authorities, and shown nothing.
    Roots(&'a OutsideRoots),
    /// Servers are believed by the authorities of a user's papers and no others, and shown the certificate
    /// of these if that is asked for.
    Papers(&'a OutsidePapers),
}

/// A configuration to speak TLS with, of servers that are asked for so, by protocols of ALPN.
pub fn config(
    means: Means<'_>,
    ask: &OutsideTls,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, Error> {
    let (roots, papers) = match means {
        Means::Roots(roots) => (Some(roots), None),
        Means::Papers(papers) => (papers.roots(), Some(papers)),
    };
    let nobody = || OutsideRoots::only(&[]);
    let roots = roots.cloned().unwrap_or_else(nobody);
    let verifier = Verifier {
        roots: roots.0,
        names: ask.names.iter().map(|name| Name::of(name)).collect(),
        unverified: ask.unverified,
    };
    let builder = ClientConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let is_shown = ask
        .credential
        .as_ref()
        .is_some_and(|asked| asked.certificate);
    let shown = papers.filter(|_| is_shown).and_then(OutsidePapers::shown);
    let mut config = match shown {
        Some(shown) => builder.with_client_cert_resolver(shown),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The server name to ask for; `None` if the text is neither a host name nor an address.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    ServerName::try_from(host).ok()
}

/// What went wrong in a handshake, for whoever wrote the rule.
pub fn told(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let Some(inner) = inner else {
        return error.to_string();
    };
    match inner {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by no authority that is known here".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired".to_owned(),
        Error::NoApplicationProtocol => {
            "it does not speak the version of HTTP that is asked for".to_owned()
        }
        Error::AlertReceived(alert) => format!("it ends the handshake with the alert {alert:?}"),
        other => other.to_string(),
    }
}

/// The mesh's provider, with the suites of TLS 1.2 that keep secrets when a key gets lost.
fn crypto() -> Arc<CryptoProvider> {
    let mesh = provider();
    let mut suites = mesh.cipher_suites.clone();
    suites.extend([
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]);
    let mut groups = mesh.kx_groups.clone();
    groups.push(rustls::crypto::aws_lc_rs::kx_group::SECP384R1);
    Arc::new(CryptoProvider {
        cipher_suites: suites,
        kx_groups: groups,
        ..CryptoProvider::clone(mesh)
    })
}

/// A name that a certificate may have.
#[derive(Debug)]
enum Name {
    /// A host or address.
    Server(ServerName<'static>),
    /// Anything else is a URI, or is had by no certificate.
    Uri(String),
}

impl Name {
    fn of(text: &str) -> Self {
        server_name(text).map_or_else(|| Self::Uri(text.to_owned()), Self::Server)
    }

    fn is_in(&self, leaf: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>) -> bool {
        match self {
            Self::Server(name) => verify_server_name(parsed, name).is_ok(),
            Self::Uri(uri) => webpki::EndEntityCert::try_from(leaf)
                .is_ok_and(|leaf| leaf.valid_uri_names().any(|name| name == uri)),
        }
    }
}

/// Verifies servers outside of the mesh.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    names: Vec<Name>,
    unverified: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.unverified {
            return Ok(ServerCertVerified::assertion());
        }
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &leaf,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        if self.names.is_empty() {
            verify_server_name(&leaf, server_name)?;
        } else if !self.names.iter().any(|name| name.is_in(end_entity, &leaf)) {
            return Err(CertificateError::NotValidForName.into());
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
        let algorithms = &provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
