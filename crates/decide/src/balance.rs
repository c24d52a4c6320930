//! Which endpoint of a service a connection goes to.
//!
//! Endpoints are picked at random by weight among those that may be picked: healthy (or the
//! service allows others), serving the port, with an address that the client's pod can reach, and
//! as near as the service's routing preference asks. With session affinity a client stays with
//! one of them. Those of a waypoint must take tunnels, too.
//!
//! Without a routing preference a few draws usually find one, however many there are: a slot at
//! random, taken in proportion of its weight to the largest. Those that are accepted are
//! distributed exactly by weight, and so are those that the scan of all endpoints picks when the
//! draws run out, so both together are.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    Endpoints, Health, LoadBalancing, LoadBalancingMode, Mesh, Service, TunnelProtocol, Workload,
};

use crate::plan::OutboundQuery;

/// Draws before the scan: enough that nearly all connections of a large and healthy service need
/// no scan, and few enough to cost nothing when most of its endpoints may not be picked.
const DRAWS: usize = 16;

/// An endpoint of a service, with the address and port to go to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) workload: &'a Arc<Workload>,
    /// None where the workload is known by name only.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
}

/// Picks an endpoint of a service; `None` if there is none to be picked.
pub(crate) fn pick<'a>(mesh: &'a Mesh, wanted: &Wanted<'_>) -> Option<Endpoint<'a>> {
    let endpoints = mesh.endpoint_set(&wanted.service.name)?;
    let balancing = &wanted.service.load_balancing;
    if balancing.session_affinity {
        return stay(endpoints, wanted);
    }
    let mut random = Random(wanted.query.pick);
    if !prefers_places(balancing) {
        let drawn = (0..DRAWS).find_map(|_| draw(endpoints, wanted, &mut random));
        if drawn.is_some() {
            return drawn;
        }
    }
    scan(endpoints, wanted, &mut random)
}

/// Says why nothing could be picked.
#[cold]
pub(crate) fn shortage(mesh: &Mesh, wanted: &Wanted<'_>) -> String {
    let (mut all, mut unhealthy, mut portless, mut unreachable, mut far) = (0, 0, 0, 0, 0);
    let mut plain = 0;
    for workload in mesh.endpoints(&wanted.service.name) {
        all += 1;
        match wanted.judge(workload) {
            Ok(_) => {}
            Err(Unfit::Unhealthy) => unhealthy += 1,
            Err(Unfit::NoPort) => portless += 1,
            Err(Unfit::NoAddress) => unreachable += 1,
            Err(Unfit::TooFar) => far += 1,
            Err(Unfit::NoTunnels) => plain += 1,
        }
    }
    let (name, port) = (&wanted.service.name, wanted.port);
    let mut text = format!(
        "service {name} port {port} has no endpoint to go to: {all} in all, {unhealthy} \
         unhealthy, {portless} without the port, {unreachable} without an address that {} can \
         reach, {far} outside the places that the service is kept to",
        wanted.query.source.uid
    );
    if wanted.is_waypoint {
        text.push_str(&format!(", {plain} that take no tunnels"));
    }
    text
}

/// What a connection wants of an endpoint.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'q> {
    query: &'q OutboundQuery<'q>,
    service: &'q Service,
    port: u16,
    is_waypoint: bool,
}

/// Why an endpoint may not be picked.
enum Unfit {
    Unhealthy,
    NoPort,
    NoAddress,
    TooFar,
    NoTunnels,
}

impl<'q> Wanted<'q> {
    /// A server of this port of a service.
    pub(crate) fn server(query: &'q OutboundQuery<'q>, service: &'q Service, port: u16) -> Self {
        Self {
            query,
            service,
            port,
            is_waypoint: false,
        }
    }

    /// An endpoint of a waypoint, which takes tunnels on this port of its service.
    pub(crate) fn waypoint(query: &'q OutboundQuery<'q>, service: &'q Service, port: u16) -> Self {
        Self {
            is_waypoint: true,
            ..Self::server(query, service, port)
        }
    }

    /// The port to go to at this endpoint. That of a waypoint need not be a port of its service.
    fn port_at(&self, workload: &Workload) -> Option<u16> {
        let mapped = workload.target_port(&self.service.name, self.port);
        mapped.or_else(|| self.is_waypoint.then_some(self.port))
    }

    /// Where to go at this endpoint, and how near it is: a higher number is nearer.
    fn judge<'a>(&self, workload: &'a Arc<Workload>) -> Result<(Endpoint<'a>, usize), Unfit> {
        let balancing = &self.service.load_balancing;
        if workload.health == Health::Unhealthy && !balancing.allow_unhealthy {
            return Err(Unfit::Unhealthy);
        }
        if self.is_waypoint {
            self.judge_waypoint(workload)?;
        }
        let port = self.port_at(workload).ok_or(Unfit::NoPort)?;
        let address = reachable_address(workload, self.query);
        if address.is_none() && (self.is_waypoint || !is_named(workload)) {
            return Err(Unfit::NoAddress);
        }
        let nearness = nearness(balancing, self.query.source, workload).ok_or(Unfit::TooFar)?;
        Ok((
            Endpoint {
                workload,
                address,
                port,
            },
            nearness,
        ))
    }

    fn judge_waypoint(&self, workload: &Workload) -> Result<(), Unfit> {
        if workload.protocol != TunnelProtocol::Hbone {
            return Err(Unfit::NoTunnels);
        }
        // Not reached just now: as good as unhealthy.
        if self.query.avoid == Some(&workload.uid) {
            return Err(Unfit::Unhealthy);
        }
        Ok(())
    }
}

/// One attempt to hit an endpoint by weight.
fn draw<'a>(
    endpoints: &'a Endpoints,
    wanted: &Wanted<'_>,
    random: &mut Random,
) -> Option<Endpoint<'a>> {
    let slot = usize::try_from(random.below(u64::try_from(endpoints.len()).ok()?)).ok()?;
    let workload = endpoints.get(slot)?;
    let (endpoint, _) = wanted.judge(workload).ok()?;
    let lot = random.below(u64::from(endpoints.largest_weight()));
    (lot < u64::from(workload.weight())).then_some(endpoint)
}

/// Looks at every endpoint once; the nearest ones share by weight.
fn scan<'a>(
    endpoints: &'a Endpoints,
    wanted: &Wanted<'_>,
    random: &mut Random,
) -> Option<Endpoint<'a>> {
    let mut picked = None;
    let mut nearest = 0;
    let mut total = 0;
    for workload in endpoints.iter() {
        let Ok((endpoint, nearness)) = wanted.judge(workload) else {
            continue;
        };
        if nearness > nearest {
            (picked, nearest, total) = (None, nearness, 0);
        }
        if nearness == nearest {
            // The n-th one replaces the one picked so far with probability weight / total.
            let weight = u64::from(workload.weight());
            total += weight;
            if random.below(total) < weight {
                picked = Some(endpoint);
            }
        }
    }
    picked
}

/// The endpoint that a client stays with, of the nearest ones: the one with the highest number that
/// both make together, so that only clients of an endpoint that goes have to move.
fn stay<'a>(endpoints: &'a Endpoints, wanted: &Wanted<'_>) -> Option<Endpoint<'a>> {
    let client = &wanted.query.source;
    let judged = endpoints.iter().filter_map(|workload| {
        let (endpoint, nearness) = wanted.judge(workload).ok()?;
        Some(((nearness, together(client, workload)), endpoint))
    });
    let best = judged.max_by_key(|(rank, _)| *rank);
    best.map(|(_, endpoint)| endpoint)
}

/// A number that two workloads make, the same on every node (FNV-1a, then mixed).
fn together(client: &Workload, endpoint: &Workload) -> u64 {
    let uids = [client.uid.as_str(), " ", endpoint.uid.as_str()];
    let bytes = uids.iter().flat_map(|uid| uid.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Random(hash).next()
}

/// The endpoint's address to go to: of the family that the client asked for if there is one, else
/// of another family that the client's pod has.
fn reachable_address(workload: &Workload, query: &OutboundQuery<'_>) -> Option<IpAddr> {
    let asked = query.destination.ip().to_canonical().is_ipv4();
    let of_family = |v4: bool| {
        workload
            .addresses
            .iter()
            .map(IpAddr::to_canonical)
            .find(|a| a.is_ipv4() == v4)
    };
    let has_other = || {
        query
            .source
            .addresses
            .iter()
            .any(|a| a.to_canonical().is_ipv4() != asked)
    };
    of_family(asked).or_else(|| if has_other() { of_family(!asked) } else { None })
}

/// Whether its name is to be resolved by whoever connects. What takes tunnels has an address.
fn is_named(workload: &Workload) -> bool {
    workload.addresses.is_empty()
        && !workload.hostname.is_empty()
        && workload.protocol == TunnelProtocol::None
}

fn prefers_places(balancing: &LoadBalancing) -> bool {
    let prefers = match balancing.mode {
        LoadBalancingMode::Strict | LoadBalancingMode::Failover => true,
        LoadBalancingMode::Unspecified | LoadBalancingMode::Passthrough => false,
    };
    prefers && !balancing.routing_preference.is_empty()
}

/// How many of the preferred places an endpoint shares with the client, counted until the first
/// that it does not; `None` if the service insists on more.
fn nearness(balancing: &LoadBalancing, source: &Workload, endpoint: &Workload) -> Option<usize> {
    if !prefers_places(balancing) {
        return Some(0);
    }
    let preference = &balancing.routing_preference;
    let shared = preference
        .iter()
        .take_while(|scope| shares(**scope, source, endpoint))
        .count();
    (balancing.mode != LoadBalancingMode::Strict || shared == preference.len()).then_some(shared)
}

/// Whether both are in the same place of this `LoadBalancing.Scope`. A scope that is not known is
/// never shared.
fn shares(scope: i32, a: &Workload, b: &Workload) -> bool {
    match scope {
        1 => a.locality.region == b.locality.region,
        2 => a.locality.zone == b.locality.zone,
        3 => a.locality.subzone == b.locality.subzone,
        4 => a.node == b.node,
        5 => a.cluster == b.cluster,
        6 => a.network == b.network,
        _ => false,
    }
}

/// Numbers from a seed (splitmix64): one random number of the query serves every draw.
struct Random(u64);

impl Random {
    /// A number from 0 up to `bound`, without it; 0 if `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.next()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or_default()
    }

    /// Any number.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
