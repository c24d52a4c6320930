//! Which endpoint a connection or request goes to, and whether this client may go there.
//!
//! A service that is bound to another waypoint is gone to through that one, or not at all: its
//! endpoint is then a pod of that waypoint, which judges for itself who may go on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_balance::{Ask, Outcome, Pick, Verdict};
use ambit_decide::{DryRun, EgressMode, OutboundPlan, OutboundQuery, Reason, Refusal, outbound};
use ambit_kit::clock;
use ambit_model::{GatewayAddress, Service, ServiceName, SpiffeId, Workload, WorkloadUid};

use crate::authorize::Asking;
use crate::outside::address::forbidden;
use crate::outside::asked::Asked;
use crate::request::Target;
use crate::view::{Cluster, Destination, Terms, View};

/// A pod of another waypoint, on the way to what is bound to that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Via {
    /// Where it takes tunnels.
    pub(crate) to: SocketAddr,
    /// The identities of which it must prove one.
    pub(crate) expected: Arc<[SpiffeId]>,
}

/// An endpoint, chosen for one connection or try.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) destination: Arc<Destination>,
    /// The port that it was asked for by: that of the service, if it is one of a service.
    pub(crate) port: u16,
    /// What policies say that decide nothing.
    pub(crate) asides: Vec<DryRun>,
    /// On which terms it is gone to, if it is an endpoint of a service.
    pub(crate) terms: Option<Arc<Terms>>,
    /// Counts as outstanding while this is kept.
    pick: Option<Pick<WorkloadUid, Arc<Destination>>>,
}

impl Chosen {
    /// Notes how a try ended. Seldom that says that the endpoint is to be ejected.
    pub(crate) fn record(
        &self,
        outcome: Outcome,
    ) -> Option<Verdict<WorkloadUid, Arc<Destination>>> {
        self.pick.as_ref()?.record(outcome)
    }
}

/// What is wished for beside the target.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<'a> {
    /// The endpoint of the session, taken if it may be picked and was not tried.
    pub(crate) session: Option<&'a WorkloadUid>,
    /// Endpoints that were tried.
    pub(crate) tried: &'a [WorkloadUid],
    /// What decides where the endpoints are picked by a hash.
    pub(crate) hash: Option<u64>,
    /// The endpoints that the client named, of a service that has no others.
    pub(crate) asked: Option<&'a Asked>,
}

/// An endpoint of the target that the client may call.
pub(crate) fn choose(
    view: &View,
    asking: &Asking<'_>,
    target: &Target,
    wish: Wish<'_>,
) -> Result<Chosen, Refusal> {
    let mut chosen = match target {
        Target::Workload(destination) => Chosen {
            port: destination.address.port(),
            destination: present(view, destination)?,
            asides: Vec::new(),
            terms: None,
            pick: None,
        },
        Target::Service(name, port, subset) => match view.mesh.service(name) {
            Some(service) if is_of_another(view, service) => {
                asking.beyond()?;
                if let Some(subset) = subset {
                    let detail = format!(
                        "{name} is behind another waypoint, which cannot be asked for its subset {subset}"
                    );
                    return Err(Refusal::new(Reason::UnknownSubset, detail));
                }
                return beyond(view, service, *port, wish.tried);
            }
            _ => match wish.asked {
                Some(asked) => named(view, (name, *port, subset.as_deref()), asked, wish.tried)?,
                None => pick(view, (name, *port, subset.as_deref()), wish)?,
            },
        },
    };
    let to = &chosen.destination;
    if to.is_outside() {
        may_be_gone_to(view, to)?;
    }
    let admission = asking.at_endpoint(view, &to.workload, to.address, chosen.port)?;
    chosen.asides = admission.dry_run;
    Ok(chosen)
}

/// Who is at the address of a host outside of the mesh may have become known after the address was.
fn may_be_gone_to(view: &View, to: &Destination) -> Result<(), Refusal> {
    if let Some(used) = &to.used {
        used.mark();
    }
    is_outside_still(view, to)
}

/// Whether nobody of the mesh is known to be at the address of a host outside of it.
pub(crate) fn is_outside_still(view: &View, to: &Destination) -> Result<(), Refusal> {
    let Some(why) = forbidden(view, to.address.ip()) else {
        return Ok(());
    };
    let host = to.host.as_deref().unwrap_or("what was asked for");
    let detail = format!("{host} is at {}, which is {why}", to.address);
    Err(Refusal::new(Reason::OutsideAddress, detail))
}

/// A workload that was asked for by its own address, as it is now: the connection may be older than
/// its policies, and outlive it.
fn present(view: &View, asked: &Arc<Destination>) -> Result<Arc<Destination>, Refusal> {
    let (was, address) = (&asked.workload, asked.address);
    let known = view.mesh.workload(&was.uid);
    let here = known.filter(|now| now.pod_uid == was.pod_uid && has(now, address.ip()));
    let now = here.ok_or_else(|| {
        let detail = format!("{} is not at {address} any more", was.uid);
        Refusal::new(Reason::NoEndpoint, detail)
    })?;
    if Arc::ptr_eq(now, was) {
        return Ok(Arc::clone(asked));
    }
    Ok(Arc::new(Destination::new(now, address)))
}

fn has(workload: &Workload, address: IpAddr) -> bool {
    let mut own = workload.addresses.iter().map(IpAddr::to_canonical);
    own.any(|own| own == address.to_canonical())
}

fn pick(
    view: &View,
    (name, port, subset): (&ServiceName, u16, Option<&str>),
    wish: Wish<'_>,
) -> Result<Chosen, Refusal> {
    let cluster = cluster(view, (name, port, subset))?;
    let endpoints = &cluster.endpoints;
    let session = wish.session.filter(|uid| !wish.tried.contains(uid));
    let pick = match session.and_then(|uid| endpoints.pick_this(uid)) {
        Some(pick) => pick,
        None => endpoints
            .pick(&Ask {
                now: clock::now(),
                random: rand::random(),
                hash: wish.hash,
                tried: wish.tried,
            })
            .map_err(|shortage| {
                let detail = format!("{name} port {port}: {shortage}");
                Refusal::new(Reason::NoEndpoint, detail)
            })?,
    };
    Ok(Chosen {
        destination: Arc::clone(&pick.endpoint().payload),
        port,
        asides: Vec::new(),
        terms: Some(Arc::clone(&cluster.terms)),
        pick: Some(pick),
    })
}

fn cluster<'v>(
    view: &'v View,
    (name, port, subset): (&ServiceName, u16, Option<&str>),
) -> Result<&'v Cluster, Refusal> {
    let cluster = view.cluster(name, port, subset);
    cluster.ok_or_else(|| match subset {
        Some(subset) if view.cluster(name, port, None).is_some() => {
            let detail = format!("{name} has no subset {subset}");
            Refusal::new(Reason::UnknownSubset, detail)
        }
        _ => Refusal::new(Reason::NoEndpoint, format!("{name} has no port {port}")),
    })
}

/// One of the endpoints that the client named: one that was not tried and may be gone to, if there is one.
fn named(
    view: &View,
    of: (&ServiceName, u16, Option<&str>),
    asked: &Asked,
    tried: &[WorkloadUid],
) -> Result<Chosen, Refusal> {
    let cluster = cluster(view, of)?;
    let may = |to: &&Arc<Destination>| forbidden(view, to.address.ip()).is_none();
    let fresh = |to: &&Arc<Destination>| may(to) && !tried.contains(&to.workload.uid);
    let any = |random: u64, count: usize| {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(random % count).unwrap_or_default()
    };
    let count = asked.iter().filter(fresh).count();
    let first = asked.iter().filter(fresh).nth(any(rand::random(), count));
    let chosen = first
        .or_else(|| asked.iter().find(may))
        .or_else(|| asked.first());
    let chosen = chosen.ok_or_else(|| {
        let detail = format!("{} has no endpoint by that name", of.0);
        Refusal::new(Reason::NoEndpoint, detail)
    })?;
    Ok(Chosen {
        destination: Arc::clone(chosen),
        port: of.1,
        asides: Vec::new(),
        terms: Some(Arc::clone(&cluster.terms)),
        pick: None,
    })
}

/// Whether another waypoint stands before a service. This one never goes through itself.
pub(crate) fn is_of_another(view: &View, service: &Service) -> bool {
    match &service.waypoint {
        None => false,
        Some(GatewayAddress::Service(name, _)) => *name != view.own,
        Some(GatewayAddress::Address(..)) => true,
    }
}

/// A pod of the waypoint that stands before a service.
fn beyond(
    view: &View,
    service: &Service,
    port: u16,
    tried: &[WorkloadUid],
) -> Result<Chosen, Refusal> {
    let name = &service.name;
    let missing = |what: &str| Refusal::new(Reason::NoWaypoint, format!("{name} {what}"));
    let source = view.own_workload();
    let source =
        source.ok_or_else(|| missing("is behind a waypoint; this one is not known yet"))?;
    let (address, _) = service
        .vips
        .first()
        .ok_or_else(|| missing("is behind a waypoint and has no address to ask that for"))?;
    let query = OutboundQuery {
        source,
        destination: SocketAddr::new(address.address, port),
        egress: EgressMode::RegistryOnly,
        pick: rand::random(),
        avoid: tried.last(),
    };
    // Where there is no other pod, the one that was tried is asked again.
    let plan = outbound(&view.mesh, &query).or_else(|_| {
        let avoid = None;
        outbound(&view.mesh, &OutboundQuery { avoid, ..query })
    });
    match plan? {
        OutboundPlan::Tunnel {
            to,
            authority,
            expected,
            workload,
            waypoint: true,
            ..
        } => Ok(Chosen {
            destination: Arc::new(Destination {
                via: Some(Via { to, expected }),
                ..Destination::new(&workload, authority)
            }),
            port,
            asides: Vec::new(),
            terms: None,
            pick: None,
        }),
        _ => Err(missing("is behind a waypoint that cannot be told")),
    }
}

#[cfg(test)]
mod tests;
