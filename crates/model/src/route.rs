//! Routes of a service: what a waypoint does with requests and connections to it.
//!
//! One model for every front-end: Gateway API routes come sorted by their precedence, Istio's in the
//! order that they are written in, and here the first match decides. A list that is for the
//! namespace of the client (a consumer's routes) stands in for the one that is for everybody.
//!
//! These types are also the form in which routes travel to waypoints (as JSON). A field that a
//! waypoint does not know is an error there, so that a route that asks for more than the waypoint
//! can do is rejected as a whole and its last good version stays; without one, the service is not
//! served. Of rules and matches, which there may be thousands of, what is not asked for is left out.
//!
//! Rules and matches are shared: what has not changed of a list is the very object that it was, and
//! what is made of it need not be made again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::ServiceName;

/// The routes of one service, by its ports. A port without an entry is served without routes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRoutes {
    /// The service whose traffic is routed.
    pub service: ServiceName,
    /// By port of the service.
    pub ports: BTreeMap<u16, PortRoutes>,
}

impl ServiceRoutes {
    /// Every service that a route leads to, mirrors too; some of them several times.
    pub fn targets(&self) -> impl Iterator<Item = &ServiceName> {
        let lists = self
            .ports
            .values()
            .flat_map(|port| port.producer.iter().chain(port.consumers.values()));
        lists
            .flat_map(RouteList::targets)
            .filter_map(|target| match target {
                BackendTarget::Service { name, .. } => Some(name),
                BackendTarget::Invalid { .. } => None,
            })
    }

    /// Its lists for requests, in the order of its ports, of one port the producer's first.
    pub fn http_lists(&self) -> impl Iterator<Item = &HttpRoutes> {
        let ports = self.ports.values();
        let lists = ports.flat_map(|port| port.producer.iter().chain(port.consumers.values()));
        lists.filter_map(|list| match list {
            RouteList::Http(http) => Some(http),
            RouteList::Tls(_) | RouteList::Tcp(_) => None,
        })
    }

    /// The same, to be changed.
    pub fn http_lists_mut(&mut self) -> impl Iterator<Item = &mut HttpRoutes> {
        let ports = self.ports.values_mut();
        let lists =
            ports.flat_map(|port| port.producer.iter_mut().chain(port.consumers.values_mut()));
        lists.filter_map(|list| match list {
            RouteList::Http(http) => Some(http),
            RouteList::Tls(_) | RouteList::Tcp(_) => None,
        })
    }
}

/// The routes of one port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRoutes {
    /// For clients whose namespace has no list of its own.
    pub producer: Option<RouteList>,
    /// By namespace of the client.
    pub consumers: BTreeMap<Arc<str>, RouteList>,
}

impl PortRoutes {
    /// The list for clients of a namespace; none for a client that is not known.
    pub fn for_client(&self, namespace: Option<&str>) -> Option<&RouteList> {
        namespace
            .and_then(|namespace| self.consumers.get(namespace))
            .or(self.producer.as_ref())
    }
}

/// Routes of one kind of traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum RouteList {
    /// For requests.
    Http(HttpRoutes),
    /// For TLS connections that are passed through, by server name.
    Tls(Vec<TlsRoute>),
    /// For connections.
    Tcp(TcpRoute),
}

impl RouteList {
    fn targets(&self) -> Box<dyn Iterator<Item = &BackendTarget> + '_> {
        match self {
            Self::Http(http) => Box::new(http.rules.iter().flat_map(|rule| rule.targets())),
            Self::Tls(routes) => Box::new(
                routes
                    .iter()
                    .flat_map(|route| &route.backends)
                    .map(|backend| &backend.target),
            ),
            Self::Tcp(route) => Box::new(route.backends.iter().map(|backend| &backend.target)),
        }
    }
}

/// Routes for requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRoutes {
    /// In the order of precedence: the first that matches decides. A request that none matches is
    /// answered with 404.
    pub matches: Vec<RoutedMatch>,
    /// What the matches lead to.
    pub rules: Vec<Arc<HttpRule>>,
}

/// A match and the rule that it leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutedMatch {
    /// What a request must be like.
    pub when: Arc<HttpMatch>,
    /// Index in [`HttpRoutes::rules`].
    pub rule: u32,
}

/// What a request must be like: all of it. The default matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpMatch {
    /// Its path, without the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// Its method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<TextMatch>,
    /// Its headers, names in lower case. Several values of one name count as one, joined by commas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<FieldMatch>,
    /// Parameters of its query. Of several with one name the first counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<FieldMatch>,
    /// True if the letters of a path may be of either case (ASCII), unless it is an expression.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ignore_case: bool,
    /// The scheme that it was asked for with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<TextMatch>,
    /// The host that it was asked for, with its port if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<TextMatch>,
    /// Who sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceMatch>,
}

/// What the client must be like: all of it. A client that is not known is like nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceMatch {
    /// The namespace of its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Labels that its pod has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
}

/// How a path is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PathMatch {
    /// Equal.
    Exact(Arc<str>),
    /// Begins with these segments; without a slash at the end, but for `/` itself.
    Segments(Arc<str>),
    /// Begins with these bytes.
    Prefix(Arc<str>),
    /// The expression matches all of it.
    Regex(Pattern),
}

/// A named field of a request, such as a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldMatch {
    /// Its name.
    pub name: Arc<str>,
    /// Its value; a field that is absent has none and does not match.
    pub value: TextMatch,
    /// True if the field must not match. One that is absent is then compared as an empty text.
    pub invert: bool,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum TextMatch {
    /// Equal.
    Exact(Arc<str>),
    /// Begins with.
    Prefix(Arc<str>),
    /// The expression matches all of it.
    Regex(Pattern),
    /// Anything, even nothing, as long as it is there.
    Present,
}

/// A regular expression (RE2 syntax) that has been found to compile. It is matched against the whole
/// text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pattern(pub Arc<str>);

/// What happens to a request that matched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRule {
    /// Which object and rule it came from, for logs: `HTTPRoute/shop/cart/0`, or with the rule's
    /// name in place of its index.
    pub name: Arc<str>,
    /// Changes on the way.
    #[serde(default, skip_serializing_if = "HttpFilters::is_empty")]
    pub filters: HttpFilters,
    /// Where it goes, by weight. None of them, or none with a weight, answers 500, unless a filter
    /// answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<HttpBackend>,
    /// How long the whole exchange may take, all tries included; `None`: as long as it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When and how often it is tried again; `None`: by the waypoint's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long one try may take, up to the end of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub try_timeout: Option<Duration>,
    /// Both times begin when all of the request has come, and that of a try ends with the head of its
    /// answer; otherwise they begin at the head of the request.
    #[serde(default, skip_serializing_if = "is_false")]
    pub timed_from_end: bool,
    /// Requests of one session go to one endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionPersistence>,
    /// Errors that are made on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
    /// Answers by itself; nothing is sent on. A redirect comes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_response: Option<DirectResponse>,
}

/// A share of all requests: so many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The part.
    pub share: u32,
    /// The whole; never 0.
    pub of: u32,
}

/// Errors that are made on purpose, to see what clients make of them. Each is drawn by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Requests wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<FaultDelay>,
    /// Requests are answered with an error, after the delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<FaultAbort>,
}

/// Requests that wait before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultDelay {
    /// Which of them.
    pub of: Share,
    /// How long.
    pub fixed: Duration,
}

/// Requests that are answered with an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultAbort {
    /// Which of them.
    pub of: Share,
    /// The error.
    pub with: AbortStatus,
}

/// The error of an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum AbortStatus {
    /// A status of HTTP.
    Http(u16),
    /// A code of gRPC; a client that does not speak it gets the status of HTTP that is closest.
    Grpc(u16),
}

/// An answer of a rule's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectResponse {
    /// From 200 to 599.
    pub status: u16,
    /// What it says; nothing, if that is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Content>,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Content {
    /// As it stands here.
    Text(Arc<str>),
    /// In Base64 (RFC 4648, section 4).
    Base64(Arc<str>),
}

impl HttpRule {
    fn targets(&self) -> impl Iterator<Item = &BackendTarget> {
        let backends = self.backends.iter();
        let of_backends = backends.flat_map(|backend| {
            std::iter::once(&backend.backend.target).chain(backend.filters.mirrored())
        });
        of_backends.chain(self.filters.mirrored())
    }
}

/// A destination of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpBackend {
    /// Where.
    pub backend: Backend,
    /// Changes for this destination, after those of the rule.
    #[serde(default, skip_serializing_if = "HttpFilters::is_empty")]
    pub filters: HttpFilters,
}

/// A destination by weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its share of all weights of its list; 0 gets nothing.
    pub weight: u32,
    /// Where.
    pub target: BackendTarget,
}

/// What a backend reference leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum BackendTarget {
    /// A port of a service.
    Service {
        /// The service.
        name: ServiceName,
        /// Its port.
        port: u16,
        /// Endpoints of this subset of it only. Where there is no such subset, nothing is reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subset: Option<Arc<str>>,
    },
    /// Nothing that can be reached: its share of requests is answered with 500, of connections
    /// refused.
    Invalid {
        /// Why, for a person.
        why: Arc<str>,
    },
}

/// Changes of a request and its response, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpFilters {
    /// Answers requests of other origins, and says so on responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "HeaderChanges::is_empty")]
    pub request_headers: HeaderChanges,
    /// Answers with a redirect; nothing is sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Host and path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Copies of the request, whose answers are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// Headers of the response.
    #[serde(default, skip_serializing_if = "HeaderChanges::is_empty")]
    pub response_headers: HeaderChanges,
}

impl HttpFilters {
    /// True if there is nothing to change.
    pub fn is_empty(&self) -> bool {
        let Self {
            cors,
            request_headers,
            redirect,
            rewrite,
            mirrors,
            response_headers,
        } = self;
        let answers = cors.is_some() || redirect.is_some() || rewrite.is_some();
        let changes = !(request_headers.is_empty() && response_headers.is_empty());
        !answers && !changes && mirrors.is_empty()
    }

    fn mirrored(&self) -> impl Iterator<Item = &BackendTarget> {
        self.mirrors.iter().map(|mirror| &mirror.target)
    }
}

/// Changes of headers, in the order of the fields. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderChanges {
    /// Replaces what there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Beside what there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Takes away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Arc<str>>,
}

impl HeaderChanges {
    /// True if there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// A redirect. What is not given stays as the request has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// Host name.
    pub host: Option<Arc<str>>,
    /// Path.
    pub path: Option<PathChange>,
    /// Port. Not given: that of the scheme, if a scheme is given, otherwise the request's.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Scheme and port that are not given are those that the client asked with: its authority's port with
    /// its authority's host, and none with another.
    #[serde(default, skip_serializing_if = "is_false")]
    pub as_asked: bool,
}

/// A rewrite. What is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Host name.
    pub host: Option<Arc<str>>,
    /// Path.
    pub path: Option<PathChange>,
}

/// A change of a path; the query stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum PathChange {
    /// All of it is replaced.
    Full(Arc<str>),
    /// The part that the match's prefix covers is replaced.
    Prefix(Arc<str>),
    /// Every part that an expression matches is replaced.
    Regex {
        /// The expression (RE2 syntax), which may match anywhere in the path.
        pattern: Pattern,
        /// What stands in its place: `\1` to `\9` are what the groups have matched, `\0` is all of the
        /// match, `\\` a backslash.
        replacement: Arc<str>,
    },
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Where the copy goes.
    pub target: BackendTarget,
    /// Share of requests that are copied: so many of [`Mirror::of`].
    pub share: u32,
    /// The whole of which `share` is a part; never 0.
    pub of: u32,
    /// True if the host of a copy says that it is one, by `-shadow` at its end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shadow: bool,
}

/// Cross-origin resource sharing (Fetch Standard, section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins that may: `*`, or `scheme://host[:port]` in which the host may begin with `*.`.
    pub allow_origins: Vec<Arc<str>>,
    /// Origins that may, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origin_matches: Vec<TextMatch>,
    /// True if what comes from an origin that may not goes on as if there were no such filter:
    /// preflights too, and what the application says of its own stays.
    #[serde(default, skip_serializing_if = "is_false")]
    pub passes_others: bool,
    /// Whether requests may carry credentials.
    pub allow_credentials: bool,
    /// Methods that are allowed; `*` for all.
    pub allow_methods: Vec<Arc<str>>,
    /// Request headers that are allowed; `*` for all.
    pub allow_headers: Vec<Arc<str>>,
    /// Response headers that scripts may read; `*` for all.
    pub expose_headers: Vec<Arc<str>>,
    /// How long a browser may remember the answer; whole seconds.
    pub max_age: Option<Duration>,
}

/// When a request is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Tries after the first; 0 is never again.
    pub attempts: u32,
    /// Time before the next try; `None`: the waypoint's growing default.
    pub backoff: Option<Duration>,
    /// What is worth another try.
    pub on: RetryOn,
}

/// What is worth another try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryOn {
    /// No connection could be had.
    pub connect_failure: bool,
    /// The endpoint did not take the request, and said so.
    pub refused_stream: bool,
    /// The connection broke, or the try took too long, before the answer began.
    pub reset: bool,
    /// 502, 503, 504, and what `reset` means.
    pub gateway_error: bool,
    /// Any 5xx, and what `reset` means.
    pub server_error: bool,
    /// 409.
    pub retriable_4xx: bool,
    /// These statuses.
    pub statuses: Vec<u16>,
    /// These codes of gRPC in the answer's headers.
    pub grpc: Vec<u16>,
}

/// Requests of one session go to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPersistence {
    /// Name of the cookie or header.
    pub name: Arc<str>,
    /// What carries the session.
    pub by: SessionCarrier,
    /// A session ends so long after it began.
    pub absolute_timeout: Option<Duration>,
}

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum SessionCarrier {
    /// A cookie that is gone when the browser is closed.
    SessionCookie,
    /// A cookie that is kept until the session ends.
    PermanentCookie,
    /// A header.
    Header,
}

/// A route for TLS connections that are passed through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsRoute {
    /// Which object and rule it came from, for logs.
    pub name: Arc<str>,
    /// Server names, exact or beginning with `*.`; none means any, also none at all. In the list of
    /// routes the first that matches decides.
    pub server_names: Vec<Arc<str>>,
    /// Where it goes, by weight.
    pub backends: Vec<Backend>,
}

/// A route for connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpRoute {
    /// Which object and rule it came from, for logs.
    pub name: Arc<str>,
    /// Where it goes, by weight.
    pub backends: Vec<Backend>,
}

fn is_false(value: &bool) -> bool {
    !value
}
