use std::sync::atomic::Ordering;

use ambit_model::{Change, Workload};

use super::*;
use crate::fixtures::{Few, workload};

fn version(revision: &str) -> Arc<Workload> {
    workload("shop", "web", revision)
}

#[test]
fn a_pod_that_is_relabelled_again_and_again_leaves_nothing_behind() {
    let ledger = Ledger::<Few>::default();
    let (table, mut mesh) = (SeriesTable::default(), Mesh::default());
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
        assert_eq!(ledger.total(Few::Opened), 1, "`{revision}` is counted");
        table.sweep(&ledger, &mesh);
        assert_eq!(ledger.total(Few::Opened), 1, "`{revision}` is alive");
        mesh.apply(Change::PutWorkload(version("other")));
        table.sweep(&ledger, &mesh);
        assert_eq!(ledger.total(Few::Opened), 0, "`{revision}` is gone");
    }
    assert!(table.entries.read().is_empty());
}
