//! The two ends of a connection or request, and Istio's labels made from them.

use std::sync::Arc;

use ambit_model::{Service, SpiffeId, Workload};

use crate::labels::{Labels, known};

/// Who reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The agent of the client.
    Source,
    /// The agent of the server, or a waypoint in its place.
    Destination,
    /// A waypoint that is told to say so.
    Waypoint,
}

impl Reporter {
    /// The value of the label `reporter`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Waypoint => "waypoint",
        }
    }
}

/// What is known of the two ends when a connection opens or is refused, or a request ends.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// The client, if it is a workload of the mesh.
    pub source: Option<Arc<Workload>>,
    /// The server, if it is a workload of the mesh.
    pub destination: Option<Arc<Workload>>,
    /// The service that the client called.
    pub service: Option<Arc<Service>>,
    /// Identity of the client, proved by mutual TLS.
    pub source_id: Option<SpiffeId>,
    /// Identity of the server, proved by mutual TLS.
    pub destination_id: Option<SpiffeId>,
}

impl Ends {
    /// True if both ends proved who they are.
    pub fn is_mutual_tls(&self) -> bool {
        self.source_id.is_some() && self.destination_id.is_some()
    }
}

/// Names and values of labels, in the order of the page.
pub(crate) type Pairs = Vec<(String, Arc<str>)>;

/// The labels that every series has: who reports, and Istio's names of both ends.
pub(crate) fn labels_of_ends(reporter: Reporter, ends: &Ends) -> Pairs {
    let mut pairs: Pairs = vec![("reporter".into(), reporter.word().into())];
    let sides = [
        ("source", ends.source.as_deref(), &ends.source_id),
        (
            "destination",
            ends.destination.as_deref(),
            &ends.destination_id,
        ),
    ];
    for (side, workload, id) in sides {
        let of = |get: fn(&Workload) -> &Arc<str>| text(workload.map(|w| &**get(w)));
        for (name, value) in [
            ("workload", of(|w| &w.workload_name)),
            ("workload_namespace", of(|w| &w.namespace)),
            ("principal", text(id.as_ref().map(SpiffeId::as_str))),
            ("app", of(|w| &w.canonical_name)),
            ("version", of(|w| &w.canonical_revision)),
            ("cluster", of(|w| &w.cluster)),
            ("canonical_service", of(|w| &w.canonical_name)),
            ("canonical_revision", of(|w| &w.canonical_revision)),
        ] {
            pairs.push((format!("{side}_{name}"), value));
        }
    }
    let service = ends.service.as_deref();
    for (name, value) in [
        ("service", service.map(|s| &*s.name.hostname)),
        ("service_name", service.map(|s| &*s.short_name)),
        ("service_namespace", service.map(|s| &*s.name.namespace)),
    ] {
        pairs.push((format!("destination_{name}"), text(value)));
    }
    pairs
}

/// The full label set of `istio_tcp_*`. `flags` are `-` for a connection that was carried.
pub fn tcp_labels(reporter: Reporter, ends: &Ends, flags: &'static str) -> Labels {
    tcp_pairs(reporter, ends, flags).into_iter().collect()
}

/// The same, to be changed.
pub(crate) fn tcp_pairs(reporter: Reporter, ends: &Ends, flags: &'static str) -> Pairs {
    let mut pairs = labels_of_ends(reporter, ends);
    for (name, value) in [
        ("request_protocol", "tcp"),
        ("response_flags", flags),
        (
            "connection_security_policy",
            security_policy(ends.is_mutual_tls()),
        ),
    ] {
        pairs.push((name.to_owned(), value.into()));
    }
    pairs
}

/// The value of the label `connection_security_policy`.
pub(crate) fn security_policy(is_mutual_tls: bool) -> &'static str {
    match is_mutual_tls {
        true => "mutual_tls",
        false => "unknown",
    }
}

fn text(value: Option<&str>) -> Arc<str> {
    known(value.unwrap_or_default()).into()
}

/// A pair of ends as a key: by the addresses of the objects that its labels are made from, so that
/// a changed object is another key. Whoever keeps it keeps the [`Ends`] as well, so that an
/// address cannot be used again meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PairKey {
    source: usize,
    destination: usize,
    service: usize,
    source_id: Option<SpiffeId>,
    destination_id: Option<SpiffeId>,
}

impl PairKey {
    /// The key of these ends; nothing is allocated.
    pub(crate) fn of(ends: &Ends) -> Self {
        Self {
            source: address(ends.source.as_ref()),
            destination: address(ends.destination.as_ref()),
            service: address(ends.service.as_ref()),
            source_id: ends.source_id.clone(),
            destination_id: ends.destination_id.clone(),
        }
    }
}

fn address<T>(object: Option<&Arc<T>>) -> usize {
    object.map_or(0, |object| Arc::as_ptr(object).addr())
}

#[cfg(test)]
mod tests;
