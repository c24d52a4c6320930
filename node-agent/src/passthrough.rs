//! Inbound plaintext: a connection that reached the pod without a tunnel (port 15006).
//!
//! Nobody has proved anything, so policy decides with no identity: PERMISSIVE lets it through to
//! the application, STRICT refuses, and so does a workload that is kept to its waypoint. Probes of the kubelet are let in all the same. [`serve`] has the same steps as the other directions:
//! arrival, the pod's record, [`ambit_decide::inbound`], [`reach::application`], carry, record.

use std::sync::Arc;

use ambit_decide::{InboundQuery, Reason, Refusal};
use ambit_telemetry::{Ends, Reporter};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::inbound::service_of;
use crate::proxy::connections::{Admitted, Opening};
use crate::proxy::datapath::{Arrival, DataPath, Far, not_reached};
use crate::proxy::pods::LocalPod;
use crate::proxy::reach;

/// Carries one plaintext connection to `pod` to its end.
pub(crate) async fn serve(path: &DataPath, pod: &Arc<LocalPod>, client: TcpStream) {
    let arrival = match Arrival::of(&client) {
        Ok(arrival) => arrival,
        Err(error) => return tracing::debug!(pod = %pod.uid, %error, "client left before its turn"),
    };
    let mut ends = Ends::default();
    match Box::pin(admit(path, pod, &arrival, &mut ends)).await {
        Ok((application, by_policy)) => {
            // Policy has no say in probes, so it does not end them either.
            let admitted = by_policy.then(|| Admitted {
                pod: Arc::clone(pod),
                destination: arrival.destination,
                source: arrival.client.ip(),
            });
            let opening = Opening {
                reporter: Reporter::Destination,
                ends,
                source: arrival.client,
                forwarded: None,
                destination: arrival.destination,
                tunnel: None,
                meters_server: false,
                permit: None,
                admitted,
            };
            path.carry(client, Far::Plain(application), opening).await;
        }
        Err(_) if pod.node_ips.contains(&arrival.client.ip()) && left_silently(&client) => {
            tracing::debug!(pod = %pod.uid, client = %arrival.client, "a TCP probe, or as good as one");
        }
        Err(refusal) => {
            path.refuse(
                Some(client),
                Reporter::Destination,
                &arrival,
                &ends,
                &refusal,
            );
        }
    }
}

/// Whether a client has closed without a word: all that the kubelet does for a TCP probe, and often
/// done before it can be told whose socket it was. Nothing was asked, so nothing is refused.
fn left_silently(client: &TcpStream) -> bool {
    let mut word = [std::mem::MaybeUninit::uninit()];
    SockRef::from(client)
        .peek(&mut word)
        .is_ok_and(|read| read == 0)
}

/// A socket to the application, and whether policy admitted the connection: a probe of the kubelet
/// is let in without it.
async fn admit(
    path: &DataPath,
    pod: &LocalPod,
    arrival: &Arrival,
    ends: &mut Ends,
) -> Result<(TcpStream, bool), Refusal> {
    let destination = arrival.destination;
    if !pod.ips.contains(&destination.ip()) {
        return Err(Refusal::new(
            Reason::WrongDestination,
            format!("{destination} is not an address of pod {}", pod.uid),
        ));
    }
    let (workload, mesh) = path.record_of(pod).await?;
    ends.destination = Some(Arc::clone(&workload));
    ends.source = mesh
        .workload_at(arrival.client.ip(), arrival.client.port())
        .cloned();
    ends.service = service_of(&mesh, &workload, destination.port());
    let admission = ambit_decide::inbound(
        &mesh,
        &InboundQuery {
            workload: &workload,
            destination,
            source: arrival.client.ip(),
            peer: None,
        },
    );
    let by_policy = match admission {
        Ok(admission) => {
            path.count_dry_runs(&admission);
            true
        }
        Err(refusal) => {
            let probes = &path.probes;
            if !probes
                .is_probe(pod, arrival.client, destination.port())
                .await
            {
                return Err(refusal);
            }
            false
        }
    };
    let application = reach::application(pod, arrival.client, destination).await;
    let application = application.map_err(|error| not_reached(&error))?;
    Ok((application, by_policy))
}
