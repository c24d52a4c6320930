//! What is told of requests and connections, as the control plane wants it: the lines of the access log,
//! and what is other than usual in their series ([`mod@series`]).
//!
//! What holds for the mesh, and the rules of objects, are put together when they change: once for all
//! that goes through this waypoint, and for each service that rules are bound to. A format or a filter
//! asks for headers, which are gone when the line is written. So each request keeps what they need, and
//! with the usual lines nothing.

pub(crate) mod series;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ambit_logformat::{Entry, Filter, Format, Needs};
use ambit_model::{
    AccessLogging, LogLines, MeshTelemetry, Metrics, ServiceName, TelemetryRules, Tracing,
    WaypointName, client_identity,
};
use ambit_telemetry::{Line, Shaped, scratch};
use arc_swap::ArcSwap;
use http::HeaderName;
use parking_lot::Mutex;
use serde_json::Value;

use crate::traces;
use series::Series;

/// What holds now.
#[derive(Debug)]
pub(crate) struct Tellings {
    now: ArcSwap<Resolved>,
    told: Mutex<Told>,
    /// Namespace and name of the Gateway.
    gateway: (Box<str>, Box<str>),
    /// Name of the pod that this runs in.
    pub(crate) hostname: Box<str>,
}

/// What the control plane has told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// For the mesh.
    pub(crate) mesh: MeshTelemetry,
    /// By objects, by their names.
    pub(crate) rules: BTreeMap<Arc<str>, TelemetryRules>,
}

/// What comes of it.
#[derive(Debug, Default)]
struct Resolved {
    base: Arc<Telling>,
    services: HashMap<ServiceName, Arc<Telling>>,
}

impl Tellings {
    /// The usual, for the Gateway of this namespace and name, in a pod of this name.
    pub(crate) fn new((namespace, name): (&str, &str), hostname: &str) -> Self {
        Self {
            now: ArcSwap::default(),
            told: Mutex::default(),
            gateway: (namespace.into(), name.into()),
            hostname: hostname.into(),
        }
    }

    /// What holds now of what is for a service, or for no service: for whatever begins, to its end.
    pub(crate) fn of(&self, service: Option<&ServiceName>) -> Arc<Telling> {
        Arc::clone(self.now.load().of(service))
    }

    /// What holds for the mesh.
    pub(crate) fn mesh(&self) -> MeshTelemetry {
        self.told.lock().mesh.clone()
    }

    /// Changes what is told, and puts what comes of it in force. What cannot be followed leaves in force what held
    /// before, and is told of: what it is for, and why.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Told)) -> Vec<String> {
        let mut told = self.told.lock();
        change(&mut told);
        let (namespace, name) = (&*self.gateway.0, &*self.gateway.1);
        let waypoint = WaypointName { namespace, name };
        let before = self.now.load();
        let rules = ByService::of(&told, &waypoint);
        let format = format(&told.mesh.lines).map(|format| format.map(Arc::new));
        let telling = |service: Option<&ServiceName>| {
            let rules = || rules.of_service(service);
            let logging = AccessLogging::of(&told.mesh, rules(), &waypoint, service);
            let tracing = Tracing::of(rules(), &waypoint, service);
            let tracing = traces::with_environment(tracing, |name| std::env::var(name).ok());
            let metrics = Metrics::of(rules(), &waypoint, service);
            let series = before.of(service).series.as_ref();
            let series = match series.filter(|series| series.is(&metrics)) {
                Some(series) => Some(Arc::clone(series)),
                None => Series::of(metrics)?.map(Arc::new),
            };
            let telling = Telling::of(format.clone()?, &logging, series)?;
            let client_identity = client_identity(rules(), &waypoint);
            Ok::<_, String>(Telling {
                tracing,
                client_identity,
                ..telling
            })
        };
        let mut wrong = Vec::new();
        let mut telling = |service: Option<&ServiceName>| match telling(service) {
            Ok(telling) => Arc::new(telling),
            Err(error) => {
                let of = service.map_or_else(|| "the mesh".to_owned(), ToString::to_string);
                wrong.push(format!("{of}: {error}"));
                Arc::clone(before.of(service))
            }
        };
        let resolved = Resolved {
            base: telling(None),
            services: rules
                .bound
                .keys()
                .map(|service| ((*service).clone(), telling(Some(service))))
                .collect(),
        };
        self.now.store(Arc::new(resolved));
        wrong
    }
}

/// Rules by what they are for: of thousands each is looked at once for every service that it is bound to.
struct ByService<'t> {
    /// For all that goes through the waypoint.
    wide: Vec<&'t TelemetryRules>,
    bound: HashMap<&'t ServiceName, Vec<&'t TelemetryRules>>,
}

impl<'t> ByService<'t> {
    fn of(told: &'t Told, waypoint: &WaypointName<'_>) -> Self {
        let all = told.rules.values();
        let wide = all.clone().filter(|rules| rules.is_for_waypoint(waypoint));
        let mut bound: HashMap<_, Vec<_>> = HashMap::new();
        for rules in all {
            for service in rules.services() {
                bound.entry(service).or_default().push(rules);
            }
        }
        Self {
            wide: wide.collect(),
            bound,
        }
    }

    /// Those that may hold for a service, or for no service; some of them twice.
    fn of_service(
        &self,
        service: Option<&ServiceName>,
    ) -> impl Iterator<Item = &'t TelemetryRules> {
        let bound = service.and_then(|service| self.bound.get(service));
        let wide = self.wide.iter().copied();
        wide.chain(bound.into_iter().flatten().copied())
    }
}

impl Resolved {
    fn of(&self, service: Option<&ServiceName>) -> &Arc<Telling> {
        let own = service.and_then(|service| self.services.get(service));
        own.unwrap_or(&self.base)
    }
}

/// What is told of some requests.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    is_off: bool,
    /// Without one the lines are the usual.
    format: Option<Arc<Format>>,
    filter: Option<Filter>,
    kept: Option<Names>,
    /// Whether the server name of a connection that is TLS is asked for.
    pub(crate) server_name: bool,
    /// What is other than usual in its series, if anything is.
    series: Option<Arc<Series>>,
    /// How its traces differ from the mesh's.
    pub(crate) tracing: Tracing,
    /// Whether applications are told who called.
    pub(crate) client_identity: bool,
}

/// Names of the headers that are kept, in the order of their letters.
#[derive(Debug)]
pub(crate) struct Names {
    /// Of the request.
    pub(crate) request: List,
    /// Of the answer.
    pub(crate) response: List,
    /// Of its trailers.
    pub(crate) trailers: List,
}

/// The lines of a format, if there is one.
pub(crate) fn format(lines: &LogLines) -> Result<Option<Format>, String> {
    let read = match lines {
        LogLines::Usual => return Ok(None),
        LogLines::Text(text) => Format::text(text),
        LogLines::Json(text) => Format::json(&Value::from(&**text)),
    };
    read.map(Some).map_err(|error| error.to_string())
}

/// An expression that is true of what has a line.
pub(crate) fn filter(text: &str) -> Result<Filter, String> {
    Filter::read(text).map_err(|error| error.to_string())
}

impl Telling {
    fn of(
        format: Option<Arc<Format>>,
        logging: &AccessLogging,
        series: Option<Arc<Series>>,
    ) -> Result<Self, String> {
        let is_on = logging.enabled;
        let format = format.filter(|_| is_on);
        let text = logging.filter.as_deref().filter(|_| is_on);
        let filter = text.map(filter).transpose()?;
        let of_lines = [
            format.as_deref().map(Format::needs),
            filter.as_ref().map(Filter::needs),
        ];
        let of_series = series.iter().flat_map(|series| series.needs());
        let needs: Vec<&Needs> = of_lines.into_iter().flatten().chain(of_series).collect();
        let server_name = needs.iter().any(|needs| needs.server_name);
        let list = |names: fn(&Needs) -> &BTreeSet<Box<str>>| {
            List::of(
                needs
                    .iter()
                    .flat_map(|needs| names(needs))
                    .map(|name| &**name)
                    .collect(),
            )
        };
        let kept = (!needs.is_empty()).then(|| Names {
            request: list(|needs| &needs.request_headers),
            response: list(|needs| &needs.response_headers),
            trailers: list(|needs| &needs.response_trailers),
        });
        Ok(Self {
            is_off: !is_on,
            format,
            filter,
            kept,
            server_name,
            series,
            tracing: Tracing::default(),
            client_identity: false,
        })
    }

    /// What is kept of each request, if anything is.
    pub(crate) fn kept(&self) -> Option<&Names> {
        self.kept.as_ref()
    }

    /// The line of an entry, which is made only where it is needed.
    pub(crate) fn line<E: Entry>(&self, entry: impl FnOnce() -> E) -> Line {
        if self.is_off {
            return Line::None;
        }
        if self.format.is_none() && self.filter.is_none() {
            return Line::Usual;
        }
        let entry = entry();
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !filter.passes(&entry))
        {
            return Line::None;
        }
        let Some(format) = &self.format else {
            return Line::Usual;
        };
        let mut line = scratch::take();
        format.write(&entry, &mut line);
        Line::Own(line)
    }
}

impl Telling {
    /// What the labels of its series come to for an entry, which is made only where it is needed.
    pub(crate) fn values<E: Entry>(&self, entry: impl FnOnce() -> E) -> Vec<Arc<str>> {
        match &self.series {
            Some(series) => series.values(entry),
            None => Vec::new(),
        }
    }

    /// How its series differ from the usual, with these values.
    pub(crate) fn shaped<'t>(&'t self, values: &'t [Arc<str>]) -> Option<Shaped<'t>> {
        let shape = self.series.as_ref()?.shape();
        Some(Shaped { shape, values })
    }
}

/// Names of headers.
#[derive(Debug, Default)]
pub(crate) struct List(Box<[HeaderName]>);

impl List {
    fn of(names: BTreeSet<&str>) -> Self {
        // Those that begin with a colon are no names of headers: they are known otherwise.
        let names = names.into_iter().map(|name| name.parse());
        Self(names.filter_map(Result::ok).collect())
    }

    /// The values of these headers.
    pub(crate) fn take(&self, headers: &http::HeaderMap) -> Values {
        let values = self.0.iter().map(|name| headers.get(name).cloned());
        Values(values.collect())
    }

    /// The value of one of them.
    pub(crate) fn find<'v>(&self, values: &'v Values, name: &str) -> Option<&'v [u8]> {
        let place = self.0.binary_search_by(|known| known.as_str().cmp(name));
        let value = values.0.get(place.ok()?)?.as_ref()?;
        Some(value.as_bytes())
    }
}

/// The values of headers that are kept, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Values(Box<[Option<http::HeaderValue>]>);

#[cfg(test)]
impl Telling {
    /// That of a format for all.
    pub(crate) fn formatted(text: &str) -> Self {
        let logging = AccessLogging {
            enabled: true,
            filter: None,
        };
        let format = format(&LogLines::Text(text.into())).unwrap();
        Self::of(format.map(Arc::new), &logging, None).unwrap()
    }
}

#[cfg(test)]
mod tests;
