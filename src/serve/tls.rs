//! The control plane's ports for others than scrapers: TLS 1.3 with a certificate that the mesh's own root signed.
//!
//! Tasks: "tls accept", one for each port, and "tls handshake", one per connection until it is handed on; both
//! end with the stop token. The accept loop survives a lack of descriptors, handshakes are bounded
//! in time and connections in number, so that strangers cannot use up what agents need.

mod probation;

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use self::probation::Probation;
use super::metrics::{Counted, Metrics};
use super::sources::{Share, Sources};
use crate::ca::{Authority, LeafError};

pub(crate) use self::probation::Admitted;

/// Handshakes under way at once.
const MAX_HANDSHAKES: usize = 256;
/// What one source address may have of a port's connections: a part, so that no stranger has them
/// all, and many, because agents may come through an address translation.
const PART_OF_ONE: usize = 4;
/// Handshakes of one source address.
const HANDSHAKES_OF_ONE: usize = MAX_HANDSHAKES / PART_OF_ONE;
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How often a certificate that could not be made is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Connections between handshake and service.
const ACCEPTED: usize = 64;

/// What a port is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    /// The protocol, as clients have to offer it.
    protocol: &'static str,
    /// How long a connection may be there without a call that is let in; none where calls are
    /// bounded otherwise.
    probation: Option<Duration>,
    /// Connections at once.
    connections: usize,
}

impl Port {
    /// The services: one or two connections per agent, and some for strangers until they are shown
    /// out.
    pub(crate) const SERVICES: Self = Self {
        protocol: "h2",
        // An agent connects when it has a call to make.
        probation: Some(Duration::from_secs(15)),
        connections: 8192,
    };
    /// The webhook: an API server opens one for each review that is under way.
    pub(crate) const WEBHOOK: Self = Self {
        protocol: "http/1.1",
        probation: None,
        connections: 512,
    };
}

/// Why the port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate.
    #[error("the control plane's own certificate could not be made: {0}")]
    Certificate(#[from] LeafError),
    /// No TLS.
    #[error("TLS could not be set up: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The certificate of the port, renewed by itself.
#[derive(Debug)]
pub(crate) struct OwnCertificate {
    authority: Arc<Authority>,
    dns_names: Vec<String>,
    current: ArcSwap<CertifiedKey>,
}

impl OwnCertificate {
    /// Makes the first one.
    pub(crate) fn make(
        authority: Arc<Authority>,
        dns_names: Vec<String>,
    ) -> Result<(Arc<Self>, SystemTime), TlsError> {
        let (key, renew_at) = certified_key(&authority, &dns_names)?;
        let current = ArcSwap::from_pointee(key);
        Ok((
            Arc::new(Self {
                authority,
                dns_names,
                current,
            }),
            renew_at,
        ))
    }

    /// Makes a new one at half life, and whenever the roots change.
    pub(crate) async fn renew(&self, mut renew_at: SystemTime, stop: CancellationToken) {
        let mut bundles = self.authority.bundle();
        bundles.mark_unchanged();
        loop {
            let wait = renew_at.duration_since(clock::wall()).unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = bundles.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            match certified_key(&self.authority, &self.dns_names) {
                Ok((key, next)) => {
                    self.current.store(Arc::new(key));
                    renew_at = next;
                }
                Err(error) => {
                    tracing::error!(%error, "the port keeps its old certificate for now");
                    renew_at = clock::wall() + RETRY;
                }
            }
        }
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified_key(
    authority: &Authority,
    dns_names: &[String],
) -> Result<(CertifiedKey, SystemTime), TlsError> {
    let now = clock::wall();
    let made = authority.server_certificate(dns_names, now)?;
    let half_life = made.not_after.duration_since(now).unwrap_or_default() / 2;
    let key = CertifiedKey::from_der(made.chain, made.key, &aws_lc_rs::default_provider())?;
    Ok((key, now + half_life))
}

/// Accepts connections of a port and hands on those whose handshake is over.
pub(crate) fn accept(
    listener: TcpListener,
    port: Port,
    certificate: Arc<OwnCertificate>,
    metrics: Metrics,
    tasks: &Tasks,
) -> Result<mpsc::Receiver<io::Result<Accepted>>, TlsError> {
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
    config.alpn_protocols = vec![port.protocol.into()];
    let (sender, receiver) = mpsc::channel(ACCEPTED);
    let loop_ = AcceptLoop {
        listener,
        acceptor: TlsAcceptor::from(Arc::new(config)),
        metrics,
        tasks: tasks.clone(),
        connections: Arc::new(Semaphore::new(port.connections)),
        connections_by_source: Sources::new(port.connections / PART_OF_ONE),
        handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
        handshakes_by_source: Sources::new(HANDSHAKES_OF_ONE),
        probation: port.probation,
        sender,
    };
    let stop = tasks.token();
    tasks.spawn("tls accept", async move {
        tokio::select! {
            () = loop_.run() => {}
            () = stop.cancelled() => {}
        }
    });
    Ok(receiver)
}

/// Room of the port, and of it a part of its source's share.
type Held = (OwnedSemaphorePermit, Share);

struct AcceptLoop {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    metrics: Metrics,
    tasks: Tasks,
    connections: Arc<Semaphore>,
    connections_by_source: Sources,
    handshakes: Arc<Semaphore>,
    handshakes_by_source: Sources,
    probation: Option<Duration>,
    sender: mpsc::Sender<io::Result<Accepted>>,
}

impl AcceptLoop {
    async fn run(self) {
        loop {
            let Ok(handshake) = Arc::clone(&self.handshakes).acquire_owned().await else {
                return;
            };
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((tcp, peer)) => {
                    tracing::debug!(%peer, "accepted a connection");
                    let place = self
                        .connections_by_source
                        .take(peer.ip())
                        .map(|s| (place, s));
                    let handshake = self
                        .handshakes_by_source
                        .take(peer.ip())
                        .map(|s| (handshake, s));
                    match (place, handshake) {
                        (Some(place), Some(handshake)) => self.shake_hands(tcp, place, handshake),
                        // Closed at once: the source has its share of what there is.
                        _ => {
                            self.metrics.refused_connections.inc();
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn shake_hands(&self, tcp: TcpStream, place: Held, handshake: Held) {
        let (acceptor, sender) = (self.acceptor.clone(), self.sender.clone());
        let (metrics, stop) = (self.metrics.clone(), self.tasks.token());
        let probation = self.probation;
        self.tasks.spawn("tls handshake", async move {
            let accepted = tokio::select! {
                accepted = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)) => accepted,
                () = stop.cancelled() => return,
            };
            drop(handshake);
            let tls = match accepted {
                Ok(Ok(tls)) => tls,
                Ok(Err(error)) => {
                    metrics.failed_handshakes.inc();
                    return tracing::debug!(%error, "a TLS handshake failed");
                }
                Err(_elapsed) => {
                    metrics.failed_handshakes.inc();
                    return tracing::debug!("a TLS handshake took too long");
                }
            };
            // Small messages that wait for answers: no use in holding them back. Without the
            // option it is slower, not wrong.
            drop(tls.get_ref().0.set_nodelay(true));
            let counted = Counted::one(&metrics.connections);
            // The service is gone only when the program stops.
            drop(
                sender
                    .send(Ok(Accepted {
                        tls: Probation::new(tls, probation),
                        place,
                        _counted: counted,
                    }))
                    .await,
            );
        });
    }
}

/// A connection whose handshake is over, with its place among the others.
#[derive(Debug)]
pub(crate) struct Accepted {
    tls: Probation<TlsStream<TcpStream>>,
    place: Held,
    _counted: Counted,
}

/// Where a connection comes from, and how to tell that a call of it has been let in.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The address, as far as shares are counted by it.
    pub(crate) source: IpAddr,
    /// Ends the connection's probation.
    pub(crate) admitted: Admitted,
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let (_, share) = &self.place;
        Peer {
            source: share.source(),
            admitted: self.tls.admitted(),
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}
