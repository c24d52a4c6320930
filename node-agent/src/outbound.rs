//! Outbound: a connection that a pod of this node makes, from accept to record.
//!
//! [`serve`] is the story:
//! 1. [`Arrival::of`]: where the client wanted to go, from the kernel (port 15001, pod's netns)
//! 2. who: the pod that owns the listener, never an address
//! 3. and 4. [`ambit_decide::outbound`]: where that is, and what to do, from one snapshot
//! 5. [`open`]: a stream on a pooled tunnel, or a socket of the pod's own network namespace
//! 6. [`DataPath::carry`]: copy both ways with half-close
//! 7. record: counters and access log, also for refusals ([`DataPath::refuse`])

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_decide::{OutboundPlan, OutboundQuery, Reason, Refusal};
use ambit_model::{Mesh, Workload};
use ambit_tunnel::{Ask, DialError, Dialled, Key, Opened};
use tokio::net::TcpStream;

use crate::proxy::connections::Opening;
use crate::proxy::datapath::{Arrival, DataPath, Far, not_reached};
use crate::proxy::labels::{Ends, Reporter};
use crate::proxy::pods::LocalPod;
use crate::proxy::reach;

/// Carries one captured connection of `pod` to its end.
pub(crate) async fn serve(path: &DataPath, pod: &Arc<LocalPod>, client: TcpStream) {
    let arrival = match Arrival::of(&client) {
        Ok(arrival) => arrival,
        Err(error) => return tracing::debug!(pod = %pod.uid, %error, "client left before its turn"),
    };
    let mesh = path.mesh();
    let mut ends = Ends {
        source: Some(pod.as_source(&mesh)),
        ..Ends::default()
    };
    let opened = match decide(path, &mesh, &ends, arrival.destination) {
        Ok(plan) => Box::pin(open(path, pod, &arrival, plan, &mut ends)).await,
        Err(refusal) => Err(refusal),
    };
    // From here on only what the connection needs stays in memory.
    drop(mesh);
    match opened {
        Ok(far) => path.carry(client, far, opening(arrival, ends)).await,
        Err(refusal) => path.refuse(Some(client), Reporter::Source, &arrival, &ends, &refusal),
    }
}

fn decide(
    path: &DataPath,
    mesh: &Mesh,
    ends: &Ends,
    destination: SocketAddr,
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
        avoid: None,
    };
    ambit_decide::outbound(mesh, &query)
}

async fn open(
    path: &DataPath,
    pod: &Arc<LocalPod>,
    arrival: &Arrival,
    plan: OutboundPlan,
    ends: &mut Ends,
) -> Result<Far, Refusal> {
    match plan {
        OutboundPlan::Passthrough {
            to,
            workload,
            service,
        } => {
            ends.destination = workload;
            ends.service = service;
            reach::world(pod, to)
                .await
                .map(Far::Plain)
                .map_err(|error| not_reached(&error))
        }
        OutboundPlan::Own { to, service } => {
            ends.destination = ends.source.clone();
            ends.service = service;
            let application = reach::own_application(pod, to).await;
            application
                .map(Far::Plain)
                .map_err(|error| not_reached(&error))
        }
        OutboundPlan::Tunnel {
            to,
            authority,
            expected,
            workload,
            service,
            waypoint: _,
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
            let opened = tunnel(path, pod, &key, &ask).await?;
            ends.source_id = Some(pod.identity.clone());
            ends.destination_id = Some(opened.peer.clone());
            Ok(Far::Tunnel {
                stream: opened.stream,
                peer: to,
            })
        }
    }
}

/// A stream on a pooled tunnel; a new tunnel shows the certificate of this pod.
async fn tunnel(
    path: &DataPath,
    pod: &Arc<LocalPod>,
    key: &Key,
    ask: &Ask,
) -> Result<Opened, Refusal> {
    let dial = || async {
        let papers = path.identities.papers(&pod.identity).await.ok_or_else(|| {
            DialError::NoCertificate(format!("none has come yet for {}", pod.identity))
        })?;
        let tcp = reach::world(pod, key.to).await?;
        Ok(Dialled {
            tcp,
            credential: papers.credential,
            trust: papers.trust,
        })
    };
    path.pool
        .open(key, dial, ask)
        .await
        .map_err(|error| path.tunnel_refusal(key, &error))
}

/// What tells this pod from a later one under the same name.
fn instance_of(workload: &Workload) -> Arc<str> {
    workload
        .pod_uid
        .clone()
        .unwrap_or_else(|| workload.uid.as_str().into())
}

fn ask(arrival: &Arrival, authority: SocketAddr, ends: &Ends) -> Ask {
    let mut headers = vec![("forwarded", format!("for=\"{}\"", arrival.client))];
    if let Some(source) = &ends.source {
        headers.push(("baggage", crate::proxy::baggage::of(source)));
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
        destination: arrival.destination,
        tunnel: None,
        meters_server: false,
        permit: None,
        admitted: None,
    }
}
