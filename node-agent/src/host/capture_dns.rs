//! Whose questions about names are redirected to the proxy: those of every captured pod, where the agent
//! was told to and knows a resolver, but for pods that their annotation leaves out.
//!
//! A pod may be captured before its annotation is known, and the annotation may change: the rules are
//! loaded again then (`reconcile.rs`). What was known is kept over a restart. The rules redirect only what has a listener, which stays once it is
//! open: questions that were redirected a moment ago still go there.
//!
//! What was decided for the first datagram of a socket holds for the later ones: when the rules begin or end to
//! redirect, the kernel is made to forget those flows. A question whose answer is under way then is asked again by
//! whoever waits for it.
//!
//! A pod that itself holds the port of these listeners is captured all the same, but for its questions. That is
//! said in the log, and tried again (`reconcile.rs`).

use ambit_netsys::conntrack;

use super::counters::Count;
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

/// The port of questions about names, whose flows have to follow the rules.
const QUESTIONS: u16 = 53;

/// Opens the listeners for a pod's questions if they are wanted, unless the pod holds their port.
pub(crate) fn try_open(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    match enrol::open_for_names(host, uid) {
        Err(error @ EnrolError::Listen { .. }) if error.is_taken() => {
            tracing::warn!(reason = "names_port_taken", %error, "the pod's questions about names are not captured; all else is");
            host.counters.count(Count::NamesLeftOut);
            Ok(())
        }
        done => done,
    }
}

/// Has open sockets of a pod ask where the rules now say.
pub(crate) async fn forget_flows(host: &Host, uid: &PodUid) {
    let Some(netns) = host.netns(uid) else { return };
    let forget = move || netns.run(|| conntrack::forget_udp(QUESTIONS));
    let forgotten = tokio::task::spawn_blocking(forget).await;
    match forgotten.map(Result::flatten) {
        Ok(Ok(count)) => tracing::debug!(pod = %uid, count, "flows of questions are forgotten"),
        Ok(Err(error)) => {
            tracing::warn!(pod = %uid, %error, "sockets that are open go on asking as before the rules changed");
        }
        Err(_stopping) => {}
    }
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
    let turns = {
        let pods = host.pods.lock();
        pods.get(uid).is_some_and(|pod| {
            // Of what another process has captured it is not known how: most likely as it is wanted, and then
            // questions wait for this one.
            let is_first = pod.state != PodState::Captured;
            let before = pod.attachment.dns;
            before.map_or(dns == is_first, |before| before != dns)
        })
    };
    if turns {
        forget_flows(host, uid).await;
    }
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
    enrol::open_for_names(host, uid)?;
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
