//! What every connection of the data path needs, and the two ends of its story: carrying the
//! bytes of an allowed one, writing down a refused one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ambit_decide::{Admission, EgressMode, Reason, Refusal};
use ambit_model::{Mesh, Workload};
use ambit_netsys::sockets;
use ambit_telemetry::{Connection, Ends, Labels, Reporter, SeriesTable, tcp_labels};
use ambit_tunnel::{CopyEnd, DialError, Key, OpenError, Pool, Stream};
use arc_swap::ArcSwap;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::access_log::AccessLog;
use super::connections::{Connections, Opening};
use super::identities::Identities;
use super::ledger::{Family, Ledger};
use super::names::Names;
use super::pods::LocalPod;
use super::probes::Probes;

/// How long a connection waits for the record of its own pod to arrive.
pub(crate) const RECORD_PATIENCE: Duration = Duration::from_secs(5);

/// Streams that wait at once for what this agent may learn late.
const MOST_LATE: usize = 1024;

/// Shared by every connection of one proxy generation.
#[derive(Debug)]
pub(crate) struct DataPath {
    mesh: ArcSwap<Mesh>,
    mesh_changes: watch::Sender<u64>,
    /// Certificates and trust of this node's pods.
    pub(crate) identities: Identities,
    /// Questions about flows from the node.
    pub(crate) probes: Probes,
    /// Tunnels to other pods.
    pub(crate) pool: Arc<Pool>,
    /// Limits and windows of tunnels.
    pub(crate) tunnels: ambit_tunnel::Settings,
    /// Everything that was accepted and has not ended: tunnels, their streams, and connections
    /// that are still opening, which the table does not know yet.
    pub(crate) accepted: TaskTracker,
    /// Open connections.
    pub(crate) connections: Connections,
    /// Every counter.
    pub(crate) ledger: Ledger,
    /// Counters by pair of ends.
    pub(crate) series: SeriesTable,
    /// Where connections are written down.
    pub(crate) log: AccessLog,
    /// Handshakes of the pool that are in the ledger already.
    booked_handshakes: AtomicU64,
    /// Streams of waypoints that wait for what this agent may learn late.
    pub(crate) late: Semaphore,
    /// Names that have to be resolved.
    pub(crate) names: Names,
    /// What happens to unknown destinations.
    pub(crate) egress: EgressMode,
    /// Trust domain of workloads that name none.
    pub(crate) trust_domain: Arc<str>,
}

/// A connection as it was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Address of the client.
    pub(crate) client: SocketAddr,
    /// Where the client wanted to go.
    pub(crate) destination: SocketAddr,
}

/// The far side of a connection, open.
#[derive(Debug)]
pub(crate) enum Far {
    /// A socket.
    Plain(TcpStream),
    /// A stream in a tunnel to that peer.
    Tunnel {
        /// The stream.
        stream: Stream,
        /// The other end of the tunnel.
        peer: SocketAddr,
    },
}

impl Arrival {
    /// Asks the kernel where a redirected connection was going (`SO_ORIGINAL_DST`).
    pub(crate) fn of(client: &TcpStream) -> io::Result<Self> {
        Ok(Self {
            client: client.peer_addr()?,
            destination: sockets::original_destination(client)?,
        })
    }
}

impl DataPath {
    /// A data path with an empty mesh.
    pub(crate) fn new(
        identities: Identities,
        probes: Probes,
        tunnels: ambit_tunnel::Settings,
        egress: EgressMode,
        trust_domain: Arc<str>,
        (ledger, log): (Ledger, AccessLog),
    ) -> Self {
        Self {
            mesh: ArcSwap::default(),
            mesh_changes: watch::Sender::new(0),
            identities,
            probes,
            pool: Pool::new(tunnels.clone()),
            tunnels,
            accepted: TaskTracker::new(),
            connections: Connections::default(),
            ledger,
            series: SeriesTable::default(),
            log,
            booked_handshakes: AtomicU64::new(0),
            late: Semaphore::new(MOST_LATE),
            names: Names::default(),
            egress,
            trust_domain,
        }
    }

    /// The same with resolvers to ask.
    pub(crate) fn with_resolvers(mut self, resolvers: Vec<SocketAddr>) -> Self {
        self.names = Names::new(resolvers);
        self
    }

    /// Brings the ledger up to date with what is counted elsewhere: bytes of open connections,
    /// and handshakes of the pool.
    pub(crate) fn book(&self) {
        self.connections.book();
        let now = self.pool.stats().handshakes;
        let before = self.booked_handshakes.fetch_max(now, Ordering::Relaxed);
        let labels = Labels::new([("side", "client".into()), ("result", "ok".into())]);
        self.ledger
            .cell(Family::Handshakes, &labels)
            .fetch_add(now.saturating_sub(before), Ordering::Relaxed);
    }

    /// The snapshot to decide by. A connection takes it once.
    pub(crate) fn mesh(&self) -> Arc<Mesh> {
        self.mesh.load_full()
    }

    /// Puts a new snapshot in force.
    pub(crate) fn publish(&self, mesh: Mesh) {
        self.mesh.store(Arc::new(mesh));
        self.mesh_changes.send_modify(|n| *n += 1);
    }

    /// Wakes when a new snapshot is in force.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.mesh_changes.subscribe()
    }

    /// The pod's record in the mesh, now or within the bounded wait, and the snapshot that it is
    /// in: the policies that it names are those of the same snapshot.
    pub(crate) async fn record_of(
        &self,
        pod: &LocalPod,
    ) -> Result<(Arc<Workload>, Arc<Mesh>), Refusal> {
        let look = || {
            let mesh = self.mesh();
            pod.workload(&mesh).map(|workload| (workload, mesh))
        };
        if let Some(found) = look() {
            return Ok(found);
        }
        let mut changes = self.mesh_changes.subscribe();
        let wait = async {
            loop {
                if let Some(found) = look() {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(RECORD_PATIENCE, wait)
            .await
            .ok()
            .flatten()
            .ok_or_else(|| {
                Refusal::new(
                    Reason::UnknownPod,
                    format!(
                        "the control plane has not told of pod {}, nor of its policies",
                        pod.uid
                    ),
                )
            })
    }

    /// Copies both ways until both are done, then writes the connection down.
    ///
    /// The connection is open, and in the table, before the future is polled: so the future holds
    /// what carrying needs and no longer what opening did.
    pub(crate) fn carry(
        &self,
        near: TcpStream,
        far: Far,
        mut opening: Opening,
    ) -> impl Future<Output = ()> + Send {
        let arrival = Arrival {
            client: opening.source,
            destination: opening.destination,
        };
        if let Far::Tunnel { peer, .. } = &far {
            opening.tunnel = Some(*peer);
        }
        let (reporter, tunnel, forwarded) = (opening.reporter, opening.tunnel, opening.forwarded);
        let series = self.series.of(&self.ledger, reporter, &opening.ends);
        let (open, cut) = self.connections.open(series, opening);
        open.review(&self.mesh());
        async move {
            let copying = async {
                match far {
                    Far::Plain(socket) => {
                        ambit_tunnel::copy_plain(near, socket, open.meter()).await
                    }
                    Far::Tunnel { stream, .. } => {
                        ambit_tunnel::copy(near, stream, open.meter()).await
                    }
                }
            };
            // Dropping the copy resets both sides.
            let (end, refusal) = tokio::select! {
                end = copying => (Some(end), None),
                Ok(refusal) = cut => (None, Some(refusal)),
            };
            let (sent, received, duration) = open.carried();
            if let Some(refusal) = &refusal {
                self.count_refusal(reporter, refusal.reason);
            }
            self.log.write(&Connection {
                direction: direction_of(reporter),
                ends: open.ends(),
                source: arrival.client,
                forwarded,
                destination: arrival.destination,
                host: None,
                tunnel,
                sent,
                received,
                duration,
                refusal: refusal.as_ref(),
                error: end.as_ref().and_then(error_of).as_deref(),
            });
        }
    }

    /// Counts and writes down a refusal, and resets the client so that it knows at once.
    pub(crate) fn refuse(
        &self,
        client: Option<TcpStream>,
        reporter: Reporter,
        arrival: &Arrival,
        ends: &Ends,
        refusal: &Refusal,
    ) {
        self.refuse_host(client, reporter, (arrival, None), ends, refusal);
    }

    /// The same with the name that the client meant by the address, if that is known.
    pub(crate) fn refuse_host(
        &self,
        client: Option<TcpStream>,
        reporter: Reporter,
        (arrival, host): (&Arrival, Option<&str>),
        ends: &Ends,
        refusal: &Refusal,
    ) {
        if let Some(client) = client {
            reset(client);
        }
        self.count_refusal(reporter, refusal.reason);
        let labels = tcp_labels(reporter, ends, refusal.reason.response_flag());
        self.ledger
            .cell(Family::Failed, &labels)
            .fetch_add(1, Ordering::Relaxed);
        self.log.write(&Connection {
            direction: direction_of(reporter),
            ends,
            source: arrival.client,
            forwarded: None,
            destination: arrival.destination,
            host,
            tunnel: None,
            sent: 0,
            received: 0,
            duration: Duration::ZERO,
            refusal: Some(refusal),
            error: None,
        });
    }

    /// What an outbound connection is refused with when its tunnel or stream did not open.
    pub(crate) fn tunnel_refusal(&self, key: &Key, error: &OpenError) -> Refusal {
        if let OpenError::Handshake(failure) = error {
            self.count_handshake("client", failure.word());
        }
        Refusal::new(
            reason_for(error.word()),
            format!("tunnel to {}: {error}", key.to),
        )
    }

    /// Counts a refusal, or an open connection that was cut.
    fn count_refusal(&self, reporter: Reporter, reason: Reason) {
        let labels = [("reporter", reporter.word()), ("reason", reason.word())];
        self.ledger.count(Family::Refusals, &labels);
    }

    /// Counts what policies in dry-run mode would have done.
    pub(crate) fn count_dry_runs(&self, admission: &Admission) {
        for dry_run in &admission.dry_run {
            let policy = dry_run.policy.to_string();
            let verdict = if dry_run.would_refuse() {
                "refuse"
            } else {
                "allow"
            };
            self.ledger
                .count(Family::DryRun, &[("policy", &policy), ("verdict", verdict)]);
        }
    }

    /// Counts a tunnel that ended by misbehaviour.
    pub(crate) fn count_tunnel_error(&self, kind: &str) {
        self.ledger.count(Family::TunnelErrors, &[("kind", kind)]);
    }

    /// Counts a handshake by side and result.
    pub(crate) fn count_handshake(&self, side: &str, result: &str) {
        self.ledger
            .count(Family::Handshakes, &[("side", side), ("result", result)]);
    }
}

/// The reason of a word that another crate reports with its errors.
pub(crate) fn reason_for(word: &str) -> Reason {
    Reason::ALL
        .iter()
        .copied()
        .find(|r| r.word() == word)
        .unwrap_or(Reason::ConnectFailed)
}

/// A connection that could not be made, as a refusal.
pub(crate) fn not_reached(error: &DialError) -> Refusal {
    Refusal::new(reason_for(error.word()), error.to_string())
}

/// Which way a connection goes, as its reporter sees it.
pub(crate) fn direction_of(reporter: Reporter) -> &'static str {
    match reporter {
        Reporter::Source => "outbound",
        Reporter::Destination | Reporter::Waypoint => "inbound",
    }
}

/// What broke a copy, if anything did.
fn error_of(end: &CopyEnd) -> Option<String> {
    match end {
        CopyEnd::Finished => None,
        CopyEnd::NearFailed(error) => Some(error.to_string()),
        CopyEnd::FarReset(what) | CopyEnd::FarFailed(what) => Some(what.clone()),
    }
}

/// Closes a connection with a reset, so that no client takes the end for an answer.
pub(crate) fn reset(client: TcpStream) {
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).ok();
    drop(client);
}
