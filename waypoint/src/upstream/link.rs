//! A connection to an endpoint: a tunnel to its agent, or TCP if it takes no tunnels, with TLS of our own
//! towards hosts outside of the mesh where that is asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_decide::Reason;
use ambit_model::{Keepalive, OutsideTls, SpiffeId, TunnelProtocol, Workload};
use ambit_tunnel::{
    Ask, DialError, Dialled, Key, OpenError, Pipe, Pool, PoolStats, Settings, forwarded,
};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::either::Either;

use super::keepalive;
use crate::identity::Identity;
use crate::outside::tls::{Credentials, Inner, Originator, Secure};
use crate::request::hops;
use crate::view::Destination;

/// Port on which agents and waypoints take tunnels.
pub(crate) const HBONE_PORT: u16 = 15008;

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
    /// TLS with a host outside of the mesh.
    #[error("no TLS with {to} {cause}")]
    Secure {
        /// The endpoint.
        to: SocketAddr,
        /// Why not.
        cause: Arc<str>,
    },
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
            Self::Secure { .. } => Reason::OutsideTls.word(),
            Self::Unsupported(_) => "unsupported_protocol",
        }
    }
}

/// A connection without a tunnel: as it is, or in TLS of our own.
pub(crate) type Wire = Either<TcpStream, Secure>;

/// A connection to an endpoint: in a tunnel, or without.
pub(crate) type Link = Either<Pipe, BufReader<Wire>>;

/// How a connection without a tunnel is begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begin {
    /// TLS, and what is spoken in it.
    pub(crate) tls: Option<(Arc<OutsideTls>, Inner)>,
    /// How it is probed while it is silent. A tunnel, which is not for one service alone, has PINGs instead.
    pub(crate) keepalive: Option<Keepalive>,
}

/// Makes connections to endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Linker {
    identity: Identity,
    wide: Arc<Pool>,
    narrow: Arc<Pool>,
    settings: Arc<Settings>,
    own_pod: Arc<str>,
    originator: Originator,
}

/// Who the client of a connection is, for the far end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OnBehalf {
    /// Its address, where the connection is its own and no one else's.
    pub(crate) client: Option<SocketAddr>,
    /// How many waypoints that has come through, this one too: the next waypoint is told.
    pub(crate) hops: Option<u32>,
    /// How much of what the endpoint says may wait.
    pub(crate) width: Width,
}

/// How much of an answer an endpoint may send before it is read. HTTP/2 has no window of one stream
/// that could grow while it is used: so there are connections of either kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Width {
    /// As much as makes it fast, over some distance too.
    #[default]
    Wide,
    /// Little: one of many answers on its way to one client.
    Narrow,
}

impl Width {
    /// Of a request that comes while its connection has so many others under way.
    pub(crate) fn beside(others: usize) -> Self {
        match others < WIDE {
            true => Self::Wide,
            false => Self::Narrow,
        }
    }

    /// Window of one stream of HTTP/2.
    pub(crate) fn window(self) -> u32 {
        match self {
            Self::Wide => 256 << 10,
            Self::Narrow => 32 << 10,
        }
    }
}

/// Requests of one connection that are sent the wide way at once.
const WIDE: usize = 32;

/// The numbers of tunnels to endpoints. Clients share them, so that all streams of one fit into its
/// window: however many answers one client leaves unread, those of others go by.
fn settings(width: Width) -> Settings {
    let common = Settings::default();
    let streams = u32::try_from(common.streams_per_connection).unwrap_or(u32::MAX);
    Settings {
        stream_window: width.window(),
        connection_window: streams.saturating_mul(width.window()),
        ..common
    }
}

impl Linker {
    /// Opens as the pod with this uid.
    pub(crate) fn new(identity: Identity, own_pod: &str) -> Self {
        let settings = settings(Width::Wide);
        Self {
            identity,
            wide: Pool::new(settings.clone()),
            narrow: Pool::new(self::settings(Width::Narrow)),
            settings: Arc::new(settings),
            own_pod: own_pod.into(),
            originator: Originator::default(),
        }
    }

    /// The same, which begins TLS with hosts outside of the mesh by this.
    pub(crate) fn beginning(self, originator: Originator) -> Self {
        Self { originator, ..self }
    }

    /// What users give for TLS with hosts outside of the mesh.
    pub(crate) fn credentials(&self) -> &Credentials {
        self.originator.credentials()
    }

    /// Connects to an endpoint.
    pub(crate) async fn link(
        &self,
        to: &Destination,
        by: OnBehalf,
        begin: Begin,
    ) -> Result<Link, LinkError> {
        if let Some(via) = &to.via {
            let expected = Arc::clone(&via.expected);
            return self
                .tunnel(&to.workload, via.to, expected, to.address, by)
                .await;
        }
        let by = OnBehalf { hops: None, ..by };
        match to.workload.protocol {
            TunnelProtocol::Hbone => {
                let far = SocketAddr::new(to.address.ip(), HBONE_PORT);
                let expected = Arc::new([to.workload.identity()]);
                self.tunnel(&to.workload, far, expected, to.address, by)
                    .await
            }
            TunnelProtocol::None => {
                let tcp = self.dial(to.address).await.map_err(LinkError::Plain)?;
                if let Some(given) = begin.keepalive {
                    keepalive::probe(&tcp, given)
                        .map_err(|error| DialError::from_io(to.address, error))
                        .map_err(LinkError::Plain)?;
                }
                let wire = match begin.tls {
                    None => Either::Left(tcp),
                    Some((ask, inner)) => {
                        let begun = self.originator.begin(tcp, to.host.as_deref(), &ask, inner);
                        let failed = |cause: String| LinkError::Secure {
                            to: to.address,
                            cause: cause.into(),
                        };
                        Either::Right(begun.await.map_err(failed)?)
                    }
                };
                Ok(Either::Right(BufReader::new(wire)))
            }
            TunnelProtocol::Unsupported(_) => {
                Err(LinkError::Unsupported(to.workload.uid.as_str().into()))
            }
        }
    }

    /// Opens a tunnel to the far end at `far`, which is asked for `authority`.
    async fn tunnel(
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
        let mut headers = vec![(hops::SOURCE.0, hops::SOURCE.1.to_owned())];
        if let Some(client) = by.client {
            headers.push(("forwarded", forwarded::of(client)));
        }
        if let Some(hops) = by.hops {
            headers.push((hops::NAME, hops.to_string()));
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
        let tunnels = match by.width {
            Width::Wide => &self.wide,
            Width::Narrow => &self.narrow,
        };
        let opened = tunnels.open(&key, dial, &ask).await;
        let opened = opened.map_err(|cause| LinkError::Tunnel {
            to: authority,
            cause,
        })?;
        Ok(Either::Left(Pipe::new(opened.stream)))
    }

    /// How many tunnels there are, and have been.
    pub(crate) fn stats(&self) -> PoolStats {
        let (wide, narrow) = (self.wide.stats(), self.narrow.stats());
        PoolStats {
            keys: wide.keys.max(narrow.keys),
            connections: wide.connections + narrow.connections,
            streams: wide.streams + narrow.streams,
            handshakes: wide.handshakes + narrow.handshakes,
            failures: wide.failures + narrow.failures,
            reused: wide.reused + narrow.reused,
            retried: wide.retried + narrow.retried,
        }
    }

    /// Lets go of the tunnels to pods that are gone, by their uids.
    pub(crate) fn purge(&self, is_gone: impl Fn(&str) -> bool) {
        for tunnels in [&self.wide, &self.narrow] {
            tunnels.purge(|key| is_gone(&key.destination_pod));
        }
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

#[cfg(test)]
mod tests;
