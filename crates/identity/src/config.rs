//! rustls configurations for the two ends of a tunnel.
//!
//! Keys, roots and provider are parsed once, in [`Credential`] and [`Trust`]; a configuration
//! only joins them, so that one per connection costs next to nothing.

use std::sync::Arc;

use ambit_model::SpiffeId;
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::credential::Credential;
use crate::failure::HandshakeFailure;
use crate::provider::provider;
use crate::trust::Trust;
use crate::verify::{ClientVerifier, ServerVerifier};

/// RFC 9113 section 3.2: HTTP/2 over TLS.
const ALPN_H2: &[u8] = b"h2";

/// rustls does not take a configuration.
#[derive(Clone, Debug, thiserror::Error)]
#[error("no TLS configuration for {id}: {cause}")]
pub struct TlsError {
    /// Whose configuration.
    pub id: SpiffeId,
    /// What rustls says.
    pub cause: String,
}

impl TlsError {
    fn of(credential: &Credential, cause: &rustls::Error) -> Self {
        Self {
            id: credential.id().clone(),
            cause: cause.to_string(),
        }
    }
}

/// A configuration to open tunnels with: the far end must have one of the `expected` identities.
pub fn client_config(
    credential: &Credential,
    trust: &Trust,
    expected: Arc<[SpiffeId]>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = ServerVerifier {
        trust: trust.clone(),
        expected,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::of(credential, &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(credential.resolver());
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A configuration to accept tunnels with: any workload of the trust domain may come.
pub fn server_config(
    credential: &Credential,
    trust: &Trust,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = ClientVerifier {
        trust: trust.clone(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::of(credential, &error))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(credential.resolver());
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Checks the protocol that a finished handshake has agreed on.
///
/// rustls refuses a peer that offers only other protocols, but lets one pass that offers none;
/// for us both are strangers.
pub fn confirm_alpn(agreed: Option<&[u8]>) -> Result<(), HandshakeFailure> {
    if agreed == Some(ALPN_H2) {
        Ok(())
    } else {
        Err(HandshakeFailure::Alpn)
    }
}

#[cfg(test)]
mod tests;
