//! What routes of all kinds have in common: whose traffic they are for, and where it goes.
//!
//! Fields that Gateway API's definitions do not know are ignored, as an API server would drop them.
//! What is limited there is limited here. Words of enumerations stay texts: one that is not known
//! is wrong in its rule, not in the whole route; `translate/routes.rs` says so.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::grpc_route::GrpcRouteRule;
use super::http_route::HttpRouteRule;
use super::metadata::{Metadata, or_default};
use super::names::{Label, Name};
use super::route_filters::Filter;
use super::route_values::{RouteDuration, RoutePort, Text, Weight, at_most};
use super::stream_route::StreamRouteRule;
use super::{Kind, Object};

/// API group of routes, and of what they refer to by default.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// A route whose rules are of this type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "R: Deserialize<'de>"))]
pub struct RouteObject<R> {
    /// Name, labels and so on.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: RouteSpec<R>,
}

/// `spec` of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "R: Deserialize<'de>"))]
pub struct RouteSpec<R> {
    /// Whose traffic it is for.
    #[serde(default, deserialize_with = "at_most::<32, _, _>")]
    pub parent_refs: Vec<ParentReference>,
    /// Host names; of meaning for TLS only.
    #[serde(default, deserialize_with = "at_most::<1024, _, _>")]
    pub hostnames: Vec<Arc<str>>,
    /// What happens to it.
    #[serde(default, deserialize_with = "at_most::<16, _, _>")]
    pub rules: Vec<R>,
}

/// Whose traffic a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// That of Gateway API if absent.
    #[serde(default)]
    pub group: Option<Arc<str>>,
    /// `Gateway` if absent.
    #[serde(default)]
    pub kind: Option<Arc<str>>,
    /// That of the route if absent.
    #[serde(default)]
    pub namespace: Option<Label>,
    /// Its name.
    pub name: Arc<str>,
    /// Name of one port of a service, or of one listener of a gateway.
    #[serde(default)]
    pub section_name: Option<Arc<str>>,
    /// One port.
    #[serde(default)]
    pub port: Option<RoutePort>,
}

/// Where traffic goes, or a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendReference {
    /// Empty for a service.
    #[serde(default, deserialize_with = "or_default")]
    pub group: Arc<str>,
    /// `Service` if absent.
    #[serde(default)]
    pub kind: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
    /// That of the route if absent.
    #[serde(default)]
    pub namespace: Option<Label>,
    /// Its port.
    #[serde(default)]
    pub port: Option<RoutePort>,
    /// Its share of the rule's traffic.
    #[serde(default)]
    pub weight: Option<Weight>,
    /// What is done to requests on the way there.
    #[serde(
        default,
        deserialize_with = "at_most::<16, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub filters: Vec<Filter>,
}

/// A named text in a request that is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMatch<N, V> {
    /// `Exact` if absent, or `RegularExpression`.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// Name of the header or parameter.
    pub name: N,
    /// What it is compared with.
    pub value: V,
}

/// Requests of one session go to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPersistence {
    /// Name of the cookie or header.
    #[serde(default)]
    pub session_name: Option<Text<128>>,
    /// `Cookie` if absent, or `Header`.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// A session ends so long after it began.
    #[serde(default)]
    pub absolute_timeout: Option<RouteDuration>,
    /// For cookies.
    #[serde(default)]
    pub cookie_config: Option<CookieConfig>,
}

/// How long a cookie is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CookieConfig {
    /// `Session` if absent, or `Permanent`.
    #[serde(default)]
    pub lifetime_type: Option<Arc<str>>,
}

/// Name of a rule.
pub type RuleName = Name;

/// A route of any kind.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the variants are the kinds' names")]
pub enum Route<'a> {
    Http(&'a RouteObject<HttpRouteRule>),
    Grpc(&'a RouteObject<GrpcRouteRule>),
    Tls(&'a RouteObject<StreamRouteRule>),
    Tcp(&'a RouteObject<StreamRouteRule>),
}

impl ParentReference {
    /// True if it is a service.
    pub fn is_service(&self) -> bool {
        self.group.as_deref() == Some("") && self.kind.as_deref() == Some("Service")
    }
}

impl BackendReference {
    /// True if it is a service.
    pub fn is_service(&self) -> bool {
        self.group.is_empty() && self.kind() == "Service"
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Service")
    }
}

impl<'a> Route<'a> {
    /// The route that an object is, if it is one.
    pub fn of(object: &'a Object) -> Option<Self> {
        match object {
            Object::HttpRoute(route) => Some(Self::Http(route)),
            Object::GrpcRoute(route) => Some(Self::Grpc(route)),
            Object::TlsRoute(route) => Some(Self::Tls(route)),
            Object::TcpRoute(route) => Some(Self::Tcp(route)),
            _ => None,
        }
    }

    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Http(_) => Kind::HttpRoute,
            Self::Grpc(_) => Kind::GrpcRoute,
            Self::Tls(_) => Kind::TlsRoute,
            Self::Tcp(_) => Kind::TcpRoute,
        }
    }

    /// Name, labels and so on.
    pub fn metadata(self) -> &'a Metadata {
        match self {
            Self::Http(route) => &route.metadata,
            Self::Grpc(route) => &route.metadata,
            Self::Tls(route) | Self::Tcp(route) => &route.metadata,
        }
    }

    /// Its namespace.
    pub fn namespace(self) -> &'a str {
        self.metadata().namespace.as_deref().unwrap_or("default")
    }

    /// Whose traffic it is for, of all kinds.
    pub fn parents(self) -> &'a [ParentReference] {
        match self {
            Self::Http(route) => &route.spec.parent_refs,
            Self::Grpc(route) => &route.spec.parent_refs,
            Self::Tls(route) | Self::Tcp(route) => &route.spec.parent_refs,
        }
    }

    /// Host names that it gives.
    pub fn hostnames(self) -> &'a [Arc<str>] {
        match self {
            Self::Http(route) => &route.spec.hostnames,
            Self::Grpc(route) => &route.spec.hostnames,
            Self::Tls(route) | Self::Tcp(route) => &route.spec.hostnames,
        }
    }

    /// All that it sends traffic or copies of it to.
    pub fn backends(self) -> Vec<&'a BackendReference> {
        match self {
            Self::Http(route) => {
                let rules = route.spec.rules.iter();
                rules
                    .flat_map(|rule| with_mirrors(&rule.backend_refs, &rule.filters))
                    .collect()
            }
            Self::Grpc(route) => {
                let rules = route.spec.rules.iter();
                rules
                    .flat_map(|rule| with_mirrors(&rule.backend_refs, &rule.filters))
                    .collect()
            }
            Self::Tls(route) | Self::Tcp(route) => route
                .spec
                .rules
                .iter()
                .flat_map(|rule| &rule.backend_refs)
                .collect(),
        }
    }
}

/// Parents in a `spec`, readable or not, that are services; with their places in the list.
pub fn service_parents(spec: Option<&Value>) -> impl Iterator<Item = (usize, &Value)> {
    let parents = spec.and_then(|spec| spec.get("parentRefs")?.as_array());
    let parents = parents.into_iter().flatten().enumerate();
    parents.filter(|(_, parent)| parent["group"] == "" && parent["kind"] == "Service")
}

fn with_mirrors<'a>(
    backends: &'a [BackendReference],
    filters: &'a [Filter],
) -> impl Iterator<Item = &'a BackendReference> {
    let filters = filters
        .iter()
        .chain(backends.iter().flat_map(|b| &b.filters));
    let mirrors = filters.filter_map(|filter| Some(&filter.request_mirror.as_ref()?.backend_ref));
    backends.iter().chain(mirrors)
}
