//! A connection that is passed on as it is: to an endpoint, with the client's address.

use std::sync::Arc;

use ambit_balance::{Ask, Pick};
use ambit_decide::{Reason, Refusal, at_waypoint};
use ambit_kit::clock;
use ambit_model::{Backend, BackendTarget, WorkloadUid};
use ambit_route::{choose, tls_route};
use ambit_tunnel::Pipe;
use tokio::io::copy_bidirectional;

use crate::call::Call;
use crate::proxy::Proxy;
use crate::request::Target;
use crate::stream::Peeked;
use crate::upstream::link::{Link, OnBehalf};
use crate::view::{Destination, Routes, View};

/// Endpoints that are tried for one connection.
const TRIES: usize = 3;

/// The way to an endpoint, open.
#[derive(Debug)]
pub(crate) struct Way {
    /// The connection.
    pub(crate) link: Link,
    destination: Arc<Destination>,
    _pick: Option<Pick<WorkloadUid, Arc<Destination>>>,
}

/// Passes a connection on, from its first byte to its last.
pub(crate) async fn serve(proxy: &Arc<Proxy>, call: &Arc<Call>, client: Peeked<Pipe>) {
    match way(proxy, call, None).await {
        Ok(way) => carry(call, client, way).await,
        Err(refusal) => {
            let (client, reason) = (call.client.address, refusal.reason);
            tracing::warn!(%client, %reason, "a connection was refused: {}", refusal.detail);
        }
    }
}

/// Copies both ways until both have ended.
pub(crate) async fn carry(call: &Call, mut client: Peeked<Pipe>, mut way: Way) {
    let ended = copy_bidirectional(&mut client, &mut way.link).await;
    let (from, to) = (call.client.address, way.destination.address);
    match ended {
        Ok((sent, received)) => {
            tracing::info!(client = %from, upstream = %to, sent, received, "access");
        }
        Err(error) => {
            tracing::info!(client = %from, upstream = %to, %error, "access");
        }
    }
}

/// An open connection to an endpoint that the client may call.
pub(crate) async fn way(
    proxy: &Proxy,
    call: &Call,
    server_name: Option<&str>,
) -> Result<Way, Refusal> {
    let view = proxy.view();
    let target = target(&view, call, server_name)?;
    let mut tried: Vec<WorkloadUid> = Vec::new();
    loop {
        let (destination, pick) = endpoint(&view, &target, &tried)?;
        let client = &call.client;
        at_waypoint(
            &view.mesh,
            &destination.workload,
            client.address.ip(),
            destination.address,
            client.identity.as_ref(),
        )?;
        let by = OnBehalf {
            client: Some(client.address),
        };
        match proxy.linker.link(&destination, by).await {
            Ok(link) => {
                return Ok(Way {
                    link,
                    destination,
                    _pick: pick,
                });
            }
            Err(error) if tried.len() + 1 >= TRIES => {
                let reason = Reason::from_word(error.word()).unwrap_or(Reason::ConnectFailed);
                return Err(Refusal::new(reason, error.to_string()));
            }
            Err(error) => {
                tracing::debug!(%error, "an endpoint cannot be reached; another is tried");
                tried.push(destination.workload.uid.clone());
            }
        }
    }
}

/// Where routes, or else the call itself, send a connection.
fn target(view: &View, call: &Call, server_name: Option<&str>) -> Result<Target, Refusal> {
    let Some((service, port)) = call.service() else {
        return Ok(call.target());
    };
    let client = call.client.identity.as_ref().map(|id| id.namespace());
    let Some(routes) = view.routes(&service.name, port.service_port, client) else {
        return Ok(call.target());
    };
    let (name, backends): (_, &[Backend]) = match &**routes {
        Routes::Http(_) => return Ok(call.target()),
        Routes::Tcp(route) => (&route.name, &route.backends),
        Routes::Tls(routes) => {
            let route = tls_route(routes, server_name).ok_or_else(|| {
                let detail = format!("no route of {} is for this server name", service.name);
                Refusal::new(Reason::UnknownDestination, detail)
            })?;
            (&route.name, &route.backends)
        }
    };
    let chosen = choose(backends, |backend| backend.weight, rand::random());
    match chosen.map(|backend| &backend.target) {
        Some(BackendTarget::Service { name, port }) => Ok(Target::Service(name.clone(), *port)),
        Some(BackendTarget::Invalid { why }) => {
            Err(Refusal::new(Reason::NoEndpoint, format!("{name}: {why}")))
        }
        None => {
            let detail = format!("{name} has no backend with a weight");
            Err(Refusal::new(Reason::NoEndpoint, detail))
        }
    }
}

type Chosen = (
    Arc<Destination>,
    Option<Pick<WorkloadUid, Arc<Destination>>>,
);

fn endpoint(view: &View, target: &Target, tried: &[WorkloadUid]) -> Result<Chosen, Refusal> {
    let (name, port) = match target {
        Target::Workload(destination) => return Ok((Arc::clone(destination), None)),
        Target::Service(name, port) => (name, *port),
    };
    let none = |why: String| Refusal::new(Reason::NoEndpoint, why);
    let endpoints = view.endpoints(name, port);
    let endpoints = endpoints.ok_or_else(|| none(format!("{name} has no port {port}")))?;
    let ask = Ask {
        now: clock::now(),
        random: rand::random(),
        hash: None,
        tried,
    };
    let pick = endpoints
        .pick(&ask)
        .map_err(|shortage| none(format!("{name} port {port}: {shortage}")))?;
    Ok((Arc::clone(&pick.endpoint().payload), Some(pick)))
}
