//! Pods that this process did not enrol itself: kept by a host role that died, or handed over by
//! one that makes way.
//!
//! A kept pod is taken back only into the very namespace that it was captured in: the one at the
//! recorded path or elsewhere on this machine with the recorded inode, and with an address of the
//! pod in it, because inodes are used again. What cannot be found is forgotten and reported.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambit_netsys::NetNs;
use nix::net::if_::InterfaceFlags;

use super::counters::Count;
use super::enrol::{self, EnrolError};
use super::kept::KeptPod;
use super::listeners::Listener;
use super::names::{PodNames, PodUid};
use super::pods::{AdmitError, NamespaceId, PodState};
use super::state::{Attachment, Host};
use super::{capture_dns, release, vanished};

/// How long the listeners of a dead role's proxies may stand in the way: they die with it.
const PORTS_FREE: Duration = Duration::from_secs(5);
/// How often that is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Takes back every pod that a former role left in the state folder.
///
/// Their rules have stayed in force; [`load_rules_again`] is for when the pods are served.
pub(crate) async fn restore(host: &Arc<Host>) {
    let (pods, unreadable) = match host.kept.load() {
        Ok(loaded) => loaded,
        Err(error) => return tracing::error!(%error, "kept pods cannot be read"),
    };
    for path in unreadable {
        tracing::error!(path = %path.display(), "this is no kept pod; enrol the pod again");
    }
    for kept in pods {
        let names = kept.names.clone();
        if let Err(error) = restore_one(host, kept).await {
            tracing::error!(pod = %names, %error, "a kept pod refuses connections: enrol it again");
            host.counters.count(Count::EnrolmentsFailed);
            // Out of the table, so that it can be; its rules stay.
            let epoch = host.pods.lock().get(&names.uid).map(|pod| pod.epoch);
            epoch.and_then(|epoch| host.pods.lock().remove(&names.uid, epoch));
        }
    }
}

async fn restore_one(host: &Arc<Host>, kept: KeptPod) -> Result<(), EnrolError> {
    let uid = kept.names.uid.clone();
    let found = kept.clone();
    let netns = tokio::task::spawn_blocking(move || find(&found))
        .await
        .unwrap_or_default();
    let Some(netns) = netns else {
        tracing::warn!(pod = %kept.names, "a kept pod is gone");
        host.counters.count(Count::PodsVanished);
        return host
            .kept
            .remove(&uid)
            .map_err(|source| EnrolError::Kept { pod: uid, source });
    };
    let state = kept.state;
    let epoch = adopt(host, kept, netns, Vec::new())?;
    if state == PodState::Draining {
        // Its connections died with the former role; nothing is left to wait for.
        if let Err(error) = release::finish(host, &uid, epoch).await {
            tracing::error!(%error, "a released pod keeps rules of the mesh; tried again");
            release::go_on_draining(host, &uid, epoch);
        }
        return Ok(());
    }
    open_listeners(host, &uid).await?;
    capture_dns::try_open(host, &uid)?;
    if state != PodState::Captured {
        // It is not certain how far the former role got.
        enrol::redirect_at_once(host, &uid).await?;
    }
    host.set_state(&uid, PodState::Captured);
    tracing::info!(pod = %uid, "captured again");
    host.keep(&uid)
        .map_err(|source| EnrolError::Kept { pod: uid, source })
}

/// Loads the rules of every captured pod again: this role's text may differ from the former's.
///
/// Tries all of them and answers with the first failure.
pub(crate) async fn load_rules_again(host: &Host) -> Result<(), EnrolError> {
    let captured = |host: &Host, uid: &PodUid| {
        let pods = host.pods.lock();
        pods.get(uid)
            .is_some_and(|pod| pod.state == PodState::Captured)
    };
    let uids: Vec<PodUid> = {
        let pods = host.pods.lock();
        pods.iter().map(|pod| pod.names.uid.clone()).collect()
    };
    let mut result = Ok(());
    for uid in uids {
        let _standing_still = host.changes.read().await;
        let _turn = host.turn(&uid).await;
        if !captured(host, &uid) || host.retired.is_cancelled() {
            continue;
        }
        if let Err(error) = enrol::redirect_at_once(host, &uid).await {
            tracing::error!(%error, "the rules of a former host role stay in force");
            result = result.and(Err(error));
        }
    }
    result
}

/// Goes on after a successor that did not come to be: it may have written rules by now, of another
/// packet filter or for other traffic. Called while nothing else has changed.
pub(crate) async fn regain(host: &Host) {
    for pod in host.pods.lock().iter_mut() {
        let written = host.kept.written(&pod.names.uid, pod.namespace);
        pod.attachment.written.extend(written);
    }
    if let Err(error) = load_rules_again(host).await {
        tracing::error!(%error, "a pod may keep rules of the host role that did not take over");
    }
}

/// Enters a pod as it was; returns the number of its enrolment.
pub(crate) fn adopt(
    host: &Host,
    kept: KeptPod,
    netns: NetNs,
    listeners: Vec<Listener>,
) -> Result<u64, AdmitError> {
    let namespace = NamespaceId::of(&netns);
    let attachment = Attachment {
        netns: Arc::new(netns),
        listeners,
        settings: kept.settings,
        written: kept.written,
        dns: None,
        no_dns: kept.no_dns,
    };
    let mut pods = host.pods.lock();
    pods.admit(&kept.names, namespace, kept.path, || attachment)?;
    let missing = || AdmitError::Busy(kept.names.uid.clone());
    let pod = pods.get_mut(&kept.names.uid).ok_or_else(missing)?;
    pod.state = kept.state;
    Ok(pod.epoch)
}

async fn open_listeners(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let open = async {
        loop {
            match enrol::open_listeners(host, uid) {
                Err(error) if error.is_taken() => {
                    tokio::time::sleep(TRY_EVERY).await;
                }
                done => return done,
            }
        }
    };
    match tokio::time::timeout(PORTS_FREE, open).await {
        Ok(done) => done,
        Err(_elapsed) => enrol::open_listeners(host, uid),
    }
}

/// The namespace of a kept pod, if it is still there and still the pod's.
fn find(kept: &KeptPod) -> Option<NetNs> {
    let at = |path: &Path| {
        let netns = NetNs::open(path).ok()?;
        (NamespaceId::of(&netns) == kept.namespace).then_some(netns)
    };
    let recorded = kept.path.as_deref().map(Path::new).and_then(at);
    let found = recorded.or_else(|| {
        vanished::paths_to(kept.namespace)
            .iter()
            .find_map(|p| at(p))
    })?;
    has_address_of(&found, &kept.names).then_some(found)
}

/// Whether one of the pod's addresses is in the namespace.
pub(crate) fn has_address_of(netns: &NetNs, names: &PodNames) -> bool {
    let present: BTreeSet<IpAddr> = netns.run(addresses).unwrap_or_default();
    names.ips.iter().any(|ip| present.contains(ip))
}

/// Addresses of interfaces that are up, in the network namespace of the calling thread.
///
/// One that is down may hold every service address of the cluster (kube-proxy's, with IPVS).
pub(crate) fn addresses() -> BTreeSet<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    interfaces
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect()
}

#[cfg(test)]
mod tests;
