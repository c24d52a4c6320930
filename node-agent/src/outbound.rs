//! Outbound: a connection that a pod of this node makes, from accept to record.
//!
//! [`serve`] is the story:
//! 1. [`Arrival::of`]: where the client wanted to go, from the kernel (port 15001, pod's netns)
//! 2. who: the pod that owns the listener, never an address
//! 3. and 4. [`ambit_decide::outbound`]: where that is, and what to do, from one snapshot
//! 5. [`open`]: a stream on a pooled tunnel, or a socket of the pod's own network namespace; where
//!    an endpoint of a waypoint does not answer, one more of them is tried
//! 6. [`DataPath::carry`]: copy both ways with half-close
//! 7. record: counters and access log, also for refusals ([`DataPath::refuse`])

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::{OutboundPlan, OutboundQuery, Reason, Refusal};
use ambit_model::{Mesh, Workload, WorkloadUid};
use ambit_telemetry::{Ends, Reporter};
use ambit_tunnel::{Ask, DialError, Dialled, Key, OpenError, Opened, forwarded};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxy::connections::Opening;
use crate::proxy::datapath::{Arrival, DataPath, Far, not_reached};
use crate::proxy::ledger::Family;
use crate::proxy::names::seen::host_of;
use crate::proxy::pods::LocalPod;
use crate::proxy::{baggage, reach};

/// Longest wait for a connection to an endpoint of a waypoint: time enough to ask three times
/// (RFC 6298: at once, after one second, after three), and for the client to wait for another one.
const WAYPOINT_PATIENCE: Duration = Duration::from_secs(4);

/// Addresses of a name that are tried for one connection.
const MOST_ADDRESSES: usize = 3;

/// Carries one captured connection of `pod` to its end.
pub(crate) async fn serve(path: &Arc<DataPath>, pod: &Arc<LocalPod>, client: TcpStream) {
    let arrival = match Arrival::of(&client) {
        Ok(arrival) => arrival,
        Err(error) => return tracing::debug!(pod = %pod.uid, %error, "client left before its turn"),
    };
    let mesh = path.mesh();
    let mut ends = Ends {
        source: Some(pod.as_source(&mesh)),
        ..Ends::default()
    };
    let opened = Box::pin(open(path, pod, &mesh, &arrival, &mut ends)).await;
    // From here on only what the connection needs stays in memory.
    drop(mesh);
    match opened {
        Ok(far) => path.carry(client, far, opening(arrival, ends)).await,
        Err(refusal) => {
            let host = host_of(pod, &client, arrival.destination, &refusal).await;
            let meant = (&arrival, host.as_deref());
            path.refuse_host(Some(client), Reporter::Source, meant, &ends, &refusal);
        }
    }
}

/// Why a connection did not open.
struct Failure {
    refusal: Refusal,
    /// The endpoint of a waypoint that gave no answer: another one may.
    silent: Option<WorkloadUid>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            silent: None,
        }
    }
}

/// Decides and opens; a second time where an endpoint of a waypoint gave no answer, at another.
async fn open(
    path: &Arc<DataPath>,
    pod: &Arc<LocalPod>,
    mesh: &Mesh,
    arrival: &Arrival,
    ends: &mut Ends,
) -> Result<Far, Refusal> {
    let plan = decide(path, mesh, ends, arrival.destination, None)?;
    let failure = match go(path, pod, arrival, plan, ends).await {
        Ok(far) => return Ok(far),
        Err(failure) => failure,
    };
    let Some(silent) = failure.silent else {
        return Err(failure.refusal);
    };
    // Without another endpoint the first failure says more than the second refusal.
    let Ok(plan) = decide(path, mesh, ends, arrival.destination, Some(&silent)) else {
        return Err(failure.refusal);
    };
    tracing::debug!(waypoint = %silent, error = %failure.refusal, "trying another endpoint");
    let gone = go(path, pod, arrival, plan, ends).await;
    gone.map_err(|failure| failure.refusal)
}

fn decide(
    path: &DataPath,
    mesh: &Mesh,
    ends: &Ends,
    destination: SocketAddr,
    avoid: Option<&WorkloadUid>,
) -> Result<OutboundPlan, Refusal> {
    let Some(source) = &ends.source else {
        return Err(Refusal::new(
            Reason::UnknownPod,
            "the calling pod is not known",
        ));
    };
    let query = OutboundQuery {
        source,
        destination,
        egress: path.egress,
        pick: rand::random(),
        avoid,
    };
    ambit_decide::outbound(mesh, &query)
}

async fn go(
    path: &Arc<DataPath>,
    pod: &Arc<LocalPod>,
    arrival: &Arrival,
    plan: OutboundPlan,
    ends: &mut Ends,
) -> Result<Far, Failure> {
    match plan {
        OutboundPlan::Passthrough {
            to,
            workload,
            service,
        } => {
            ends.destination = workload;
            ends.service = service;
            let reached = reach::world(pod, to).await;
            Ok(Far::Plain(reached.map_err(|error| not_reached(&error))?))
        }
        OutboundPlan::Resolve {
            hostname,
            port,
            workload,
            service,
        } => {
            ends.destination = Some(workload);
            ends.service = Some(service);
            Ok(by_name(path, pod, &hostname, port).await?)
        }
        OutboundPlan::Own { to, service } => {
            ends.destination = ends.source.clone();
            ends.service = service;
            let reached = reach::own_application(pod, to).await;
            Ok(Far::Plain(reached.map_err(|error| not_reached(&error))?))
        }
        OutboundPlan::Tunnel {
            to,
            authority,
            expected,
            workload,
            service,
            waypoint,
        } => {
            ends.destination = Some(Arc::clone(&workload));
            ends.service = service;
            let key = Key {
                source_pod: Arc::clone(&pod.uid),
                destination_pod: instance_of(&workload),
                to,
                expected,
            };
            let ask = ask(arrival, authority, ends);
            let patience = if waypoint {
                WAYPOINT_PATIENCE
            } else {
                path.tunnels.connect_timeout
            };
            let opened = tunnel(path, pod, &key, &ask, patience).await;
            let opened = opened.map_err(|error| {
                let silent = (waypoint && is_silence(&error)).then(|| workload.uid.clone());
                let refusal = path.tunnel_refusal(&key, &error);
                Failure { refusal, silent }
            })?;
            ends.source_id = Some(pod.identity.clone());
            ends.destination_id = Some(opened.peer.clone());
            Ok(Far::Tunnel {
                stream: opened.stream,
                peer: to,
            })
        }
    }
}

/// To where a name leads: the first of some of its addresses that answers.
///
/// Judged by the snapshot of this moment, for resolving may have taken a while.
async fn by_name(
    path: &Arc<DataPath>,
    pod: &Arc<LocalPod>,
    hostname: &Arc<str>,
    port: u16,
) -> Result<Far, Refusal> {
    path.ledger.count(Family::OnDemand, &[]);
    let addresses = pod.hosts.resolve(path, pod, hostname).await;
    let mesh = path.mesh();
    let detail = format!("{hostname} has no address that the resolvers of the node know");
    let mut last = Refusal::new(Reason::OutsideName, detail);
    for address in addresses.into_iter().take(MOST_ADDRESSES) {
        let to = SocketAddr::new(address, port);
        if let Err(refusal) = ambit_decide::resolved(&mesh, hostname, to) {
            last = refusal;
            continue;
        }
        match reach::world(pod, to).await {
            Ok(stream) => return Ok(Far::Plain(stream)),
            Err(error) => last = not_reached(&error),
        }
    }
    Err(last)
}

/// A stream on a pooled tunnel; a new tunnel shows the certificate of this pod.
async fn tunnel(
    path: &DataPath,
    pod: &Arc<LocalPod>,
    key: &Key,
    ask: &Ask,
    patience: Duration,
) -> Result<Opened, OpenError> {
    let dial = || async {
        let papers = path.identities.papers(&pod.identity).await.ok_or_else(|| {
            DialError::NoCertificate(format!("none has come yet for {}", pod.identity))
        })?;
        let reached = timeout(patience, reach::world(pod, key.to)).await;
        let tcp = reached.map_err(|_elapsed| DialError::Timeout(key.to))??;
        Ok(Dialled {
            tcp,
            credential: papers.credential,
            trust: papers.trust,
        })
    };
    path.pool.open(key, dial, ask).await
}

/// Whether the far end has said nothing to what was asked of it: no byte of the client has been
/// sent then, and the fault is not on this side.
fn is_silence(error: &OpenError) -> bool {
    match error {
        OpenError::Dial(error) => matches!(
            error,
            DialError::Refused(_) | DialError::Timeout(_) | DialError::Failed(..)
        ),
        OpenError::Handshake(_) | OpenError::Closed(_) | OpenError::Timeout => true,
        OpenError::BadAsk(_) | OpenError::Refused { .. } => false,
    }
}

/// What tells this pod from a later one under the same name.
fn instance_of(workload: &Workload) -> Arc<str> {
    workload
        .pod_uid
        .clone()
        .unwrap_or_else(|| workload.uid.as_str().into())
}

fn ask(arrival: &Arrival, authority: SocketAddr, ends: &Ends) -> Ask {
    let mut headers = vec![("forwarded", forwarded::of(arrival.client))];
    if let Some(source) = &ends.source {
        headers.push(("baggage", baggage::of(source)));
    }
    headers.push((
        "traceparent",
        format!(
            "00-{:032x}-{:016x}-00",
            rand::random::<u128>(),
            rand::random::<u64>()
        ),
    ));
    Ask {
        authority: authority.to_string(),
        headers,
    }
}

fn opening(arrival: Arrival, ends: Ends) -> Opening {
    Opening {
        reporter: Reporter::Source,
        ends,
        source: arrival.client,
        forwarded: None,
        destination: arrival.destination,
        tunnel: None,
        meters_server: false,
        permit: None,
        admitted: None,
    }
}

#[cfg(test)]
mod tests;
