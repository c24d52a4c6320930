use std::collections::BTreeMap;

use ambit_model::Locality;
use proptest::prelude::*;

use super::*;
use crate::egress::EgressMode;
use crate::fixtures::{addr, endpoint_of, ip, mesh, service, service_name, workload};
use crate::refusal::Reason;
use crate::{OutboundPlan, outbound};

/// Connections per distribution. Shares are checked to within 0.03: more than six times the
/// standard deviation of a share at this count, and the seeds are fixed.
const CONNECTIONS: u64 = 10_000;

fn pod(name: &str, address: &str) -> Workload {
    endpoint_of("web", workload(name, &[address]))
}

/// How often each endpoint is picked when the service's first port is called.
fn picks(service: &Service, endpoints: &[Workload], source: &Workload) -> BTreeMap<String, u64> {
    let mesh = mesh(endpoints.to_vec(), [service.clone()], []);
    let mut counts = BTreeMap::new();
    for number in 0..CONNECTIONS {
        let (destination, egress) = (addr("10.96.0.1:80"), EgressMode::AllowAny);
        let pick = number.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let query = OutboundQuery {
            source,
            destination,
            egress,
            pick,
            avoid: None,
        };
        if let Some(endpoint) = super::pick(&mesh, &Wanted::server(&query, service, 80)) {
            *counts
                .entry(endpoint.workload.name.to_string())
                .or_insert(0) += 1;
        }
    }
    counts
}

fn assert_shares(counts: &BTreeMap<String, u64>, expected: &[(&str, u64)]) {
    let total: u64 = expected.iter().map(|(_, weight)| weight).sum();
    let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    assert_eq!(counts.keys().collect::<Vec<_>>(), names);
    for (name, weight) in expected {
        let drift = counts[*name].abs_diff(CONNECTIONS * weight / total);
        assert!(
            drift < CONNECTIONS * 3 / 100,
            "{name}: {counts:?} for {expected:?}"
        );
    }
}

fn client() -> Workload {
    workload("client", &["10.0.0.9"])
}

#[test]
fn endpoints_share_by_weight_and_a_weight_of_zero_counts_as_one() {
    let endpoints = [("a", 0), ("b", 1), ("c", 2), ("d", 6)].map(|(name, capacity)| Workload {
        capacity,
        ..pod(name, "10.0.0.1")
    });
    let counts = picks(&service("web", &["10.96.0.1"]), &endpoints, &client());
    assert_shares(&counts, &[("a", 1), ("b", 1), ("c", 2), ("d", 6)]);
}

#[test]
fn many_endpoints_share_by_weight_too() {
    // More than are scanned at once: those of one weight are counted together.
    let (mut light, mut heavy) = (0, 0);
    let endpoints: Vec<_> = (0..60)
        .map(|number| {
            let name = format!(
                "{}-{number}",
                if number % 3 == 0 { "heavy" } else { "light" }
            );
            let capacity = if number % 3 == 0 { 4 } else { 1 };
            Workload {
                capacity,
                ..pod(&name, "10.0.0.1")
            }
        })
        .collect();
    let counts = picks(&service("web", &["10.96.0.1"]), &endpoints, &client());
    assert_eq!(counts.len(), 60, "every one is picked");
    for (name, count) in &counts {
        let sum = if name.starts_with("heavy") {
            &mut heavy
        } else {
            &mut light
        };
        *sum += count;
    }
    let sums = BTreeMap::from([("heavy".to_owned(), heavy), ("light".to_owned(), light)]);
    assert_shares(&sums, &[("heavy", 80), ("light", 40)]);
}

#[test]
fn the_few_fit_among_many_unfit_are_found() {
    let mut endpoints: Vec<_> = (0..500)
        .map(|number| Workload {
            health: Health::Unhealthy,
            capacity: 1000,
            ..pod(&format!("ill-{number}"), "10.0.0.1")
        })
        .collect();
    endpoints.push(pod("a", "10.0.0.2"));
    endpoints.push(Workload {
        capacity: 3,
        ..pod("b", "10.0.0.3")
    });
    let counts = picks(&service("web", &["10.96.0.1"]), &endpoints, &client());
    assert_shares(&counts, &[("a", 1), ("b", 3)]);
}

#[test]
fn unhealthy_endpoints_are_picked_only_if_the_service_allows_it() {
    let endpoints = [
        pod("a", "10.0.0.1"),
        Workload {
            health: Health::Unhealthy,
            ..pod("b", "10.0.0.2")
        },
    ];
    let mut web = service("web", &["10.96.0.1"]);
    assert_shares(&picks(&web, &endpoints, &client()), &[("a", 1)]);
    web.load_balancing.allow_unhealthy = true;
    assert_shares(&picks(&web, &endpoints, &client()), &[("a", 1), ("b", 1)]);
}

#[test]
fn an_endpoint_is_picked_only_for_ports_that_it_serves_itself() {
    let other_port = {
        let mut other = pod("b", "10.0.0.2");
        other.services.get_mut(&service_name("web")).unwrap()[0].service_port = 81;
        other
    };
    let endpoints = [pod("a", "10.0.0.1"), other_port];
    let counts = picks(&service("web", &["10.96.0.1"]), &endpoints, &client());
    assert_shares(&counts, &[("a", 1)]);
}

#[test]
fn the_family_asked_for_comes_first_and_another_only_if_the_client_has_it() {
    let (v4, v6): (&[&str], &[&str]) = (&["10.0.0.1"], &["fd00::1"]);
    let both: &[&str] = &["fd00::1", "10.0.0.1"];
    let client = |dual: bool| {
        if dual {
            &["10.0.0.9", "fd00::9"][..]
        } else {
            &["10.0.0.9"]
        }
    };
    let cases = [
        (v4, "10.96.0.1:80", false, Some("10.0.0.1")),
        (v6, "10.96.0.1:80", false, None),
        (v6, "10.96.0.1:80", true, Some("fd00::1")),
        (both, "10.96.0.1:80", false, Some("10.0.0.1")),
        (both, "10.96.0.1:80", true, Some("10.0.0.1")),
        (both, "[fd96::1]:80", true, Some("fd00::1")),
        (v4, "[fd96::1]:80", true, Some("10.0.0.1")),
        (&[], "10.96.0.1:80", true, None),
    ];
    let web = service("web", &["10.96.0.1", "fd96::1"]);
    for (addresses, destination, dual, expected) in cases {
        let mesh = mesh(
            [endpoint_of("web", workload("a", addresses))],
            [web.clone()],
            [],
        );
        let source = workload("client", client(dual));
        let (destination, egress) = (addr(destination), EgressMode::AllowAny);
        let query = OutboundQuery {
            source: &source,
            destination,
            egress,
            pick: 1,
            avoid: None,
        };
        let address =
            pick(&mesh, &Wanted::server(&query, &web, 80)).and_then(|endpoint| endpoint.address);
        assert_eq!(
            address,
            expected.map(ip),
            "{addresses:?} for {destination}, dual {dual}"
        );
    }
}

/// Endpoints `node` (all of the client's places), `zone`, `region` and `far` (none of them).
fn places() -> (Workload, Vec<Workload>) {
    let place = |region: &str, zone: &str, node: &str, made: Workload| Workload {
        locality: Locality {
            region: region.into(),
            zone: zone.into(),
            subzone: "".into(),
        },
        node: node.into(),
        ..made
    };
    let endpoints = vec![
        place("r", "z", "n", pod("node", "10.0.0.1")),
        place("r", "z", "n2", pod("zone", "10.0.0.2")),
        place("r", "z2", "n3", pod("region", "10.0.0.3")),
        place("r2", "z", "n", pod("far", "10.0.0.4")),
    ];
    (place("r", "z", "n", client()), endpoints)
}

#[test]
fn a_preference_picks_the_nearest_and_a_strict_one_nothing_else() {
    let (region, zone, node, unknown) = (1, 2, 4, 99);
    let near = [region, zone, node];
    let without = |gone: &[&str], endpoints: &[Workload]| {
        let is_gone = |w: &Workload| gone.contains(&&*w.name);
        endpoints
            .iter()
            .filter(|w| !is_gone(w))
            .cloned()
            .collect::<Vec<_>>()
    };
    let (source, all) = places();
    use LoadBalancingMode::{Failover, Strict, Unspecified};
    let everyone: &[&str] = &["far", "node", "region", "zone"];
    /// Mode, preference, endpoints that are gone, endpoints that share.
    type Case<'a> = (LoadBalancingMode, &'a [i32], &'a [&'a str], &'a [&'a str]);
    let cases: [Case<'_>; 12] = [
        (Failover, &near, &[], &["node"]),
        (Failover, &near, &["node"], &["zone"]),
        (Failover, &near, &["node", "zone"], &["region"]),
        (Failover, &near, &["node", "zone", "region"], &["far"]),
        (Failover, &[region], &[], &["node", "region", "zone"]),
        (Failover, &[unknown, node], &[], everyone),
        (Failover, &[], &[], everyone),
        (Strict, &near, &[], &["node"]),
        (Strict, &near, &["node"], &[]),
        (Strict, &[node], &[], &["far", "node"]),
        (Strict, &[unknown], &[], &[]),
        (Unspecified, &near, &[], everyone),
    ];
    for (mode, preference, gone, expected) in cases {
        let mut web = service("web", &["10.96.0.1"]);
        web.load_balancing.mode = mode;
        web.load_balancing.routing_preference = preference.to_vec();
        let shares: Vec<_> = expected.iter().map(|name| (*name, 1)).collect();
        let mut endpoints = without(gone, &all);
        assert_shares(&picks(&web, &endpoints, &source), &shares);
        endpoints.reverse();
        assert_shares(&picks(&web, &endpoints, &source), &shares);
    }
}

#[test]
fn the_other_places_are_network_cluster_and_subzone() {
    let source = client();
    type Move = fn(&mut Workload);
    let moves: [(i32, Move); 3] = [
        (3, |w| w.locality.subzone = "elsewhere".into()),
        (5, |w| w.cluster = "elsewhere".into()),
        (6, |w| w.network = "elsewhere".into()),
    ];
    for (scope, go) in moves {
        let mut web = service("web", &["10.96.0.1"]);
        web.load_balancing.mode = LoadBalancingMode::Strict;
        web.load_balancing.routing_preference = vec![scope];
        let mut endpoints = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")];
        go(&mut endpoints[1]);
        assert_shares(&picks(&web, &endpoints, &source), &[("a", 1)]);
    }
}

#[test]
fn with_affinity_a_client_stays_and_only_those_of_an_endpoint_that_goes_move() {
    let mut web = service("web", &["10.96.0.1"]);
    web.load_balancing.session_affinity = true;
    let all: Vec<Workload> = (1..=8)
        .map(|n| pod(&format!("e{n}"), &format!("10.0.0.{n}")))
        .collect();
    let clients: Vec<Workload> = (0..200)
        .map(|n| Workload {
            uid: ambit_model::WorkloadUid::pod("Kubernetes", "shop", &format!("client-{n}")),
            ..client()
        })
        .collect();
    let choice = |endpoints: &[Workload], source: &Workload| {
        let picked = picks(&web, endpoints, source);
        assert_eq!(picked.len(), 1, "it goes to several");
        picked.into_keys().next().unwrap()
    };
    let before: Vec<_> = clients.iter().map(|source| choice(&all, source)).collect();
    for endpoint in &all {
        let share = before
            .iter()
            .filter(|name| **name == *endpoint.name)
            .count();
        assert!(
            (5..60).contains(&share),
            "{} has {share} of 200",
            endpoint.name
        );
    }
    let stays = |endpoint: &&Workload| &*endpoint.name != "e3";
    let fewer: Vec<Workload> = all.iter().filter(stays).cloned().collect();
    for (source, before) in clients.iter().zip(&before) {
        let after = choice(&fewer, source);
        assert!(
            after == *before || *before == "e3",
            "moved from {before} to {after}"
        );
    }
}

#[test]
fn a_refusal_for_want_of_endpoints_counts_what_is_missing() {
    let mut web = service("web", &["10.96.0.1"]);
    let unhealthy = Workload {
        health: Health::Unhealthy,
        ..pod("a", "10.0.0.1")
    };
    let portless = {
        let mut portless = pod("b", "10.0.0.2");
        portless.services.insert(service_name("web"), Vec::new());
        portless
    };
    let unreachable = pod("c", "fd00::1");
    let far = Workload {
        node: "node-2".into(),
        ..pod("d", "10.0.0.4")
    };
    web.load_balancing.mode = LoadBalancingMode::Strict;
    web.load_balancing.routing_preference = vec![4];
    let mesh = mesh([unhealthy, portless, unreachable, far], [web], []);
    let (source, destination) = (client(), addr("10.96.0.1:80"));
    let egress = EgressMode::AllowAny;
    let query = OutboundQuery {
        source: &source,
        destination,
        egress,
        pick: 1,
        avoid: None,
    };
    let refusal = outbound(&mesh, &query).unwrap_err();
    assert_eq!(refusal.reason, Reason::NoEndpoint);
    assert_eq!(
        refusal.detail,
        "service shop/web.shop.svc.cluster.local port 80 has no endpoint to go to: 4 in all, 1 \
         unhealthy, 1 without the port, 1 without an address that Kubernetes//Pod/shop/client can \
         reach, 1 outside the places that the service is kept to"
    );
}

#[test]
fn a_service_without_any_endpoint_is_refused() {
    let mesh = mesh([], [service("web", &["10.96.0.1"])], []);
    let (source, destination) = (client(), addr("10.96.0.1:80"));
    let egress = EgressMode::AllowAny;
    let query = OutboundQuery {
        source: &source,
        destination,
        egress,
        pick: 1,
        avoid: None,
    };
    assert_eq!(
        outbound(&mesh, &query).unwrap_err().reason,
        Reason::NoEndpoint
    );
}

proptest! {
    #[test]
    fn an_endpoint_is_found_if_and_only_if_one_fits_and_it_fits(
        fit in prop::collection::vec((any::<bool>(), 0..5_u32), 0..40),
        pick in any::<u64>(),
    ) {
        let health = |fit| if fit { Health::Healthy } else { Health::Unhealthy };
        let endpoints = fit.iter().enumerate().map(|(number, (fit, capacity))| Workload {
            health: health(*fit),
            capacity: *capacity,
            ..pod(&format!("pod-{number}"), "10.0.0.1")
        });
        let mesh = mesh(endpoints, [service("web", &["10.96.0.1"])], []);
        let (source, destination) = (client(), addr("10.96.0.1:80"));
        let egress = EgressMode::AllowAny;
        let query = OutboundQuery { source: &source, destination, egress, pick, avoid: None };
        match outbound(&mesh, &query) {
            Ok(OutboundPlan::Tunnel { workload, .. }) => {
                prop_assert_eq!(workload.health, Health::Healthy);
            }
            Ok(plan) => prop_assert!(false, "{plan:?}"),
            Err(refusal) => {
                prop_assert_eq!(refusal.reason, Reason::NoEndpoint);
                prop_assert!(fit.iter().all(|(fit, _)| !fit));
            }
        }
    }
}
