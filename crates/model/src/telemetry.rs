//! What waypoints tell of requests, as whoever runs the mesh wants it, and whoever may write objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::ServiceName;

/// What holds for the whole mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshTelemetry {
    /// Whether there is an access log where no rule says otherwise.
    pub access_log: bool,
    /// Its lines.
    pub lines: LogLines,
    /// How requests are traced; without it they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<MeshTracing>,
    /// The same by the names of all providers, which rules may name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<Arc<str>, MeshTracing>,
}

/// How requests are traced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeshTracing {
    /// Host and port of the collector.
    pub address: Arc<str>,
    /// How it is spoken to.
    pub protocol: TraceProtocol,
    /// How many of a hundred traces that nobody has decided about are recorded, in millionths.
    pub sampling: u32,
    /// Whether requests that failed are recorded in any case.
    pub keep_errors: bool,
}

/// How a collector is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, to this path; empty for the usual one.
    Http(Arc<str>),
}

/// The lines of an access log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLines {
    /// Our own fields.
    #[default]
    Usual,
    /// A text in Envoy's command operators.
    Text(Arc<str>),
    /// A JSON object of such texts, as text.
    Json(Arc<str>),
}

impl Default for MeshTelemetry {
    fn default() -> Self {
        Self {
            access_log: true,
            lines: LogLines::Usual,
            tracing: None,
            providers: BTreeMap::new(),
        }
    }
}

/// What one object says of what is told, where it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryRules {
    /// Namespace of the object.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// When it was made: such texts compare as the times do. Of several of one scope the oldest counts.
    pub since: Arc<str>,
    /// Where it holds.
    pub scope: TelemetryScope,
    /// What it says of the access log, in its order.
    pub access_log: Vec<AccessLogRule>,
    /// What it says of traces, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracing: Vec<TracingRule>,
    /// What it says of series, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricsRule>,
    /// Whether applications are told who called, as the waypoint has verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_identity: Option<bool>,
}

/// Where an object's rules hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryScope {
    /// For the whole mesh.
    Mesh,
    /// For all waypoints of its namespace.
    Namespace,
    /// For these.
    Targets(Vec<TelemetryTarget>),
}

/// What rules may be bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryTarget {
    /// All that goes through the waypoint of this name, of the same namespace.
    Gateway(Arc<str>),
    /// What is for this service.
    Service(ServiceName),
}

/// A rule about the access log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLogRule {
    /// There is none.
    pub disabled: bool,
    /// An expression that is true of what has a line.
    pub filter: Option<Arc<str>>,
}

/// A rule about traces: what it leaves open stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracingRule {
    /// How many of a hundred traces that nobody has decided about are recorded, in millionths.
    pub sampling: Option<u32>,
    /// Nothing is told to the collector.
    pub unreported: Option<bool>,
    /// The mesh's name of the collector that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Arc<str>>,
    /// Attributes of the spans of requests, beside the usual.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<Arc<str>, TraceTag>,
}

/// What an attribute of a span has as its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceTag {
    /// This text.
    Literal(Arc<str>),
    /// A variable of the waypoint's environment, or else this.
    Environment(Arc<str>, Option<Arc<str>>),
    /// A header of the request, or else this.
    Header(Arc<str>, Option<Arc<str>>),
}

/// What comes of all rules about traces, of some requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// As in a rule; if none says it, that of the mesh.
    pub sampling: Option<u32>,
    /// Nothing is told to the collector.
    pub unreported: bool,
    /// The mesh's name of the collector that is told; if none says it, the mesh's own.
    pub provider: Option<Arc<str>>,
    /// Attributes of the spans of requests, beside the usual.
    pub tags: BTreeMap<Arc<str>, TraceTag>,
}

/// Families of series that rules may be about, by Istio's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are Istio's")]
pub enum Metric {
    RequestCount,
    RequestDuration,
    RequestSize,
    ResponseSize,
    GrpcRequestMessages,
    GrpcResponseMessages,
    TcpOpenedConnections,
    TcpClosedConnections,
    TcpSentBytes,
    TcpReceivedBytes,
}

impl Metric {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::RequestCount,
        Self::RequestDuration,
        Self::RequestSize,
        Self::ResponseSize,
        Self::GrpcRequestMessages,
        Self::GrpcResponseMessages,
        Self::TcpOpenedConnections,
        Self::TcpClosedConnections,
        Self::TcpSentBytes,
        Self::TcpReceivedBytes,
    ];

    /// Whether it is about connections, which agents count too.
    pub fn is_of_connections(self) -> bool {
        self >= Self::TcpOpenedConnections
    }
}

/// Labels by their names, with expressions for their values; none for those that are left out.
pub type MetricTags = BTreeMap<Arc<str>, Option<Arc<str>>>;

/// A rule about series: what it leaves open stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsRule {
    /// Of which it is.
    pub metrics: Vec<Metric>,
    /// They are not there.
    pub disabled: Option<bool>,
    /// What becomes of labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: MetricTags,
}

/// What comes of all rules about one family, of some requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricShape {
    /// It is not there.
    pub disabled: bool,
    /// What becomes of labels.
    pub tags: MetricTags,
}

/// What comes of all rules about series, of some requests: the families of which any rule says something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics(pub BTreeMap<Metric, MetricShape>);

/// What comes of all rules, of some requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogging {
    /// Whether there is an access log.
    pub enabled: bool,
    /// An expression that is true of what has a line.
    pub filter: Option<Arc<str>>,
}

impl TelemetryRules {
    /// Whether they hold for all that goes through a waypoint.
    pub fn is_for_waypoint(&self, waypoint: &Waypoint<'_>) -> bool {
        let is_here = *self.namespace == *waypoint.namespace;
        match &self.scope {
            TelemetryScope::Mesh => true,
            TelemetryScope::Namespace => is_here,
            TelemetryScope::Targets(targets) => targets.iter().any(|target| {
                matches!(target, TelemetryTarget::Gateway(name) if is_here && **name == *waypoint.name)
            }),
        }
    }

    /// Services that it is bound to.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        let targets = match &self.scope {
            TelemetryScope::Targets(targets) => targets.as_slice(),
            TelemetryScope::Mesh | TelemetryScope::Namespace => &[],
        };
        targets.iter().filter_map(|target| match target {
            TelemetryTarget::Service(name) => Some(name),
            TelemetryTarget::Gateway(_) => None,
        })
    }

    /// The wider its scope, the sooner it counts, and the sooner another one overrides it.
    fn rank(&self) -> u8 {
        match self.scope {
            TelemetryScope::Mesh => 0,
            TelemetryScope::Namespace => 1,
            TelemetryScope::Targets(_) => 2,
        }
    }
}

/// A waypoint, by the names of its Gateway.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are parts of a name")]
pub struct Waypoint<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
}

/// Rules that hold for what goes through a waypoint to a service, the last word last: first the oldest
/// object for the mesh, then the oldest for the waypoint's namespace, then all that are bound to the
/// waypoint or the service, by age.
fn in_order<'r>(
    rules: impl IntoIterator<Item = &'r TelemetryRules>,
    waypoint: &Waypoint<'_>,
    service: Option<&ServiceName>,
) -> Vec<&'r TelemetryRules> {
    let is_for = |rules: &&TelemetryRules| {
        rules.is_for_waypoint(waypoint)
            || service.is_some_and(|service| rules.services().any(|named| named == service))
    };
    let mut all: Vec<&TelemetryRules> = rules.into_iter().filter(is_for).collect();
    all.sort_by_key(|rules| (rules.rank(), &rules.since, &rules.namespace, &rules.name));
    // Of those without targets only the oldest of each scope.
    all.dedup_by_key(|rules| match rules.rank() {
        2 => Err((&rules.namespace, &rules.name)),
        rank => Ok(rank),
    });
    all
}

impl AccessLogging {
    /// What rules make of what holds for the mesh, for what goes through a waypoint to a service. Of what
    /// they say, the last word counts.
    pub fn of<'r>(
        mesh: &MeshTelemetry,
        rules: impl IntoIterator<Item = &'r TelemetryRules>,
        waypoint: &Waypoint<'_>,
        service: Option<&ServiceName>,
    ) -> Self {
        let mut logging = Self {
            enabled: mesh.access_log,
            filter: None,
        };
        let all = in_order(rules, waypoint, service);
        for rule in all.into_iter().flat_map(|rules| &rules.access_log) {
            logging.enabled = !rule.disabled;
            logging.filter.clone_from(&rule.filter);
        }
        logging
    }
}

impl Tracing {
    /// The same for traces.
    pub fn of<'r>(
        rules: impl IntoIterator<Item = &'r TelemetryRules>,
        waypoint: &Waypoint<'_>,
        service: Option<&ServiceName>,
    ) -> Self {
        let mut tracing = Self::default();
        let all = in_order(rules, waypoint, service);
        for rule in all.into_iter().flat_map(|rules| &rules.tracing) {
            tracing.sampling = rule.sampling.or(tracing.sampling);
            tracing.unreported = rule.unreported.unwrap_or(tracing.unreported);
            tracing.provider = rule.provider.clone().or(tracing.provider);
            let tags = rule.tags.iter();
            tracing
                .tags
                .extend(tags.map(|(name, tag)| (Arc::clone(name), tag.clone())));
        }
        tracing
    }
}

/// Whether rules want applications behind a waypoint to be told who called.
pub fn client_identity<'r>(
    rules: impl IntoIterator<Item = &'r TelemetryRules>,
    waypoint: &Waypoint<'_>,
) -> bool {
    let all = in_order(rules, waypoint, None).into_iter();
    let mut said = all.filter_map(|rules| rules.client_identity);
    said.next_back().unwrap_or_default()
}

impl Metrics {
    /// The same for series.
    pub fn of<'r>(
        rules: impl IntoIterator<Item = &'r TelemetryRules>,
        waypoint: &Waypoint<'_>,
        service: Option<&ServiceName>,
    ) -> Self {
        let mut metrics = Self::default();
        let all = in_order(rules, waypoint, service);
        for rule in all.into_iter().flat_map(|rules| &rules.metrics) {
            for metric in &rule.metrics {
                let shape = metrics.0.entry(*metric).or_default();
                shape.disabled = rule.disabled.unwrap_or(shape.disabled);
                let tags = rule.tags.iter();
                shape
                    .tags
                    .extend(tags.map(|(name, value)| (Arc::clone(name), value.clone())));
            }
        }
        metrics
    }
}

#[cfg(test)]
mod tests;
