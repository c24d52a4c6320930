//! The ledger keeps its counts over a change of generation and forgets only what is gone.

use std::collections::HashMap;

use super::*;
use crate::fixtures::Few;
use crate::labels::UNKNOWN;

fn labels(value: &str) -> Labels {
    Labels::new([("reason", Arc::from(value))])
}

#[test]
fn an_heir_adds_what_its_ancestor_still_counts() {
    let (ancestor, heir) = (Ledger::<Few>::default(), Ledger::default());
    let mut told = HashMap::new();
    ancestor.count(Few::Refusals, &[("reason", "policy_denied")]);
    heir.add(&ancestor.deltas(&mut told));
    heir.count(Few::Refusals, &[("reason", "policy_denied")]);
    ancestor.count(Few::Refusals, &[("reason", "policy_denied")]);
    heir.add(&ancestor.deltas(&mut told));
    assert!(
        ancestor.deltas(&mut told).is_empty(),
        "nothing is told twice"
    );
    assert_eq!(
        heir.cell(Few::Refusals, &labels("policy_denied"))
            .load(Ordering::Relaxed),
        3
    );
}

#[test]
fn deltas_survive_their_trip_as_json() {
    let ledger = Ledger::<Few>::default();
    ledger.count(Few::Opened, &[("source_workload", "a \"b\"")]);
    let deltas = ledger.deltas(&mut HashMap::new());
    let text = serde_json::to_string(&deltas).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<Delta<Few>>>(&text).unwrap(),
        deltas
    );
}

#[test]
fn a_cell_in_use_outlives_its_workload() {
    let ledger = Ledger::<Few>::default();
    let held = ledger.cell(Few::Opened, &labels("held"));
    ledger.count(Few::Opened, &[("reason", "gone")]);
    ledger.retain(|_| false);
    held.fetch_add(5, Ordering::Relaxed);
    assert_eq!(ledger.total(Few::Opened), 5);
    drop(held);
    ledger.retain(|_| false);
    assert_eq!(ledger.total(Few::Opened), 0);
}

#[test]
fn a_full_ledger_counts_on_without_names() {
    let ledger = Ledger::<Few>::default();
    let labels = |version: usize| {
        Labels::new([
            ("reporter", Arc::from("source")),
            ("source_version", Arc::from(version.to_string())),
        ])
    };
    for version in 0..MOST_CELLS + 10 {
        ledger
            .cell(Few::Opened, &labels(version))
            .fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(ledger.cells.read().len(), MOST_CELLS + 1);
    let nameless = [("reporter", "source"), ("source_version", UNKNOWN)];
    let nameless = Labels::new(nameless.map(|(name, value)| (name, Arc::from(value))));
    let count = |labels| ledger.cell(Few::Opened, labels).load(Ordering::Relaxed);
    assert_eq!(count(&nameless), 10);
    assert_eq!(count(&labels(0)), 1, "what was there goes on");
}

#[test]
fn the_page_is_prometheus_text() {
    let mut registry = prometheus_client::registry::Registry::default();
    let ledger = Ledger::<Few>::default();
    ledger.count(Few::Refusals, &[("reason", "self_call")]);
    registry.register_collector(Box::new(ledger));
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(
        page.contains("ambit_refusals_total{reason=\"self_call\"} 1\n"),
        "{page}"
    );
    assert!(
        page.contains("# TYPE istio_tcp_connections_opened counter\n"),
        "{page}"
    );
}
