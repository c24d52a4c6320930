//! A waypoint between two agents, as far as TCP goes: it takes tunnels in a pod of its own, and
//! opens one to a pod's agent for each stream, on behalf of whoever the source agent names. It
//! judges nobody, and it notes what it was asked for.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::{HBONE, Tunnel, listen, runtime, server_config, tunnel};
use crate::clients::connect;
use crate::forge::Leaf;
use crate::lab::Pod;

/// A stream that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who connected.
    pub from: IpAddr,
    /// Where it wants to go.
    pub authority: String,
    /// The `forwarded` header.
    pub forwarded: String,
}

/// A waypoint in a pod; ends when dropped, with all its streams.
#[derive(Debug)]
pub struct Waypoint {
    asked: Arc<Mutex<Vec<Asked>>>,
    _runtime: Runtime,
}

/// What every stream needs.
struct Place {
    pod: Arc<Pod>,
    leaf: Leaf,
    server: IpAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Waypoint {
    /// Listens in `pod` with this certificate, and sends every stream on to the agent of the pod
    /// at `server`.
    pub fn start(pod: &Arc<Pod>, leaf: Leaf, server: IpAddr) -> Result<Self> {
        let config = server_config(&leaf)?;
        let runtime = runtime()?;
        let listener = listen(pod, &runtime)?;
        let asked = Arc::default();
        let place = Arc::new(Place {
            pod: Arc::clone(pod),
            leaf,
            server,
            asked: Arc::clone(&asked),
        });
        runtime.spawn(async move {
            while let Ok((tcp, peer)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&config));
                // What goes wrong in a tunnel is the client's to notice.
                tokio::spawn(serve(Arc::clone(&place), acceptor, tcp, peer));
            }
        });
        Ok(Self {
            asked,
            _runtime: runtime,
        })
    }

    /// What it was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Place {
    fn note(&self, asked: Asked) {
        let all = self.asked.lock();
        all.unwrap_or_else(PoisonError::into_inner).push(asked);
    }
}

async fn serve(
    place: Arc<Place>,
    acceptor: TlsAcceptor,
    tcp: tokio::net::TcpStream,
    peer: SocketAddr,
) -> Result<()> {
    let stream = acceptor.accept(tcp).await?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let from = peer.ip().to_canonical();
        tokio::spawn(pass_on(Arc::clone(&place), request, respond, from));
    }
    Ok(())
}

/// One stream: noted, opened at the server's agent, carried both ways.
async fn pass_on(
    place: Arc<Place>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    from: IpAddr,
) -> Result<()> {
    let authority = request.uri().authority().context("no authority")?.clone();
    let header = request.headers().get("forwarded");
    let forwarded = header.map_or("", |value| value.to_str().unwrap_or("?"));
    let asked = Asked {
        from,
        authority: authority.to_string(),
        forwarded: forwarded.to_owned(),
    };
    place.note(asked.clone());
    let port = authority.port_u16().context("no port")?;
    let far = reach(Arc::clone(&place), port, asked.forwarded).await?;
    let status = StatusCode::from_u16(far.status)?;
    let refused = status != StatusCode::OK;
    let answer = Response::builder().status(status).body(())?;
    let back = respond.send_response(answer, refused)?;
    if !refused {
        tokio::try_join!(pump(request.into_body(), far.send), pump(far.receive, back))?;
    }
    Ok(())
}

async fn reach(place: Arc<Place>, port: u16, forwarded: String) -> Result<Tunnel> {
    let dialler = Arc::clone(&place);
    let agent = SocketAddr::new(place.server, HBONE);
    let dial = move || connect(dialler.pod.namespace(), agent);
    let tcp = tokio::task::spawn_blocking(dial).await??;
    tcp.set_nonblocking(true)?;
    let authority = SocketAddr::new(place.server, port).to_string();
    tunnel(tcp, Some(&place.leaf), &authority, Some(&forwarded)).await
}

async fn pump(mut from: RecvStream, mut to: SendStream<Bytes>) -> Result<()> {
    while let Some(part) = from.data().await {
        let part = part?;
        from.flow_control().release_capacity(part.len())?;
        to.send_data(part, false)?;
    }
    Ok(to.send_data(Bytes::new(), true)?)
}
