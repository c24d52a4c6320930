//! Which packet filters have written rules into a pod, and the change from one to another.
//!
//! A host role may be configured otherwise than the one before it. The set is in the pod's record
//! before a rule is, and a packet filter leaves the set when its rules are gone: whenever a role
//! dies, the next one knows whose rules there may be.
//!
//! The new rules are loaded before the old ones are removed. Both together do what each does: the
//! first redirection of a packet is the only one, and what was redirected is addressed to the pod
//! itself, which every seal lets pass. So a captured pod is never direct in between.

use std::collections::BTreeSet;
use std::time::Duration;

use super::enrol::EnrolError;
use super::firewall;
use super::names::PodUid;
use super::rules::{Duty, Rules};
use super::state::Host;

/// How often rules are removed before they stay, and the pause between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Has a pod's rules do this, by this role's packet filter alone.
pub(crate) async fn load(host: &Host, uid: &PodUid, duty: &Duty) -> Result<(), EnrolError> {
    let Some(netns) = host.netns(uid) else {
        return Ok(());
    };
    let mut others = writers(host, uid);
    if !others.remove(&host.rules) {
        change(host, uid, |written| written.insert(host.rules))?;
    }
    let loaded = firewall::load(&netns, host.rules, duty).await;
    loaded.map_err(|source| EnrolError::Firewall {
        pod: uid.clone(),
        source,
    })?;
    for other in others {
        match firewall::load(&netns, other, &Duty::Nothing).await {
            Ok(()) => {
                tracing::info!(pod = %uid, from = %other, to = %host.rules, "packet filter changed");
                change(host, uid, |written| written.remove(&other))?;
            }
            Err(error) => {
                tracing::warn!(pod = %uid, rules = %other, %error, "another packet filter's rules stay in the pod");
            }
        }
    }
    Ok(())
}

/// Removes all rules from a pod, whoever wrote them; tries more than once, for a lock may be held.
///
/// Whatever fails, the rest is tried too; answers with the first failure.
pub(crate) async fn remove(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let Some(netns) = host.netns(uid) else {
        return Ok(());
    };
    let mut result = Ok(());
    for rules in writers(host, uid) {
        let mut removed = firewall::load(&netns, rules, &Duty::Nothing).await;
        for _ in 1..ATTEMPTS {
            if removed.is_ok() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            removed = firewall::load(&netns, rules, &Duty::Nothing).await;
        }
        result = result.and(removed);
    }
    result.map_err(|source| EnrolError::Firewall {
        pod: uid.clone(),
        source,
    })
}

fn writers(host: &Host, uid: &PodUid) -> BTreeSet<Rules> {
    let pods = host.pods.lock();
    let pod = pods.get(uid);
    pod.map(|pod| pod.attachment.written.clone())
        .unwrap_or_default()
}

fn change(
    host: &Host,
    uid: &PodUid,
    edit: impl FnOnce(&mut BTreeSet<Rules>) -> bool,
) -> Result<(), EnrolError> {
    if let Some(pod) = host.pods.lock().get_mut(uid) {
        edit(&mut pod.attachment.written);
    }
    host.keep(uid).map_err(|source| EnrolError::Kept {
        pod: uid.clone(),
        source,
    })
}

#[cfg(test)]
mod tests;
