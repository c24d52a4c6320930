//! Objects for this package's tests: sensible ones, to be changed where a test needs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::{
    Health, IpFamilies, LoadBalancing, Locality, Service, ServiceName, TunnelProtocol, Workload,
    WorkloadType, WorkloadUid,
};

use crate::ends::Ends;
use crate::exchange::{Exchange, Onward, Protocol};
use crate::ledger::Family;
use crate::series::TcpFamily;

/// A few families, as a program has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) enum Few {
    Opened,
    Closed,
    Sent,
    Received,
    Refusals,
}

impl Family for Few {
    const ALL: &'static [Self] = &[
        Self::Opened,
        Self::Closed,
        Self::Sent,
        Self::Received,
        Self::Refusals,
    ];

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Opened => ("istio_tcp_connections_opened", "Opened"),
            Self::Closed => ("istio_tcp_connections_closed", "Closed"),
            Self::Sent => ("istio_tcp_sent_bytes", "Sent"),
            Self::Received => ("istio_tcp_received_bytes", "Received"),
            Self::Refusals => ("ambit_refusals", "Refused"),
        }
    }
}

impl TcpFamily for Few {
    const OPENED: Self = Self::Opened;
    const CLOSED: Self = Self::Closed;
    const SENT: Self = Self::Sent;
    const RECEIVED: Self = Self::Received;
}

/// A pod of the Deployment of that name.
pub(crate) fn workload(namespace: &str, name: &str, revision: &str) -> Arc<Workload> {
    Arc::new(Workload {
        uid: WorkloadUid::pod("Kubernetes", namespace, &format!("{name}-0")),
        pod_uid: None,
        name: format!("{name}-0").into(),
        namespace: namespace.into(),
        trust_domain: "cluster.local".into(),
        service_account: name.into(),
        addresses: Vec::new(),
        hostname: "".into(),
        network: "".into(),
        node: "node-1".into(),
        cluster: "Kubernetes".into(),
        protocol: TunnelProtocol::Hbone,
        host_network: false,
        workload_name: name.into(),
        workload_type: WorkloadType::Deployment,
        canonical_name: name.into(),
        canonical_revision: revision.into(),
        services: BTreeMap::new(),
        waypoint: None,
        waypoint_only: false,
        policies: Vec::new(),
        applicable_policies: None,
        authentications: Vec::new(),
        asked_authentications: Vec::new(),
        labels: BTreeMap::new(),
        health: Health::Healthy,
        locality: Locality::default(),
        capacity: 0,
    })
}

/// The service of that name.
pub(crate) fn service(namespace: &str, name: &str) -> Arc<Service> {
    Arc::new(Service {
        name: ServiceName::new(namespace, format!("{name}.{namespace}.svc.cluster.local")),
        short_name: name.into(),
        vips: Vec::new(),
        ports: Vec::new(),
        subject_alt_names: Vec::new(),
        waypoint: None,
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::default(),
        traffic: None,
        authentications: Vec::new(),
        visibility: ambit_model::Visibility::Everyone,
        canonical: true,
        dynamic: false,
    })
}

/// `web` of `shop` calls service `cart`; both proved who they are.
pub(crate) fn ends() -> Ends {
    let (source, destination) = (
        workload("shop", "web", "v1"),
        workload("shop", "cart", "v2"),
    );
    Ends {
        source_id: Some(source.identity()),
        destination_id: Some(destination.identity()),
        source: Some(source),
        destination: Some(destination),
        service: Some(service("shop", "cart")),
    }
}

/// A request between these ends that went well.
pub(crate) fn exchange(ends: &Ends) -> Exchange<'_> {
    Exchange {
        ends,
        protocol: Protocol::Http,
        version: "HTTP/1.1",
        method: b"GET",
        path: b"/carts/7?token=secret",
        host: b"cart",
        request_id: b"5f3c",
        user_agent: b"curl/8",
        status: Some(200),
        grpc_status: None,
        flags: "-",
        reason: None,
        policy: None,
        error: None,
        route: Some("shop/cart"),
        source: "10.0.0.1:40000".parse().unwrap(),
        destination: "10.96.0.10:80".parse().unwrap(),
        upstream: Some("10.0.0.2:8080".parse().unwrap()),
        onward: Onward::MutualTls,
        sent: 120,
        received: 4_000,
        request_messages: 0,
        response_messages: 0,
        duration: Duration::from_micros(1_300),
        tries: 1,
        trace: None,
        shaped: None,
    }
}

/// A sample of a page of metrics.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// The samples of a page whose label values have no commas or quotes in them.
pub(crate) fn samples(page: &str) -> Vec<Sample> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(sample).collect()
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap().split(',');
    let pair = |label: &str| {
        let (name, value) = label.split_once('=').unwrap();
        (name.to_owned(), value.trim_matches('"').to_owned())
    };
    Sample {
        name: name.to_owned(),
        labels: labels.filter(|label| !label.is_empty()).map(pair).collect(),
        value: value.parse().unwrap(),
    }
}

/// Sum of the samples of that name with all of these labels.
pub(crate) fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted = |sample: &&Sample| {
        let has = |(name, value): &(&str, &str)| {
            sample.labels.get(*name).is_some_and(|found| found == value)
        };
        sample.name == name && labels.iter().all(has)
    };
    samples
        .iter()
        .filter(wanted)
        .map(|sample| sample.value)
        .sum()
}
