//! The objects that the mesh reads, each with just the fields that matter to it.
//!
//! [`read()`] turns a parsed document into a typed [`Object`], or says which field is wrong. Core
//! kinds ignore what they do not know; Istio's do not, see
//! [`authorization_policy`](mod@authorization_policy); of a route of Gateway API only a word that is not known is an
//! error, see [`route_parts`]. Names are checked, so that what is read is
//! safe to put into identities.

pub mod authorization_policy;
pub mod cluster;
pub mod destination_rule;
pub mod gateway;
pub mod grpc_route;
pub mod http_route;
pub mod metadata;
pub mod names;
pub mod network_policy;
pub mod patterns;
pub mod peer_authentication;
pub mod pod;
pub mod reference_grant;
pub mod request_authentication;
pub mod route_filters;
pub mod route_parts;
pub mod route_values;
pub mod selector;
pub mod service;
pub mod service_entry;
pub mod short_name;
pub mod stream_route;
pub mod telemetry;
pub mod virtual_service;
pub mod workload_entry;

mod read;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use self::authorization_policy::AuthorizationPolicy;
use self::cluster::{Namespace, Node, ServiceAccount};
use self::destination_rule::DestinationRule;
use self::gateway::{Gateway, GatewayClass};
use self::grpc_route::GrpcRoute;
use self::http_route::HttpRoute;
use self::metadata::Metadata;
use self::network_policy::NetworkPolicy;
use self::peer_authentication::PeerAuthentication;
use self::pod::Pod;
use self::reference_grant::ReferenceGrant;
use self::request_authentication::RequestAuthentication;
use self::service::{EndpointSlice, Service};
use self::service_entry::ServiceEntry;
use self::stream_route::{TcpRoute, TlsRoute};
use self::telemetry::Telemetry;
use self::virtual_service::VirtualService;
use self::workload_entry::WorkloadEntry;

pub use self::read::{Identity, ReadError, items, not_applicable, read};

/// The kinds of objects that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are the kinds' names")]
pub enum Kind {
    Namespace,
    Node,
    ServiceAccount,
    Pod,
    Service,
    EndpointSlice,
    NetworkPolicy,
    AuthorizationPolicy,
    PeerAuthentication,
    GatewayClass,
    Gateway,
    HttpRoute,
    GrpcRoute,
    TlsRoute,
    TcpRoute,
    ReferenceGrant,
    VirtualService,
    DestinationRule,
    Telemetry,
    RequestAuthentication,
    ServiceEntry,
    WorkloadEntry,
    Sidecar,
    EnvoyFilter,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Namespace,
        Self::Node,
        Self::ServiceAccount,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::NetworkPolicy,
        Self::AuthorizationPolicy,
        Self::PeerAuthentication,
        Self::GatewayClass,
        Self::Gateway,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TlsRoute,
        Self::TcpRoute,
        Self::ReferenceGrant,
        Self::VirtualService,
        Self::DestinationRule,
        Self::Telemetry,
        Self::RequestAuthentication,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::Sidecar,
        Self::EnvoyFilter,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::ServiceAccount => "ServiceAccount",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::PeerAuthentication => "PeerAuthentication",
            Self::GatewayClass => "GatewayClass",
            Self::Gateway => "Gateway",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::Telemetry => "Telemetry",
            Self::RequestAuthentication => "RequestAuthentication",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::Sidecar => "Sidecar",
            Self::EnvoyFilter => "EnvoyFilter",
        }
    }

    /// Its name in paths of the API.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::ServiceAccount => "serviceaccounts",
            Self::Pod => "pods",
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::NetworkPolicy => "networkpolicies",
            Self::AuthorizationPolicy => "authorizationpolicies",
            Self::PeerAuthentication => "peerauthentications",
            Self::GatewayClass => "gatewayclasses",
            Self::Gateway => "gateways",
            Self::HttpRoute => "httproutes",
            Self::GrpcRoute => "grpcroutes",
            Self::TlsRoute => "tlsroutes",
            Self::TcpRoute => "tcproutes",
            Self::ReferenceGrant => "referencegrants",
            Self::VirtualService => "virtualservices",
            Self::DestinationRule => "destinationrules",
            Self::Telemetry => "telemetries",
            Self::RequestAuthentication => "requestauthentications",
            Self::ServiceEntry => "serviceentries",
            Self::WorkloadEntry => "workloadentries",
            Self::Sidecar => "sidecars",
            Self::EnvoyFilter => "envoyfilters",
        }
    }

    /// The kind of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The API versions that are understood, the preferred one first.
    pub fn api_versions(self) -> &'static [&'static str] {
        match self {
            Self::Namespace | Self::Node | Self::ServiceAccount | Self::Pod | Self::Service => {
                &["v1"]
            }
            Self::EndpointSlice => &["discovery.k8s.io/v1"],
            Self::NetworkPolicy => &["networking.k8s.io/v1"],
            Self::AuthorizationPolicy | Self::PeerAuthentication | Self::RequestAuthentication => {
                &["security.istio.io/v1", "security.istio.io/v1beta1"]
            }
            Self::GatewayClass | Self::Gateway | Self::HttpRoute | Self::ReferenceGrant => &[
                "gateway.networking.k8s.io/v1",
                "gateway.networking.k8s.io/v1beta1",
            ],
            Self::GrpcRoute => &["gateway.networking.k8s.io/v1"],
            Self::VirtualService
            | Self::DestinationRule
            | Self::ServiceEntry
            | Self::WorkloadEntry
            | Self::Sidecar => &[
                "networking.istio.io/v1",
                "networking.istio.io/v1beta1",
                "networking.istio.io/v1alpha3",
            ],
            Self::EnvoyFilter => &["networking.istio.io/v1alpha3"],
            Self::Telemetry => &["telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1"],
            Self::TlsRoute => &[
                "gateway.networking.k8s.io/v1",
                "gateway.networking.k8s.io/v1alpha3",
                "gateway.networking.k8s.io/v1alpha2",
            ],
            Self::TcpRoute => &[
                "gateway.networking.k8s.io/v1",
                "gateway.networking.k8s.io/v1alpha2",
            ],
        }
    }

    /// True if its objects live in a namespace.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::Node | Self::GatewayClass)
    }

    /// True if an object of this kind can refuse connections or requests: one that cannot be read is then
    /// a reason to refuse, not to allow.
    pub fn is_policy(self) -> bool {
        matches!(
            self,
            Self::AuthorizationPolicy | Self::PeerAuthentication | Self::RequestAuthentication
        )
    }

    /// True if it is one of Gateway API's that say where traffic goes.
    pub fn is_route(self) -> bool {
        matches!(
            self,
            Self::HttpRoute | Self::GrpcRoute | Self::TlsRoute | Self::TcpRoute
        )
    }

    /// True if the author of an object of this kind is told what becomes of it: before it is written
    /// and, by its status, afterwards. While it cannot be read, its last good version counts.
    pub fn is_judged(self) -> bool {
        self.is_policy() || self.is_route() || self.is_traffic() || self == Self::Telemetry
    }

    /// True if it is one of Istio's that say where traffic goes, and how.
    pub fn is_traffic(self) -> bool {
        matches!(
            self,
            Self::VirtualService | Self::DestinationRule | Self::ServiceEntry | Self::WorkloadEntry
        )
    }

    /// True if it is one of Istio's for sidecars, of which there are none: its objects are never read, and
    /// their authors told so. They may be there for another mesh.
    pub fn is_for_sidecars(self) -> bool {
        matches!(self, Self::Sidecar | Self::EnvoyFilter)
    }

    /// True if we write something of the status of its objects.
    pub fn has_our_status(self) -> bool {
        self.is_judged() || matches!(self, Self::Service | Self::GatewayClass | Self::Gateway)
    }
}

/// What tells objects apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for an object of the cluster.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Puts the parts together.
    pub fn new(kind: Kind, namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        f.write_str(" ")?;
        if self.kind.is_namespaced() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// An object that was read, or a policy that could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the kinds' names")]
pub enum Object {
    Namespace(Namespace),
    Node(Node),
    ServiceAccount(ServiceAccount),
    Pod(Box<Pod>),
    Service(Box<Service>),
    EndpointSlice(Box<EndpointSlice>),
    NetworkPolicy(Box<NetworkPolicy>),
    AuthorizationPolicy(Box<AuthorizationPolicy>),
    PeerAuthentication(Box<PeerAuthentication>),
    GatewayClass(Box<GatewayClass>),
    Gateway(Box<Gateway>),
    HttpRoute(Box<HttpRoute>),
    GrpcRoute(Box<GrpcRoute>),
    TlsRoute(Box<TlsRoute>),
    TcpRoute(Box<TcpRoute>),
    ReferenceGrant(Box<ReferenceGrant>),
    VirtualService(Box<VirtualService>),
    DestinationRule(Box<DestinationRule>),
    Telemetry(Box<Telemetry>),
    RequestAuthentication(Box<RequestAuthentication>),
    ServiceEntry(Box<ServiceEntry>),
    WorkloadEntry(Box<WorkloadEntry>),
    /// A policy that cannot be read and has no version that could: it refuses everything in its
    /// scope, which is its namespace, or the mesh if that is not readable either. Of a request
    /// authentication that is every request by way of a waypoint.
    UnreadablePolicy(ObjectKey),
}

impl Object {
    /// What tells it apart.
    pub fn key(&self) -> ObjectKey {
        let (kind, metadata) = match self {
            Self::Namespace(object) => (Kind::Namespace, &object.metadata),
            Self::Node(object) => (Kind::Node, &object.metadata),
            Self::ServiceAccount(object) => (Kind::ServiceAccount, &object.metadata),
            Self::Pod(object) => (Kind::Pod, &object.metadata),
            Self::Service(object) => (Kind::Service, &object.metadata),
            Self::EndpointSlice(object) => (Kind::EndpointSlice, &object.metadata),
            Self::NetworkPolicy(object) => (Kind::NetworkPolicy, &object.metadata),
            Self::AuthorizationPolicy(object) => (Kind::AuthorizationPolicy, &object.metadata),
            Self::PeerAuthentication(object) => (Kind::PeerAuthentication, &object.metadata),
            Self::GatewayClass(object) => (Kind::GatewayClass, &object.metadata),
            Self::Gateway(object) => (Kind::Gateway, &object.metadata),
            Self::HttpRoute(object) => (Kind::HttpRoute, &object.metadata),
            Self::GrpcRoute(object) => (Kind::GrpcRoute, &object.metadata),
            Self::TlsRoute(object) => (Kind::TlsRoute, &object.metadata),
            Self::TcpRoute(object) => (Kind::TcpRoute, &object.metadata),
            Self::ReferenceGrant(object) => (Kind::ReferenceGrant, &object.metadata),
            Self::VirtualService(object) => (Kind::VirtualService, &object.metadata),
            Self::DestinationRule(object) => (Kind::DestinationRule, &object.metadata),
            Self::Telemetry(object) => (Kind::Telemetry, &object.metadata),
            Self::RequestAuthentication(object) => (Kind::RequestAuthentication, &object.metadata),
            Self::ServiceEntry(object) => (Kind::ServiceEntry, &object.metadata),
            Self::WorkloadEntry(object) => (Kind::WorkloadEntry, &object.metadata),
            Self::UnreadablePolicy(key) => return key.clone(),
        };
        key_of(kind, metadata)
    }

    /// The document that would be read as this object; none for an unreadable policy.
    pub fn document(&self) -> Option<Value> {
        let body = match self {
            Self::Namespace(object) => serde_json::to_value(object),
            Self::Node(object) => serde_json::to_value(object),
            Self::ServiceAccount(object) => serde_json::to_value(object),
            Self::Pod(object) => serde_json::to_value(object),
            Self::Service(object) => serde_json::to_value(object),
            Self::EndpointSlice(object) => serde_json::to_value(object),
            Self::NetworkPolicy(object) => serde_json::to_value(object),
            Self::AuthorizationPolicy(object) => serde_json::to_value(object),
            Self::PeerAuthentication(object) => serde_json::to_value(object),
            Self::GatewayClass(object) => serde_json::to_value(object),
            Self::Gateway(object) => serde_json::to_value(object),
            Self::HttpRoute(object) => serde_json::to_value(object),
            Self::GrpcRoute(object) => serde_json::to_value(object),
            Self::TlsRoute(object) => serde_json::to_value(object),
            Self::TcpRoute(object) => serde_json::to_value(object),
            Self::ReferenceGrant(object) => serde_json::to_value(object),
            Self::VirtualService(object) => serde_json::to_value(object),
            Self::DestinationRule(object) => serde_json::to_value(object),
            Self::Telemetry(object) => serde_json::to_value(object),
            Self::RequestAuthentication(object) => serde_json::to_value(object),
            Self::ServiceEntry(object) => serde_json::to_value(object),
            Self::WorkloadEntry(object) => serde_json::to_value(object),
            Self::UnreadablePolicy(_) => return None,
        };
        let kind = self.key().kind;
        let Ok(Value::Object(mut map)) = body else {
            return None;
        };
        map.insert("kind".to_owned(), kind.name().into());
        map.insert(
            "apiVersion".to_owned(),
            (*kind.api_versions().first()?).into(),
        );
        Some(Value::Object(map))
    }
}

fn key_of(kind: Kind, metadata: &Metadata) -> ObjectKey {
    let namespace = match &metadata.namespace {
        Some(namespace) if kind.is_namespaced() => namespace.shared(),
        None if kind.is_namespaced() => "default".into(),
        _ => "".into(),
    };
    ObjectKey {
        kind,
        namespace,
        name: metadata.name.shared(),
    }
}

#[cfg(test)]
mod tests;
