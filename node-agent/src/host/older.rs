//! Connections of captured pods that are older than the capture: they go around the mesh until they
//! end. They are counted for the control plane, and cut when it asks for that.
//!
//! Nothing is remembered of them: what the kernel shows of a pod tells them from all others, also
//! after a restart of the agent. The other end of a redirected connection is a socket of the proxy
//! on 15001, and what serves redirected or tunnelled connections to the pod is marked.
//!
//! Task: [`run`], one. A pod is looked at when it is captured, and after that only while it still
//! had such connections at the last look.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_kit::clock;
use ambit_netsys::NetNs;
use ambit_netsys::sock_diag::table::{self, Connection};
use ambit_netsys::sockets::{APP_MARK, WORLD_MARK};
use ambit_wire::node::OlderConnections;
use ambit_wire::node::host_to_control::Kind as ToControl;
use parking_lot::Mutex;

use super::names::PodUid;
use super::pods::{Pod, PodState};
use super::state::{Attachment, Host};
use crate::ports;

/// How often a pod with older connections is looked at again.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A wish to cut that is older than this was made for another capture.
const WISH_LIFE: Duration = Duration::from_secs(600);

/// What is known of older connections.
#[derive(Debug, Default)]
pub(crate) struct Older(Mutex<HashMap<PodUid, Known>>);

/// What is known of one pod's.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Number of the enrolment.
    epoch: u64,
    /// How many there were.
    count: u32,
    /// The last wish to cut them that was followed.
    cut: u64,
}

impl Older {
    /// How many this pod has, if any.
    pub(crate) fn of(&self, uid: &PodUid) -> Option<OlderConnections> {
        let known = self.0.lock();
        let known = known.get(uid).filter(|known| known.count > 0)?;
        Some(message(uid, known.count))
    }

    /// How many each pod has that has any.
    pub(crate) fn counts(&self) -> Vec<OlderConnections> {
        let known = self.0.lock();
        let some = known.iter().filter(|(_, known)| known.count > 0);
        some.map(|(uid, known)| message(uid, known.count)).collect()
    }
}

/// Looks until the role stops or a successor has taken over.
pub(crate) async fn run(host: Arc<Host>) {
    let mut changes = host.changes_of_state();
    let mut look_at = clock::now();
    loop {
        let all = look_at <= clock::now();
        if all {
            look_at = clock::now() + LOOK_EVERY;
        }
        for (uid, known, wish) in due(&host, all) {
            look(&host, &uid, known, wish).await;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(look_at.into()) => {}
            () = host.retired.cancelled() => return,
        }
    }
}

/// Pods to look at: those just captured and those that are to be cut; now and then, all that had
/// older connections. With what is known of each, and the wish to cut if there is one.
fn due(host: &Host, all: bool) -> Vec<(PodUid, Known, Option<u64>)> {
    let pods = host.pods.lock();
    let mut table = host.older.0.lock();
    table.retain(|uid, known| {
        let same =
            |pod: &Pod<Attachment>| pod.epoch == known.epoch && pod.state == PodState::Captured;
        pods.get(uid).is_some_and(same)
    });
    let captured = pods.iter().filter(|pod| pod.state == PodState::Captured);
    let mut due = Vec::new();
    for pod in captured {
        let uid = &pod.names.uid;
        let before = table.get(uid).copied();
        let known = before.unwrap_or(Known {
            epoch: pod.epoch,
            count: 0,
            cut: 0,
        });
        let wish = host
            .roster
            .record(uid)
            .and_then(|record| record.cut_existing);
        let wish = wish.filter(|wish| *wish != known.cut && is_fresh(*wish, clock::wall()));
        if before.is_none() || wish.is_some() || (all && known.count > 0) {
            due.push((uid.clone(), known, wish));
        }
    }
    due
}

/// Whether a wish was made lately, whichever of the two clocks is ahead.
fn is_fresh(wish: u64, now: SystemTime) -> bool {
    clock::unix_seconds(now).abs_diff(wish) <= WISH_LIFE.as_secs()
}

async fn look(host: &Host, uid: &PodUid, mut known: Known, wish: Option<u64>) {
    let Some(netns) = host.netns(uid) else { return };
    let count = tokio::task::spawn_blocking(move || count(&netns, wish.is_some())).await;
    let count = match count {
        Ok(Ok(count)) => count,
        Ok(Err(error)) => {
            // Looked for again with the next round.
            tracing::warn!(pod = %uid, %error, "connections older than its capture: not all seen, or not all cut");
            return;
        }
        Err(_stopping) => return,
    };
    let is_news = known.count != count;
    (known.count, known.cut) = (count, wish.unwrap_or(known.cut));
    host.older.0.lock().insert(uid.clone(), known);
    if is_news {
        tracing::info!(pod = %uid, count, "connections older than its capture");
        host.control.tell(ToControl::Older(message(uid, count)));
    }
}

/// How many there are, or how many are left after cutting all.
fn count(netns: &NetNs, cut: bool) -> io::Result<u32> {
    let all = netns.run(table::connections)??;
    let mut older = among(&all);
    if cut {
        // Between the looks at the two families of addresses, a new connection may have only one of
        // its ends seen. The other is in a second look.
        let again = netns.run(table::connections)??;
        let still = among(&again);
        older.retain(|connection| still.contains(connection));
        let mut failed = None;
        for connection in &older {
            if let Err(error) = netns.run(|| table::destroy(connection))? {
                failed = Some(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        older = Vec::new();
    }
    Ok(u32::try_from(older.len()).unwrap_or(u32::MAX))
}

/// Those that the mesh does not carry.
fn among(all: &[Connection]) -> Vec<&Connection> {
    let accepted = all
        .iter()
        .filter(|found| found.local.port() == ports::OUTBOUND);
    let redirected: HashSet<SocketAddr> = accepted.map(|found| found.remote).collect();
    let ends: HashSet<(SocketAddr, SocketAddr)> = all
        .iter()
        .map(|found| (found.local, found.remote))
        .collect();
    let is_older = |found: &&Connection| {
        let port = found.local.port();
        let within = found.remote.ip().is_loopback() || ends.contains(&(found.remote, found.local));
        let proxys = [ports::OUTBOUND, ports::PLAINTEXT, ports::HBONE].contains(&port)
            || [APP_MARK, WORLD_MARK].contains(&found.mark);
        !within && !proxys && !redirected.contains(&found.local)
    };
    all.iter().filter(is_older).collect()
}

fn message(uid: &PodUid, count: u32) -> OlderConnections {
    OlderConnections {
        uid: uid.as_str().to_owned(),
        count,
    }
}

#[cfg(test)]
mod tests;
