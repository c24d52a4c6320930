//! Inbound over HBONE: a tunnel that a peer opens to a pod of this node, and each stream in it.
//!
//! [`serve`] is the story of a tunnel: papers of this pod, TLS (the peer proves who it is), then
//! streams until the peer leaves or this generation drains. [`admit_stream`] and [`serve_stream`]
//! are the story of one stream:
//! 1. [`asked_for`]: a CONNECT whose authority is this pod
//! 2. who: the identity that the tunnel's handshake proved
//! 3. and 4. [`ambit_decide::inbound`]: may they, from one snapshot; a waypoint that may have learnt of
//!    a binding before us is asked to wait for that (`inbound/late.rs`)
//! 5. [`reach::application`]: a socket to the application, from the client's address: that of the
//!    tunnel, or the one that the pod's own waypoint tells in `forwarded`
//! 6. and 7. [`DataPath::carry`]: copy, record; refusals are answered and recorded too

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ambit_decide::{InboundQuery, Reason, Refusal};
use ambit_kit::expiry::Expiry;
use ambit_model::{SpiffeId, Workload};
use ambit_telemetry::{Ends, Reporter};
use ambit_tunnel::{Incoming, Session, forwarded};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::proxy::connections::{Admitted, Opening};
use crate::proxy::datapath::{Arrival, DataPath, Far, not_reached, reason_for};
use crate::proxy::pods::LocalPod;
use crate::proxy::{baggage, reach};

mod late;

/// Bytes of an authority that a refusal quotes.
const MAX_QUOTED: usize = 100;

/// A stream that may go on, and what it goes on with.
struct Granted {
    /// The address in the pod that it asked for.
    destination: SocketAddr,
    /// A socket to the application.
    application: TcpStream,
    /// Room among the pod's connections.
    permit: OwnedSemaphorePermit,
    /// The client behind the pod's waypoint, if it comes from there.
    forwarded: Option<SocketAddr>,
}

/// Serves one tunnel to its end.
pub(crate) async fn serve(path: &Arc<DataPath>, pod: &Arc<LocalPod>, tcp: TcpStream) {
    let Ok(client) = tcp.peer_addr() else { return };
    let session = match Box::pin(handshake(path, pod, tcp, client)).await {
        Ok(session) => session,
        Err(refusal) => return refuse_tunnel(path, pod, client, &refusal),
    };
    streams(path, pod, session, client).await;
}

async fn handshake(
    path: &DataPath,
    pod: &LocalPod,
    tcp: TcpStream,
    client: SocketAddr,
) -> Result<Session, Refusal> {
    let papers = path.identities.papers(&pod.identity).await.ok_or_else(|| {
        Refusal::new(
            Reason::NoCertificate,
            format!("no certificate yet for {}", pod.identity),
        )
    })?;
    let _room = pod.handshake(client.ip())?;
    let accepted =
        ambit_tunnel::accept(tcp, &papers.credential, &papers.trust, &path.tunnels).await;
    match accepted {
        Ok(session) => {
            path.count_handshake("server", "ok");
            Ok(session)
        }
        Err(failure) => {
            path.count_handshake("server", failure.word());
            Err(Refusal::new(
                reason_for(failure.word()),
                failure.to_string(),
            ))
        }
    }
}

/// Takes streams until the peer leaves; asks it to leave when this generation drains, the pod is
/// released or a certificate of the handshake expires, and lets open streams end.
async fn streams(
    path: &Arc<DataPath>,
    pod: &Arc<LocalPod>,
    mut session: Session,
    client: SocketAddr,
) {
    let peer = session.peer().clone();
    let proved = Expiry::new(session.proved_until());
    let mut expired = std::pin::pin!(proved.reached());
    let mut leaving = false;
    loop {
        let next = tokio::select! {
            next = session.next() => next,
            () = pod.released.cancelled(), if !leaving => {
                leaving = true;
                session.drain();
                continue;
            }
            () = expired.as_mut(), if !leaving => {
                leaving = true;
                session.drain();
                continue;
            }
        };
        match next {
            // Whoever does not heed the request to leave.
            Some(Ok(incoming)) if proved.is_outstayed() => {
                path.count_tunnel_error("certificate_expired");
                incoming.refuse(status_of(Reason::CertificateExpired));
            }
            Some(Ok(incoming)) => {
                let (path, pod) = (Arc::clone(path), Arc::clone(pod));
                let admitting = {
                    let (path, peer) = (Arc::clone(&path), peer.clone());
                    Box::pin(async move { admit_stream(&path, &pod, incoming, peer, client).await })
                };
                path.accepted.clone().spawn(serve_stream(path, admitting));
            }
            Some(Err(error)) => {
                path.count_tunnel_error(error.word());
                return tracing::debug!(%client, %peer, %error, "a tunnel ended by error");
            }
            None => return,
        }
    }
}

/// Admits a stream and carries it. What admitting needs is not held while bytes are copied:
/// streams idle by the thousand.
async fn serve_stream(
    path: Arc<DataPath>,
    admitting: impl Future<Output = Option<(TcpStream, Far, Opening)>> + Unpin,
) {
    if let Some((application, far, opening)) = admitting.await {
        path.carry(application, far, opening).await;
    }
}

/// Everything before the first byte is copied; a refusal is answered and recorded here.
async fn admit_stream(
    path: &DataPath,
    pod: &Arc<LocalPod>,
    incoming: Incoming,
    peer: SpiffeId,
    client: SocketAddr,
) -> Option<(TcpStream, Far, Opening)> {
    let mesh = path.mesh();
    let mut ends = Ends {
        source: mesh.workload_at(client.ip(), client.port()).cloned(),
        source_id: Some(peer),
        destination_id: Some(pod.identity.clone()),
        ..Ends::default()
    };
    drop(mesh);
    let admitted = Box::pin(admit(path, pod, &incoming, client, &mut ends)).await;
    let granted = match admitted {
        Ok(granted) => granted,
        Err(refusal) => {
            refuse_stream(path, incoming, client, pod, &ends, &refusal);
            return None;
        }
    };
    let answer = ends
        .destination
        .as_ref()
        .map(|workload| baggage::of(workload));
    let Ok(stream) = incoming.accept(answer.as_deref()) else {
        tracing::debug!(%client, "the peer left before its stream was accepted");
        return None;
    };
    let opening = Opening {
        reporter: Reporter::Destination,
        ends,
        source: client,
        forwarded: granted.forwarded,
        destination: granted.destination,
        tunnel: None,
        meters_server: true,
        permit: Some(granted.permit),
        admitted: Some(Admitted {
            pod: Arc::clone(pod),
            destination: granted.destination,
            source: client.ip(),
        }),
    };
    let far = Far::Tunnel {
        stream,
        peer: client,
    };
    Some((granted.application, far, opening))
}

/// Everything that must hold before a byte reaches the application.
async fn admit(
    path: &DataPath,
    pod: &LocalPod,
    incoming: &Incoming,
    client: SocketAddr,
    ends: &mut Ends,
) -> Result<Granted, Refusal> {
    let destination = asked_for(pod, incoming)?;
    let permit = Arc::clone(&pod.connections).try_acquire_owned();
    let permit = permit.map_err(|_full| pod.full())?;
    let (workload, mesh) = path.record_of(pod).await?;
    ends.destination = Some(Arc::clone(&workload));
    ends.service = service_of(&mesh, &workload, destination.port());
    let query = InboundQuery {
        workload: &workload,
        destination,
        source: client.ip(),
        peer: ends.source_id.as_ref(),
    };
    let admission = match ambit_decide::inbound(&mesh, &query) {
        Err(refusal) => late::admit(path, pod, &mesh, &query, refusal).await,
        admitted => admitted,
    }?;
    path.count_dry_runs(&admission);
    let told = incoming
        .header("forwarded")
        .filter(|_| admission.from_waypoint);
    let forwarded = told.and_then(forwarded::client);
    // The tunnel's port is not the client's; the address is what the application gets to see.
    let client = SocketAddr::new(forwarded.unwrap_or(client).ip(), 0);
    let application = reach::application(pod, client, destination).await;
    Ok(Granted {
        destination,
        application: application.map_err(|error| not_reached(&error))?,
        permit,
        forwarded,
    })
}

/// The address in the CONNECT, which must be this pod's own.
fn asked_for(pod: &LocalPod, incoming: &Incoming) -> Result<SocketAddr, Refusal> {
    let authority = incoming.authority().unwrap_or_default();
    if !incoming.is_connect() {
        return Err(Refusal::new(
            Reason::BadRequest,
            "only CONNECT is served here",
        ));
    }
    let destination: SocketAddr = authority.parse().map_err(|_no_address| {
        Refusal::new(
            Reason::BadRequest,
            format!(
                "authority `{}` is not ip:port",
                authority.get(..MAX_QUOTED).unwrap_or(authority)
            ),
        )
    })?;
    if !pod.ips.contains(&destination.ip()) {
        return Err(Refusal::new(
            Reason::WrongDestination,
            format!(
                "authority {destination} is not an address of pod {}",
                pod.uid
            ),
        ));
    }
    Ok(destination)
}

/// The service that this port of the workload serves, if it is exactly one.
pub(crate) fn service_of(
    mesh: &ambit_model::Mesh,
    workload: &Workload,
    port: u16,
) -> Option<Arc<ambit_model::Service>> {
    let mut serving = workload
        .services
        .iter()
        .filter(|(_, ports)| ports.iter().any(|mapping| mapping.target_port == port))
        .map(|(name, _)| name);
    let only = serving.next()?;
    serving
        .next()
        .is_none()
        .then(|| mesh.service(only).cloned())
        .flatten()
}

fn refuse_stream(
    path: &DataPath,
    incoming: Incoming,
    client: SocketAddr,
    pod: &LocalPod,
    ends: &Ends,
    refusal: &Refusal,
) {
    let destination = asked_for(pod, &incoming).unwrap_or_else(|_| own_address(pod));
    incoming.refuse(status_of(refusal.reason));
    let arrival = Arrival {
        client,
        destination,
    };
    path.refuse(None, Reporter::Destination, &arrival, ends, refusal);
}

fn refuse_tunnel(path: &DataPath, pod: &LocalPod, client: SocketAddr, refusal: &Refusal) {
    let arrival = Arrival {
        client,
        destination: own_address(pod),
    };
    let mesh = path.mesh();
    let ends = Ends {
        destination: Some(pod.as_source(&mesh)),
        ..Ends::default()
    };
    path.refuse(None, Reporter::Destination, &arrival, &ends, refusal);
}

fn own_address(pod: &LocalPod) -> SocketAddr {
    let ip = pod
        .ips
        .first()
        .copied()
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    SocketAddr::new(ip, crate::ports::HBONE)
}

/// HTTP status of a refusal, as Istio's node proxy answers: 400 for a request that can never
/// work, 401 for policy, 503 for an application or a mesh that is not there.
fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::BadRequest | Reason::WrongDestination | Reason::SelfCall => 400,
        Reason::PolicyDenied
        | Reason::NoMatchingAllow
        | Reason::PlaintextRefused
        | Reason::WaypointRequired => 401,
        _ => 503,
    }
}
