//! Every open connection of this generation: who, where, how much, since when.
//!
//! A connection enters the table when it is allowed and leaves it when its [`Open`] handle is
//! dropped, on every path. The table serves three readers: `/debug/connections`, the counters
//! (bytes of open connections are booked when somebody looks, see [`Connections::book`]), and
//! changed policies, which cut the connections that they now refuse ([`Connections::review`]).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ambit_decide::{InboundQuery, Reason, Refusal};
use ambit_kit::clock;
use ambit_model::Mesh;
use ambit_telemetry::{Ends, Reporter, Series};
use ambit_tunnel::Meter;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::datapath::direction_of;
use super::pods::LocalPod;

/// The table of open connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    table: Arc<Mutex<HashMap<u64, Arc<Record>>>>,
    next: Arc<AtomicU64>,
}

/// What policy was asked when an inbound connection opened, to be asked again on a change.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// The pod that received it.
    pub(crate) pod: Arc<LocalPod>,
    /// Address in the pod.
    pub(crate) destination: SocketAddr,
    /// Address of the client.
    pub(crate) source: IpAddr,
}

#[derive(Debug)]
struct Record {
    reporter: Reporter,
    ends: Ends,
    source: SocketAddr,
    destination: SocketAddr,
    tunnel: Option<SocketAddr>,
    opened: std::time::Instant,
    meter: Arc<Meter>,
    /// True where the metered socket is the server's: inbound from a tunnel.
    meters_server: bool,
    booked: Mutex<(u64, u64)>,
    series: Arc<Series>,
    admitted: Option<Admitted>,
    cut: Mutex<Option<oneshot::Sender<Refusal>>>,
}

/// An open connection's place in the table; dropping it closes the books.
#[derive(Debug)]
pub(crate) struct Open {
    id: u64,
    record: Arc<Record>,
    table: Connections,
    _permit: Option<OwnedSemaphorePermit>,
}

/// A connection that is about to be carried.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Which end reports.
    pub(crate) reporter: Reporter,
    /// Who is who.
    pub(crate) ends: Ends,
    /// Address of the client, or of the waypoint that connects for it.
    pub(crate) source: SocketAddr,
    /// Address of the client, as the waypoint that connects for it tells.
    pub(crate) forwarded: Option<SocketAddr>,
    /// Address of the server.
    pub(crate) destination: SocketAddr,
    /// Other end of the tunnel, if there is one.
    pub(crate) tunnel: Option<SocketAddr>,
    /// True where the socket that the copying meters is the server's.
    pub(crate) meters_server: bool,
    /// Room among the pod's connections, where it was not taken at accept.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// For inbound: what to ask again when policy changes.
    pub(crate) admitted: Option<Admitted>,
}

/// One line of `/debug/connections`.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    id: u64,
    direction: &'static str,
    source: SocketAddr,
    destination: SocketAddr,
    tunnel: Option<SocketAddr>,
    source_identity: Option<String>,
    destination_identity: Option<String>,
    source_workload: Option<Arc<str>>,
    destination_workload: Option<Arc<str>>,
    service: Option<Arc<str>>,
    bytes_sent: u64,
    bytes_received: u64,
    seconds: u64,
}

impl Connections {
    /// Enters a connection; the receiver resolves when a changed policy refuses it.
    pub(crate) fn open(
        &self,
        series: Arc<Series>,
        opening: Opening,
    ) -> (Open, oneshot::Receiver<Refusal>) {
        series.opened.fetch_add(1, Ordering::Relaxed);
        let (cut, on_cut) = oneshot::channel();
        let record = Arc::new(Record {
            reporter: opening.reporter,
            ends: opening.ends,
            source: opening.source,
            destination: opening.destination,
            tunnel: opening.tunnel,
            opened: clock::now(),
            meter: Arc::default(),
            meters_server: opening.meters_server,
            booked: Mutex::default(),
            series,
            admitted: opening.admitted,
            cut: Mutex::new(Some(cut)),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.table.lock().insert(id, Arc::clone(&record));
        let open = Open {
            id,
            record,
            table: self.clone(),
            _permit: opening.permit,
        };
        (open, on_cut)
    }

    /// Adds what open connections have carried since the last look to the counters.
    pub(crate) fn book(&self) {
        for record in self.table.lock().values() {
            record.book();
        }
    }

    /// Asks policy again about every open inbound connection; cuts those now refused and says
    /// how many that were.
    pub(crate) fn review(&self, mesh: &Mesh) -> usize {
        let admitted: Vec<Arc<Record>> = self
            .table
            .lock()
            .values()
            .filter(|r| r.admitted.is_some())
            .cloned()
            .collect();
        admitted
            .into_iter()
            .filter(|record| record.review(mesh))
            .count()
    }

    /// How many connections are open, of one pod or of all.
    pub(crate) fn count(&self, pod: Option<&str>) -> usize {
        let table = self.table.lock();
        match pod {
            None => table.len(),
            Some(uid) => table.values().filter(|r| r.belongs_to(uid)).count(),
        }
    }

    /// Cuts every connection of a pod that is gone.
    pub(crate) fn cut_pod(&self, uid: &str) {
        for record in self.table.lock().values().filter(|r| r.belongs_to(uid)) {
            let detail = format!("pod {uid} left the node");
            record.cut(Refusal::new(Reason::UnknownPod, detail));
        }
    }

    /// Cuts every connection, because the time to drain is over; says how many there were.
    pub(crate) fn cut_all(&self) -> usize {
        let records: Vec<Arc<Record>> = self.table.lock().values().cloned().collect();
        let refusal = || Refusal::new(Reason::Draining, "still open at the end of the drain");
        records
            .iter()
            .filter(|record| record.cut(refusal()))
            .count()
    }

    /// Up to `limit` open connections, oldest first.
    pub(crate) fn list(&self, limit: usize) -> Vec<Listed> {
        let mut records: Vec<(u64, Arc<Record>)> = self
            .table
            .lock()
            .iter()
            .map(|(id, record)| (*id, Arc::clone(record)))
            .collect();
        records.sort_unstable_by_key(|(id, _)| *id);
        records
            .iter()
            .take(limit)
            .map(|(id, record)| record.listed(*id))
            .collect()
    }
}

impl Record {
    /// Bytes from the client to the server, and back.
    fn carried(&self) -> (u64, u64) {
        let (sent, received) = (&self.meter.sent, &self.meter.received);
        let from_socket = sent.load(Ordering::Relaxed);
        let to_socket = received.load(Ordering::Relaxed);
        if self.meters_server {
            (to_socket, from_socket)
        } else {
            (from_socket, to_socket)
        }
    }

    fn book(&self) {
        let now = self.carried();
        let mut booked = self.booked.lock();
        let (asked, answered) = (
            now.0.saturating_sub(booked.0),
            now.1.saturating_sub(booked.1),
        );
        *booked = now;
        drop(booked);
        // Istio's convention on both reporters: "received" is what the client sent, "sent" what
        // the server answered.
        self.series.received.fetch_add(asked, Ordering::Relaxed);
        self.series.sent.fetch_add(answered, Ordering::Relaxed);
    }

    /// True if the connection was cut just now.
    fn review(&self, mesh: &Mesh) -> bool {
        let Some(admitted) = &self.admitted else {
            return false;
        };
        let verdict = match admitted.pod.workload(mesh) {
            Some(workload) => ambit_decide::inbound(
                mesh,
                &InboundQuery {
                    workload: &workload,
                    destination: admitted.destination,
                    source: admitted.source,
                    peer: self.ends.source_id.as_ref(),
                },
            )
            .map(drop),
            // A record that vanished is being replaced; new connections wait for it, old ones
            // were admitted by a complete set of policies.
            None => return false,
        };
        match verdict {
            Ok(()) => false,
            Err(refusal) => self.cut(Refusal {
                reason: Reason::PolicyChanged,
                detail: format!("{}: {}", refusal.reason.word(), refusal.detail),
                ..refusal
            }),
        }
    }

    fn cut(&self, refusal: Refusal) -> bool {
        self.cut
            .lock()
            .take()
            .is_some_and(|cut| cut.send(refusal).is_ok())
    }

    fn belongs_to(&self, uid: &str) -> bool {
        let own = match self.reporter {
            Reporter::Source => &self.ends.source,
            Reporter::Destination | Reporter::Waypoint => &self.ends.destination,
        };
        own.as_ref()
            .is_some_and(|w| w.pod_uid.as_deref() == Some(uid))
            || self.admitted.as_ref().is_some_and(|a| &*a.pod.uid == uid)
    }

    fn listed(&self, id: u64) -> Listed {
        let (bytes_sent, bytes_received) = self.carried();
        let ends = &self.ends;
        Listed {
            id,
            direction: direction_of(self.reporter),
            source: self.source,
            destination: self.destination,
            tunnel: self.tunnel,
            source_identity: ends.source_id.as_ref().map(ToString::to_string),
            destination_identity: ends.destination_id.as_ref().map(ToString::to_string),
            source_workload: ends.source.as_ref().map(|w| Arc::clone(&w.name)),
            destination_workload: ends.destination.as_ref().map(|w| Arc::clone(&w.name)),
            service: ends.service.as_ref().map(|s| Arc::clone(&s.name.hostname)),
            bytes_sent,
            bytes_received,
            seconds: self.opened.elapsed().as_secs(),
        }
    }
}

impl Open {
    /// Asks policy again, as [`Connections::review`] does: it may have changed after the decision
    /// and before the connection was in the table.
    pub(crate) fn review(&self, mesh: &Mesh) {
        self.record.review(mesh);
    }

    /// Where the copying counts its bytes.
    pub(crate) fn meter(&self) -> &Meter {
        &self.record.meter
    }

    /// Bytes towards the server and back, and how long the connection has been open.
    pub(crate) fn carried(&self) -> (u64, u64, Duration) {
        let (sent, received) = self.record.carried();
        (sent, received, self.record.opened.elapsed())
    }

    /// Who is who.
    pub(crate) fn ends(&self) -> &Ends {
        &self.record.ends
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.table.table.lock().remove(&self.id);
        self.record.book();
        self.record.series.closed.fetch_add(1, Ordering::Relaxed);
    }
}
