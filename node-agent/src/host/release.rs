//! Release: from a captured pod to one that the mesh has never touched. [`release`] reads top to
//! bottom, [`drain`] is its second half, [`finish`] its end.
//!
//! Peers stop tunnelling first, then new connections go direct, and only when the last redirected
//! one has ended do rules, routes and listeners go: removing the rules would reset them.
//!
//! A pod whose rules cannot be changed stays in the table, and what serves it stays too: captured
//! if new connections are still redirected, draining if it is the end that failed.

use std::sync::Arc;
use std::time::Duration;

use ambit_wire::node::host_to_control::Kind as ToControl;
use ambit_wire::node::host_to_proxy::Kind as ToProxy;

use super::counters::Count;
use super::enrol::{self, EnrolError};
use super::generations::Parcel;
use super::names::PodUid;
use super::pods::PodState;
use super::rules::Duty;
use super::state::Host;
use super::{capture_dns, firewall, rules, vanished, written};

/// How often a draining pod's namespace is looked for, in case the pod is deleted meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long handshakes that were redirected are let finish before the proxy stops accepting.
const LAST_HANDSHAKES: Duration = Duration::from_millis(500);
/// How long until rules that could not be removed are tried again.
const REMOVE_AGAIN: Duration = Duration::from_secs(2);

/// Why a pod was not released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReleaseError {
    /// Nothing to release.
    #[error("no pod with uid {0} is enrolled on this node")]
    UnknownPod(PodUid),
    /// This process only waits for its last connections.
    #[error("pod {0}: another host role has taken over this node; ask again")]
    Retired(PodUid),
    /// Its new connections are still redirected.
    #[error("{0}; the pod stays captured until its rules can be changed")]
    Rules(String),
}

impl ReleaseError {
    /// The stable word for it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::UnknownPod(_) => "unknown_pod",
            Self::Retired(_) => "retired",
            Self::Rules(_) => "rules_failed",
        }
    }
}

/// Stops capturing a pod; done when new connections are direct. Open ones live to their end.
pub(crate) async fn release(host: &Arc<Host>, uid: &PodUid) -> Result<PodState, ReleaseError> {
    let _standing_still = host.changes.read().await;
    let _turn = host.turn(uid).await;
    if host.retired.is_cancelled() {
        return Err(ReleaseError::Retired(uid.clone()));
    }
    let unknown = || ReleaseError::UnknownPod(uid.clone());
    let state = host
        .pods
        .lock()
        .get(uid)
        .map(|pod| pod.state)
        .ok_or_else(unknown)?;
    if state == PodState::Draining {
        return Ok(PodState::Draining);
    }
    withdraw(host, uid).await;
    if let Err(error) = drain(host, uid).await {
        host.set_state(uid, PodState::Captured);
        keep(host, uid);
        enrol::tell_control(host, uid);
        return Err(ReleaseError::Rules(error.to_string()));
    }
    host.counters.count(Count::Released);
    tracing::info!(pod = %uid, "released: new connections are direct");
    Ok(PodState::Draining)
}

/// Waits, not for ever, until no peer tunnels to the pod any more.
async fn withdraw(host: &Arc<Host>, uid: &PodUid) {
    host.set_state(uid, PodState::Withdrawing);
    host.withdrawn.lock().remove(uid);
    host.control
        .tell(ToControl::Withdraw(uid.as_str().to_owned()));
    let withdrawn = || host.withdrawn.lock().contains(uid);
    if !host.wait_until(host.limits.withdraw_time, withdrawn).await {
        tracing::warn!(pod = %uid, "not every agent confirmed the withdrawal; released all the same");
    }
    host.withdrawn.lock().remove(uid);
}

/// Lets new connections go direct and starts to wait for the end of the redirected ones.
pub(crate) async fn drain(host: &Arc<Host>, uid: &PodUid) -> Result<(), EnrolError> {
    let state = host.set_state(uid, PodState::Draining);
    let (Some(epoch), Some(netns)) = (state, host.netns(uid)) else {
        return Ok(());
    };
    keep(host, uid);
    written::load(host, uid, &Duty::Drain).await?;
    capture_dns::forget_flows(host, uid).await;
    firewall::await_handshakes(&netns, LAST_HANDSHAKES).await;
    host.generations
        .lock()
        .send_all(|| Parcel::plain(ToProxy::Release(uid.as_str().to_owned())));
    go_on_draining(host, uid, epoch);
    Ok(())
}

fn keep(host: &Host, uid: &PodUid) {
    if let Err(error) = host.keep(uid) {
        tracing::error!(pod = %uid, %error, "a restart of the host role would not see how far its release is");
    }
}

/// Waits in a task of its own for the end of a draining pod.
pub(crate) fn go_on_draining(host: &Arc<Host>, uid: &PodUid, epoch: u64) {
    let (of_task, uid) = (Arc::clone(host), uid.clone());
    let end = async move { await_end(&of_task, &uid, epoch).await };
    host.tasks.spawn("drain", end);
}

/// Ends with the last redirected connection, or with the pod's namespace.
async fn await_end(host: &Arc<Host>, uid: &PodUid, epoch: u64) {
    while let Some(is_gone) = last_connection(host, uid, epoch).await {
        {
            let _standing_still = host.changes.read().await;
            let _turn = host.turn(uid).await;
            match host.retired.is_cancelled() {
                false if is_gone => return finish_gone(host, uid, epoch).await,
                false => match finish(host, uid, epoch).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::error!(pod = %uid, %error, "rules of the mesh stay in the pod; tried again");
                    }
                },
                true => return,
            }
        }
        tokio::time::sleep(REMOVE_AGAIN).await;
    }
}

/// Waits for the end of the last redirected connection; true if it was that of the namespace, and
/// `None` if it is none of our business any more.
async fn last_connection(host: &Arc<Host>, uid: &PodUid, epoch: u64) -> Option<bool> {
    loop {
        let ended = || {
            let enrolled_anew = host
                .pods
                .lock()
                .get(uid)
                .is_none_or(|pod| pod.epoch != epoch);
            enrolled_anew || (!host.has_ancestor() && !host.generations.lock().is_held(uid))
        };
        let waited = tokio::select! {
            ended = host.wait_until(LOOK_EVERY, ended) => ended,
            // A successor goes on with it.
            () = host.retired.cancelled() => return None,
        };
        if namespace_is_gone(host, uid).await {
            return Some(true);
        }
        if waited {
            return Some(false);
        }
    }
}

async fn namespace_is_gone(host: &Host, uid: &PodUid) -> bool {
    let place = host
        .pods
        .lock()
        .get(uid)
        .map(|pod| (pod.namespace, pod.path.clone()));
    match place {
        Some((namespace, path)) => vanished::is_gone(namespace, path).await,
        None => true,
    }
}

/// Removes every trace of a pod, if it has not been enrolled anew since `epoch`.
///
/// It leaves the table last: until then, nobody else can enrol its namespace. If rules stay it
/// does not leave it; whoever called tries again.
pub(crate) async fn finish(host: &Arc<Host>, uid: &PodUid, epoch: u64) -> Result<(), EnrolError> {
    let held = {
        let pods = host.pods.lock();
        let pod = pods.get(uid).filter(|pod| pod.epoch == epoch);
        pod.map(|pod| {
            (
                Arc::clone(&pod.attachment.netns),
                pod.attachment.settings.clone(),
            )
        })
    };
    let Some((netns, settings)) = held else {
        return Ok(());
    };
    host.generations
        .lock()
        .send_all(|| Parcel::plain(ToProxy::Forget(uid.as_str().to_owned())));
    host.control
        .tell(ToControl::Withdraw(uid.as_str().to_owned()));
    host.supply.forget(uid);
    written::remove(host, uid).await?;
    let steps = rules::unrouting(firewall::speaks_ipv6(&netns));
    firewall::take_back(&netns, &steps, &settings).await;
    strike(host, uid, epoch);
    tracing::info!(pod = %uid, "nothing of the mesh is left in the pod");
    Ok(())
}

/// The same for a pod whose namespace is gone, with whatever is in it.
pub(crate) async fn finish_gone(host: &Arc<Host>, uid: &PodUid, epoch: u64) {
    if let Err(error) = finish(host, uid, epoch).await {
        tracing::debug!(pod = %uid, %error, "its rules go with its namespace");
        strike(host, uid, epoch);
    }
}

/// Takes a pod out of the table and out of what is kept.
fn strike(host: &Host, uid: &PodUid, epoch: u64) {
    if let Err(error) = host.kept.remove(uid) {
        tracing::error!(pod = %uid, %error, "the kept record of a released pod stays");
    }
    host.pods.lock().remove(uid, epoch);
    host.note_change();
}

#[cfg(test)]
mod tests;
