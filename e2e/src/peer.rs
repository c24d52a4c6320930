//! A peer of our own making that speaks HBONE without any of the mesh's code: as a client it shows
//! whatever certificate it was given and asks for whatever authority, as a server it plays a pod.
//!
//! [`Waypoint`] plays a waypoint between two agents.
//!
//! It believes every certificate: what is tested is what the *other* side believes. It speaks TLS
//! 1.3 only, as this workspace's rustls does; older versions are openssl's part in the scenarios.

mod waypoint;

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, ServerConfig,
    SignatureScheme, StreamOwned,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use self::waypoint::{Asked, Waypoint};
use crate::forge::Leaf;
use crate::lab::Pod;
use crate::wait::wait_for;

const PATIENCE: Duration = Duration::from_secs(10);
/// Where tunnels arrive.
pub const HBONE: u16 = 15008;

/// What came of asking for a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// TLS or HTTP/2 ended before there was an answer.
    Cut(String),
    /// The status of the CONNECT.
    Answered(u16),
}

/// Asks for a tunnel to `authority` on an open TCP connection.
pub fn ask(tcp: TcpStream, leaf: Option<&Leaf>, authority: &str) -> Result<Outcome> {
    let runtime = runtime()?;
    tcp.set_nonblocking(true)?;
    let asked = async { Ok(tunnel(tcp, leaf, authority, None).await?.status) };
    // The clock belongs to the runtime.
    let asked = runtime.block_on(async { timeout(PATIENCE, Box::pin(asked)).await });
    match asked.context("the peer neither answers nor closes")? {
        Ok(status) => Ok(Outcome::Answered(status)),
        Err::<_, anyhow::Error>(error) => Ok(Outcome::Cut(format!("{error:#}"))),
    }
}

/// Asks for a tunnel on behalf of somebody, as `forwarded` says, and reads what the application
/// says to its end.
pub fn hear(tcp: TcpStream, leaf: &Leaf, authority: &str, forwarded: &str) -> Result<String> {
    let runtime = runtime()?;
    tcp.set_nonblocking(true)?;
    let heard = async {
        let mut tunnel = tunnel(tcp, Some(leaf), authority, Some(forwarded)).await?;
        anyhow::ensure!(tunnel.status == 200, "refused with {}", tunnel.status);
        let mut said = Vec::new();
        while let Some(part) = tunnel.receive.data().await {
            said.extend(part?);
        }
        Ok(String::from_utf8(said)?)
    };
    let heard = runtime.block_on(async { timeout(PATIENCE, Box::pin(heard)).await });
    heard.context("the application does not come to an end")?
}

/// A connection under TLS, as whoever this certificate names; no protocol is agreed on.
pub fn secured(tcp: TcpStream, leaf: &Leaf) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut config = Arc::unwrap_or_clone(client_config(Some(leaf))?);
    config.alpn_protocols.clear();
    let name = ServerName::try_from("ambit.invalid")?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    Ok(StreamOwned::new(connection, tcp))
}

/// An answered CONNECT. The stream is open as long as this is.
struct Tunnel {
    status: u16,
    send: SendStream<Bytes>,
    receive: RecvStream,
}

async fn tunnel(
    tcp: TcpStream,
    leaf: Option<&Leaf>,
    authority: &str,
    forwarded: Option<&str>,
) -> Result<Tunnel> {
    let tcp = tokio::net::TcpStream::from_std(tcp)?;
    let name = ServerName::try_from("ambit.invalid")?;
    let connector = TlsConnector::from(client_config(leaf)?);
    let stream = connector.connect(name, tcp).await?;
    let (mut client, connection) = h2::client::handshake(stream).await?;
    // Ends with its last stream.
    tokio::spawn(connection);
    let mut request = Request::builder().method(Method::CONNECT).uri(authority);
    if let Some(forwarded) = forwarded {
        request = request.header("forwarded", forwarded);
    }
    let (answer, send) = client.send_request(request.body(())?, false)?;
    let answer = answer.await?;
    Ok(Tunnel {
        status: answer.status().as_u16(),
        send,
        receive: answer.into_body(),
    })
}

/// A server on a pod's 15008 that shows a certificate and answers every CONNECT with 200 and then
/// with `greeting`; ends when dropped.
#[derive(Debug)]
pub struct Imposter {
    _runtime: Runtime,
}

impl Imposter {
    /// Listens in the pod.
    pub fn start(pod: &Pod, leaf: &Leaf, greeting: &'static str) -> Result<Self> {
        let config = server_config(leaf)?;
        let runtime = runtime()?;
        let listener = listen(pod, &runtime)?;
        runtime.spawn(async move {
            while let Ok((tcp, _peer)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&config));
                tokio::spawn(async move {
                    // A peer that refuses us is what is expected here.
                    serve(acceptor, tcp, greeting).await.ok();
                });
            }
        });
        Ok(Self { _runtime: runtime })
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    tcp: tokio::net::TcpStream,
    greeting: &'static str,
) -> Result<()> {
    let stream = acceptor.accept(tcp).await?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (_request, mut respond) = request?;
        let response = Response::builder().status(StatusCode::OK).body(())?;
        let mut body = respond.send_response(response, false)?;
        body.send_data(Bytes::from_static(greeting.as_bytes()), true)?;
    }
    Ok(())
}

/// Takes tunnels in the pod.
fn listen(pod: &Pod, runtime: &Runtime) -> Result<tokio::net::TcpListener> {
    let any = std::net::SocketAddr::from(([0_u16; 8], HBONE));
    let bind = || std::net::TcpListener::bind(any);
    // Whoever listened before may be ending just now.
    let what = format!("{HBONE} in {} to be free", pod.name);
    let listener = wait_for(&what, PATIENCE, || pod.namespace().run(bind).ok()?.ok())?;
    listener.set_nonblocking(true)?;
    let _entered = runtime.enter();
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}

fn client_config(leaf: Option<&Leaf>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let believer = Arc::new(Believer(Arc::clone(&provider)));
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(believer);
    let mut config = match leaf {
        Some(leaf) => builder.with_client_auth_cert(vec![leaf.certificate.clone()], leaf.key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.enable_sni = false;
    Ok(Arc::new(config))
}

fn server_config(leaf: &Leaf) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let believer = Arc::new(Believer(Arc::clone(&provider)));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(believer)
        .with_single_cert(vec![leaf.certificate.clone()], leaf.key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Believes every chain; signatures are checked, so that the key at least is there.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            leaf,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            leaf,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Believer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
