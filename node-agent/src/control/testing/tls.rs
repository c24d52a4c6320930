//! A certificate authority, and TLS connections that tonic serves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, IsCa,
    Issuer, KeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::NAME;

/// A certificate authority.
pub(crate) struct Ca {
    /// Signs.
    pub(crate) issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) root: Certificate,
}

impl Ca {
    /// With a key of its own.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    /// Its root certificate, DER.
    pub(crate) fn root(&self) -> Vec<u8> {
        self.root.der().to_vec()
    }

    /// Signs a request as it is, but for its time.
    pub(crate) fn sign(&self, csr: &str, life: Duration) -> Certificate {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        let now = ambit_kit::clock::wall();
        request.params.not_before = (now - Duration::from_secs(1)).into();
        request.params.not_after = (now + life).into();
        request.signed_by(&self.issuer).unwrap()
    }
}

/// A root (PEM) and a server of it under the usual name.
pub(crate) fn server_tls() -> (String, Arc<rustls::ServerConfig>) {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca.issuer).unwrap();
    let provider = Arc::clone(ambit_identity::provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (ca.root.pem(), Arc::new(config))
}

/// A TLS stream that tonic accepts, and that breaks when its control plane stops.
pub(crate) struct Wire(
    pub(crate) TlsStream<TcpStream>,
    pub(crate) Pin<Box<WaitForCancellationFutureOwned>>,
);

impl Connected for Wire {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let wire = self.get_mut();
        if wire.1.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut wire.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
