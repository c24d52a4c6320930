//! What all connections share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::Refusal;
use ambit_kit::tasks::Tasks;
use ambit_route::Normalization;
use ambit_telemetry::{Connection, Ends, Telemetry};
use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::callers::Callers;
use crate::drain::Drain;
use crate::gauges::Away;
use crate::http::scan::Limits;
use crate::identity::Identity;
use crate::outside::asked::Hosts;
use crate::outside::names::Counts;
use crate::pages::Own;
use crate::pressure::Pressure;
use crate::review::Review;
use crate::room::Room;
use crate::tcp::line::ConnectionLine;
use crate::telling::Tellings;
use crate::traces::Traces;
use crate::upstream::link::Linker;
use crate::upstream::pool::HttpPools;
use crate::verdicts::Verdicts;
use crate::view::View;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte of a head to its last.
    pub(crate) head: Duration,
    /// Between two pieces of a body, where we wait for it.
    pub(crate) body: Duration,
}

/// Bounds on what one client may send and take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Heads of HTTP/1.
    pub(crate) head: Limits,
    /// How long a client may take for a request.
    pub(crate) patience: Patience,
    /// How long a connection of HTTP may be kept without a byte.
    pub(crate) idle: Duration,
    /// Requests at once on one HTTP/2 connection of a client.
    pub(crate) requests: u32,
    /// Connections of all clients; each may have a quarter of them.
    pub(crate) connections: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            head: Limits {
                line: 16 << 10,
                head: 64 << 10,
                fields: 100,
            },
            patience: Patience {
                head: Duration::from_secs(30),
                body: Duration::from_secs(300),
            },
            idle: Duration::from_secs(3600),
            requests: 250,
            connections: 40_000,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// What is known now.
    pub(crate) view: ArcSwap<View>,
    /// The same, for whoever waits for something to be known.
    pub(crate) views: watch::Receiver<Arc<View>>,
    /// Who we are.
    pub(crate) identity: Identity,
    /// Connections to endpoints, for TCP.
    pub(crate) linker: Linker,
    /// Connections to endpoints, for requests.
    pub(crate) http: HttpPools,
    /// Who callers are.
    pub(crate) callers: Callers,
    /// Bounds on clients.
    pub(crate) bounds: Bounds,
    /// Whether what an endpoint may have done already is repeated only where that does no harm.
    pub(crate) idempotent_only: bool,
    /// The form that paths are put into.
    pub(crate) normalization: Normalization,
    /// Room for the connections of clients.
    pub(crate) room: Room,
    /// How short memory is, and who holds it.
    pub(crate) pressure: Pressure,
    /// Where endpoints are told of that are to be ejected.
    pub(crate) verdicts: Verdicts,
    /// Has open connections judged again.
    pub(crate) review: Review,
    /// Everything that runs for connections.
    pub(crate) tasks: Tasks,
    /// How far the waypoint is on its way out.
    pub(crate) drain: Arc<Drain>,
    /// Cancelled when the time for that is over: what is still open is cut.
    pub(crate) over: CancellationToken,
    /// What is told of connections and requests.
    pub(crate) telemetry: Arc<Telemetry>,
    /// How their lines in the log are written.
    pub(crate) tellings: Tellings,
    /// What is told of them to a collector.
    pub(crate) traces: Traces,
    /// Told when workloads are gone from the mesh.
    pub(crate) gone: Notify,
    /// Since when the control plane is away.
    pub(crate) away: Away,
    /// The pages of this pod itself.
    pub(crate) own: Own,
    /// How often names of hosts outside of the mesh were asked for.
    pub(crate) lookups: Counts,
    /// Hosts that clients name.
    pub(crate) hosts: Hosts,
}

impl Proxy {
    /// A connection was refused: it is counted and written down.
    pub(crate) fn refused(
        &self,
        ends: &Ends,
        source: SocketAddr,
        destination: SocketAddr,
        refusal: &Refusal,
    ) {
        self.refused_asking_for(None, ends, (source, destination), refusal);
    }

    fn refused_asking_for(
        &self,
        server_name: Option<&str>,
        ends: &Ends,
        (source, destination): (SocketAddr, SocketAddr),
        refusal: &Refusal,
    ) {
        let connection = Connection {
            direction: "waypoint",
            ends,
            source,
            forwarded: None,
            destination,
            host: None,
            tunnel: None,
            sent: 0,
            received: 0,
            duration: Duration::ZERO,
            refusal: Some(refusal),
            error: None,
        };
        let telling = self
            .tellings
            .of(ends.service.as_ref().map(|service| &service.name));
        let hostname = &self.tellings.hostname;
        let entry = || ConnectionLine::new(&connection, hostname).asking_for(server_name);
        let (line, values) = (telling.line(entry), telling.values(entry));
        let shaped = telling.shaped(&values);
        self.telemetry.refused(&connection, shaped, line);
    }

    /// A connection was ended for what came on it, or by policy.
    pub(crate) fn cut(&self, call: &Call, refusal: &Refusal) {
        self.cut_asking_for(None, call, refusal);
    }

    /// The same of a client that asks for this server name.
    pub(crate) fn cut_asking_for(&self, name: Option<&str>, call: &Call, refusal: &Refusal) {
        let addresses = (call.client.address, call.destination);
        self.refused_asking_for(name, &call.ends(), addresses, refusal);
    }

    /// What is known now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }
}
