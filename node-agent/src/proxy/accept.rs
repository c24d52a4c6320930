//! Accepting: one task per listener of a pod, one task per connection.
//!
//! The listeners belong to the host role; what is here are duplicates of the same queues. A task
//! ends when its generation drains, and leaves the queue to the next, or when its pod is released,
//! and then takes what is queued, for nothing comes after it.
//! Accepting survives a lack of descriptors: it pauses, counts, and goes on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::Refusal;
use ambit_telemetry::{Ends, Reporter};
use ambit_wire::node::ListenerKind;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::datapath::{Arrival, DataPath, RECORD_PATIENCE, reset};
use super::ledger::Family;
use super::names::serve;
use super::pods::LocalPod;
use crate::{inbound, outbound, passthrough};

/// Pause when no descriptor is to be had: long enough for some connections to end.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(20);

/// Accepts on one listener of a pod until the pod is released or this generation drains.
pub(crate) async fn accept_loop(
    path: Arc<DataPath>,
    pod: Arc<LocalPod>,
    listener: TcpListener,
    kind: ListenerKind,
    drain: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            () = pod.released.cancelled() => return take_queued(&path, &pod, listener, kind),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, _)) => start(&path, &pod, tcp, kind),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                path.ledger.count(Family::AcceptPauses, &[]);
                tracing::warn!(pod = %pod.uid, %error, "cannot accept; trying again shortly");
                tokio::time::sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
            }
        }
    }
}

/// Starts what is in the queue at this moment: it was redirected before the pod was released.
fn take_queued(
    path: &Arc<DataPath>,
    pod: &Arc<LocalPod>,
    listener: TcpListener,
    kind: ListenerKind,
) {
    // Not by way of the runtime, which may not have heard of the last ones yet.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((tcp, _)) = listener.accept() {
        if tcp.set_nonblocking(true).is_ok()
            && let Ok(tcp) = TcpStream::from_std(tcp)
        {
            start(path, pod, tcp, kind);
        }
    }
}

/// True for errors that `accept` reports about a connection that is already gone.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn start(path: &Arc<DataPath>, pod: &Arc<LocalPod>, tcp: TcpStream, kind: ListenerKind) {
    tcp.set_nodelay(true).ok();
    let Ok(permit) = Arc::clone(&pod.connections).try_acquire_owned() else {
        return refuse(path, pod, tcp, kind, &pod.full());
    };
    let (path, pod) = (Arc::clone(path), Arc::clone(pod));
    let tracker = path.accepted.clone();
    tracker.spawn(async move {
        match Arc::clone(&pod).identified(RECORD_PATIENCE).await {
            Ok(pod) => serve(&path, &pod, tcp, kind).await,
            Err(refusal) => refuse(&path, &pod, tcp, kind, &refusal),
        }
        drop(permit);
    });
}

async fn serve(path: &Arc<DataPath>, pod: &Arc<LocalPod>, tcp: TcpStream, kind: ListenerKind) {
    // On the heap: each is large, and an idle connection is to cost no more than its own.
    match kind {
        ListenerKind::Outbound => Box::pin(outbound::serve(path, pod, tcp)).await,
        ListenerKind::Plaintext => Box::pin(passthrough::serve(path, pod, tcp)).await,
        ListenerKind::Hbone => Box::pin(inbound::serve(path, pod, tcp)).await,
        ListenerKind::DnsStream => Box::pin(serve::stream(path, pod, tcp)).await,
        // Not accepted here: it has no connections.
        ListenerKind::DnsDatagram => {}
    }
}

fn refuse(path: &DataPath, pod: &LocalPod, tcp: TcpStream, kind: ListenerKind, refusal: &Refusal) {
    if matches!(kind, ListenerKind::DnsStream | ListenerKind::DnsDatagram) {
        let result = [("result", refusal.reason.word())];
        path.ledger.count(Family::Questions, &result);
        return reset(tcp);
    }
    let (Ok(client), Ok(local)) = (tcp.peer_addr(), tcp.local_addr()) else {
        return;
    };
    let destination = Arrival::of(&tcp).map_or(local, |arrival| arrival.destination);
    let own = Some(pod.as_source(&path.mesh()));
    let (reporter, ends) = match kind {
        ListenerKind::Outbound | ListenerKind::DnsStream | ListenerKind::DnsDatagram => (
            Reporter::Source,
            Ends {
                source: own,
                ..Ends::default()
            },
        ),
        ListenerKind::Plaintext | ListenerKind::Hbone => (
            Reporter::Destination,
            Ends {
                destination: own,
                ..Ends::default()
            },
        ),
    };
    path.refuse(
        Some(tcp),
        reporter,
        &Arrival {
            client,
            destination,
        },
        &ends,
        refusal,
    );
}
