//! Traces of requests: a span for each, and one for each try of it, told to a collector.
//!
//! Where the mesh has no collector nothing is done, and headers of traces pass as they come. Where it has
//! one, every request is in a trace: the caller's or one of its own. What is recorded was decided by the
//! caller, or else by chance; errors may be kept in any case. Nobody waits for a collector ([`wire`]).
//! Rules may name another collector of the mesh's, which then has a queue of its own, and may add
//! attributes ([`tags`]).

mod tags;
mod wire;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ambit_balance::Outcome;
use ambit_kit::clock;
use ambit_kit::tasks::Tasks;
use ambit_model::{MeshTelemetry, MeshTracing, TraceProtocol, Tracing};
use ambit_telemetry::Exchange;
use ambit_trace::{
    Context, Counts, Digits, Incoming, Kind, Outgoing, Protocol, Resource, Sampling, Span, SpanId,
    Spans, Speaks, TraceId, Value, export,
};
use arc_swap::ArcSwap;
use http::HeaderMap;
use parking_lot::Mutex;

pub(crate) use tags::with_environment;

/// What rules ask for: names of attributes, and texts.
type Tags = Vec<(Box<str>, Box<str>)>;

/// Attributes of a span.
type Attributes<'a> = Vec<(&'a str, Value<'a>)>;
/// How many a span has room for at first: near all that there are.
const USUAL: usize = 16;

/// Parts of a hundred that a share is told in.
const PARTS: f64 = 1e6;

/// What holds now.
#[derive(Debug)]
pub(crate) struct Traces {
    now: ArcSwap<Tracers>,
    /// Held while that is changed.
    changing: Mutex<()>,
    counts: Arc<Counts>,
    tasks: Tasks,
    resource: Resource,
}

/// All ways in which requests are traced.
#[derive(Debug, Default)]
struct Tracers {
    /// Where no rule names a provider.
    usual: Option<Arc<Tracer>>,
    named: HashMap<Arc<str>, Arc<Tracer>>,
}

/// How requests are traced.
#[derive(Debug)]
struct Tracer {
    wanted: MeshTracing,
    sampling: Sampling,
    keep_errors: bool,
    spans: Spans,
}

impl Traces {
    /// None, of a waypoint of this namespace and name, in a pod of this name.
    pub(crate) fn new((namespace, name): (&str, &str), pod: &str, tasks: Tasks) -> Self {
        let service = format!("{name}.{namespace}");
        let attributes = [
            ("service.name", service.as_str()),
            ("k8s.namespace.name", namespace),
            ("k8s.pod.name", pod),
        ];
        let attributes = attributes.map(|(name, value)| (name.into(), value.into()));
        Self {
            now: ArcSwap::default(),
            changing: Mutex::default(),
            counts: Arc::default(),
            tasks,
            resource: Resource(attributes.into()),
        }
    }

    /// Follows what the mesh wants. Spans that wait go to the collector that they are for, and what is
    /// wanted as before goes on as it is.
    pub(crate) fn set(&self, mesh: &MeshTelemetry) {
        let _changing = self.changing.lock();
        let before = self.now.load();
        let known: Vec<&Arc<Tracer>> = before.named.values().chain(&before.usual).collect();
        let mut made: Vec<Arc<Tracer>> = Vec::new();
        let mut of = |wanted: &MeshTracing| {
            let mut all = known.iter().copied().chain(&made);
            let found = all.find(|tracer| tracer.wanted == *wanted).cloned();
            let tracer = found.unwrap_or_else(|| self.tracer(wanted));
            made.push(Arc::clone(&tracer));
            tracer
        };
        let usual = mesh.tracing.as_ref().map(&mut of);
        let named = mesh.providers.iter();
        let named = named.map(|(name, wanted)| (Arc::clone(name), of(wanted)));
        let tracers = Tracers {
            named: named.collect(),
            usual,
        };
        self.now.store(Arc::new(tracers));
    }

    fn tracer(&self, wanted: &MeshTracing) -> Arc<Tracer> {
        let protocol = match &wanted.protocol {
            TraceProtocol::Grpc => Protocol::Grpc,
            TraceProtocol::Http(path) => Protocol::Http(path.as_ref().into()),
        };
        let collector = wire::Wire::new(&wanted.address, protocol.clone(), self.tasks.clone());
        let speaks = Speaks {
            protocol,
            resource: self.resource.clone(),
        };
        let (spans, exporting) = export(speaks, collector, Arc::clone(&self.counts));
        drop(self.tasks.spawn("traces", exporting));
        Arc::new(Tracer {
            wanted: wanted.clone(),
            sampling: sampling(wanted.sampling),
            keep_errors: wanted.keep_errors,
            spans,
        })
    }

    /// The trace of a request that came then with these headers, where rules say so much.
    pub(crate) fn begin(
        &self,
        headers: &HeaderMap,
        rules: &Tracing,
        began: Instant,
    ) -> Option<Box<Trace>> {
        let now = self.now.load();
        // What names a provider that the mesh has not is told nobody.
        let tracer = match &rules.provider {
            None => now.usual.as_ref(),
            Some(name) => now.named.get(name),
        };
        let tracer = Arc::clone(tracer?);
        let incoming = Incoming::read(headers);
        let known = incoming.from.map(|from| from.trace);
        let trace = known.unwrap_or_else(|| TraceId::new(rand::random()));
        let sampling = rules.sampling.map_or(tracer.sampling, sampling);
        let chance = || sampling.takes(trace);
        let is_sampled = incoming.sampled.unwrap_or_else(chance);
        let may_be_told = !rules.unreported && (is_sampled || tracer.keep_errors);
        let span = SpanId::new(rand::random());
        Some(Box::new(Trace {
            is_sampled,
            may_be_told,
            tags: match may_be_told {
                true => tags::of(&rules.tags, headers),
                false => Vec::new(),
            },
            digits: (trace.digits(), span.digits()),
            tracer,
            incoming,
            trace,
            span,
            began,
            tries: Vec::new(),
        }))
    }

    /// What became of spans: how it is called, and how many.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let counts = &self.counts;
        [
            ("sent", &counts.sent),
            ("dropped", &counts.dropped),
            ("failed", &counts.failed),
        ]
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// A request in its trace.
#[derive(Debug)]
pub(crate) struct Trace {
    tracer: Arc<Tracer>,
    incoming: Incoming,
    trace: TraceId,
    span: SpanId,
    is_sampled: bool,
    /// Whether the collector may be told, if only of a failure.
    may_be_told: bool,
    /// Attributes that rules ask for; only if it may be told, as are tries.
    tags: Tags,
    began: Instant,
    tries: Vec<Try>,
    digits: (Digits<32>, Digits<16>),
}

/// A try of a request.
#[derive(Debug)]
struct Try {
    id: SpanId,
    began: Instant,
    to: SocketAddr,
    ended: Option<Instant>,
    status: Option<u16>,
    error: Option<Box<str>>,
}

impl Trace {
    /// The ids of the trace and of its span, as they are written.
    pub(crate) fn texts(&self) -> (&str, &str) {
        (self.digits.0.as_str(), self.digits.1.as_str())
    }

    /// A try begins: what it tells its endpoint.
    pub(crate) fn try_begins(&mut self, to: SocketAddr) -> Told {
        let id = SpanId::new(rand::random());
        if self.may_be_told {
            self.tries.push(Try {
                id,
                began: clock::now(),
                to,
                ended: None,
                status: None,
                error: None,
            });
        }
        let context = Context {
            trace: self.trace,
            span: id,
            sampled: Some(self.is_sampled),
        };
        Told {
            outgoing: Outgoing {
                context,
                parent: Some(self.span),
                forms: self.incoming.forms,
            },
            keeps_state: !self.incoming.state.is_empty(),
        }
    }

    /// It has been answered, or has failed.
    pub(crate) fn try_ended(&mut self, status: Option<u16>, error: Option<String>) {
        if let Some(last) = self.tries.last_mut() {
            last.ended = Some(clock::now());
            last.status = status;
            last.error = error.map(Into::into);
        }
    }

    /// The request is over: its spans are handed over, if they are recorded.
    pub(crate) fn end(&self, exchange: &Exchange<'_>) {
        if !self.may_be_told {
            return;
        }
        let failed = has_failed(exchange);
        if self.is_sampled || failed {
            self.tell(exchange, failed, |span| self.tracer.spans.put(span));
        }
    }

    /// The spans of a request that is over now: those of its tries, and its own.
    fn tell(&self, exchange: &Exchange<'_>, failed: bool, put: impl Fn(&Span<'_>)) {
        // The time of day is asked for once.
        let (now, wall) = (clock::now(), clock::wall());
        let at = |then: Instant| {
            let ago = now.saturating_duration_since(then);
            wall.checked_sub(ago).unwrap_or(wall)
        };
        let name = name(exchange);
        let whole = Span {
            trace: self.trace,
            id: self.span,
            parent: self.incoming.from.map(|from| from.span),
            state: &self.incoming.state,
            name: &name,
            kind: Kind::Server,
            began: at(self.began),
            ended: wall,
            attributes: &self.attributes(exchange),
            error: failed.then(|| exchange.reason.or(exchange.error).unwrap_or("it failed")),
        };
        for attempt in &self.tries {
            let address = attempt.to.to_string();
            let mut attributes: Attributes<'_> = Vec::with_capacity(2);
            attributes.push(("net.peer.name", address.as_str().into()));
            let status = attempt.status.map(i64::from);
            attributes.extend(status.map(|status| ("http.status_code", status.into())));
            let error = attempt.error();
            put(&Span {
                id: attempt.id,
                parent: Some(self.span),
                kind: Kind::Client,
                began: at(attempt.began),
                // An answer is read on behind its head, the last one to its end.
                ended: attempt.ended.map_or(wall, at),
                attributes: &attributes,
                error: error.as_deref(),
                ..whole
            });
        }
        put(&whole);
    }

    /// What there is to say of the request. What rules ask for stands in place of the usual.
    fn attributes<'a>(&'a self, exchange: &'a Exchange<'_>) -> Attributes<'a> {
        let mut all = attributes(exchange);
        all.retain(|(name, _)| self.tags.iter().all(|(tag, _)| **tag != **name));
        let tags = self.tags.iter();
        all.extend(tags.map(|(name, text)| (&**name, (&**text).into())));
        all
    }
}

impl Try {
    /// What went wrong, if something did.
    fn error(&self) -> Option<Cow<'_, str>> {
        let told = || Some(Cow::Borrowed(self.error.as_deref()?));
        let refused = || {
            let status = self.status.filter(|status| *status >= 500)?;
            Some(format!("it answered {status}").into())
        };
        let left = || self.ended.is_none().then_some("it was given up".into());
        told().or_else(refused).or_else(left)
    }
}

/// What an endpoint is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    outgoing: Outgoing,
    keeps_state: bool,
}

impl Told {
    /// Writes it in place of what the client said.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        self.outgoing.write(headers, self.keeps_state);
    }
}

/// The share that a number of parts is.
fn sampling(parts: u32) -> Sampling {
    Sampling::percent(f64::from(parts) / PARTS).unwrap_or(Sampling::NONE)
}

/// Whether a request failed by its server or by us. A delay on purpose is no failure.
fn has_failed(exchange: &Exchange<'_>) -> bool {
    let grpc = exchange.grpc_status;
    exchange.status.is_none_or(|status| status >= 500)
        || grpc.is_some_and(|code| Outcome::Grpc(code).is_failure())
        || !matches!(exchange.flags, "-" | "DI")
}

/// What Istio calls the spans of a request.
fn name(exchange: &Exchange<'_>) -> String {
    let port = exchange.destination.port();
    match &exchange.ends.service {
        Some(service) => format!("{}:{port}/*", service.name.hostname),
        None => format!("{}/*", exchange.destination),
    }
}

/// How much of a text of the client's is told: spans that wait for a collector take memory.
const MOST_TOLD: usize = 1024;

/// What there is to say of a request. Queries may hold secrets.
fn attributes<'a>(exchange: &'a Exchange<'_>) -> Attributes<'a> {
    let text = |bytes: &'a [u8]| {
        let told = bytes.get(..MOST_TOLD).unwrap_or(bytes);
        Value::Text(String::from_utf8_lossy(told))
    };
    let path = exchange.path.split(|byte| *byte == b'?').next();
    let mut all = Vec::with_capacity(USUAL);
    all.extend([
        ("component", "proxy".into()),
        ("http.method", text(exchange.method)),
        ("http.target", text(path.unwrap_or_default())),
        ("http.host", text(exchange.host)),
        ("http.protocol", exchange.version.into()),
        ("guid:x-request-id", text(exchange.request_id)),
        ("user_agent", text(exchange.user_agent)),
        ("response_flags", exchange.flags.into()),
        (
            "peer.address",
            Value::Text(exchange.source.to_string().into()),
        ),
    ]);
    let status = exchange.status.map(i64::from);
    all.extend(status.map(|status| ("http.status_code", status.into())));
    let grpc = exchange.grpc_status.map(i64::from);
    all.extend(grpc.map(|status| ("rpc.grpc.status_code", status.into())));
    let route = exchange.route;
    all.extend(route.map(|route| ("http.route", route.into())));
    all
}

#[cfg(test)]
mod tests;
