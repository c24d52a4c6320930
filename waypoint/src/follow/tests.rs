//! What an update says of addresses.

use ambit_model::Health;
use ambit_wire::encode;

use super::*;
use crate::fixtures::{endpoint, service};

/// Who is there is told as a resource, and that nobody is by the name that was asked for.
#[test]
fn an_update_answers_for_addresses_of_what_it_tells_and_for_those_of_nobody() {
    let Change::PutWorkload(pod) = endpoint("p", "server", "10.1.0.7", Health::Healthy) else {
        panic!("no workload")
    };
    let Change::PutService(plain) = service("server") else {
        panic!("no service")
    };
    let mut service = ambit_model::Service::clone(&plain);
    let vip = ambit_model::NetworkAddress {
        network: "".into(),
        address: "10.96.0.9".parse().unwrap(),
    };
    service.vips = vec![(vip, 32)];
    let resources = [
        encode::workload_entry(&pod),
        encode::service_entry(&service),
    ];
    let received = resources.map(|(name, entry)| Received {
        name,
        version: entry.version,
        body: entry.body,
    });
    let update = Update {
        nonce: "1".to_owned(),
        changed: received.into(),
        removed: [
            "/10.1.0.8",
            "/fd00::8",
            "Kubernetes//Pod/shop/p",
            "shop/host",
            "/",
        ]
        .map(Arc::from)
        .into(),
        rejected: Vec::new(),
        complete: true,
    };
    let answered: Vec<String> = answered(&update, "cluster.local")
        .map(|address| address.to_string())
        .collect();
    assert_eq!(answered, ["10.1.0.7", "10.96.0.9", "10.1.0.8", "fd00::8"]);
}
