//! What is asked about an outgoing connection, and what the answer looks like.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_model::{Service, SpiffeId, Workload, WorkloadUid};

use crate::egress::EgressMode;

/// A connection that an enrolled pod opened.
#[derive(Clone, Copy, Debug)]
pub struct OutboundQuery<'a> {
    /// The pod, known by the listener that accepted the connection.
    pub source: &'a Workload,
    /// Where it wanted to go.
    pub destination: SocketAddr,
    /// What happens to unknown destinations.
    pub egress: EgressMode,
    /// A random number, for the choice of an endpoint.
    pub pick: u64,
    /// An endpoint of a waypoint that could not be reached just now: another one is picked.
    pub avoid: Option<&'a WorkloadUid>,
}

/// Where a connection goes, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum OutboundPlan {
    /// In plaintext, as it came.
    Passthrough {
        /// Address to connect to.
        to: SocketAddr,
        /// The workload there, if known.
        workload: Option<Arc<Workload>>,
        /// The service that was asked for, if one was.
        service: Option<Arc<Service>>,
    },
    /// In a tunnel.
    Tunnel {
        /// Address of the tunnel's far end.
        to: SocketAddr,
        /// Address and port to ask for there.
        authority: SocketAddr,
        /// The identities of which the far end must prove one.
        expected: Arc<[SpiffeId]>,
        /// The workload there.
        workload: Arc<Workload>,
        /// The service that was asked for, if one was.
        service: Option<Arc<Service>>,
        /// True if the workload there is not the destination, but an endpoint of the waypoint
        /// that the destination is bound to.
        waypoint: bool,
    },
    /// In plaintext, to where a name leads: whoever connects resolves it, and asks
    /// [`resolved`](crate::resolved) about each address.
    Resolve {
        /// The name.
        hostname: Arc<str>,
        /// Port to connect to.
        port: u16,
        /// The workload of that name.
        workload: Arc<Workload>,
        /// The service that was asked for.
        service: Arc<Service>,
    },
    /// To the pod itself; nothing leaves it.
    Own {
        /// Address to connect to.
        to: SocketAddr,
        /// The service that was asked for, if one was.
        service: Option<Arc<Service>>,
    },
}
