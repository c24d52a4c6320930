//! Tunnels of clients: a listener, a session for each connection, a task for each stream.
//!
//! Tasks: "session", one per connection of an agent; "stream", one per stream, which ends with its
//! session. When the program is to stop, sessions take no new streams and end with their last.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use ambit_kit::sources::Sources;
use ambit_model::SpiffeId;
use ambit_tunnel::{Incoming, Pipe, Session, Settings, accept};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::call::{Call, Client, asked_for};
use crate::proxy::Proxy;
use crate::stream;

/// Handshakes under way at once, and of one client.
const HANDSHAKES: (usize, usize) = (256, 32);
/// Pause after an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until told to stop.
pub(crate) async fn listen(proxy: Arc<Proxy>, listener: TcpListener, settings: Settings) {
    let settings = Arc::new(settings);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES.0));
    let shares = Sources::new(HANDSHAKES.1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = proxy.tasks.token().cancelled_owned() => return,
        };
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a tunnel could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let share = shares.take(from.ip());
        let turn = Arc::clone(&handshakes).try_acquire_owned();
        let (Some(share), Ok(turn)) = (share, turn) else {
            let reason = Reason::HandshakeLimit;
            tracing::warn!(%from, %reason, "a tunnel was refused");
            continue;
        };
        let (proxy, settings) = (Arc::clone(&proxy), Arc::clone(&settings));
        let tasks = proxy.tasks.clone();
        drop(tasks.spawn("session", async move {
            let shaken = shake(&proxy, tcp, &settings).await;
            drop((share, turn));
            match shaken {
                Ok(session) => serve(&proxy, session, from).await,
                Err(why) => tracing::warn!(%from, "no tunnel: {why}"),
            }
        }));
    }
}

async fn shake(proxy: &Proxy, tcp: TcpStream, settings: &Settings) -> Result<Session, String> {
    let papers = proxy.identity.papers();
    let (credential, trust) = papers.ok_or("the waypoint has no certificate yet")?;
    accept(tcp, &credential, &trust, settings)
        .await
        .map_err(|failure| format!("{}: {failure}", failure.word()))
}

/// Serves the streams of one session to its end.
async fn serve(proxy: &Arc<Proxy>, mut session: Session, from: SocketAddr) {
    let peer = session.peer().clone();
    let mut draining = false;
    loop {
        let next = tokio::select! {
            next = session.next() => next,
            () = proxy.drain.cancelled(), if !draining => {
                draining = true;
                session.drain();
                continue;
            }
        };
        match next {
            Some(Ok(incoming)) => {
                let (proxy, peer) = (Arc::clone(proxy), peer.clone());
                let tasks = proxy.tasks.clone();
                drop(tasks.spawn("stream", async move {
                    take(&proxy, incoming, peer, from).await;
                }));
            }
            Some(Err(error)) => {
                tracing::info!(%from, reason = error.word(), "a tunnel ended: {error}");
                return;
            }
            None => return,
        }
    }
}

/// Answers a client that asks for a stream, and serves that.
async fn take(proxy: &Arc<Proxy>, incoming: Incoming, peer: SpiffeId, from: SocketAddr) {
    let client = Client {
        address: client_address(&incoming, from),
        workload: proxy.callers.find(from.ip()).await,
        identity: Some(peer),
    };
    match call_of(proxy, &incoming, client) {
        Ok(call) => match incoming.accept(None) {
            Ok(granted) => stream::serve(proxy, Arc::new(call), Pipe::new(granted)).await,
            Err(gone) => tracing::debug!(%from, "{gone}"),
        },
        Err(refusal) => {
            let reason = refusal.reason;
            tracing::warn!(%from, %reason, "a connection was refused: {}", refusal.detail);
            incoming.refuse(status_of(reason));
        }
    }
}

/// What a client asks for.
fn call_of(proxy: &Proxy, incoming: &Incoming, client: Client) -> Result<Call, Refusal> {
    let bad = |what: String| Refusal::new(Reason::BadRequest, what);
    if !incoming.is_connect() {
        return Err(bad("a stream that is no CONNECT".to_owned()));
    }
    let authority = incoming.authority().unwrap_or_default();
    let destination: SocketAddr = authority
        .parse()
        .map_err(|_error| bad(format!("`{authority}` is not an address and port")))?;
    let asked = asked_for(&proxy.view(), destination)?;
    Ok(Call {
        client,
        asked,
        destination,
    })
}

/// Where the client itself sent from: its agent tells the port, and is believed for its own address
/// only.
fn client_address(incoming: &Incoming, from: SocketAddr) -> SocketAddr {
    let told = incoming.header("forwarded").and_then(forwarded_for);
    told.filter(|told| same(told.ip(), from.ip()))
        .unwrap_or(from)
}

fn same(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical()
}

/// The address in `for="ip:port"` (RFC 7239, section 6).
fn forwarded_for(header: &str) -> Option<SocketAddr> {
    let pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs
        .into_iter()
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    value.trim().trim_matches('"').parse().ok()
}

/// The status that says why (as Istio's agents do).
fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::BadRequest | Reason::WrongDestination | Reason::UnknownPort => 400,
        _ => 503,
    }
}
