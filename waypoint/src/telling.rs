//! What is told of requests and connections beside their series, as the control plane wants it: the
//! lines of the access log.
//!
//! A format asks for headers, which are gone when the line is written. So each request keeps what its
//! format needs, and with the usual lines nothing.

use std::sync::Arc;

use ambit_logformat::{Entry, Format, FormatError};
use ambit_model::{AccessLog, MeshTelemetry};
use ambit_telemetry::Line;
use arc_swap::ArcSwap;
use http::HeaderName;
use serde_json::Value;

/// Room for a usual line, so that it is allocated once.
const USUAL_LENGTH: usize = 512;

/// What holds now.
#[derive(Debug)]
pub(crate) struct Tellings {
    now: ArcSwap<Telling>,
    /// Name of the pod that this runs in.
    pub(crate) hostname: Box<str>,
}

impl Tellings {
    /// The usual, in a pod of this name.
    pub(crate) fn new(hostname: &str) -> Self {
        Self {
            now: ArcSwap::default(),
            hostname: hostname.into(),
        }
    }

    /// What holds now: for whatever begins, to its end.
    pub(crate) fn now(&self) -> Arc<Telling> {
        self.now.load_full()
    }

    /// Puts something else in force.
    pub(crate) fn set(&self, telling: Telling) {
        self.now.store(Arc::new(telling));
    }
}

/// What is told.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    log: Log,
}

/// The lines of the access log.
#[derive(Debug, Default)]
enum Log {
    #[default]
    Usual,
    Off,
    Own(Box<Lines>),
}

/// Lines of a format.
#[derive(Debug)]
pub(crate) struct Lines {
    format: Format,
    /// Headers of the request that are kept.
    pub(crate) request: Names,
    /// Headers of the answer that are kept.
    pub(crate) response: Names,
    /// Its trailers that are kept.
    pub(crate) trailers: Names,
}

impl Telling {
    /// What the control plane says, ready to be followed.
    pub(crate) fn of(mesh: &MeshTelemetry) -> Result<Self, FormatError> {
        let format = match &mesh.access_log {
            AccessLog::Usual => return Ok(Self::default()),
            AccessLog::Off => return Ok(Self { log: Log::Off }),
            AccessLog::Text(text) => Format::text(text)?,
            AccessLog::Json(text) => Format::json(&Value::from(&**text))?,
        };
        let needs = format.needs();
        let lines = Lines {
            request: Names::of(&needs.request_headers),
            response: Names::of(&needs.response_headers),
            trailers: Names::of(&needs.response_trailers),
            format,
        };
        Ok(Self {
            log: Log::Own(Box::new(lines)),
        })
    }

    /// The lines, if they have a format.
    pub(crate) fn lines(&self) -> Option<&Lines> {
        match &self.log {
            Log::Own(lines) => Some(lines),
            Log::Usual | Log::Off => None,
        }
    }

    /// The line of an entry, which is made only where there is a format.
    pub(crate) fn line<E: Entry>(&self, entry: impl FnOnce() -> E) -> Line {
        match &self.log {
            Log::Usual => Line::Usual,
            Log::Off => Line::None,
            Log::Own(lines) => {
                let mut line = Vec::with_capacity(USUAL_LENGTH);
                lines.format.write(&entry(), &mut line);
                Line::Own(line)
            }
        }
    }
}

/// Names of headers that are kept, in the order of their letters.
#[derive(Debug, Default)]
pub(crate) struct Names(Box<[HeaderName]>);

impl Names {
    fn of<'n>(names: impl IntoIterator<Item = &'n Box<str>>) -> Self {
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
mod tests;
