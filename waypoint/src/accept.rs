//! Tunnels of clients: a listener, a session for each connection, a task for each stream.
//!
//! Tasks: "session", one per connection of an agent; "stream", one per stream, which ends with its
//! session. When the program is to stop, or a certificate of the handshake has expired, sessions take
//! no new streams and end with their last.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use ambit_kit::clock;
use ambit_kit::expiry::Expiry;
use ambit_model::SpiffeId;
use ambit_telemetry::Ends;
use ambit_tunnel::{Incoming, Pipe, Session, Settings, accept, forwarded};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;

use crate::call::{Asked, Call, Client, asked_for};
use crate::drain::{Drain, Step};
use crate::gauges::{SESSION, STREAM};
use crate::pressure::Level;
use crate::proxy::Proxy;
use crate::request::hops;
use crate::room::{ClientSlot, Room};
use crate::strangers::{self, Strangers};
use crate::stream;
use crate::upstream::link::HBONE_PORT;
use crate::view::View;

/// Sessions at once, and of one client: its agent puts a hundred streams on each.
const SESSIONS: (usize, usize) = (8192, 512);
/// How much later than an agent this waypoint may learn of what is bound to it.
const TOLD_LATE: Duration = Duration::from_secs(2);
/// Pause after an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until told to stop.
pub(crate) async fn listen(proxy: Arc<Proxy>, listener: TcpListener, settings: Settings) {
    let settings = Arc::new(settings);
    let strangers = Arc::new(Strangers::new());
    let sessions = Room::new(SESSIONS.0, SESSIONS.1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = proxy.tasks.token().cancelled_owned() => return,
        };
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a tunnel could not be accepted");
                proxy.telemetry.accept_paused();
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if proxy.pressure.has_reached(Level::Last) {
            refuse_tunnel(&proxy, &strangers, from, &proxy.pressure.refusal());
            continue;
        }
        let is_known = proxy
            .view()
            .mesh
            .workloads_at(from.ip().to_canonical())
            .next()
            .is_some();
        let Some(turn) = strangers.turn(from.ip(), is_known) else {
            let detail = "too many handshakes, of one client or of all";
            let refusal = Refusal::new(Reason::HandshakeLimit, detail);
            refuse_tunnel(&proxy, &strangers, from, &refusal);
            continue;
        };
        let (proxy, settings) = (Arc::clone(&proxy), Arc::clone(&settings));
        let (strangers, sessions) = (Arc::clone(&strangers), sessions.clone());
        let tasks = proxy.tasks.clone();
        drop(tasks.spawn(SESSION, async move {
            let shaken = shake(&proxy, tcp, &settings).await;
            drop(turn);
            // Who has not proved who it is takes no place from those who have.
            let placed = shaken.and_then(|session| {
                let namespace = session.peer().namespace();
                let place = sessions.take_of(from.ip(), namespace).ok_or_else(|| {
                    let detail = "too many tunnels, of one client or of all";
                    Refusal::new(Reason::PodLimit, detail)
                })?;
                Ok((session, place))
            });
            match placed {
                Ok((session, _place)) => serve(&proxy, session, from).await,
                Err(refusal) => refuse_tunnel(&proxy, &strangers, from, &refusal),
            }
        }));
    }
}

async fn shake(proxy: &Proxy, tcp: TcpStream, settings: &Settings) -> Result<Session, Refusal> {
    let papers = proxy.identity.papers();
    let (credential, trust) = papers.ok_or_else(|| {
        let detail = "the waypoint has no certificate yet";
        Refusal::new(Reason::NoCertificate, detail)
    })?;
    let accepted = match strangers::hello(&tcp).await {
        Ok(()) => accept(tcp, &credential, &trust, settings).await,
        Err(failure) => Err(failure),
    };
    let result = accepted
        .as_ref()
        .map_or_else(|failure| failure.word(), |_| "ok");
    proxy.telemetry.handshakes("server", result, 1);
    accepted.map_err(|failure| {
        let reason = Reason::from_word(failure.word()).unwrap_or(Reason::TlsFailure);
        Refusal::new(reason, failure.to_string())
    })
}

/// Counts a client that did not get a tunnel, and writes it down unless one like it just was.
fn refuse_tunnel(proxy: &Proxy, strangers: &Strangers, from: SocketAddr, refusal: &Refusal) {
    let own = SocketAddr::new(proxy.own.address(), HBONE_PORT);
    if strangers.is_due(from.ip(), refusal.reason) {
        proxy.refused(&Ends::default(), from, own, refusal);
    } else {
        let telling = proxy.tellings.of(None);
        let shaped = telling.shaped(&[]);
        let telemetry = &proxy.telemetry;
        telemetry.refused_unwritten(&Ends::default(), refusal.reason, shaped);
    }
}

/// Serves the streams of one session to its end.
async fn serve(proxy: &Arc<Proxy>, mut session: Session, from: SocketAddr) {
    let peer = session.peer().clone();
    let proved = Expiry::new(session.proved_until());
    let mut leaving = false;
    let mut leave = std::pin::pin!(async {
        tokio::select! {
            () = proxy.drain.reached(Step::Draining) => {}
            () = proved.reached() => {}
        }
    });
    loop {
        let next = tokio::select! {
            next = session.next() => next,
            () = leave.as_mut(), if !leaving => {
                leaving = true;
                session.drain();
                continue;
            }
        };
        match next {
            // Whoever does not heed the request to leave.
            Some(Ok(incoming)) if proved.is_outstayed() => {
                proxy
                    .telemetry
                    .tunnel_error(Reason::CertificateExpired.word());
                incoming.refuse(status_of(Reason::CertificateExpired));
            }
            Some(Ok(incoming)) => {
                let Some(place) = proxy.room.take_of(from.ip(), peer.namespace()) else {
                    refuse_full(proxy, incoming, from);
                    continue;
                };
                let (proxy, peer) = (Arc::clone(proxy), peer.clone());
                let tasks = proxy.tasks.clone();
                drop(tasks.spawn(STREAM, async move {
                    take(&proxy, incoming, peer, from, place).await;
                }));
            }
            Some(Err(error)) => {
                proxy.telemetry.tunnel_error(error.word());
                tracing::debug!(%from, reason = error.word(), "a tunnel ended: {error}");
                return;
            }
            None => return,
        }
    }
}

/// Answers a client that asks for a stream, and serves that.
async fn take(
    proxy: &Arc<Proxy>,
    incoming: Incoming,
    peer: SpiffeId,
    from: SocketAddr,
    place: ClientSlot,
) {
    let destination = destination(&incoming);
    if let Some(routes) = destination.as_ref().ok().and_then(|to| proxy.own.at(*to)) {
        let Some(share) = proxy.own.share(from.ip()) else {
            tracing::debug!(%from, "the client has as many connections to our pages as it may");
            incoming.refuse(503);
            return;
        };
        if let Ok(granted) = incoming.accept(None) {
            proxy.own.show(routes, Pipe::new(granted), share).await;
        }
        return;
    }
    let own = SocketAddr::new(proxy.own.address(), HBONE_PORT);
    let named = destination.as_ref().map_or(own, |to| *to);
    if let Err(refusal) = proxy.pressure.check() {
        proxy.refused(&Ends::default(), from, named, &refusal);
        incoming.refuse(status_of(refusal.reason));
        return;
    }
    let (workload, presence) = proxy.callers.find(from.ip()).await;
    let passed = hops::of_connection(incoming.header(hops::NAME));
    let client = Client {
        address: client_address(&incoming, from),
        is_waypoint: hops::is_of_waypoint(incoming.header(hops::SOURCE.0)),
        waypoints: passed.as_ref().copied().unwrap_or_default(),
        workload,
        _presence: presence,
        identity: Some(peer),
    };
    let asked = match passed.and(destination) {
        Ok(destination) => {
            let namespace = client.identity.as_ref().map(|id| id.namespace());
            let found = find(proxy, namespace, destination).await;
            found.map(|found| (found, destination))
        }
        Err(refusal) => Err(refusal),
    };
    match asked {
        Ok(((asked, tie), destination)) => match incoming.accept(None) {
            Ok(granted) => {
                let pipe = Pipe::new(granted);
                let ip = client.address.ip();
                let call = Call {
                    client,
                    asked,
                    destination,
                    tie,
                    holder: proxy.pressure.holders().open(ip, Some(pipe.held())),
                    _place: Some(place),
                };
                let connection = Either::Left(pipe);
                Box::pin(stream::serve(proxy, Arc::new(call), connection)).await;
            }
            Err(gone) => tracing::debug!(%from, "{gone}"),
        },
        Err(refusal) => {
            proxy.refused(&client.ends(), client.address, named, &refusal);
            incoming.refuse(status_of(refusal.reason));
        }
    }
}

/// Refuses a stream for which there is no room.
fn refuse_full(proxy: &Proxy, incoming: Incoming, from: SocketAddr) {
    let ip = from.ip();
    let detail = format!("{ip} or its namespace has its share of connections, or all are taken");
    let refusal = Refusal::new(Reason::PodLimit, detail);
    let own = SocketAddr::new(proxy.own.address(), HBONE_PORT);
    proxy.refused(&Ends::default(), from, own, &refusal);
    incoming.refuse(status_of(refusal.reason));
}

/// The address that a client asks for.
fn destination(incoming: &Incoming) -> Result<SocketAddr, Refusal> {
    let bad = |what: String| Refusal::new(Reason::BadRequest, what);
    if !incoming.is_connect() {
        return Err(bad("a stream that is no CONNECT".to_owned()));
    }
    let authority = incoming.authority().unwrap_or_default();
    let destination = authority.parse();
    destination.map_err(|_error| bad(format!("`{authority}` is not an address and port")))
}

/// What is behind an address. The agent of a client may have learnt before us that it is bound to
/// this waypoint.
async fn find(
    proxy: &Proxy,
    client: Option<&str>,
    destination: SocketAddr,
) -> Result<(Asked, Arc<Drain>), Refusal> {
    let asked = |view: &View| asked_for(view, client, destination, clock::now());
    let found = asked(&proxy.view());
    if !matches!(&found, Err(refusal) if refusal.reason == Reason::WrongDestination) {
        return found;
    }
    let mut views = proxy.views.clone();
    let told = views.wait_for(|view| asked(view).is_ok());
    match tokio::time::timeout(TOLD_LATE, told).await {
        Ok(Ok(view)) => asked(&view),
        _ => found,
    }
}

/// Where the client itself sent from: its agent tells the port, and is believed for its own address
/// only.
fn client_address(incoming: &Incoming, from: SocketAddr) -> SocketAddr {
    let told = incoming.header("forwarded").and_then(forwarded::client);
    told.filter(|told| told.port() != 0 && same(told.ip(), from.ip()))
        .unwrap_or(from)
}

fn same(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical()
}

/// The status that says why (as Istio's agents do).
fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::BadRequest | Reason::WrongDestination | Reason::UnknownPort => 400,
        _ => 503,
    }
}

#[cfg(test)]
mod tests;
