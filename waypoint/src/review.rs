//! Open connections under changed policy: what policy refuses now is ended.
//!
//! A connection that is passed on is judged again by the workload it goes to. One of HTTP is ended
//! when none of the endpoints that its requests may lead to may be called any more, with the requests
//! that are still open on it; where some may, it goes on, and each new request is judged by itself.
//! One that went on with another protocol is judged like one that is passed on.

use std::net::SocketAddr;

use ambit_decide::{Reason, Refusal, at_waypoint};
use ambit_model::{BackendTarget, ServiceName, Workload};
use tokio::sync::watch;

use crate::call::{Asked, Call};
use crate::endpoint::is_of_another;
use crate::proxy::Proxy;
use crate::view::{Destination, Routes, View};

/// Tells connections that policies have changed.
#[derive(Debug)]
pub(crate) struct Review(watch::Sender<()>);

impl Review {
    /// Nothing has changed.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Has every connection judged by the view that is in force now.
    pub(crate) fn begin(&self) {
        self.0.send_replace(());
    }

    /// Waits until `judge` refuses after a change.
    async fn refused(
        &self,
        mut changes: watch::Receiver<()>,
        judge: impl Fn() -> Result<(), Refusal>,
    ) -> Refusal {
        loop {
            if changes.changed().await.is_err() {
                // The proxy goes, and its connections with it.
                return std::future::pending().await;
            }
            if let Err(refusal) = judge() {
                let detail = format!("no longer allowed: {}", refusal.detail);
                return Refusal {
                    reason: Reason::PolicyChanged,
                    detail,
                    ..refusal
                };
            }
        }
    }
}

/// Waits until policy refuses a connection that is passed on to this destination.
pub(crate) async fn refused(proxy: &Proxy, call: &Call, to: &Destination) -> Refusal {
    if to.via.is_some() {
        // Another waypoint judges.
        return std::future::pending().await;
    }
    let mut changes = proxy.review.0.subscribe();
    // It may have changed since the connection was let in.
    changes.mark_changed();
    let judge = || judge(&proxy.view(), call, &to.workload, to.address);
    proxy.review.refused(changes, judge).await
}

/// Waits until policy refuses all that a connection of HTTP was made for, after a change from now on:
/// also one that comes before this is first polled. What was refused before is refused by the request,
/// and told as such.
pub(crate) fn all_refused(proxy: &Proxy, call: &Call) -> impl Future<Output = Refusal> {
    let changes = proxy.review.0.subscribe();
    let judge = move || judge_all(&proxy.view(), call);
    proxy.review.refused(changes, judge)
}

/// Wherever its requests may lead, the first endpoint that is allowed decides; where there is none,
/// nothing is refused.
fn judge_all(view: &View, call: &Call) -> Result<(), Refusal> {
    let (service, port) = match &call.asked {
        Asked::Workload(to) => return judge(view, call, &to.workload, to.address),
        Asked::Service(service, port) => (service, port),
    };
    let routes = call.routes(view);
    let Some(Routes::Http(compiled)) = routes.as_deref() else {
        return judge_service(view, call, &service.name, port.service_port).unwrap_or(Ok(()));
    };
    let backends = compiled.rules().flat_map(|rule| &rule.backends);
    let mut judged = Ok(());
    for backend in backends {
        let BackendTarget::Service {
            name,
            port,
            subset: None,
        } = &backend.target
        else {
            continue;
        };
        match judge_service(view, call, name, *port) {
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
    call: &Call,
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
        let port = workload.target_port(name, port);
        if let (Some(ip), Some(port)) = (workload.addresses.first(), port) {
            let allowed = judge(view, call, workload, SocketAddr::new(*ip, port));
            if allowed.is_ok() {
                return Some(allowed);
            }
            judged = Some(allowed);
        }
    }
    judged
}

fn judge(view: &View, call: &Call, to: &Workload, address: SocketAddr) -> Result<(), Refusal> {
    let client = &call.client;
    // Its policies may be others by now.
    let now = view.mesh.workload(&to.uid);
    let to = now.map_or(to, |workload| &**workload);
    let peer = client.identity.as_ref();
    at_waypoint(&view.mesh, to, client.address.ip(), address, peer).map(drop)
}

#[cfg(test)]
mod tests;
