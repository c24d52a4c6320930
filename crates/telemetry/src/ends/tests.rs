//! The labels are those of Istio's reference of standard metrics, under the values that it says.

use super::*;
use crate::fixtures;
use crate::labels::UNKNOWN;

/// The labels that every standard metric has, as documented.
const EVERY_METRIC: [(&str, &str); 20] = [
    ("reporter", "destination"),
    ("source_workload", "web"),
    ("source_workload_namespace", "shop"),
    ("source_principal", "spiffe://cluster.local/ns/shop/sa/web"),
    ("source_app", "web"),
    ("source_version", "v1"),
    ("source_cluster", "Kubernetes"),
    ("source_canonical_service", "web"),
    ("source_canonical_revision", "v1"),
    ("destination_workload", "cart"),
    ("destination_workload_namespace", "shop"),
    (
        "destination_principal",
        "spiffe://cluster.local/ns/shop/sa/cart",
    ),
    ("destination_app", "cart"),
    ("destination_version", "v2"),
    ("destination_cluster", "Kubernetes"),
    ("destination_canonical_service", "cart"),
    ("destination_canonical_revision", "v2"),
    ("destination_service", "cart.shop.svc.cluster.local"),
    ("destination_service_name", "cart"),
    ("destination_service_namespace", "shop"),
];

fn listed(pairs: &[(String, Arc<str>)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(n, v)| (n.as_str(), &**v)).collect()
}

#[test]
fn every_series_has_the_documented_labels_of_both_ends() {
    let pairs = labels_of_ends(Reporter::Destination, &fixtures::ends());
    assert_eq!(listed(&pairs), EVERY_METRIC);
}

#[test]
fn what_is_not_known_is_said_to_be_unknown() {
    let pairs = labels_of_ends(Reporter::Source, &Ends::default());
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, EVERY_METRIC.map(|(name, _)| name));
    assert_eq!(&*pairs[0].1, "source");
    assert!(pairs.iter().skip(1).all(|(_, value)| &**value == UNKNOWN));
}

#[test]
fn a_connection_is_mutual_tls_only_if_both_ends_proved_themselves() {
    let policy = |ends: &Ends| {
        let labels = tcp_labels(Reporter::Source, ends, "-");
        labels.get("connection_security_policy").cloned().unwrap()
    };
    let both = fixtures::ends();
    assert_eq!(&*policy(&both), "mutual_tls");
    for one_sided in [
        Ends {
            source_id: None,
            ..both.clone()
        },
        Ends {
            destination_id: None,
            ..both
        },
    ] {
        assert_eq!(&*policy(&one_sided), UNKNOWN);
    }
}

#[test]
fn a_connection_adds_its_protocol_and_flags() {
    let labels = tcp_labels(Reporter::Destination, &fixtures::ends(), "DENY");
    assert_eq!(
        listed(&labels.pairs()[EVERY_METRIC.len()..]),
        [
            ("request_protocol", "tcp"),
            ("response_flags", "DENY"),
            ("connection_security_policy", "mutual_tls"),
        ]
    );
}
