//! What a waypoint does with a request, or with a connection that is no HTTP: it judges what was asked for, finds
//! where its routes lead, judges there, and connects to an endpoint as itself. What it knows is what the objects
//! say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ambit_decide::{Connection, Said, explain_at_waypoint, explain_before_routing};
use ambit_model::{
    GatewayAddress, Health, Mesh, Policy, Service, ServiceName, SpiffeId, Target, Workload,
};

use super::place::{self, endpoint_at};
use super::request::{Client, Request, say};
use super::route::{Leg, Way};
use super::story::{Story, address_for, host};

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// What has been said of a request where a route leads it.
#[derive(Clone, Copy, Default)]
struct Led<'a> {
    /// By what is bound to these.
    by: &'a [&'a ServiceName],
    /// The request as it is sent, if that is judged too.
    sent: Option<&'a Request>,
}

/// Through how many waypoints it is followed; more refuse it.
const FARTHEST: usize = 10;

/// What is asked of a waypoint.
pub(super) struct Asked<'m> {
    /// Who asks.
    pub(super) source: &'m Workload,
    identity: SpiffeId,
    /// Whom it asks.
    waypoint: &'m Workload,
    /// What for.
    pub(super) to: SocketAddr,
    /// The service that is, and its port.
    pub(super) service: Option<(&'m Service, u16)>,
    /// The service by which the waypoint is reached.
    own: Option<&'m ServiceName>,
    /// What it asks on the connection, if that is HTTP.
    pub(super) request: Option<Request>,
}

impl<'m> Asked<'m> {
    fn new(
        mesh: &'m Mesh,
        (source, waypoint): (&'m Workload, &'m Workload),
        to: SocketAddr,
        request: Option<Request>,
    ) -> Self {
        let (service, bound) = match mesh.target_for(&source.namespace, to) {
            Target::Service(service, port) => {
                (Some((&**service, port.service_port)), &service.waypoint)
            }
            Target::ServiceWithoutPort(service) => {
                (Some((&**service, to.port())), &service.waypoint)
            }
            Target::Workload(workload) => (None, &workload.waypoint),
            Target::Unknown => (None, &None),
        };
        Self {
            identity: source.identity(),
            source,
            waypoint,
            to,
            service,
            own: bound.as_ref().and_then(GatewayAddress::service),
            request,
        }
    }

    fn client(&self) -> Client<'_> {
        Client {
            identity: &self.identity,
            address: address_for(self.source, self.to),
        }
    }

    /// What policies are told of the client, and of this destination.
    fn connection(&self, to: SocketAddr) -> Connection<'_> {
        Connection::new(self.client().address, to, Some(&self.identity))
    }

    fn is_asked(&self, name: &ServiceName) -> bool {
        self.service
            .is_some_and(|(service, _)| service.name == *name)
    }
}

impl Story<'_> {
    /// Through a waypoint.
    pub(super) fn pass(&mut self, source: &Workload, waypoint: &Workload, to: SocketAddr) {
        let request = self.request.clone();
        self.passes(source, waypoint, to, request);
    }

    fn passes(
        &mut self,
        source: &Workload,
        waypoint: &Workload,
        to: SocketAddr,
        request: Option<Request>,
    ) {
        self.line(&format!("\nwaypoint {}:", place::describe(waypoint)));
        self.passed += 1;
        if self.passed > FARTHEST {
            return self.line("  refused: too_many_hops: routes lead in a circle");
        }
        let mesh = self.configuration.mesh();
        let mut asked = Asked::new(mesh, (source, waypoint), to, request);
        self.line(&match &asked.request {
            Some(request) => format!("  {}", request.describe()),
            None => {
                "  as a connection that is no HTTP; ask for a request by --method, --path and --header"
                    .to_owned()
            }
        });
        if !self.is_let_route(&asked, asked.request.as_ref()) {
            return;
        }
        match self.route(mesh, &mut asked) {
            Way::Straight => self.straight(mesh, &asked),
            Way::Split(legs) => self.split(&asked, &legs),
            Way::Ends => {}
        }
    }

    /// To what was asked for.
    fn straight(&mut self, mesh: &Mesh, asked: &Asked<'_>) {
        let to = asked.to;
        if let Some((service, port)) = asked.service {
            return self.choose(asked, Led::default(), (service, port), None);
        }
        match endpoint_at(mesh, &asked.source.namespace, asked.waypoint, to) {
            Some((workload, there)) => {
                self.reach(asked, Led::default(), workload, (there, to.port()));
            }
            None => self.line(&format!("  nothing serves {to}")),
        }
    }

    /// Judges by what is bound to what is asked for, and to the waypoint.
    fn is_let_route(&mut self, asked: &Asked<'_>, request: Option<&Request>) -> bool {
        let service = asked.service.map(|(service, _)| &service.name);
        let places: Vec<_> = service.into_iter().chain(asked.own).collect();
        let to = (
            host(self.configuration.mesh(), &asked.source.namespace, asked.to),
            asked.to,
        );
        self.is_let(asked, request, &places, &to)
    }

    /// Judges by what is bound to any of these.
    fn is_let(
        &mut self,
        asked: &Asked<'_>,
        request: Option<&Request>,
        places: &[&ServiceName],
        (host, to): &(String, SocketAddr),
    ) -> bool {
        let policies = self.configuration.mesh().policies();
        let bound: Vec<_> = policies.filter(|policy| is_bound(policy, places)).collect();
        if bound.is_empty() {
            return true;
        }
        let beside = match asked.own.is_some_and(|own| places.contains(&own)) {
            true => ", or to the waypoint",
            false => "",
        };
        self.line(&format!("  by what is bound to {host}{beside}:"));
        let judged = explain_before_routing(
            || bound.iter().copied(),
            host,
            &asked.connection(*to),
            |policy| say(policy, asked.client(), *to, request),
        );
        self.steps(&judged.steps);
        judged.outcome.is_ok()
    }

    /// To each of the places that a route leads to.
    fn split(&mut self, asked: &Asked<'_>, legs: &[Leg]) {
        let whole: u64 = legs.iter().map(|leg| u64::from(leg.weight)).sum();
        let mut well = 0;
        for (index, leg) in legs.iter().enumerate() {
            if index > 0 {
                self.line(&format!("\nwaypoint {}, the others:", asked.waypoint.name));
            }
            let weight = (legs.len() > 1).then(|| format!("{} of {whole} ", leg.weight));
            let subset = leg
                .subset
                .as_ref()
                .map(|subset| format!(", subset {subset}"));
            let (name, port) = (&leg.service, leg.port);
            let what = format!(
                "{}to port {port} of {}{}",
                weight.unwrap_or_default(),
                name.hostname,
                subset.unwrap_or_default()
            );
            self.step(&what, &format!("service {name}"));
            self.allowed = false;
            self.follow(asked, leg);
            if self.allowed {
                well += u64::from(leg.weight);
            }
        }
        self.allowed = well == whole;
        if well > 0 && well < whole {
            self.partly = Some((well, whole));
        }
    }

    fn follow(&mut self, asked: &Asked<'_>, leg: &Leg) {
        let mesh = self.configuration.mesh();
        let (name, port) = (&leg.service, leg.port);
        let Some(service) = mesh.service(name) else {
            return self.line("  refused: no_endpoint: there is no such service");
        };
        let changed = leg.changed.as_ref();
        // Who is judged must not write what is sent in place of what was judged.
        let sent = changed.filter(|_| leg.hand.changes());
        if let Some(sent) = sent {
            self.line(&format!(
                "  is judged as it is sent, too: {}",
                sent.describe()
            ));
        }
        if leg.hand.is_changed_by_client() && !self.is_let_route(asked, sent) {
            return;
        }
        let vip = service.vips.first();
        let vip = vip.map_or_else(|| asked.to.ip(), |(vip, _)| vip.address);
        let to = SocketAddr::new(vip, port);
        let waypoint = service.waypoint.as_ref();
        let waypoint = waypoint.and_then(GatewayAddress::service);
        if let Some(other) = waypoint.filter(|of| asked.own != Some(of)) {
            if leg.hand.borrows() && !asked.is_asked(name) {
                let why = "the client's own route leads to a service behind another waypoint";
                return self.line(&format!("  refused: route_not_granted: {why}"));
            }
            if leg.subset.is_some() {
                return self.line(
                    "  refused: unknown_subset: another waypoint cannot be asked for a subset",
                );
            }
            let mut waypoints = mesh.endpoints(other);
            return match waypoints.find(|one| one.health == Health::Healthy) {
                None => self.line(&format!("  refused: no_waypoint: nothing serves {other}")),
                Some(other) => {
                    let request = changed.or(asked.request.as_ref());
                    self.passes(asked.source, other, to, request.cloned());
                }
            };
        }
        let mut led = Vec::new();
        let is_elsewhere = asked.service.map(|(_, port)| port) != Some(port);
        if !asked.is_asked(name) || (leg.hand.leads() && is_elsewhere) {
            led.push(name);
            led.extend(asked.own.filter(|_| leg.hand.leads()));
            let there = (name.hostname.to_string(), to);
            let mut requests = [Some(asked.request.as_ref()), sent.map(Some)]
                .into_iter()
                .flatten();
            if !requests.all(|request| self.is_let(asked, request, &led, &there)) {
                return;
            }
        }
        let labels = match leg.subset.as_ref().map(|subset| part(service, subset)) {
            Some(None) => return self.line("  refused: unknown_subset: nothing defines it"),
            Some(labels) => labels,
            None => None,
        };
        let led = Led { by: &led, sent };
        self.choose(asked, led, (service, port), labels);
    }

    /// To an endpoint of a port of a service that has these labels.
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        led: Led<'_>,
        (service, port): (&Service, u16),
        labels: Option<&Labels>,
    ) {
        let mesh = self.configuration.mesh();
        let name = &service.name;
        let is_named = |workload: &Arc<Workload>| workload.addresses.is_empty();
        if service.dynamic || mesh.endpoints(name).any(is_named) {
            return self.allow("it leaves the mesh, to where the name of the host leads");
        }
        let is =
            |one: &Workload| one.health == Health::Healthy && labels.is_none_or(|of| has(one, of));
        match place::endpoint_of(mesh, asked.waypoint, (name, port), is) {
            Some((workload, there)) => {
                self.line(&format!("  at the endpoint {there}:"));
                self.reach(asked, led, workload, (there, port));
            }
            None => self.line(&format!(
                "  refused: no_endpoint: no healthy endpoint of {name} serves port {port}"
            )),
        }
    }

    /// Judges at an endpoint, by what has not been judged where the request was led; and goes there.
    fn reach(
        &mut self,
        asked: &Asked<'_>,
        led: Led<'_>,
        workload: &Workload,
        (to, port): (SocketAddr, u16),
    ) {
        let mesh = self.configuration.mesh();
        let workload = mesh.workload(&workload.uid).map_or(workload, |known| known);
        let service = asked.service.map(|(service, _)| &service.name);
        let judged: Vec<_> = service.into_iter().chain(asked.own).collect();
        let client = asked.client();
        let requests = [Some(asked.request.as_ref()), led.sent.map(Some)];
        for request in requests.into_iter().flatten() {
            let admitted = explain_at_waypoint(mesh, workload, &asked.connection(to), |policy| {
                let targets = policy
                    .requests
                    .iter()
                    .flat_map(|requests| &requests.targets);
                match targets.count() {
                    0 => say(policy, client, to, request),
                    _ if is_bound(policy, &judged) || is_bound(policy, led.by) => Said::Elsewhere,
                    _ => say(policy, client, SocketAddr::new(to.ip(), port), request),
                }
            });
            self.steps(&admitted.steps);
            if admitted.outcome.is_err() {
                return;
            }
        }
        self.arrive(asked.waypoint, workload, to, true);
    }
}

fn is_bound(policy: &Policy, services: &[&ServiceName]) -> bool {
    services.iter().any(|service| policy.is_bound_to(service))
}

/// The labels of a subset, if there is such a one.
fn part<'m>(service: &'m Service, subset: &str) -> Option<&'m Labels> {
    let subsets = &service.traffic.as_ref()?.subsets;
    subsets.get(subset).map(|subset| &subset.labels)
}

/// Whether a workload has these labels.
fn has(workload: &Workload, labels: &Labels) -> bool {
    let mut wanted = labels.iter();
    wanted.all(|(name, value)| workload.labels.get(name) == Some(value))
}
