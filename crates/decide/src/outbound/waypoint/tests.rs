use std::collections::BTreeMap;

use ambit_model::{Health, LoadBalancingMode, NetworkAddress, SpiffeId, WorkloadUid};

use super::*;
use crate::egress::EgressMode;
use crate::fixtures::{addr, endpoint_of, id, ip, mesh, service, service_name, workload};
use crate::{explain_outbound, outbound};

/// A client, one captured pod behind service `web`, and a waypoint `gate` of two pods.
struct Shop {
    client: Workload,
    web: Workload,
    web_service: Service,
    gate: Service,
    gates: Vec<Workload>,
}

impl Default for Shop {
    fn default() -> Self {
        let gate_pod = |name: &str, address: &str| Workload {
            service_account: "gate".into(),
            ..serving_tunnels(workload(name, &[address]), 15008)
        };
        Self {
            client: workload("client", &["10.0.0.9"]),
            web: endpoint_of("web", workload("web", &["10.0.0.1"])),
            web_service: service("web", &["10.96.0.1"]),
            gate: service("gate", &["10.96.0.2"]),
            gates: vec![
                gate_pod("gate-1", "10.0.0.21"),
                gate_pod("gate-2", "10.0.0.22"),
            ],
        }
    }
}

/// An endpoint of `gate`, whose port 15008 it serves on that one.
fn serving_tunnels(mut workload: Workload, port: u16) -> Workload {
    let mapping = ambit_model::PortMapping {
        service_port: 15008,
        target_port: port,
    };
    workload
        .services
        .insert(service_name("gate"), vec![mapping]);
    workload
}

fn by_service() -> Option<GatewayAddress> {
    Some(GatewayAddress::Service(service_name("gate"), 15008))
}

fn by_address(text: &str) -> Option<GatewayAddress> {
    let address = NetworkAddress {
        network: "".into(),
        address: ip(text),
    };
    Some(GatewayAddress::Address(address, 15008))
}

/// What matters of a tunnel.
#[derive(Debug, PartialEq)]
struct Tunnel {
    to: SocketAddr,
    authority: SocketAddr,
    expected: Vec<SpiffeId>,
    service: Option<Arc<str>>,
    waypoint: bool,
}

impl Shop {
    fn with_bound_service() -> Self {
        let mut shop = Self::default();
        shop.web_service.waypoint = by_service();
        shop
    }

    fn mesh(&self) -> Mesh {
        let workloads = [self.client.clone(), self.web.clone()];
        let services = [self.web_service.clone(), self.gate.clone()];
        mesh(
            workloads.into_iter().chain(self.gates.clone()),
            services,
            [],
        )
    }

    fn plan(
        &self,
        destination: &str,
        pick: u64,
        avoid: Option<&WorkloadUid>,
    ) -> Result<OutboundPlan, Refusal> {
        let mesh = self.mesh();
        let query = OutboundQuery {
            source: &self.client,
            destination: addr(destination),
            egress: EgressMode::AllowAny,
            pick,
            avoid,
        };
        let decided = outbound(&mesh, &query);
        let explained = explain_outbound(&mesh, &query);
        assert_eq!(explained.outcome, decided, "explaining changes nothing");
        decided
    }

    fn ask(&self, destination: &str) -> Result<Tunnel, Refusal> {
        self.plan(destination, 7, None).map(|plan| match plan {
            OutboundPlan::Tunnel {
                to,
                authority,
                expected,
                service,
                waypoint,
                ..
            } => Tunnel {
                to,
                authority,
                expected: expected.to_vec(),
                service: service.map(|service| Arc::clone(&service.short_name)),
                waypoint,
            },
            plan => panic!("not a tunnel: {plan:?}"),
        })
    }

    /// Leaves the first pod of the waypoint only.
    fn one_gate(mut self) -> Self {
        self.gates.truncate(1);
        self
    }
}

fn through_gate_1(authority: &str, service: Option<&str>) -> Result<Tunnel, Refusal> {
    Ok(Tunnel {
        to: addr("10.0.0.21:15008"),
        authority: addr(authority),
        expected: vec![id("shop", "gate")],
        service: service.map(Into::into),
        waypoint: true,
    })
}

#[test]
fn a_bound_service_is_reached_through_its_waypoint_under_its_own_address() {
    let mut shop = Shop::with_bound_service().one_gate();
    assert_eq!(
        shop.ask("10.96.0.1:80"),
        through_gate_1("10.96.0.1:80", Some("web"))
    );
    shop.web_service.load_balancing.mode = LoadBalancingMode::Passthrough;
    assert_eq!(
        shop.ask("10.96.0.1:80"),
        through_gate_1("10.96.0.1:80", Some("web")),
        "also a service that keeps the destination"
    );
    shop.web.health = Health::Unhealthy;
    assert!(
        shop.ask("10.96.0.1:80").is_ok(),
        "endpoints are the waypoint's business"
    );
    let pod = shop.ask("10.0.0.1:8080").unwrap();
    assert!(!pod.waypoint, "the pod's own address is not bound");
}

#[test]
fn a_bound_workload_is_reached_through_its_waypoint_at_every_address_of_its_own() {
    let mut shop = Shop::default().one_gate();
    shop.web.waypoint = by_service();
    shop.web.addresses.push(ip("10.96.7.7"));
    for protocol in [TunnelProtocol::Hbone, TunnelProtocol::None] {
        shop.web.protocol = protocol;
        for at in ["10.0.0.1:8080", "10.0.0.1:9999", "10.96.7.7:80"] {
            assert_eq!(shop.ask(at), through_gate_1(at, None));
        }
    }
    assert_eq!(
        shop.ask("[::ffff:10.0.0.1]:80"),
        through_gate_1("10.0.0.1:80", None)
    );
    shop.web.protocol = TunnelProtocol::Hbone;
    let refusal = shop.ask("10.0.0.1:15008").unwrap_err();
    assert_eq!(refusal.reason, Reason::SelfCall);
    let service = shop.ask("10.96.0.1:80").unwrap();
    assert!(!service.waypoint, "the service is not bound");

    // A service without endpoints of its own, whose address is the workload's.
    shop.web_service.load_balancing.mode = LoadBalancingMode::Passthrough;
    shop.web_service.vips[0].0.address = ip("10.96.7.7");
    assert_eq!(
        shop.ask("10.96.7.7:80"),
        through_gate_1("10.96.7.7:80", Some("web"))
    );
}

#[test]
fn a_client_that_is_an_endpoint_of_the_bound_service_goes_through_the_waypoint_too() {
    let mut shop = Shop::with_bound_service().one_gate();
    shop.client = endpoint_of("web", shop.client);
    shop.web.health = Health::Unhealthy;
    assert_eq!(
        shop.ask("10.96.0.1:80"),
        through_gate_1("10.96.0.1:80", Some("web"))
    );
}

#[test]
fn a_waypoint_is_found_by_the_address_of_its_service_or_of_itself() {
    let mut shop = Shop::default().one_gate();
    let by_service = through_gate_1("10.96.0.1:80", Some("web"));
    for address in ["10.96.0.2", "10.0.0.21"] {
        shop.web_service.waypoint = by_address(address);
        assert_eq!(shop.ask("10.96.0.1:80"), by_service, "{address}");
    }
}

#[test]
fn tunnels_go_to_the_port_that_an_endpoint_serves_them_on() {
    let mut shop = Shop::with_bound_service().one_gate();
    shop.gates[0] = serving_tunnels(shop.gates[0].clone(), 25008);
    assert_eq!(
        shop.ask("10.96.0.1:80").unwrap().to,
        addr("10.0.0.21:25008")
    );
    shop.gates[0]
        .services
        .insert(service_name("gate"), Vec::new());
    let unmapped = shop.ask("10.96.0.1:80").unwrap().to;
    assert_eq!(unmapped, addr("10.0.0.21:15008"), "the gateway's own port");
}

#[test]
fn the_names_of_the_waypoint_s_service_are_expected_beside_its_endpoint_s() {
    let mut shop = Shop::with_bound_service().one_gate();
    let other = id("bank", "proxy");
    shop.gate.subject_alt_names = vec![other.clone()];
    shop.web_service.subject_alt_names = vec![id("bank", "not-the-waypoint")];
    let expected = shop.ask("10.96.0.1:80").unwrap().expected;
    assert_eq!(expected, [id("shop", "gate"), other]);
}

#[test]
fn without_a_waypoint_to_go_to_the_answer_is_a_refusal_that_says_what_is_missing() {
    type Break = fn(&mut Shop);
    let cases: [(&str, Break); 8] = [
        ("no such service", |shop| shop.gate = service("other", &[])),
        ("0 in all", |shop| shop.gates.clear()),
        ("1 unhealthy", |shop| {
            shop.gates[0].health = Health::Unhealthy;
        }),
        ("1 that take no tunnels", |shop| {
            shop.gates[0].protocol = TunnelProtocol::None;
        }),
        ("1 that take no tunnels", |shop| {
            shop.gates[0].protocol = TunnelProtocol::Unsupported(2);
        }),
        ("1 without an address", |shop| {
            shop.gates[0].addresses = vec![ip("fd00::21")];
        }),
        ("no single workload of the mesh", |shop| {
            shop.web_service.waypoint = by_address("10.0.0.77");
            shop.web.waypoint = by_address("10.0.0.77");
        }),
        ("takes no tunnels", |shop| {
            shop.web_service.waypoint = by_address("10.0.0.21");
            shop.web.waypoint = by_address("10.0.0.21");
            shop.gates[0].protocol = TunnelProtocol::None;
        }),
    ];
    for (missing, broken) in cases {
        let mut shop = Shop::with_bound_service().one_gate();
        shop.web.waypoint = by_service();
        broken(&mut shop);
        for (at, bound) in [
            (
                "10.96.0.1:80",
                "service shop/web.shop.svc.cluster.local is bound",
            ),
            (
                "10.0.0.1:80",
                "workload Kubernetes//Pod/shop/web is bound to the waypoint",
            ),
        ] {
            let refusal = shop.ask(at).unwrap_err();
            assert_eq!(refusal.reason, Reason::NoWaypoint, "{missing}");
            assert!(refusal.detail.contains(missing), "{missing}: {refusal}");
            assert!(refusal.detail.starts_with(bound), "{missing}: {refusal}");
        }
    }
}

#[test]
fn a_port_that_the_bound_service_does_not_have_is_refused_here() {
    let refusal = Shop::with_bound_service().ask("10.96.0.1:81").unwrap_err();
    assert_eq!(refusal.reason, Reason::UnknownPort);
}

/// Which pods of the waypoint 1000 connections go to.
fn spread(shop: &Shop, avoid: Option<&WorkloadUid>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for number in 0..1000_u64 {
        let pick = number.wrapping_mul(0x2545_f491_4f6c_dd1d);
        if let Ok(OutboundPlan::Tunnel { workload, .. }) = shop.plan("10.96.0.1:80", pick, avoid) {
            *counts.entry(workload.name.to_string()).or_insert(0) += 1;
        }
    }
    counts
}

#[test]
fn connections_of_one_client_are_spread_over_the_waypoint_s_endpoints() {
    let counts = spread(&Shop::with_bound_service(), None);
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(
        counts.values().all(|count| (400..600).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn an_endpoint_that_was_not_reached_is_avoided_and_only_among_those_of_a_waypoint() {
    let mut shop = Shop::with_bound_service();
    let (first, second) = (shop.gates[0].uid.clone(), shop.gates[1].uid.clone());
    let all_to = |name: &str| BTreeMap::from([(name.to_owned(), 1000)]);
    assert_eq!(spread(&shop, Some(&first)), all_to("gate-2"));
    assert_eq!(spread(&shop, Some(&second)), all_to("gate-1"));

    shop.gates.truncate(1);
    let refusal = shop.plan("10.96.0.1:80", 7, Some(&first)).unwrap_err();
    assert_eq!(refusal.reason, Reason::NoWaypoint, "there is no other one");
    shop.web_service.waypoint = by_address("10.0.0.21");
    let refusal = shop.plan("10.96.0.1:80", 7, Some(&first)).unwrap_err();
    assert_eq!(refusal.reason, Reason::NoWaypoint, "nor here");

    shop.web_service.waypoint = None;
    let web = shop.web.uid.clone();
    assert_eq!(spread(&shop, Some(&web)), all_to("web"));
}

#[test]
fn the_steps_name_the_binding_and_the_endpoint() {
    let shop = Shop::with_bound_service().one_gate();
    let mesh = shop.mesh();
    let query = OutboundQuery {
        source: &shop.client,
        destination: addr("10.96.0.1:80"),
        egress: EgressMode::AllowAny,
        pick: 0,
        avoid: None,
    };
    let steps = explain_outbound(&mesh, &query).steps;
    let said: Vec<_> = steps
        .iter()
        .map(|step| (step.text.as_str(), step.object.as_deref().unwrap()))
        .collect();
    let web = "service shop/web.shop.svc.cluster.local";
    assert_eq!(
        said,
        [
            ("10.96.0.1:80 is the service's", web),
            (
                "is bound to the waypoint of service shop/gate.shop.svc.cluster.local, port 15008",
                web
            ),
            (
                "waypoint: tunnel to 10.0.0.21:15008, asking for 10.96.0.1:80, expecting \
                 spiffe://cluster.local/ns/shop/sa/gate",
                "workload Kubernetes//Pod/shop/gate-1"
            ),
        ]
    );
}
