//! TLS between the relays: 1.3, AES-128-GCM alone, a handshake for every connection.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::{ClientConfig, ConnectionCommon, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name in the certificate.
const NAME: &str = "relay";
const CERTIFICATE: &str = "relay.crt";
const KEY: &str = "relay.key";
/// Encrypted bytes that may wait for the socket: what one write system call can take.
const UNSENT: usize = 256 * 1024;

/// Puts a new self-signed certificate (P-256) and its key into `dir`.
pub fn write_certificate(dir: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])
        .context("making the relay's certificate")?;
    let (certificate, key) = (dir.join(CERTIFICATE), dir.join(KEY));
    fs::write(&certificate, made.cert.der())
        .and_then(|()| fs::write(&key, made.signing_key.serialize_der()))
        .with_context(|| format!("writing the relay's certificate into {}", dir.display()))
}

/// What the client's side dials with.
pub(super) fn connector(dir: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate(dir)?)
        .context("taking the relay's certificate")?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What the server's side accepts with.
pub(super) fn acceptor(dir: &Path) -> Result<TlsAcceptor> {
    let key = fs::read(dir.join(KEY)).context("reading the relay's key")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate(dir)?], key)
        .context("using the relay's certificate")?;
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The name that the client's side expects.
pub(super) fn name() -> Result<ServerName<'static>, rustls_pki_types::InvalidDnsNameError> {
    ServerName::try_from(NAME)
}

/// Lets a connection hold as much unsent as one system call takes.
pub(super) fn enlarge<T>(connection: &mut ConnectionCommon<T>) {
    connection.set_buffer_limit(Some(UNSENT));
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}

fn certificate(dir: &Path) -> Result<CertificateDer<'static>> {
    let der = fs::read(dir.join(CERTIFICATE)).context("reading the relay's certificate")?;
    Ok(CertificateDer::from(der))
}
