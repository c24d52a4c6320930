//! What an update says of addresses.

use ambit_model::Health;
use ambit_wire::encode;

use super::*;
use crate::fixtures::{endpoint, service};

/// Entries and services that come by themselves say nothing of who else is at their addresses.
#[test]
fn an_update_answers_for_addresses_that_it_names_and_not_for_those_of_what_it_tells() {
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
    let mut update = Update {
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
    let texts = |update: &Update| -> Vec<String> {
        let answered = answered(update);
        answered.map(|address| address.to_string()).collect()
    };
    assert_eq!(texts(&update), ["10.1.0.8", "fd00::8"]);
    update.rejected.push(ambit_wire::delta::Rejection {
        name: "Kubernetes//Pod/shop/q".into(),
        reason: "unreadable".to_owned(),
    });
    assert!(texts(&update).is_empty());
}
