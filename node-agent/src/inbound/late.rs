//! A waypoint may learn before this agent that a pod is bound to it. Until the agent has, it would judge
//! the waypoint as itself, and refuse it where policies name clients: so a waypoint that policy refuses
//! is asked to wait for a moment, and judged again by every snapshot that comes meanwhile.

use std::time::Duration;

use ambit_decide::{Admission, InboundQuery, Reason, Refusal, looks_like_waypoint};
use ambit_model::Mesh;
use tokio::time::timeout;

use crate::proxy::datapath::DataPath;
use crate::proxy::pods::LocalPod;

/// How much later than a waypoint this agent may learn of what is bound to that.
const TOLD_LATE: Duration = Duration::from_secs(2);

/// Admits a refused stream if it comes from a waypoint and a newer snapshot allows it.
pub(super) async fn admit(
    path: &DataPath,
    pod: &LocalPod,
    mesh: &Mesh,
    query: &InboundQuery<'_>,
    refusal: Refusal,
) -> Result<Admission, Refusal> {
    let looks = |peer| looks_like_waypoint(mesh, query.source, peer);
    if !may_end(refusal.reason) || !query.peer.is_some_and(looks) {
        return Err(refusal);
    }
    let Ok(_place) = path.late.try_acquire() else {
        return Err(refusal);
    };
    let mut changes = path.changes();
    // One may have come since the snapshot was taken.
    changes.mark_changed();
    let waiting = async {
        loop {
            changes.changed().await.ok()?;
            let mesh = path.mesh();
            let Some(workload) = pod.workload(&mesh) else {
                continue;
            };
            let query = InboundQuery {
                workload: &workload,
                ..*query
            };
            if let Ok(admission) = ambit_decide::inbound(&mesh, &query) {
                return Some(admission);
            }
        }
    };
    let admitted = timeout(TOLD_LATE, waiting).await;
    admitted.ok().flatten().ok_or(refusal)
}

/// Whether a binding may change what was decided.
fn may_end(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoMatchingAllow | Reason::PolicyDenied | Reason::WaypointRequired
    )
}

#[cfg(test)]
mod tests;
