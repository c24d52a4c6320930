//! Whose questions about names are redirected to the proxy: those of every captured pod, where the agent
//! was told to and knows a resolver, but for pods that their annotation leaves out.
//!
//! A pod may be captured before its annotation is known, and the annotation may change: the rules are
//! loaded again then (`reconcile.rs`). What was known is kept over a restart. The rules redirect only what has a listener, which stays once it is
//! open: questions that were redirected a moment ago still go there.

use super::enrol::EnrolError;
use super::names::PodUid;
use super::state::Host;
use super::{enrol, written};
use crate::host::pods::PodState;

/// Whether a pod's questions are to be redirected, as far as is known.
pub(crate) fn is_wanted(host: &Host, uid: &PodUid) -> bool {
    let told = host.roster.record(uid).map(|record| record.no_dns);
    let known = || {
        let pods = host.pods.lock();
        pods.get(uid).is_some_and(|pod| pod.attachment.no_dns)
    };
    !host.dns.is_empty() && !told.unwrap_or_else(known)
}

/// Has a pod captured as it is to be, and notes that.
pub(crate) async fn load(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let has_listener = || {
        let pods = host.pods.lock();
        let pod = pods.get(uid);
        pod.is_some_and(|pod| pod.attachment.listeners.iter().any(|l| l.is_for_names()))
    };
    let told = host.roster.record(uid).map(|record| record.no_dns);
    if let (Some(no_dns), Some(pod)) = (told, host.pods.lock().get_mut(uid)) {
        pod.attachment.no_dns = no_dns;
    }
    let dns = is_wanted(host, uid) && has_listener();
    written::load(host, uid, &host.capture(dns)).await?;
    if let Some(pod) = host.pods.lock().get_mut(uid) {
        pod.attachment.dns = Some(dns);
    }
    Ok(())
}

/// Makes a captured pod as it is to be: listeners first, then the rules.
pub(crate) async fn change(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let _standing_still = host.changes.read().await;
    let _turn = host.turn(uid).await;
    let is_captured = || {
        let pods = host.pods.lock();
        pods.get(uid)
            .is_some_and(|pod| pod.state == PodState::Captured)
    };
    if host.retired.is_cancelled() || !is_captured() {
        return Ok(());
    }
    enrol::open_listeners(host, uid)?;
    // The proxy answers before anything is redirected to it; what it lacks a moment long waits.
    host.attach(uid);
    load(host, uid).await?;
    host.keep(uid).map_err(|source| EnrolError::Kept {
        pod: uid.clone(),
        source,
    })?;
    tracing::info!(pod = %uid, dns = is_wanted(host, uid), "questions about names are redirected or not");
    Ok(())
}

#[cfg(test)]
mod tests;
