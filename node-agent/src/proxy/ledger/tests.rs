//! The page has every family under the name that dashboards know.

use super::*;

#[test]
fn the_page_is_prometheus_text() {
    let mut registry = prometheus_client::registry::Registry::default();
    let ledger = Ledger::default();
    ledger.count(Family::Refusals, &[("reason", "self_call")]);
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
