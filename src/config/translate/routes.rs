//! Routes of a service, in the form that waypoints follow: those of the Gateway API, and Istio's
//! `VirtualService`s ([`virtual_service`]).
//!
//! A route whose parent is a service is for requests to that service. One of the service's own
//! namespace (a producer's) is for every client; one of another namespace (a consumer's) is for the
//! clients of that namespace alone, for whom it takes the place of the producer's (GEP-1294). Routes
//! of one namespace for one port are merged by their precedence ([`precedence`]).
//!
//! - Of different kinds for one port only one counts, as GEP-1294 has it: GRPCRoute goes before
//!   HTTPRoute, TLSRoute and TCPRoute, in this order, whatever their age. Of TCPRoutes the oldest does.
//! - `hostnames` mean nothing in a mesh (GEP-1294), but for a TLSRoute: it has nothing else to
//!   tell connections by.
//! - A rule that is wrong never opens a door. Where it can be told what it matches, it is answered with
//!   500; where not, it is left out. Either way the status says so ([`verdict`]). What is left of a
//!   route counts, even if that is nothing: then no request is for it, which is 404. Whatever is said
//!   here, waypoints can use: values and expressions are checked by what they are made to there.
//! - A backend of another namespace needs a ReferenceGrant there, since a waypoint calls it with an
//!   identity of its own; but for the very service that the traffic was for anyway.
//! - Parents that are no services are somebody else's, and left alone; so are Gateways, also those
//!   that are waypoints: what a waypoint serves is said by labels, and its routes by the services.

mod attach;
mod backends;
mod compile;
mod expressions;
mod filters;
mod grpc;
mod http;
mod matches;
mod precedence;
mod stream;
mod verdict;
mod virtual_service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::{PortRoutes, RouteList, ServiceRoutes, TcpRoute};

pub(super) use self::attach::is_headless;
use self::attach::{Attached, attached};
use self::compile::{Compiled, Rules};
use self::virtual_service::Notes;
use super::Inputs;
use crate::config::objects::{Kind, ObjectKey};

pub use self::expressions::Judged;
#[cfg(test)]
pub(super) use self::expressions::{MOST_OF_NAMESPACE, MOST_OF_ROUTE};
pub(super) use self::verdict::findings;
pub use self::verdict::{RouteCondition, RouteVerdict};
pub(super) use self::virtual_service::findings as virtual_findings;
pub(in crate::config) use self::virtual_service::general;
pub use self::virtual_service::{VirtualVerdict, VirtualVerdicts};

/// What is said of routes, by route and place among its parents.
pub type RouteVerdicts = BTreeMap<(ObjectKey, usize), RouteVerdict>;

/// The routes of a service, and what is said of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TranslatedRoutes {
    /// What waypoints follow, if there is something.
    pub routes: Option<ServiceRoutes>,
    /// Every route that names the service as its parent.
    pub verdicts: RouteVerdicts,
    /// Every virtual service that is for it, and those that they delegate to.
    pub virtual_services: VirtualVerdicts,
}

/// Routes that share one list: for a port, and the clients of one namespace or of all.
type Place = (u16, Option<Arc<str>>);

pub(super) fn translate(inputs: &Inputs<'_>, service: &ObjectKey) -> TranslatedRoutes {
    let attached = attached(inputs, service);
    let mut places: BTreeMap<Place, Vec<&Attached<'_>>> = BTreeMap::new();
    for route in &attached {
        for port in route.ports.iter().flatten() {
            let place = (*port, route.consumer(service));
            places.entry(place).or_default().push(route);
        }
    }
    let mut ports: BTreeMap<u16, (ObjectKey, PortRoutes)> = BTreeMap::new();
    let mut winners = Winners::default();
    for ((port, consumer), routes) in places {
        let (list, winning) = merged(&routes);
        winners.note(port, &routes, &winning);
        let (Some(list), Some(winner)) = (list, winning.first()) else {
            continue;
        };
        let of_port = ports.entry(port);
        let (_, of_port) = of_port.or_insert_with(|| ((*winner).clone(), PortRoutes::default()));
        match consumer {
            None => of_port.producer = Some(list),
            Some(namespace) => {
                of_port.consumers.insert(namespace, list);
            }
        }
    }
    let mut notes = Notes::default();
    let beside = virtual_service::attached(inputs, service, &mut notes);
    let mut all = virtual_service::add(inputs, service, &beside, &ports, &mut notes);
    for (port, (_, lists)) in ports {
        let of_port = all.entry(port).or_default();
        of_port.producer = lists.producer.or_else(|| of_port.producer.take());
        of_port.consumers.extend(lists.consumers);
    }
    let routes = (!all.is_empty()).then(|| ServiceRoutes {
        service: inputs.service_name(service),
        ports: all,
    });
    let verdicts = attached.iter().map(|route| {
        let place = (route.key.clone(), route.index);
        (place, verdict::of(service, route, &winners, &beside))
    });
    TranslatedRoutes {
        routes,
        verdicts: verdicts.collect(),
        virtual_services: notes.0,
    }
}

/// Where a route does not count because another one does.
#[derive(Debug, Default)]
struct Winners(BTreeMap<(ObjectKey, usize), BTreeMap<u16, ObjectKey>>);

impl Winners {
    fn note(&mut self, port: u16, routes: &[&Attached<'_>], winning: &BTreeSet<&ObjectKey>) {
        let Some(winner) = winning.first() else {
            return;
        };
        for route in routes.iter().filter(|route| !winning.contains(&route.key)) {
            let place = (route.key.clone(), route.index);
            let outdone = self.0.entry(place).or_default();
            outdone.insert(port, (*winner).clone());
        }
    }

    /// Ports on which a route does not count, and what does instead.
    fn over(&self, route: &Attached<'_>) -> Option<&BTreeMap<u16, ObjectKey>> {
        self.0.get(&(route.key.clone(), route.index))
    }
}

/// One list of the routes of one place, and which of them it is made of.
fn merged<'a>(routes: &[&'a Attached<'_>]) -> (Option<RouteList>, BTreeSet<&'a ObjectKey>) {
    let Some(kind) = routes
        .iter()
        .map(|route| route.key.kind)
        .min_by_key(rank_of)
    else {
        return (None, BTreeSet::new());
    };
    let mut of_kind: Vec<&Attached<'_>> = routes.to_vec();
    of_kind.retain(|route| route.key.kind == kind);
    of_kind.sort_by_key(|route| (route.route.metadata().age(), route.key));
    if kind == Kind::TcpRoute {
        of_kind.truncate(1);
    }
    of_kind.dedup_by_key(|route| route.key);
    let compiled: Vec<&Compiled> = of_kind.iter().map(|route| &*route.compiled).collect();
    let list = match kind {
        Kind::TcpRoute => {
            let mut routes = compiled
                .iter()
                .filter_map(|compiled| match &compiled.rules {
                    Rules::Tcp(route) => Some(route.clone()),
                    _ => None,
                });
            RouteList::Tcp(routes.next().unwrap_or_else(|| TcpRoute {
                name: kind.name().into(),
                backends: Vec::new(),
            }))
        }
        Kind::TlsRoute => RouteList::Tls(stream::merged(&compiled)),
        _ => RouteList::Http(precedence::merged(&compiled)),
    };
    let winning = of_kind.into_iter().map(|route| route.key).collect();
    (Some(list), winning)
}

/// The least one counts.
fn rank_of(kind: &Kind) -> u8 {
    match kind {
        Kind::GrpcRoute => 0,
        Kind::HttpRoute => 1,
        Kind::TlsRoute => 2,
        _ => 3,
    }
}
