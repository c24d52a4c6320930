//! One agent's view of its node: everything first, and then what changed, and that the mesh leaves
//! the node when that is asked for.

use std::sync::Arc;

use ambit_wire::node::{Leave, Namespaces, NodePod, RosterUpdate};
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::Leaving;
use crate::config::PodOnNode;
use crate::serve::configuration::Roster;

/// Sends until the client is gone.
pub(super) async fn stream(
    mut roster: watch::Receiver<Arc<Roster>>,
    mut leaving: Option<Leaving>,
    updates: mpsc::Sender<Result<RosterUpdate, Status>>,
) {
    let mut told: Option<Arc<Roster>> = None;
    loop {
        let now = Arc::clone(&roster.borrow_and_update());
        let update = difference(told.as_deref(), &now);
        let is_news = told.is_none() || update != RosterUpdate::default();
        if is_news && updates.send(Ok(update)).await.is_err() {
            return;
        }
        told = Some(now);
        tokio::select! {
            changed = roster.changed() => if changed.is_err() { return },
            () = Leaving::asked(&mut leaving) => {
                leaving = None;
                let leave = RosterUpdate {
                    leave: Some(Leave {}),
                    ..RosterUpdate::default()
                };
                if updates.send(Ok(leave)).await.is_err() {
                    return;
                }
            }
            () = updates.closed() => return,
        }
    }
}

/// What somebody who knows `told` must hear to know `now`.
fn difference(told: Option<&Roster>, now: &Roster) -> RosterUpdate {
    let nothing = Roster::default();
    let before = told.unwrap_or(&nothing);
    let changed = now
        .pods
        .iter()
        .filter(|(uid, pod)| before.pods.get(*uid) != Some(pod));
    let gone = before
        .pods
        .keys()
        .filter(|uid| !now.pods.contains_key(*uid));
    let same_namespaces = (&before.enrolled, &before.excluded) == (&now.enrolled, &now.excluded);
    let names =
        |names: &mut dyn Iterator<Item = &Arc<str>>| names.map(ToString::to_string).collect();
    RosterUpdate {
        is_snapshot: told.is_none(),
        pods: changed.map(|(_, pod)| to_wire(pod)).collect(),
        gone: gone.map(ToString::to_string).collect(),
        namespaces: (told.is_none() || !same_namespaces).then(|| Namespaces {
            enrolled: names(&mut now.enrolled.iter()),
            excluded: names(&mut now.excluded.iter()),
        }),
        leave: None,
    }
}

fn to_wire(pod: &PodOnNode) -> NodePod {
    NodePod {
        uid: pod.uid.to_string(),
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        service_account: pod.service_account.to_string(),
        ips: pod.ips.iter().map(ToString::to_string).collect(),
        enrolled: pod.enrolled,
        cut_existing: pod.cut_existing.unwrap_or_default(),
        no_dns_capture: pod.keeps_its_resolver,
        probe_ports: pod.probe_ports.iter().copied().map(u32::from).collect(),
    }
}

#[cfg(test)]
mod tests;
