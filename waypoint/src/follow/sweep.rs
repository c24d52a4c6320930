//! Series of workloads that are gone.

use std::sync::Arc;
use std::time::Duration;

use crate::proxy::Proxy;

/// How long after a workload went its series are looked for, and after which time in any case.
const SWEEP: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Strikes out series of workloads that are gone: some time after they went, since they go in groups;
/// and now and then, for what they had open has ended by then.
pub(crate) async fn series(proxy: Arc<Proxy>) {
    loop {
        // Either way it is time.
        tokio::time::timeout(SWEEP.1, proxy.gone.notified())
            .await
            .ok();
        tokio::time::sleep(SWEEP.0).await;
        proxy.telemetry.sweep(&proxy.view().mesh);
    }
}
