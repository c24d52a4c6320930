//! Traces of requests: a span for each, and one for each try of it, told to a collector.
//!
//! Where the mesh has no collector nothing is done, and headers of traces pass as they come. Where it has
//! one, every request is in a trace: the caller's or one of its own. What is recorded was decided by the
//! caller, or else by chance; errors may be kept in any case. Nobody waits for a collector ([`wire`]).
//! Rules may name another collector of the mesh's, which then has a queue of its own, and may add
//! attributes ([`tags`]).

mod tags;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

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

/// Attributes of a span.
type Tags = Vec<(Box<str>, Value)>;

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

    /// The trace of a request with these headers, where rules say so much.
    pub(crate) fn begin(&self, headers: &HeaderMap, rules: &Tracing) -> Option<Box<Trace>> {
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
            began: clock::wall(),
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
    began: SystemTime,
    tries: Vec<Try>,
    digits: (Digits<32>, Digits<16>),
}

/// A try of a request.
#[derive(Debug)]
struct Try {
    id: SpanId,
    began: SystemTime,
    to: SocketAddr,
    ended: Option<SystemTime>,
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
                began: clock::wall(),
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
            last.ended = Some(clock::wall());
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
        if !self.is_sampled && !failed {
            return;
        }
        let (now, name) = (clock::wall(), name(exchange));
        for attempt in &self.tries {
            let mut attributes = vec![(
                "net.peer.name".into(),
                attempt.to.to_string().as_str().into(),
            )];
            let status = attempt.status.map(i64::from);
            attributes.extend(status.map(|status| ("http.status_code".into(), status.into())));
            let refused = || {
                let status = attempt.status.filter(|status| *status >= 500)?;
                Some(format!("it answered {status}").into())
            };
            let left = || attempt.ended.is_none().then(|| "it was given up".into());
            self.put(Span {
                id: attempt.id,
                parent: Some(self.span),
                kind: Kind::Client,
                began: attempt.began,
                // An answer is read on behind its head, the last one to its end.
                ended: attempt.ended.unwrap_or(now),
                attributes,
                error: attempt.error.clone().or_else(refused).or_else(left),
                ..self.blank(&name)
            });
        }
        let error = failed.then(|| {
            exchange
                .reason
                .or(exchange.error)
                .unwrap_or("it failed")
                .into()
        });
        self.put(Span {
            id: self.span,
            parent: self.incoming.from.map(|from| from.span),
            began: self.began,
            ended: now,
            attributes: self.attributes(exchange),
            error,
            ..self.blank(&name)
        });
    }

    /// What there is to say of the request. What rules ask for stands in place of the usual.
    fn attributes(&self, exchange: &Exchange<'_>) -> Tags {
        let mut all = attributes(exchange);
        all.retain(|(name, _)| self.tags.iter().all(|(tag, _)| tag != name));
        all.extend(self.tags.iter().cloned());
        all
    }

    fn put(&self, span: Span) {
        self.tracer.spans.put(span);
    }

    fn blank(&self, name: &str) -> Span {
        Span {
            trace: self.trace,
            id: self.span,
            parent: None,
            state: self.incoming.state.clone(),
            name: name.into(),
            kind: Kind::Server,
            began: self.began,
            ended: self.began,
            attributes: Vec::new(),
            error: None,
        }
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
fn attributes(exchange: &Exchange<'_>) -> Tags {
    let text = |bytes: &[u8]| {
        let told = bytes.get(..MOST_TOLD).unwrap_or(bytes);
        Value::Text(String::from_utf8_lossy(told).into())
    };
    let path = exchange.path.split(|byte| *byte == b'?').next();
    let mut all: Tags = vec![
        ("component".into(), "proxy".into()),
        ("http.method".into(), text(exchange.method)),
        ("http.target".into(), text(path.unwrap_or_default())),
        ("http.host".into(), text(exchange.host)),
        ("http.protocol".into(), exchange.version.into()),
        ("guid:x-request-id".into(), text(exchange.request_id)),
        ("user_agent".into(), text(exchange.user_agent)),
        ("response_flags".into(), exchange.flags.into()),
        (
            "peer.address".into(),
            exchange.source.to_string().as_str().into(),
        ),
    ];
    let status = exchange.status.map(i64::from);
    all.extend(status.map(|status| ("http.status_code".into(), status.into())));
    let grpc = exchange.grpc_status.map(i64::from);
    all.extend(grpc.map(|status| ("rpc.grpc.status_code".into(), status.into())));
    let route = exchange.route;
    all.extend(route.map(|route| ("http.route".into(), route.into())));
    all
}

#[cfg(test)]
mod tests;
