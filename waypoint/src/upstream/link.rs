//! A connection to an endpoint: a tunnel to its agent, or plain TCP if it takes no tunnels.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_model::{SpiffeId, TunnelProtocol, Workload};
use ambit_tunnel::{Ask, DialError, Dialled, Key, OpenError, Pipe, Pool, Settings};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::identity::Identity;
use crate::view::Destination;

/// Port on which agents and waypoints take tunnels.
const HBONE_PORT: u16 = 15008;

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The tunnel.
    #[error("no tunnel to {to}: {cause}")]
    Tunnel {
        /// The endpoint.
        to: SocketAddr,
        /// Why not.
        cause: OpenError,
    },
    /// Plain TCP.
    #[error(transparent)]
    Plain(DialError),
    /// It asks to be reached in a way that this version does not know.
    #[error("{0} asks for a tunnel protocol that is not known")]
    Unsupported(Arc<str>),
}

impl LinkError {
    /// The reason word of logs and metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Tunnel { cause, .. } => cause.word(),
            Self::Plain(error) => error.word(),
            Self::Unsupported(_) => "unsupported_protocol",
        }
    }
}

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) enum Link {
    /// In a tunnel.
    Tunnel(Pipe),
    /// In plaintext.
    Plain(BufReader<TcpStream>),
}

/// Makes connections to endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Linker {
    identity: Identity,
    tunnels: Arc<Pool>,
    settings: Arc<Settings>,
    own_pod: Arc<str>,
}

/// Who the client of a connection is, for the far end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OnBehalf {
    /// Its address, where the connection is its own and no one else's.
    pub(crate) client: Option<SocketAddr>,
}

impl Linker {
    /// Opens as the pod with this uid.
    pub(crate) fn new(identity: Identity, own_pod: &str, settings: Settings) -> Self {
        Self {
            identity,
            tunnels: Pool::new(settings.clone()),
            settings: Arc::new(settings),
            own_pod: own_pod.into(),
        }
    }

    /// Connects to an endpoint.
    pub(crate) async fn link(&self, to: &Destination, by: OnBehalf) -> Result<Link, LinkError> {
        match to.workload.protocol {
            TunnelProtocol::Hbone => {
                let far = SocketAddr::new(to.address.ip(), HBONE_PORT);
                let expected = Arc::new([to.workload.identity()]);
                self.tunnel(&to.workload, far, expected, to.address, by)
                    .await
            }
            TunnelProtocol::None => {
                let tcp = self.dial(to.address).await.map_err(LinkError::Plain)?;
                Ok(Link::Plain(BufReader::new(tcp)))
            }
            TunnelProtocol::Unsupported(_) => {
                Err(LinkError::Unsupported(to.workload.uid.as_str().into()))
            }
        }
    }

    /// Opens a tunnel to the far end at `far`, which is asked for `authority`.
    pub(crate) async fn tunnel(
        &self,
        workload: &Workload,
        far: SocketAddr,
        expected: Arc<[SpiffeId]>,
        authority: SocketAddr,
        by: OnBehalf,
    ) -> Result<Link, LinkError> {
        let destination_pod = workload.pod_uid.clone();
        let key = Key {
            source_pod: Arc::clone(&self.own_pod),
            destination_pod: destination_pod.unwrap_or_else(|| workload.uid.as_str().into()),
            to: far,
            expected,
        };
        let mut headers = vec![("x-istio-source", "waypoint".to_owned())];
        if let Some(client) = by.client {
            headers.push(("forwarded", format!("for=\"{client}\"")));
        }
        let ask = Ask {
            authority: authority.to_string(),
            headers,
        };
        let dial = || async {
            let papers = self.identity.papers();
            let (credential, trust) = papers.ok_or_else(|| {
                DialError::NoCertificate("the waypoint has no certificate yet".to_owned())
            })?;
            let tcp = self.dial(far).await?;
            Ok(Dialled {
                tcp,
                credential,
                trust,
            })
        };
        let opened = self.tunnels.open(&key, dial, &ask).await;
        let opened = opened.map_err(|cause| LinkError::Tunnel {
            to: authority,
            cause,
        })?;
        Ok(Link::Tunnel(Pipe::new(opened.stream)))
    }

    /// Lets go of the tunnels to pods that are gone, by their uids.
    pub(crate) fn purge(&self, is_gone: impl Fn(&str) -> bool) {
        self.tunnels.purge(|key| is_gone(&key.destination_pod));
    }

    async fn dial(&self, to: SocketAddr) -> Result<TcpStream, DialError> {
        let connecting = timeout(self.settings.connect_timeout, TcpStream::connect(to));
        let tcp = connecting
            .await
            .map_err(|_elapsed| DialError::Timeout(to))?
            .map_err(|error| DialError::from_io(to, error))?;
        tcp.set_nodelay(true)
            .map_err(|error| DialError::from_io(to, error))?;
        Ok(tcp)
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tunnel(pipe) => Pin::new(pipe).poll_read(cx, buffer),
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
        }
    }
}

impl AsyncBufRead for Link {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        match self.get_mut() {
            Self::Tunnel(pipe) => Pin::new(pipe).poll_fill_buf(cx),
            Self::Plain(tcp) => Pin::new(tcp).poll_fill_buf(cx),
        }
    }

    fn consume(self: Pin<&mut Self>, used: usize) {
        match self.get_mut() {
            Self::Tunnel(pipe) => Pin::new(pipe).consume(used),
            Self::Plain(tcp) => Pin::new(tcp).consume(used),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tunnel(pipe) => Pin::new(pipe).poll_write(cx, bytes),
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tunnel(pipe) => Pin::new(pipe).poll_write_vectored(cx, parts),
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tunnel(pipe) => Pin::new(pipe).poll_flush(cx),
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tunnel(pipe) => Pin::new(pipe).poll_shutdown(cx),
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
        }
    }
}
