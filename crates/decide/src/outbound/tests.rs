use ambit_model::Health;

use super::*;
use crate::fixtures::{
    addr, endpoint_of, id, ip, mesh, policy, service, service_name, waypoint, workload,
};

const SOURCE: [&str; 2] = ["10.0.0.9", "fd00::9"];

/// The client, one captured pod behind service `web` and a few others.
struct Shop {
    source: Workload,
    web: Workload,
    web_service: Service,
    others: Vec<Workload>,
    egress: EgressMode,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            source: workload("client", &SOURCE),
            web: endpoint_of("web", workload("web", &["10.0.0.1", "fd00::1"])),
            web_service: service("web", &["10.96.0.1", "fd96::1"]),
            others: Vec::new(),
            egress: EgressMode::AllowAny,
        }
    }
}

impl Shop {
    fn mesh(&self) -> Mesh {
        let workloads = [self.source.clone(), self.web.clone()];
        mesh(
            workloads.into_iter().chain(self.others.clone()),
            [self.web_service.clone()],
            [],
        )
    }

    fn ask(&self, destination: &str) -> Result<OutboundPlan, Reason> {
        let mesh = self.mesh();
        let (destination, egress) = (addr(destination), self.egress);
        let query = OutboundQuery {
            source: &self.source,
            destination,
            egress,
            pick: 7,
            avoid: None,
        };
        let decided = outbound(&mesh, &query);
        let explanation = explain_outbound(&mesh, &query);
        assert_eq!(explanation.outcome, decided, "explaining changes nothing");
        assert!(!explanation.steps.is_empty());
        decided.map_err(|refusal| refusal.reason)
    }

    fn tunnel(&self, to: &str, authority: &str, through_service: bool) -> OutboundPlan {
        OutboundPlan::Tunnel {
            to: addr(to),
            authority: addr(authority),
            expected: Arc::new([id("shop", "web")]),
            workload: Arc::new(self.web.clone()),
            service: through_service.then(|| Arc::new(self.web_service.clone())),
            waypoint: false,
        }
    }

    fn plain(&self, to: &str, through_service: bool) -> OutboundPlan {
        OutboundPlan::Passthrough {
            to: addr(to),
            workload: Some(Arc::new(self.web.clone())),
            service: through_service.then(|| Arc::new(self.web_service.clone())),
        }
    }
}

fn beyond_the_mesh(to: &str) -> OutboundPlan {
    OutboundPlan::Passthrough {
        to: addr(to),
        workload: None,
        service: None,
    }
}

fn own(to: &str) -> OutboundPlan {
    OutboundPlan::Own {
        to: addr(to),
        service: None,
    }
}

#[test]
fn a_captured_pod_is_reached_in_a_tunnel_by_service_and_by_its_own_address() {
    let shop = Shop::default();
    let by_service = shop.tunnel("10.0.0.1:15008", "10.0.0.1:8080", true);
    assert_eq!(shop.ask("10.96.0.1:80"), Ok(by_service));
    let by_service = shop.tunnel("[fd00::1]:15008", "[fd00::1]:8080", true);
    assert_eq!(shop.ask("[fd96::1]:80"), Ok(by_service));
    let by_address = shop.tunnel("10.0.0.1:15008", "10.0.0.1:9999", false);
    assert_eq!(shop.ask("10.0.0.1:9999"), Ok(by_address.clone()));
    assert_eq!(shop.ask("[::ffff:10.0.0.1]:9999"), Ok(by_address));
}

#[test]
fn a_pod_that_takes_no_tunnels_is_reached_in_plaintext() {
    let mut shop = Shop::default();
    shop.web.protocol = TunnelProtocol::None;
    assert_eq!(
        shop.ask("10.96.0.1:80"),
        Ok(shop.plain("10.0.0.1:8080", true))
    );
    assert_eq!(
        shop.ask("10.0.0.1:9999"),
        Ok(shop.plain("10.0.0.1:9999", false))
    );
}

#[test]
fn an_unknown_protocol_is_refused_and_never_replaced_by_plaintext() {
    let mut shop = Shop::default();
    shop.web.protocol = TunnelProtocol::Unsupported(2);
    assert_eq!(shop.ask("10.96.0.1:80"), Err(Reason::UnsupportedProtocol));
    assert_eq!(shop.ask("10.0.0.1:8080"), Err(Reason::UnsupportedProtocol));
}

#[test]
fn the_pod_itself_is_left_alone_but_for_the_agent_s_ports() {
    let shop = Shop::default();
    let own_addresses = [
        "10.0.0.9",
        "[fd00::9]",
        "127.0.0.1",
        "127.1.2.3",
        "[::1]",
        "0.0.0.0",
    ];
    for address in own_addresses {
        let at = |port: u16| format!("{address}:{port}");
        assert_eq!(shop.ask(&at(8080)), Ok(own(&at(8080))));
        assert_eq!(shop.ask(&at(15000)), Ok(own(&at(15000))));
        for port in [15001, 15006, 15008] {
            assert_eq!(
                shop.ask(&at(port)),
                Err(Reason::SelfCall),
                "{address}:{port}"
            );
        }
    }
}

#[test]
fn a_pod_that_is_an_endpoint_of_the_service_it_calls_may_get_itself() {
    let mut shop = Shop::default();
    shop.source = endpoint_of("web", shop.source);
    shop.web.health = Health::Unhealthy;
    let service = Some(Arc::new(shop.web_service.clone()));
    let itself = OutboundPlan::Own {
        to: addr("10.0.0.9:8080"),
        service,
    };
    assert_eq!(shop.ask("10.96.0.1:80"), Ok(itself));

    let mapping = shop.source.services.get_mut(&service_name("web")).unwrap();
    mapping[0].target_port = 15001;
    assert_eq!(shop.ask("10.96.0.1:80"), Err(Reason::SelfCall));
}

#[test]
fn the_agent_s_ports_of_a_captured_pod_are_refused_and_those_of_others_are_plain_ports() {
    let mut shop = Shop::default();
    for port in [15001, 15006, 15008] {
        assert_eq!(shop.ask(&format!("10.0.0.1:{port}")), Err(Reason::SelfCall));
    }
    let mapping = shop.web.services.get_mut(&service_name("web")).unwrap();
    mapping[0].target_port = 15008;
    assert_eq!(shop.ask("10.96.0.1:80"), Err(Reason::SelfCall));

    shop.web.protocol = TunnelProtocol::None;
    assert_eq!(
        shop.ask("10.0.0.1:15008"),
        Ok(shop.plain("10.0.0.1:15008", false))
    );
    assert_eq!(
        shop.ask("192.0.2.1:15008"),
        Ok(beyond_the_mesh("192.0.2.1:15008"))
    );
}

#[test]
fn destinations_that_nothing_owns_pass_or_not_as_the_egress_mode_says() {
    let mut shop = Shop::default();
    assert_eq!(
        shop.ask("192.0.2.1:443"),
        Ok(beyond_the_mesh("192.0.2.1:443"))
    );
    shop.egress = EgressMode::RegistryOnly;
    assert_eq!(shop.ask("192.0.2.1:443"), Err(Reason::UnknownDestination));
    assert!(shop.ask("10.96.0.1:80").is_ok());
    assert!(shop.ask("10.0.0.1:80").is_ok());
    assert!(shop.ask("127.0.0.1:80").is_ok());
    shop.web.protocol = TunnelProtocol::None;
    assert!(
        shop.ask("10.0.0.1:80").is_ok(),
        "known, though not captured"
    );
}

#[test]
fn an_address_of_several_workloads_is_reached_in_plaintext_only_if_all_take_it() {
    let mut shop = Shop::default();
    let twin = |name: &str, protocol| Workload {
        protocol,
        host_network: true,
        ..workload(name, &["192.0.2.1"])
    };
    shop.others = vec![
        twin("a", TunnelProtocol::None),
        twin("b", TunnelProtocol::None),
    ];
    for egress in [EgressMode::AllowAny, EgressMode::RegistryOnly] {
        shop.egress = egress;
        assert_eq!(
            shop.ask("192.0.2.1:80"),
            Ok(beyond_the_mesh("192.0.2.1:80"))
        );
    }
    for protocol in [TunnelProtocol::Hbone, TunnelProtocol::Unsupported(7)] {
        shop.others[1].protocol = protocol;
        assert_eq!(shop.ask("192.0.2.1:80"), Err(Reason::UnknownDestination));
    }
    shop.others[1].protocol = TunnelProtocol::None;
    shop.others[1].waypoint = waypoint();
    assert_eq!(shop.ask("192.0.2.1:80"), Err(Reason::UnknownDestination));
}

#[test]
fn a_service_that_keeps_the_destination_still_honours_the_workload_there() {
    let mut shop = Shop::default();
    shop.web_service.load_balancing.mode = LoadBalancingMode::Passthrough;
    shop.egress = EgressMode::RegistryOnly;
    let service = Some(Arc::new(shop.web_service.clone()));
    let kept = OutboundPlan::Passthrough {
        to: addr("10.96.0.1:80"),
        workload: None,
        service,
    };
    assert_eq!(shop.ask("10.96.0.1:80"), Ok(kept));
    assert_eq!(shop.ask("10.96.0.1:81"), Err(Reason::UnknownPort));

    shop.web.addresses.push(ip("10.96.0.1"));
    let tunnel = shop.tunnel("10.96.0.1:15008", "10.96.0.1:80", true);
    assert_eq!(shop.ask("10.96.0.1:80"), Ok(tunnel));

    shop.others.push(workload("twin", &["10.96.0.1"]));
    assert_eq!(shop.ask("10.96.0.1:80"), Err(Reason::UnknownDestination));
}

#[test]
fn a_port_that_the_service_does_not_have_is_refused() {
    assert_eq!(
        Shop::default().ask("10.96.0.1:81"),
        Err(Reason::UnknownPort)
    );
}

#[test]
fn a_service_s_own_names_are_expected_beside_the_endpoint_s_identity() {
    let mut shop = Shop::default();
    let (web, other) = (id("shop", "web"), id("bank", "proxy"));
    shop.web_service.subject_alt_names = vec![other.clone(), web.clone()];
    let expected = |destination: &str| match shop.ask(destination) {
        Ok(OutboundPlan::Tunnel { expected, .. }) => expected.to_vec(),
        plan => panic!("{plan:?}"),
    };
    assert_eq!(expected("10.96.0.1:80"), [web.clone(), other]);
    assert_eq!(
        expected("10.0.0.1:80"),
        [web],
        "they are the service's, not the pod's"
    );
}

#[test]
fn policies_do_not_concern_the_client_s_side() {
    let shop = Shop::default();
    let mut mesh = shop.mesh();
    let deny = policy(
        "deny",
        ambit_model::Action::Deny,
        vec![ambit_model::Rule::default()],
    );
    mesh.apply(ambit_model::Change::PutPolicy(Arc::new(deny)));
    let destination = addr("10.0.0.1:80");
    let egress = EgressMode::AllowAny;
    let query = OutboundQuery {
        source: &shop.source,
        destination,
        egress,
        pick: 0,
        avoid: None,
    };
    assert!(outbound(&mesh, &query).is_ok());
}

#[test]
fn the_scope_of_a_link_local_address_is_kept() {
    let shop = Shop::default();
    let to = SocketAddr::V6(std::net::SocketAddrV6::new(
        "fe80::1".parse().unwrap(),
        80,
        0,
        3,
    ));
    let mesh = shop.mesh();
    let egress = EgressMode::AllowAny;
    let query = OutboundQuery {
        source: &shop.source,
        destination: to,
        egress,
        pick: 0,
        avoid: None,
    };
    let kept = OutboundPlan::Passthrough {
        to,
        workload: None,
        service: None,
    };
    assert_eq!(outbound(&mesh, &query), Ok(kept));
}

#[test]
fn the_steps_name_the_objects_on_the_way() {
    let shop = Shop::default();
    let mesh = shop.mesh();
    let steps = |destination: &str, egress| {
        let destination = addr(destination);
        let query = OutboundQuery {
            source: &shop.source,
            destination,
            egress,
            pick: 0,
            avoid: None,
        };
        let said = |step: Step| (step.text, step.object.unwrap_or_default());
        explain_outbound(&mesh, &query)
            .steps
            .into_iter()
            .map(said)
            .collect::<Vec<_>>()
    };
    let step = |text: &str, object: &str| (text.to_owned(), object.to_owned());
    let web = "workload Kubernetes//Pod/shop/web";
    let tunnel = "tunnel to 10.0.0.1:15008, asking for 10.0.0.1:8080, expecting \
                  spiffe://cluster.local/ns/shop/sa/web";
    assert_eq!(
        steps("10.96.0.1:80", EgressMode::AllowAny),
        [
            step(
                "10.96.0.1:80 is the service's",
                "service shop/web.shop.svc.cluster.local"
            ),
            step("endpoint at 10.0.0.1:8080, one of 1", web),
            step(tunnel, web),
        ]
    );
    assert_eq!(
        steps("192.0.2.1:443", EgressMode::RegistryOnly),
        [
            step("nothing in the mesh has the address 192.0.2.1:443", ""),
            step(
                "refused: unknown_destination: Kubernetes//Pod/shop/client asks for \
                 192.0.2.1:443, egress is REGISTRY_ONLY",
                ""
            ),
        ]
    );
}
