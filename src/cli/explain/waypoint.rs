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
            own: by_name(bound.as_ref()),
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
            return self.choose(asked, &[], (service, port), None);
        }
        match endpoint_at(mesh, &asked.source.namespace, asked.waypoint, to) {
            Some((workload, there)) => self.reach(asked, &[], workload, (there, to.port())),
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
        if let Some(changed) = changed.filter(|_| leg.by_client) {
            self.line(&format!(
                "  as the client's own route has it sent: {}",
                changed.describe()
            ));
            if !self.is_let_route(asked, Some(changed)) {
                return;
            }
        }
        let vip = service.vips.first();
        let vip = vip.map_or_else(|| asked.to.ip(), |(vip, _)| vip.address);
        let to = SocketAddr::new(vip, port);
        if let Some(other) = by_name(service.waypoint.as_ref()).filter(|of| asked.own != Some(of)) {
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
        if !asked.is_asked(name) || (leg.by_client && is_elsewhere) {
            led.push(name);
            led.extend(asked.own.filter(|_| leg.by_client));
            let request = asked.request.as_ref();
            if !self.is_let(asked, request, &led, &(name.hostname.to_string(), to)) {
                return;
            }
        }
        let labels = match leg.subset.as_ref().map(|subset| part(service, subset)) {
            Some(None) => return self.line("  refused: unknown_subset: nothing defines it"),
            Some(labels) => labels,
            None => None,
        };
        self.choose(asked, &led, (service, port), labels);
    }

    /// To an endpoint of a port of a service that has these labels.
    fn choose(
        &mut self,
        asked: &Asked<'_>,
        led: &[&ServiceName],
        (service, port): (&Service, u16),
        labels: Option<&Labels>,
    ) {
        let mesh = self.configuration.mesh();
        let name = &service.name;
        let is_named = |workload: &Arc<Workload>| workload.addresses.is_empty();
        if service.dynamic || mesh.endpoints(name).any(is_named) {
            return self.allow("it leaves the mesh, to where the name of the host leads");
        }
        match endpoint(mesh, asked.waypoint, (name, port), labels) {
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
        led: &[&ServiceName],
        workload: &Workload,
        (to, port): (SocketAddr, u16),
    ) {
        let mesh = self.configuration.mesh();
        let workload = mesh.workload(&workload.uid).map_or(workload, |known| known);
        let service = asked.service.map(|(service, _)| &service.name);
        let judged: Vec<_> = service.into_iter().chain(asked.own).collect();
        let request = asked.request.as_ref();
        let client = asked.client();
        let admitted = explain_at_waypoint(mesh, workload, &asked.connection(to), |policy| {
            let targets = policy
                .requests
                .iter()
                .flat_map(|requests| &requests.targets);
            match targets.count() {
                0 => say(policy, client, to, request),
                _ if is_bound(policy, &judged) || is_bound(policy, led) => Said::Elsewhere,
                _ => say(policy, client, SocketAddr::new(to.ip(), port), request),
            }
        });
        self.steps(&admitted.steps);
        if admitted.outcome.is_ok() {
            self.arrive(asked.waypoint, workload, to, true);
        }
    }
}

/// The service by which a waypoint is reached.
fn by_name(waypoint: Option<&GatewayAddress>) -> Option<&ServiceName> {
    match waypoint {
        Some(GatewayAddress::Service(name, _)) => Some(name),
        Some(GatewayAddress::Address(..)) | None => None,
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

/// A healthy endpoint of a service that has these labels, and where it serves the port.
fn endpoint<'m>(
    mesh: &'m Mesh,
    waypoint: &Workload,
    (name, port): (&ServiceName, u16),
    labels: Option<&Labels>,
) -> Option<(&'m Workload, SocketAddr)> {
    let has = |workload: &Workload| {
        let mut wanted = labels.into_iter().flatten();
        wanted.all(|(name, value)| workload.labels.get(name) == Some(value))
    };
    let mut endpoints = mesh.endpoints(name);
    endpoints.find_map(|workload| {
        let mappings = workload.services.get(name)?;
        let mapping = mappings.iter().find(|m| m.service_port == port)?;
        let is_well = workload.health == Health::Healthy && has(workload);
        let addresses = workload.addresses.iter().copied();
        let address = place::preferred(waypoint, addresses).filter(|_| is_well)?;
        Some((&**workload, SocketAddr::new(address, mapping.target_port)))
    })
}
