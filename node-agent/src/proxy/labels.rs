//! Istio's label set for TCP series, made from the two ends of a connection.

use std::sync::Arc;

use ambit_decide::Reason;
use ambit_model::{Service, SpiffeId, Workload};

use super::ledger::{Labels, UNKNOWN};

/// Which end of the connection reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reporter {
    /// The agent of the client.
    Source,
    /// The agent of the server.
    Destination,
}

impl Reporter {
    /// The value of the label `reporter`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

/// What is known of the two ends when a connection opens or is refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    /// The client, if it is a workload of the mesh.
    pub(crate) source: Option<Arc<Workload>>,
    /// The server, if it is a workload of the mesh.
    pub(crate) destination: Option<Arc<Workload>>,
    /// The service that the client called.
    pub(crate) service: Option<Arc<Service>>,
    /// Identity of the client, proved by mutual TLS.
    pub(crate) source_id: Option<SpiffeId>,
    /// Identity of the server, proved by mutual TLS.
    pub(crate) destination_id: Option<SpiffeId>,
}

impl Ends {
    /// True if both ends proved who they are.
    pub(crate) fn is_mutual_tls(&self) -> bool {
        self.source_id.is_some() && self.destination_id.is_some()
    }
}

/// The value of a label for a text that may be empty.
pub(crate) fn known(text: &str) -> &str {
    match text.is_empty() {
        true => UNKNOWN,
        false => text,
    }
}

/// The full label set of `istio_tcp_*`.
pub(crate) fn tcp_labels(reporter: Reporter, ends: &Ends, refused: Option<Reason>) -> Labels {
    let text = |value: Option<&str>| -> Arc<str> { known(value.unwrap_or_default()).into() };
    let principal = |id: &Option<SpiffeId>| text(id.as_ref().map(SpiffeId::as_str));
    let security = if ends.is_mutual_tls() {
        "mutual_tls"
    } else {
        "unknown"
    };
    let flags = refused.map_or("-", Reason::response_flag);
    let (source, destination) = (ends.source.as_deref(), ends.destination.as_deref());
    let service = ends.service.as_deref();
    let mut pairs: Vec<(String, Arc<str>)> = vec![("reporter".into(), reporter.word().into())];
    let sides = [
        ("source", source, &ends.source_id),
        ("destination", destination, &ends.destination_id),
    ];
    for (side, workload, id) in sides {
        let of = |get: fn(&Workload) -> &Arc<str>| text(workload.map(|w| &**get(w)));
        for (name, value) in [
            ("workload", of(|w| &w.workload_name)),
            ("workload_namespace", of(|w| &w.namespace)),
            ("principal", principal(id)),
            ("app", of(|w| &w.canonical_name)),
            ("version", of(|w| &w.canonical_revision)),
            ("cluster", of(|w| &w.cluster)),
            ("canonical_service", of(|w| &w.canonical_name)),
            ("canonical_revision", of(|w| &w.canonical_revision)),
        ] {
            pairs.push((format!("{side}_{name}"), value));
        }
    }
    let rest: [(&str, Arc<str>); 6] = [
        (
            "destination_service",
            text(service.map(|s| &*s.name.hostname)),
        ),
        (
            "destination_service_name",
            text(service.map(|s| &*s.short_name)),
        ),
        (
            "destination_service_namespace",
            text(service.map(|s| &*s.name.namespace)),
        ),
        ("request_protocol", "tcp".into()),
        ("response_flags", flags.into()),
        ("connection_security_policy", security.into()),
    ];
    pairs.extend(rest.map(|(name, value)| (name.to_owned(), value)));
    Labels(pairs.into())
}
