//! The mesh model: workloads, services, policies, routes and waypoints as plain data, with indexed look-up.
//!
//! Everything downstream of a configuration source knows only these types. A [`Mesh`] is an
//! immutable snapshot: cloning it is O(1), applying one [`Change`] costs O(change) and shares the
//! rest with the snapshots that came before. No async, no I/O, no clocks.

mod authentication;
mod bindings;
mod claims;
mod credential;
mod endpoints;
#[cfg(test)]
mod fixtures;
mod former;
mod mesh;
mod names;
mod policy;
mod prefix;
mod request_policy;
mod route;
mod same;
mod service;
mod spiffe;
mod telemetry;
mod traffic;
mod workload;

pub use authentication::{
    AuthenticationProblem, ClaimHeader, JwtRule, RequestAuthentication, TokenHeader,
};
pub use credential::OutsideCredential;
pub use endpoints::Endpoints;
pub use mesh::{Change, Mesh, Target};
pub use names::{NetworkAddress, NotAServiceName, PolicyName, ServiceName, WorkloadUid};
pub use policy::{
    Action, Clause, Match, Policy, PolicyOrigin, Rule, Scope, ServiceAccountMatch, StringMatch,
    WaypointPolicy,
};
pub use prefix::PrefixMap;
pub use request_policy::{
    Condition, Operation, PathPattern, PathTemplate, PolicyProblem, RequestAction, RequestPolicy,
    RequestPrincipal, RequestRule, Source, TemplateSegment, Values,
};
pub use route::{
    AbortStatus, Backend, BackendTarget, Content, Cors, DirectResponse, FaultAbort, FaultDelay,
    Faults, FieldMatch, HeaderChanges, HttpBackend, HttpFilters, HttpMatch, HttpRoutes, HttpRule,
    Mirror, PathChange, PathMatch, Pattern, PortRoutes, Redirect, Retry, RetryOn, Rewrite,
    RouteList, RoutedMatch, ServiceRoutes, SessionCarrier, SessionPersistence, Share, SourceMatch,
    TcpRoute, TextMatch, TlsRoute,
};
pub use same::Same;
pub use service::{
    AppProtocol, IpFamilies, LoadBalancing, LoadBalancingMode, PortMapping, Service, ServicePort,
    Visibility,
};
pub use spiffe::{SpiffeId, SpiffeIdError, TrustDomain};
pub use telemetry::{
    AccessLogRule, AccessLogging, LogLines, MeshTelemetry, MeshTracing, Metric, MetricShape,
    MetricTags, Metrics, MetricsRule, TelemetryRules, TelemetryScope, TelemetryTarget,
    TraceProtocol, TraceTag, Tracing, TracingRule, Waypoint as WaypointName, client_identity,
};
pub use traffic::{
    Balancing, ConnectionPolicy, CredentialUse, HashKey, HashPolicy, HashTable, HttpVersion,
    Keepalive, LocalityPolicy, OutlierPolicy, OutsideTls, PortPolicies, RetryShare, ServiceTraffic,
    Subset, TrafficPolicy,
};
pub use workload::{
    GatewayAddress, Health, Locality, TunnelProtocol, Waypoint, Workload, WorkloadType,
};
