//! Hosts that are known by what a client asks for: a service may have no endpoints, and a name with a `*`,
//! and the one to go to is the host of the request, or the server name of the connection. It has to fit
//! the `*`, is resolved when it is asked for, and gone to on the port of the service.
//!
//! What has an entry of its own is not gone to by the `*`: policies may be bound to that entry.
//!
//! A service of addresses alone is gone to at the one that the client asked for.
//!
//! Tasks: "resolve a host", one per host that is asked for again.

mod known;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ambit_decide::{Reason, Refusal};
use ambit_kit::clock;
use ambit_kit::sources::Sources;
use ambit_model::{
    Health, LoadBalancingMode, Locality, Service, ServiceName, TunnelProtocol, Workload,
    WorkloadType, WorkloadUid,
};

pub(crate) use self::known::MOST;
use self::known::{Failure, Look, Slot, Slots};
use super::host::meant;
use super::names::{Asker, Resolver, present};
use crate::call::Call;
use crate::callers::Presence;
use crate::proxy::Proxy;
use crate::request::Target;
use crate::view::{Destination, View};

/// Hosts that are resolved at once, and that one client waits for: a resolver that does not answer for names
/// that one makes up holds a thread for each, and must not hold them all.
const AT_ONCE: usize = 64;
const OF_ONE: usize = 4;
/// How long a request waits until its client may have one more host resolved.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the names of such endpoints begin: no cluster has none.
const OURS: &str = "/networking.istio.io/ServiceEntry/";

/// Endpoints that a client's own words have led to.
pub(crate) type Asked = Arc<[Arc<Destination>]>;

/// Hosts that have been asked for.
#[derive(Debug)]
pub(crate) struct Hosts {
    asker: Asker,
    clients: Sources,
    slots: Slots,
}

/// The client's words.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Words<'a> {
    /// The host of its request.
    Request(Option<&'a str>),
    /// The server name of its connection.
    Connection(Option<&'a str>),
}

impl<'a> Words<'a> {
    fn host(self) -> Option<&'a str> {
        match self {
            Self::Request(host) | Self::Connection(host) => host,
        }
    }
}

/// Whether the host that is named is the one to go to.
pub(crate) fn is_by_host(view: &View, target: &Target) -> bool {
    let Target::Service(name, ..) = target else {
        return false;
    };
    let service = view.mesh.service(name);
    service.is_some_and(|service| service.dynamic)
}

/// The endpoints of a target that has none but those which the client names, if it is such a one.
pub(crate) async fn find(
    proxy: &Arc<Proxy>,
    call: &Call,
    view: &View,
    target: &Target,
    words: Words<'_>,
) -> Result<Option<Asked>, Refusal> {
    let Target::Service(name, port, _) = target else {
        return Ok(None);
    };
    let Some(service) = view.mesh.service(name) else {
        return Ok(None);
    };
    if service.load_balancing.mode == LoadBalancingMode::Passthrough {
        return kept(proxy, call, service, *port).await.map(Some);
    }
    if !is_by_host(view, target) || crate::endpoint::is_of_another(view, service) {
        return Ok(None);
    }
    let ports = [*port, target_port(service, *port)];
    let host = meant(&name.hostname, words.host(), &ports).map_err(|why| {
        let host = words.host().unwrap_or("-");
        let detail = format!("{host:?} of {name}: {why}");
        Refusal::new(Reason::OutsideHost, detail)
    })?;
    if let Some(own) = own_entry(view, call, service, &host) {
        let detail = format!("{host} of {name}: it has an entry of its own, {own}");
        return Err(Refusal::new(Reason::OutsideHost, detail));
    }
    let found = proxy.hosts.find(proxy, call, service, *port, &host).await?;
    Ok(Some(found))
}

/// The service that a host means to the client, if that is not the one that it asked for.
fn own_entry<'v>(
    view: &'v View,
    call: &Call,
    asked: &Service,
    host: &'v str,
) -> Option<&'v ServiceName> {
    let client = call.client.identity.as_ref().map(|id| id.namespace());
    let meant = view.mesh.service_named(client.unwrap_or_default(), host)?;
    let is_other = meant.name.hostname != asked.name.hostname;
    is_other.then_some(&meant.name)
}

/// The address that a client asked for, of a service of addresses.
async fn kept(
    proxy: &Proxy,
    call: &Call,
    service: &Arc<Service>,
    port: u16,
) -> Result<Asked, Refusal> {
    let asked = call.service();
    let is_asked = asked.is_some_and(|(asked, _)| asked.name == service.name);
    if !is_asked {
        let what = "has no endpoints, and is reached by its own addresses only";
        let detail = format!("{} {what}", service.name);
        return Err(Refusal::new(Reason::NoEndpoint, detail));
    }
    let address = call.destination.ip();
    let present = proxy.callers.outside(address).await;
    let present = present.ok_or_else(|| untold(&format!("{address} of {}", service.name)))?;
    let host: Arc<str> = service.name.hostname.clone();
    let to = SocketAddr::new(address, target_port(service, port));
    Ok([destination(service, &host, to, present)].into())
}

fn target_port(service: &Service, port: u16) -> u16 {
    let mut ports = service.ports.iter();
    let found = ports.find(|one| one.service_port == port);
    let target = found.map_or(0, |found| found.target_port);
    if target == 0 { port } else { target }
}

/// A host as an endpoint.
fn destination(
    service: &Service,
    host: &Arc<str>,
    to: SocketAddr,
    present: Presence,
) -> Arc<Destination> {
    let none = || Arc::<str>::from("");
    let name = &service.name;
    let uid = format!("{OURS}{name}/{host}/{}", to.ip());
    let workload = Workload {
        uid: WorkloadUid::new(uid),
        pod_uid: None,
        name: Arc::clone(host),
        namespace: Arc::clone(&name.namespace),
        trust_domain: none(),
        service_account: none(),
        addresses: vec![to.ip()],
        hostname: Arc::clone(host),
        network: none(),
        node: none(),
        cluster: none(),
        protocol: TunnelProtocol::None,
        host_network: false,
        workload_name: none(),
        workload_type: WorkloadType::default(),
        canonical_name: none(),
        canonical_revision: none(),
        services: std::collections::BTreeMap::new(),
        waypoint: None,
        waypoint_only: false,
        policies: Vec::new(),
        applicable_policies: None,
        authentications: Vec::new(),
        asked_authentications: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        health: Health::Healthy,
        locality: Locality::default(),
        capacity: 0,
    };
    Arc::new(Destination {
        host: Some(Arc::clone(host)),
        _present: Some(present),
        ..Destination::new(&Arc::new(workload), to)
    })
}

impl Hosts {
    /// Nothing known yet. `own` is the waypoint's own address.
    pub(crate) fn new(resolver: Arc<dyn Resolver>, own: IpAddr) -> Self {
        Self {
            asker: Asker::new(resolver, own, AT_ONCE),
            clients: Sources::new(OF_ONE),
            slots: Slots::default(),
        }
    }

    /// Where a host is, which is asked for if that is not known.
    async fn find(
        &self,
        proxy: &Arc<Proxy>,
        call: &Call,
        service: &Arc<Service>,
        port: u16,
        host: &Arc<str>,
    ) -> Result<Asked, Refusal> {
        let key = (service.name.clone(), port, Arc::clone(host));
        let slot = self.slots.get(key).ok_or_else(|| {
            let what = "as many hosts are asked for at once as may be";
            Refusal::new(Reason::OutsideName, format!("{host}: {what}"))
        })?;
        let now = clock::now();
        let is_unknown = |slot: &Slot| matches!(slot.look(clock::now()), Look::Unknown);
        match slot.look(now) {
            Look::Good(endpoints) => return Ok(endpoints),
            Look::Old(endpoints) => {
                let (proxy, service, host) =
                    (Arc::clone(proxy), Arc::clone(service), Arc::clone(host));
                let tasks = proxy.tasks.clone();
                drop(tasks.spawn("resolve a host", async move {
                    proxy.hosts.ask(&proxy, &slot, &service, port, &host).await;
                }));
                return Ok(endpoints);
            }
            Look::Failed(why) => return Err(failed(host, why)),
            Look::Unknown => {}
        }
        // Who waits for the same host takes no share.
        let mut turn = slot.turn.lock().await;
        let client = call.client.address.ip();
        if is_unknown(&slot) {
            let _share = match self.clients.take(client) {
                Some(share) => share,
                None => {
                    // Nobody else waits for what this client has begun.
                    drop(turn);
                    let share = tokio::time::timeout(PATIENCE, self.clients.wait(client)).await;
                    let share = share.map_err(|_elapsed| {
                        let what = "the client has as many hosts resolved at once as it may";
                        Refusal::new(Reason::OutsideName, format!("{host}: {what}"))
                    })?;
                    turn = slot.turn.lock().await;
                    share
                }
            };
            if is_unknown(&slot) {
                self.ask_now(proxy, &slot, service, port, host).await;
            }
        }
        drop(turn);
        match slot.look(clock::now()) {
            Look::Good(endpoints) | Look::Old(endpoints) => Ok(endpoints),
            Look::Failed(why) => Err(failed(host, why)),
            Look::Unknown => Err(failed(host, Failure::Unresolved)),
        }
    }

    /// Asks for a host, unless somebody just has.
    async fn ask(&self, proxy: &Proxy, slot: &Slot, service: &Service, port: u16, host: &Arc<str>) {
        let _turn = slot.turn.lock().await;
        if matches!(slot.look(clock::now()), Look::Good(_) | Look::Failed(_)) {
            return;
        }
        self.ask_now(proxy, slot, service, port, host).await;
    }

    /// Asks for a host: whoever does has the turn.
    async fn ask_now(
        &self,
        proxy: &Proxy,
        slot: &Slot,
        service: &Service,
        port: u16,
        host: &Arc<str>,
    ) {
        let asked = self.asker.ask(host).await;
        proxy.lookups.note(asked.is_ok());
        match asked {
            Ok(addresses) => {
                // Without an answer about some the others do; about none, what was known before.
                let (addresses, present) = present(proxy, &addresses).await;
                let port = target_port(service, port);
                let to = |address: &IpAddr| SocketAddr::new(*address, port);
                let endpoints = addresses.iter().zip(present);
                let at = |(address, present)| destination(service, host, to(address), present);
                let endpoints: Asked = endpoints.map(at).collect();
                if endpoints.is_empty() {
                    tracing::debug!(%host, "a host that is asked for is where nobody knows who is");
                    return slot.has_failed(Failure::Untold);
                }
                slot.is_at(endpoints);
            }
            Err(error) => {
                tracing::debug!(%host, %error, "a host that is asked for cannot be resolved");
                slot.has_failed(Failure::Unresolved);
            }
        }
    }

    /// Lets go of hosts that nobody has wanted for long.
    pub(crate) fn forget(&self) {
        self.slots.forget();
    }
}

fn failed(host: &str, why: Failure) -> Refusal {
    match why {
        Failure::Untold => untold(host),
        Failure::Unresolved => {
            Refusal::new(Reason::OutsideName, format!("{host} cannot be resolved"))
        }
    }
}

/// Nobody has said who is at the addresses of this.
fn untold(what: &str) -> Refusal {
    let detail = format!("{what}: whether that is in the mesh is not known yet");
    Refusal::new(Reason::OutsideUnknown, detail)
}

/// Whether the name of an endpoint is that of one that was asked for.
pub(crate) fn is_one(uid: &str) -> bool {
    uid.starts_with(OURS)
}

#[cfg(test)]
mod tests;
