//! Open connections under changed policy: what policy refuses now is ended.
//!
//! A connection that is passed on is judged again by the workload it goes to, and ended where tokens are judged
//! from now on: it shows none. One of HTTP is ended
//! when none of the endpoints that its requests may lead to may be called any more, with the requests
//! that are still open on it; where some may, or a rule answers without any, it goes on, and each new request is
//! judged by itself.
//! One that went on with another protocol is judged again as the request that it began with.
//!
//! Either of these that goes to an address outside of the mesh is ended when somebody of the mesh turns out to be
//! there, who is reached by its own name, by policy. While it is open the control plane goes on telling who is.

use std::net::SocketAddr;

use ambit_decide::{Reason, Refusal};
use ambit_model::{BackendTarget, ServiceName, Workload};
use ambit_route::Rule;
use tokio::sync::watch;

use crate::authorize::Asking;
use crate::call::{Asked, Call};
use crate::endpoint::{is_of_another, is_outside_still};
use crate::proxy::Proxy;
use crate::tcp::tokens;
use crate::view::{Destination, Routes, View};

/// Tells connections what has changed.
#[derive(Debug)]
pub(crate) struct Review {
    policies: watch::Sender<()>,
    addresses: watch::Sender<()>,
}

impl Review {
    /// Nothing has changed.
    pub(crate) fn new() -> Self {
        Self {
            policies: watch::Sender::new(()),
            addresses: watch::Sender::new(()),
        }
    }

    /// Has every connection judged by the view that is in force now.
    pub(crate) fn begin(&self) {
        self.policies.send_replace(());
    }

    /// Has those judged by it that go out of the mesh: addresses may be others' now. It costs each of them two
    /// look-ups.
    pub(crate) fn begin_outside(&self) {
        self.addresses.send_replace(());
    }
}

/// Waits until `judge` refuses after a change.
async fn refused_after(
    mut changes: watch::Receiver<()>,
    mut judge: impl FnMut() -> Result<(), Refusal>,
) -> Refusal {
    loop {
        if changes.changed().await.is_err() {
            // The proxy goes, and its connections with it.
            return std::future::pending().await;
        }
        if let Err(refusal) = judge() {
            let detail = format!("no longer allowed: {}", refusal.detail);
            return Refusal { detail, ..refusal };
        }
    }
}

/// The same where it is policy that refuses.
async fn refused_by_policy(
    changes: watch::Receiver<()>,
    judge: impl Fn() -> Result<(), Refusal>,
) -> Refusal {
    let refusal = refused_after(changes, judge).await;
    Refusal {
        reason: Reason::PolicyChanged,
        ..refusal
    }
}

/// Waits until somebody of the mesh is at the address of a destination outside of it.
async fn taken(proxy: &Proxy, to: &Destination) -> Refusal {
    if !to.is_outside() {
        return std::future::pending().await;
    }
    let mut changes = proxy.review.addresses.subscribe();
    // It may be known by now.
    changes.mark_changed();
    // While it is kept who comes is told, also where no name leads to the address any more. Without room it is
    // tried again when something is told.
    let mut kept = None;
    let judge = || {
        kept = kept
            .take()
            .or_else(|| proxy.callers.keep_outside(to.address.ip()));
        is_outside_still(&proxy.view(), to)
    };
    refused_after(changes, judge).await
}

/// Waits until policy refuses a connection that is passed on to this destination,
/// which was asked for by this port; or until that is outside of the mesh no longer.
pub(crate) async fn refused(
    proxy: &Proxy,
    asking: &Asking<'_>,
    to: &Destination,
    port: u16,
) -> Refusal {
    let mut changes = proxy.review.policies.subscribe();
    // It may have changed since the connection was let in.
    changes.mark_changed();
    let judge = || {
        let view = proxy.view();
        asking.before_routing(&view)?;
        match &to.via {
            // Another waypoint judges the rest.
            Some(_) => Ok(()),
            None => judge(&view, asking, &to.workload, to.address, port),
        }
    };
    tokio::select! {
        refusal = refused_by_policy(changes, judge) => refusal,
        refusal = taken(proxy, to) => refusal,
    }
}

/// The same of one that is no HTTP: also until tokens are judged of what it is for, of which it shows none.
pub(crate) async fn raw_refused(
    proxy: &Proxy,
    call: &Call,
    asking: &Asking<'_>,
    to: &Destination,
    port: u16,
) -> Refusal {
    let mut changes = proxy.review.policies.subscribe();
    changes.mark_changed();
    let judge = || tokens::lacks(&proxy.view(), call, asking);
    tokio::select! {
        refusal = refused_by_policy(changes, judge) => refusal,
        refusal = refused(proxy, asking, to, port) => refusal,
    }
}

/// Waits until policy refuses all that a connection of HTTP was made for, after a change from now on:
/// also one that comes before this is first polled. What was refused before is refused by the request,
/// and told as such.
pub(crate) fn all_refused(proxy: &Proxy, call: &Call) -> impl Future<Output = Refusal> {
    let changes = proxy.review.policies.subscribe();
    let judge = move || judge_all(&proxy.view(), call);
    refused_by_policy(changes, judge)
}

/// Wherever its requests may lead, the first endpoint that is allowed decides; where there is none, or a rule
/// needs none, nothing is refused.
fn judge_all(view: &View, call: &Call) -> Result<(), Refusal> {
    let asking = &Asking::any_request(call);
    asking.before_routing(view)?;
    let (service, port) = match &call.asked {
        Asked::Workload(to) => {
            let (workload, address) = (&to.workload, to.address);
            return judge(view, asking, workload, address, address.port());
        }
        Asked::Service(service, port) => (service, port),
    };
    let routes = call.routes(view);
    let Some(Routes::Http(compiled)) = routes.as_deref() else {
        return judge_service(view, asking, &service.name, port.service_port).unwrap_or(Ok(()));
    };
    let answers = |rule: &Rule| rule.answers() && rule.broken.is_none();
    if compiled.rules().any(answers) {
        return Ok(());
    }
    let backends = compiled.rules().flat_map(|rule| &rule.backends);
    let mut judged = Ok(());
    for backend in backends {
        let BackendTarget::Service { name, port, .. } = &backend.target else {
            continue;
        };
        if backend.filters.redirect.is_some() {
            return Ok(());
        }
        match judge_service(view, asking, name, *port) {
            Some(Ok(())) => return Ok(()),
            Some(refused) => judged = refused,
            None => {}
        }
    }
    judged
}

/// Whether the client may call any endpoint of a service; `None` if there is none. Behind another
/// waypoint that one judges.
fn judge_service(
    view: &View,
    asking: &Asking<'_>,
    name: &ServiceName,
    port: u16,
) -> Option<Result<(), Refusal>> {
    if view
        .mesh
        .service(name)
        .is_some_and(|s| is_of_another(view, s))
    {
        return Some(Ok(()));
    }
    let mut judged = None;
    for workload in view.mesh.endpoints(name) {
        let target = workload.target_port(name, port);
        if let (Some(ip), Some(target)) = (workload.addresses.first(), target) {
            let address = SocketAddr::new(*ip, target);
            let allowed = judge(view, asking, workload, address, port);
            if allowed.is_ok() {
                return Some(allowed);
            }
            judged = Some(allowed);
        }
    }
    judged
}

fn judge(
    view: &View,
    asking: &Asking<'_>,
    to: &Workload,
    address: SocketAddr,
    port: u16,
) -> Result<(), Refusal> {
    // Its policies may be others by now.
    let now = view.mesh.workload(&to.uid);
    let to = now.map_or(to, |workload| &**workload);
    asking.at_endpoint(view, to, address, port).map(drop)
}

#[cfg(test)]
mod tests;
