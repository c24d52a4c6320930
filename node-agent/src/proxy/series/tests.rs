use std::sync::atomic::Ordering;

use ambit_model::Change;
use ambit_wire::node::Pod;

use super::*;
use crate::proxy::pods::{Place, enrolled_workload};

fn version(revision: &str) -> Arc<Workload> {
    let place = Place {
        node: "n1".into(),
        cluster: "Kubernetes".into(),
        trust_domain: "cluster.local".into(),
    };
    let pod = Pod {
        uid: "u1".into(),
        namespace: "shop".into(),
        name: "web-0".into(),
        service_account: "web".into(),
        ips: Vec::new(),
    };
    Arc::new(Workload {
        canonical_revision: revision.into(),
        ..enrolled_workload(&pod, &[], &place)
    })
}

#[test]
fn a_pod_that_is_relabelled_again_and_again_leaves_nothing_behind() {
    let (ledger, table, mut mesh) = (Ledger::default(), SeriesTable::default(), Mesh::default());
    for revision in ["v1", "", "v3"] {
        let source = version(revision);
        mesh.apply(Change::PutWorkload(Arc::clone(&source)));
        let ends = Ends {
            source: Some(source),
            ..Ends::default()
        };
        let series = table.of(&ledger, Reporter::Source, &ends);
        series.opened.fetch_add(1, Ordering::Relaxed);
        drop(series);
        assert_eq!(ledger.total(Family::Opened), 1, "`{revision}` is counted");
        table.sweep(&ledger, &mesh);
        assert_eq!(ledger.total(Family::Opened), 1, "`{revision}` is alive");
        mesh.apply(Change::PutWorkload(version("other")));
        table.sweep(&ledger, &mesh);
        assert_eq!(ledger.total(Family::Opened), 0, "`{revision}` is gone");
    }
    assert!(table.entries.read().is_empty());
}
