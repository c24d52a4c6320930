//! How the requests to a service are spread over its endpoints and bounded on the way: what
//! Istio's `DestinationRule`s come to, put together for one service.
//!
//! Every policy here is whole: what a subset or a port takes over from what is around it has been
//! put in. Numbers that are absent have no bound, or are left to who follows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The policies of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceTraffic {
    /// For all its endpoints.
    pub whole: PortPolicies,
    /// Parts of its endpoints that routes may name, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subsets: BTreeMap<Arc<str>, Subset>,
}

/// A part of a service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subset {
    /// The labels that make an endpoint one of it; none, and all are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// What holds for it.
    pub policies: PortPolicies,
}

/// What holds on the ports of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortPolicies {
    /// Where the port has none of its own.
    pub any: TrafficPolicy,
    /// On these ports.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<u16, TrafficPolicy>,
}

impl PortPolicies {
    /// What holds on a port.
    pub fn on(&self, port: u16) -> &TrafficPolicy {
        self.ports.get(&port).unwrap_or(&self.any)
    }
}

/// How the requests to a port are spread and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrafficPolicy {
    /// Which of the endpoints that are equally near; the one with fewer requests if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balancing: Option<Balancing>,
    /// Which endpoints are near; what the service says if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<LocalityPolicy>,
    /// How long an endpoint that joins others gets less than its share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Duration>,
    /// How much there may be at once, and how connections are kept.
    #[serde(skip_serializing_if = "is_default")]
    pub connections: ConnectionPolicy,
    /// When endpoints that fail are ejected; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outliers: Option<OutlierPolicy>,
    /// That endpoints outside of the mesh are spoken to by TLS; as the client does if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Arc<OutsideTls>>,
}

/// TLS that is begun with hosts outside of the mesh, for clients that speak without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct OutsideTls {
    /// The server name that is asked for; the host that was called if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<Arc<str>>,
    /// Names of which the server's certificate must have one, hosts or URIs; the server name if there
    /// are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Arc<str>>,
    /// True if any certificate will do.
    #[serde(skip_serializing_if = "is_default")]
    pub unverified: bool,
    /// Why nothing is sent to the host, if what somebody asks for cannot be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable: Option<Arc<str>>,
    /// What is believed and shown in the place of what the waypoint has by itself. Whoever does not know this
    /// field finds the host unusable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialUse>,
}

/// That the authorities of a credential are believed about a server, and no others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CredentialUse {
    /// Its name: `NAMESPACE/NAME`.
    pub name: Arc<str>,
    /// Whether its certificate is shown to servers that ask for one.
    pub certificate: bool,
}

/// Which of several endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balancing {
    /// The one with fewer requests.
    LeastRequest,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
    /// The one that a hash leads to.
    Hash(HashPolicy),
}

/// How a hash leads to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashPolicy {
    /// What of a request is hashed.
    pub by: HashKey,
    /// How the hash is looked up.
    pub table: HashTable,
}

/// What of a request is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashKey {
    /// The value of this header.
    Header(Arc<str>),
    /// The value of a cookie.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Paths that it is for; a client's default if empty.
        path: Arc<str>,
        /// How long it lives, if a client without one is given one; zero is as long as the client
        /// runs. None is given if absent.
        ttl: Option<Duration>,
        /// What else is said of one that is given: names with values.
        attributes: Vec<(Arc<str>, Arc<str>)>,
    },
    /// The client's address.
    SourceIp,
    /// The value of this parameter of the query.
    Query(Arc<str>),
}

/// How a hash is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashTable {
    /// On a ring with so many points at least.
    Ring(u32),
    /// In a table of so many entries.
    Maglev(u32),
}

/// Localities with their parts of a hundred.
type LocalityShares = BTreeMap<Arc<str>, u32>;

/// Which endpoints are near, in Istio's words (`localityLbSetting`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalityPolicy {
    /// None is nearer than another.
    pub disabled: bool,
    /// Parts of the requests from a locality, by the localities they go to.
    pub distribute: Vec<(Arc<str>, LocalityShares)>,
    /// Regions that go before others: from, to.
    pub failover: Vec<(Arc<str>, Arc<str>)>,
    /// Labels, the most important first: `key` or `key=value`.
    pub priority: Vec<Arc<str>>,
}

/// How much there may be at once towards a port, and how connections are kept. It holds for each
/// replica of a waypoint by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionPolicy {
    /// Connections to all endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// Requests that wait for a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Requests in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Retries at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// The same as a share, where there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_share: Option<RetryShare>,
    /// Requests after which a connection takes no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_each: Option<u32>,
    /// Requests at once on one connection of HTTP/2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams_each: Option<u32>,
    /// How long making one may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// After how long without a request one is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// After how long without a byte one that is no HTTP is ended; zero is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence: Option<Duration>,
    /// How old one may become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Duration>,
    /// How one that is silent is probed, where it is a socket of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Keepalive>,
    /// Which HTTP endpoints are spoken to in.
    #[serde(skip_serializing_if = "is_default")]
    pub http: HttpVersion,
}

/// How a silent connection is probed. What is absent is as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keepalive {
    /// Probes without an answer after which it counts as broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// How long it is silent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Duration>,
    /// Between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}

/// Which HTTP endpoints are spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// As the port says, or else the client's.
    #[default]
    OfPort,
    /// The client's.
    OfClient,
    /// HTTP/2.
    Http2,
}

/// Retries as a share of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryShare {
    /// For each hundred requests in progress.
    pub percent: u32,
    /// However few these are.
    pub minimum: u32,
}

/// When endpoints are ejected, and for how long. Numbers of failures are in a row; 0 never ejects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlierPolicy {
    /// Answers of 500 to 599 (`consecutive5xxErrors`).
    pub consecutive_5xx: u32,
    /// Answers of 502, 503 and 504 (`consecutiveGatewayErrors`).
    pub consecutive_gateway: u32,
    /// Whether what fails without an answer is counted by itself; otherwise it is taken for an answer
    /// of 503 or 504 (`splitExternalLocalOriginErrors`).
    pub split_local_origin: bool,
    /// Failures without an answer, where they are counted by themselves
    /// (`consecutiveLocalOriginFailures`).
    pub consecutive_local_origin: u32,
    /// How long an endpoint has to be well to be forgiven one ejection (`interval`).
    pub interval: Duration,
    /// How long the first ejection takes; the second twice as long, and so on (`baseEjectionTime`).
    pub base_ejection_time: Duration,
    /// How many of a hundred endpoints are ejected at most (`maxEjectionPercent`).
    pub max_ejection_percent: u32,
    /// If fewer of a hundred are not ejected, ejections are ignored (`minHealthPercent`).
    pub min_health_percent: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for OutlierPolicy {
    /// Istio's.
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway: 0,
            split_local_origin: false,
            consecutive_local_origin: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 10,
            min_health_percent: 0,
        }
    }
}
