//! What objects become.

use crate::config::objects::{Kind, ObjectKey};

/// One model object, or a few that are made together, by the object that it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// The workload of a pod.
    Workload(ObjectKey),
    /// The workloads of a slice's endpoints that are not pods.
    OutsideEndpoints(ObjectKey),
    /// A service.
    Service(ObjectKey),
    /// The services of a service entry's hosts, and their workloads that are not pods.
    ServiceEntry(ObjectKey),
    /// The routes of a service, which may not be there.
    Routes(ObjectKey),
    /// The policy of a policy object.
    Policy(ObjectKey),
    /// A request authentication.
    Authentication(ObjectKey),
    /// The policy that refuses plaintext.
    StaticStrict,
}

impl Output {
    /// What an object becomes, if it becomes something itself.
    pub(super) fn of(key: &ObjectKey) -> Option<Self> {
        match key.kind {
            Kind::Pod => Some(Self::Workload(key.clone())),
            Kind::EndpointSlice => Some(Self::OutsideEndpoints(key.clone())),
            Kind::Service => Some(Self::Service(key.clone())),
            Kind::ServiceEntry => Some(Self::ServiceEntry(key.clone())),
            Kind::AuthorizationPolicy | Kind::PeerAuthentication => Some(Self::Policy(key.clone())),
            Kind::RequestAuthentication => Some(Self::Authentication(key.clone())),
            Kind::Namespace
            | Kind::Node
            | Kind::ServiceAccount
            | Kind::NetworkPolicy
            | Kind::GatewayClass
            | Kind::Gateway
            | Kind::HttpRoute
            | Kind::GrpcRoute
            | Kind::TlsRoute
            | Kind::TcpRoute
            | Kind::ReferenceGrant
            | Kind::VirtualService
            | Kind::DestinationRule
            | Kind::Telemetry
            | Kind::WorkloadEntry
            | Kind::Sidecar
            | Kind::EnvoyFilter => None,
        }
    }
}
