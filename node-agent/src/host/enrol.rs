//! Enrolment: from a request to a captured pod. [`enrol`] reads top to bottom.
//!
//! The order is what keeps it safe. Listeners come before the proxy, the proxy before the rules:
//! a redirected connection always finds a queue. The record on disk comes before the rules too,
//! so that a host role that dies in between finds the pod again. A step that fails undoes all.

use std::sync::Arc;

use ambit_netsys::NetNs;
use ambit_wire::node::host_to_control::Kind as ToControl;

use super::counters::Count;
use super::firewall::{self, FirewallError};
use super::kept::KeptError;
use super::listeners::{self, ListenError, Place};
use super::names::{PodNames, PodUid};
use super::pods::{AdmitError, Admitted, NamespaceId, PodState};
use super::rules::Duty;
use super::state::{Attachment, Host};
use super::{capture_dns, release, rules, vanished, written};

/// Why a pod was not enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    /// The table says no.
    #[error(transparent)]
    Admit(#[from] AdmitError),
    /// No listeners.
    #[error("pod {pod}: {source}")]
    Listen { pod: PodUid, source: ListenError },
    /// No rules, routes or settings.
    #[error("pod {pod}: {source}")]
    Firewall { pod: PodUid, source: FirewallError },
    /// It could not be written down.
    #[error("pod {pod} cannot be kept over a restart: {source}")]
    Kept { pod: PodUid, source: KeptError },
    /// This process only waits for its last connections.
    #[error("pod {0}: another host role has taken over this node; ask again")]
    Retired(PodUid),
    /// The mesh takes no new pod here.
    #[error("pod {0}: the mesh is leaving this node and captures no pod any more")]
    Leaving(PodUid),
    /// Nobody would have accepted the redirected connections.
    #[error("no proxy accepted pod {0} in time; see the agent's log for why the proxy is not up")]
    NoProxy(PodUid),
}

impl EnrolError {
    /// Whether somebody else listens where the mesh would.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Listen { source, .. } if source.is_taken())
    }

    /// The stable word for it.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Admit(error) => error.reason(),
            Self::Listen { .. } => "listen_failed",
            Self::Firewall { .. } => "rules_failed",
            Self::Kept { .. } => "state_failed",
            Self::Retired(_) => "retired",
            Self::Leaving(_) => "leaving",
            Self::NoProxy(_) => "no_proxy",
        }
    }
}

/// Captures a pod; done when new connections are redirected and the proxy accepts them.
pub(crate) async fn enrol(
    host: &Arc<Host>,
    names: PodNames,
    netns: NetNs,
    path: Option<String>,
) -> Result<PodState, EnrolError> {
    let _standing_still = host.changes.read().await;
    let _turn = host.turn(&names.uid).await;
    let uid = names.uid.clone();
    if host.retired.is_cancelled() {
        return Err(EnrolError::Retired(uid));
    }
    if host.departure.asked.is_cancelled() {
        return Err(EnrolError::Leaving(uid));
    }
    make_way(host, &names, &netns).await;
    let namespace = NamespaceId::of(&netns);
    // There is a record if a former role's pod could not be restored.
    let written = host.kept.written(&uid, namespace);
    let attachment = Attachment::new(Arc::new(netns), written);
    let admitted = host
        .pods
        .lock()
        .admit(&names, namespace, path, || attachment)?;
    if admitted == Admitted::Captured {
        return Ok(PodState::Captured);
    }
    if !names.service_account.is_empty() {
        host.control.tell(ToControl::Prepare(names.to_wire()));
    }
    match capture(host, &uid).await {
        Ok(()) => {
            host.counters.count(Count::Enrolled);
            tracing::info!(pod = %names, "captured");
            Ok(PodState::Captured)
        }
        Err(error) => {
            undo(host, &uid, admitted).await;
            Err(error)
        }
    }
}

/// Tells everybody who a captured pod is, once that is known.
pub(crate) async fn identify(host: &Arc<Host>, names: PodNames) -> Result<(), String> {
    let _standing_still = host.changes.read().await;
    let _turn = host.turn(&names.uid).await;
    let uid = names.uid.clone();
    {
        let mut pods = host.pods.lock();
        match pods.get_mut(&uid) {
            Some(pod) if pod.state == PodState::Captured => pod.names = names.clone(),
            _ => return Ok(()),
        }
    }
    host.keep(&uid).map_err(|error| error.to_string())?;
    host.control.tell(ToControl::Prepare(names.to_wire()));
    host.attach(&uid);
    tell_control(host, &uid);
    tracing::info!(pod = %names, account = names.service_account, "identified");
    Ok(())
}

/// A pod that was made anew keeps its uid: the record of a namespace that is gone makes way.
async fn make_way(host: &Arc<Host>, names: &PodNames, netns: &NetNs) {
    let old = {
        let pods = host.pods.lock();
        pods.get(&names.uid)
            .map(|pod| (pod.epoch, pod.namespace, pod.path.clone()))
    };
    let Some((epoch, namespace, path)) = old else {
        return;
    };
    if namespace != NamespaceId::of(netns) && vanished::is_gone(namespace, path).await {
        host.counters.count(Count::PodsVanished);
        release::finish_gone(host, &names.uid, epoch).await;
    }
}

async fn capture(host: &Arc<Host>, uid: &PodUid) -> Result<(), EnrolError> {
    open_listeners(host, uid)?;
    capture_dns::try_open(host, uid)?;
    host.attach(uid);
    await_proxy(host, uid).await?;
    redirect(host, uid).await?;
    host.set_state(uid, PodState::Captured);
    host.keep(uid).map_err(|source| EnrolError::Kept {
        pod: uid.clone(),
        source,
    })?;
    tell_control(host, uid);
    Ok(())
}

/// Opens the pod's listeners, unless a draining pod still has them. Those for questions about names are
/// opened by themselves.
pub(crate) fn open_listeners(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let Some(netns) = host.netns(uid) else {
        return Ok(());
    };
    let raised =
        firewall::set(&netns, &rules::queue_limit()).map_err(|source| EnrolError::Firewall {
            pod: uid.clone(),
            source,
        })?;
    let missing = match places(host, uid).is_empty() {
        true => listeners::pod_addresses(firewall::speaks_ipv6(&netns)),
        false => Vec::new(),
    };
    let missing: Vec<Place> = missing.into_iter().map(Place::from).collect();
    if let Some(pod) = host.pods.lock().get_mut(uid) {
        pod.attachment.settings.extend(raised);
    }
    add_listeners(host, uid, &netns, &missing)
}

/// Opens those for questions about names, where these are to be redirected.
pub(crate) fn open_for_names(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let Some(netns) = host.netns(uid) else {
        return Ok(());
    };
    if !capture_dns::is_wanted(host, uid) || places(host, uid).iter().any(Place::is_for_names) {
        return Ok(());
    }
    let missing = listeners::name_places(firewall::speaks_ipv6(&netns));
    add_listeners(host, uid, &netns, &missing)
}

/// Where a pod's listeners are that it has.
fn places(host: &Host, uid: &PodUid) -> Vec<Place> {
    let pods = host.pods.lock();
    let has = pods.get(uid).map(|pod| &pod.attachment.listeners);
    has.into_iter().flatten().map(|ours| ours.place).collect()
}

fn add_listeners(
    host: &Host,
    uid: &PodUid,
    netns: &NetNs,
    missing: &[Place],
) -> Result<(), EnrolError> {
    let opened = listeners::open(netns, missing).map_err(|source| EnrolError::Listen {
        pod: uid.clone(),
        source,
    })?;
    if let Some(pod) = host.pods.lock().get_mut(uid) {
        pod.attachment.listeners.extend(opened);
    }
    Ok(())
}

async fn await_proxy(host: &Arc<Host>, uid: &PodUid) -> Result<(), EnrolError> {
    let attached = || host.generations.lock().is_attached(uid);
    match host.wait_until(host.limits.attach_time, attached).await {
        true => Ok(()),
        false => Err(EnrolError::NoProxy(uid.clone())),
    }
}

/// Redirects new connections of a pod that was direct until now.
async fn redirect(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let Some(netns) = host.netns(uid) else {
        return Ok(());
    };
    if firewall::has_half_open(&netns).await.unwrap_or(true) {
        // A handshake under way gets its conntrack entry without redirection first: a repeated
        // first packet of it would otherwise be redirected in mid-handshake, and reset.
        written::load(host, uid, &Duty::Drain).await?;
        firewall::await_handshakes(&netns, host.limits.half_open_time).await;
    }
    redirect_at_once(host, uid).await
}

/// Redirects new connections, with no moment in which a captured pod would be direct.
///
/// The way back for replies comes first; the record does too, so that no rules are forgotten.
pub(crate) async fn redirect_at_once(host: &Host, uid: &PodUid) -> Result<(), EnrolError> {
    let Some(netns) = host.netns(uid) else {
        return Ok(());
    };
    let failed = |source| EnrolError::Firewall {
        pod: uid.clone(),
        source,
    };
    let steps = rules::routing(firewall::speaks_ipv6(&netns));
    let former = firewall::take(&netns, &steps).await;
    keep_settings(host, uid, former.map_err(failed)?)?;
    capture_dns::load(host, uid).await?;
    let former = firewall::take(&netns, &rules::tracking()).await;
    keep_settings(host, uid, former.map_err(failed)?)
}

/// Keeps how the namespace's settings were, for the release.
fn keep_settings(
    host: &Host,
    uid: &PodUid,
    former: impl IntoIterator<Item = (String, String)>,
) -> Result<(), EnrolError> {
    if let Some(pod) = host.pods.lock().get_mut(uid) {
        pod.attachment.settings.extend(former);
    }
    host.keep(uid).map_err(|source| EnrolError::Kept {
        pod: uid.clone(),
        source,
    })
}

/// Tells the control role that a pod is captured, so that peers may tunnel to it.
pub(crate) fn tell_control(host: &Host, uid: &PodUid) {
    let pod = host.pods.lock().get(uid).map(|pod| pod.names.to_wire());
    // Peers cannot tunnel to a pod that has no identity yet.
    if let Some(pod) = pod.filter(|pod| !pod.service_account.is_empty()) {
        host.control.tell(ToControl::Captured(pod));
        // They may have been counted before; of a pod that is not captured nobody keeps it.
        if let Some(older) = host.older.of(uid) {
            host.control.tell(ToControl::Older(older));
        }
    }
}

/// Leaves nothing of a failed enrolment; a pod that was draining goes on draining.
async fn undo(host: &Arc<Host>, uid: &PodUid, admitted: Admitted) {
    host.counters.count(Count::EnrolmentsFailed);
    let Some(epoch) = host.set_state(uid, PodState::Draining) else {
        return;
    };
    let undone = match admitted {
        Admitted::Draining => release::drain(host, uid).await,
        _ => release::finish(host, uid, epoch).await,
    };
    if let Err(error) = undone {
        tracing::error!(%error, "a failed capture leaves rules in the pod; tried again");
        release::go_on_draining(host, uid, epoch);
    }
}

#[cfg(test)]
mod tests;
