use std::net::SocketAddr;

use ambit_model::{
    Action, Clause, Match, NetworkAddress, Policy, PortMapping, Rule, Service, StringMatch,
};

use super::*;
use crate::authorize::Admission;
use crate::fixtures::{
    addr, endpoint_of, id, ip, mesh, policy, service, service_name, waypoint, workload,
};
use crate::refusal::Reason;
use crate::{explain_inbound, inbound};

/// Address and service account of the waypoint's pod.
const GATE: (&str, &str) = ("10.0.0.21", "gate");

/// A captured pod that serves `web` on 8080 and is bound to no waypoint, a waypoint of one pod,
/// and a pod of the same service account that is no part of it.
struct Shop {
    web: Workload,
    services: Vec<Service>,
    gate: Workload,
    policies: Vec<Policy>,
    /// Whether the service, or else the pod, was bound until a moment ago.
    was_bound: Option<bool>,
}

impl Default for Shop {
    fn default() -> Self {
        let mut gate = workload("gate-1", &[GATE.0, "fd00::21"]);
        gate.service_account = GATE.1.into();
        gate.services.insert(service_name("waypoint"), Vec::new());
        let mut web = endpoint_of("web", workload("web", &["10.0.0.1"]));
        web.applicable_policies = Some(Vec::new());
        Self {
            web,
            services: vec![
                service("web", &["10.96.0.1"]),
                service("waypoint", &["10.96.0.2"]),
            ],
            gate,
            policies: Vec::new(),
            was_bound: None,
        }
    }
}

impl Shop {
    fn bound_itself() -> Self {
        let mut shop = Self::default();
        shop.web.waypoint = waypoint();
        shop
    }

    fn bound_by_service() -> Self {
        let mut shop = Self::default();
        shop.services[0].waypoint = waypoint();
        shop
    }

    fn under(policies: &[Policy]) -> Self {
        Self {
            policies: policies.to_vec(),
            ..Self::bound_itself()
        }
    }

    fn ask(
        &self,
        destination: SocketAddr,
        source: &str,
        account: Option<&str>,
    ) -> Result<Admission, Reason> {
        let namesake = Workload {
            service_account: GATE.1.into(),
            ..workload("namesake", &["10.0.0.30"])
        };
        let workloads = [self.web.clone(), self.gate.clone(), namesake];
        let mut mesh = mesh(workloads, self.services.clone(), self.policies.clone());
        match self.was_bound {
            Some(true) => mesh.keep_former_of(&service_name("web"), waypoint().into_iter()),
            Some(false) => mesh.keep_former_of_workload(&self.web.uid, waypoint().into_iter()),
            None => {}
        }
        let peer = account.map(|account| id("shop", account));
        let query = InboundQuery {
            workload: &self.web,
            destination,
            source: ip(source),
            peer: peer.as_ref(),
        };
        let decided = inbound(&mesh, &query);
        let explained = explain_inbound(&mesh, &query);
        assert_eq!(explained.outcome, decided, "explaining changes nothing");
        decided.map_err(|refusal| refusal.reason)
    }

    /// Asks for port 8080 as the waypoint does.
    fn ask_as_gate(&self) -> Result<Admission, Reason> {
        self.ask(addr("10.0.0.1:8080"), GATE.0, Some(GATE.1))
    }

    fn knows_its_waypoint(&self) -> bool {
        self.ask_as_gate().unwrap().from_waypoint
    }
}

#[test]
fn a_waypoint_is_known_by_identity_and_address_both() {
    for shop in [Shop::bound_itself(), Shop::bound_by_service()] {
        let cases = [
            ("the waypoint", GATE.0, Some("gate"), true),
            ("its other address", "fd00::21", Some("gate"), true),
            ("written as IPv6", "::ffff:10.0.0.21", Some("gate"), true),
            ("its address alone", GATE.0, Some("client"), false),
            ("its address in plaintext", GATE.0, None, false),
            ("its identity from a pod", "10.0.0.30", Some("gate"), false),
            ("from nowhere", "192.0.2.1", Some("gate"), false),
            ("a client", "10.0.0.9", Some("client"), false),
        ];
        for (name, source, account, expected) in cases {
            let admission = shop.ask(addr("10.0.0.1:8080"), source, account).unwrap();
            assert_eq!(admission.from_waypoint, expected, "{name}");
        }
    }
}

#[test]
fn a_service_s_waypoint_stands_in_front_of_the_service_s_port_only() {
    let gate = |shop: &Shop, port: u16| {
        let destination = SocketAddr::new(ip("10.0.0.1"), port);
        let admission = shop.ask(destination, GATE.0, Some(GATE.1)).unwrap();
        admission.from_waypoint
    };
    let by_service = Shop::bound_by_service();
    assert!(gate(&by_service, 8080));
    assert!(!gate(&by_service, 9090), "no service reaches it there");
    let itself = Shop::bound_itself();
    assert!(gate(&itself, 8080) && gate(&itself, 9090));
    assert!(!Shop::default().knows_its_waypoint(), "bound to nothing");

    let mut two = Shop::bound_by_service();
    let admin = PortMapping {
        service_port: 81,
        target_port: 9090,
    };
    two.web.services.insert(service_name("admin"), vec![admin]);
    two.services.push(service("admin", &["10.96.0.3"]));
    assert!(!gate(&two, 9090), "that service is not bound");
    two.services[2].waypoint = waypoint();
    assert!(gate(&two, 9090));
    two.web.namespace = "bank".into();
    assert!(!gate(&two, 9090), "that service is somebody else's");
}

#[test]
fn a_waypoint_may_be_named_by_the_address_of_its_service_or_its_own() {
    for (text, expected) in [
        ("10.96.0.2", true),
        (GATE.0, true),
        ("10.96.0.1", false),
        ("10.0.0.30", false),
        ("192.0.2.1", false),
    ] {
        let address = NetworkAddress {
            network: "".into(),
            address: ip(text),
        };
        let mut shop = Shop::default();
        shop.web.waypoint = Some(GatewayAddress::Address(address, 15008));
        assert_eq!(shop.knows_its_waypoint(), expected, "{text}");
    }
}

#[test]
fn a_workload_kept_to_its_waypoint_refuses_everybody_else() {
    for mut shop in [Shop::bound_itself(), Shop::bound_by_service()] {
        shop.web.waypoint_only = true;
        assert!(shop.knows_its_waypoint());
        let refused = Err(Reason::WaypointRequired);
        for (source, account) in [
            ("10.0.0.9", Some("client")),
            ("10.0.0.30", Some("gate")),
            (GATE.0, Some("client")),
            (GATE.0, None),
            ("10.0.0.9", None),
        ] {
            let asked = shop.ask(addr("10.0.0.1:8080"), source, account);
            assert_eq!(asked, refused, "{account:?} from {source}");
        }
        shop.gate.services.clear();
        assert_eq!(shop.ask_as_gate(), refused, "no endpoint any more");
    }
    let mut unbound = Shop::default();
    unbound.web.waypoint_only = true;
    assert_eq!(unbound.ask_as_gate(), Err(Reason::WaypointRequired));
}

#[test]
fn missing_policies_and_wrong_destinations_are_said_before_the_waypoint() {
    let mut shop = Shop::bound_itself();
    shop.web.waypoint_only = true;
    let client = |shop: &Shop, to: &str| shop.ask(addr(to), "10.0.0.9", Some("client"));
    assert_eq!(
        client(&shop, "10.0.0.2:8080"),
        Err(Reason::WrongDestination)
    );
    assert_eq!(client(&shop, "10.0.0.1:15006"), Err(Reason::SelfCall));
    shop.web.policies = vec![ambit_model::PolicyName::new("shop", "missing")];
    assert_eq!(client(&shop, "10.0.0.1:8080"), Err(Reason::PoliciesUnknown));
    assert_eq!(shop.ask_as_gate(), Err(Reason::PoliciesUnknown));
}

fn one(matched: Match) -> Vec<Rule> {
    let matches = vec![matched];
    vec![Rule {
        clauses: vec![Clause { matches }],
    }]
}

fn of_client() -> Match {
    Match {
        principals: vec![StringMatch::Exact("cluster.local/ns/shop/sa/client".into())],
        source_ips: vec!["10.0.0.9/32".parse().unwrap()],
        ..Match::default()
    }
}

fn of_port(port: u16) -> Match {
    Match {
        destination_ports: vec![port],
        ..Match::default()
    }
}

fn of_both(port: u16) -> Match {
    Match {
        destination_ports: vec![port],
        ..of_client()
    }
}

#[test]
fn what_policies_say_of_clients_is_the_waypoint_s_to_judge_and_the_rest_is_judged_here() {
    let no_identity = Match {
        not_principals: vec![StringMatch::Presence],
        ..Match::default()
    };
    let unsupported = Match {
        unsupported: true,
        ..of_client()
    };
    let (allow, deny) = (Action::Allow, Action::Deny);
    let (no_allow, denied) = (Err(Reason::NoMatchingAllow), Err(Reason::PolicyDenied));
    let cases = [
        ("ALLOW the client", allow, one(of_client()), Ok(())),
        ("DENY the client", deny, one(of_client()), Ok(())),
        ("STRICT", deny, one(no_identity), Ok(())),
        ("ALLOW the port", allow, one(of_port(8080)), Ok(())),
        ("DENY the port", deny, one(of_port(8080)), denied),
        ("ALLOW another port", allow, one(of_port(9)), no_allow),
        ("ALLOW the client here", allow, one(of_both(8080)), Ok(())),
        ("ALLOW it elsewhere", allow, one(of_both(9)), no_allow),
        ("DENY the client here", deny, one(of_both(8080)), Ok(())),
        ("ALLOW nobody", allow, Vec::new(), no_allow),
        ("DENY everybody", deny, vec![Rule::default()], denied),
        (
            "ALLOW, not known",
            allow,
            one(unsupported.clone()),
            no_allow,
        ),
        ("DENY, not known", deny, one(unsupported), denied),
    ];
    for (name, action, rules, expected) in cases {
        let shop = Shop::under(&[policy("p", action, rules)]);
        assert_eq!(shop.ask_as_gate().map(drop), expected, "{name}");
    }
}

#[test]
fn the_waypoint_of_others_is_judged_as_who_it_is() {
    let allow_client = policy("allow", Action::Allow, one(of_client()));
    let mut shop = Shop::under(&[allow_client]);
    assert!(shop.knows_its_waypoint());
    shop.web.waypoint = Some(GatewayAddress::Service(service_name("other"), 15008));
    assert_eq!(shop.ask_as_gate(), Err(Reason::NoMatchingAllow));
}

#[test]
fn a_waypoint_that_was_its_own_until_a_moment_ago_still_is_and_nobody_else() {
    for was_bound in [true, false] {
        let mut shop = Shop::under(&[policy("allow", Action::Allow, one(of_client()))]);
        shop.web.waypoint = None;
        assert_eq!(shop.ask_as_gate(), Err(Reason::NoMatchingAllow));
        shop.was_bound = Some(was_bound);
        assert!(shop.knows_its_waypoint());
        let elsewhere = shop.ask(addr("10.0.0.1:9090"), GATE.0, Some(GATE.1));
        assert_eq!(elsewhere.is_ok(), !was_bound, "the service's port only");
        // Also where only waypoints are let in: it judges by the same policies.
        shop.web.waypoint_only = true;
        assert!(shop.knows_its_waypoint());
        for (source, account) in [
            ("10.0.0.9", "client"),
            ("10.0.0.30", "gate"),
            (GATE.0, "client"),
        ] {
            let asked = shop.ask(addr("10.0.0.1:8080"), source, Some(account));
            assert_eq!(asked, Err(Reason::WaypointRequired), "{account}");
        }
        // Bound to another meanwhile, that one is too.
        shop.web.waypoint = Some(GatewayAddress::Service(service_name("other"), 15008));
        assert!(shop.knows_its_waypoint());
    }
}

#[test]
fn a_waypoint_under_a_foreign_control_plane_judges_nobody_and_is_believed_about_addresses() {
    let mut shop = Shop::under(&[policy("allow", Action::Allow, one(of_client()))]);
    shop.web.applicable_policies = None;
    assert_eq!(shop.ask_as_gate(), Err(Reason::NoMatchingAllow));
    shop.policies = vec![policy("deny", Action::Deny, one(of_client()))];
    assert!(shop.knows_its_waypoint());
}

#[test]
fn the_steps_name_the_waypoint() {
    let shop = Shop::under(&[policy("allow", Action::Allow, one(of_client()))]);
    let workloads = [shop.web.clone(), shop.gate.clone()];
    let mesh = mesh(workloads, shop.services, shop.policies);
    let peer = id("shop", GATE.1);
    let query = InboundQuery {
        workload: &shop.web,
        destination: addr("10.0.0.1:8080"),
        source: ip(GATE.0),
        peer: Some(&peer),
    };
    let steps = explain_inbound(&mesh, &query).steps;
    let said: Vec<_> = steps
        .iter()
        .map(|step| (step.text.as_str(), step.object.as_deref().unwrap()))
        .collect();
    assert_eq!(
        said[1..],
        [
            (
                "is the workload's own waypoint, which judges clients",
                "workload Kubernetes//Pod/shop/gate-1"
            ),
            ("ALLOW policy matches, clients apart", "policy shop/allow"),
            ("admitted", "policy shop/allow"),
        ]
    );
}

#[test]
fn who_is_an_endpoint_of_a_port_for_tunnels_looks_like_a_waypoint() {
    let mut gate = Shop::default().gate;
    let looks = |gate: &Workload, source: &str, account: &str| {
        let mesh = mesh([gate.clone()], [], []);
        looks_like_waypoint(&mesh, ip(source), &id("shop", account))
    };
    assert!(!looks(&gate, GATE.0, GATE.1), "no port of it");
    let tunnels = PortMapping {
        service_port: 15008,
        target_port: 15008,
    };
    gate.services
        .insert(service_name("waypoint"), vec![tunnels]);
    assert!(looks(&gate, GATE.0, GATE.1));
    assert!(!looks(&gate, GATE.0, "client"));
    assert!(!looks(&gate, "10.0.0.9", GATE.1));
}

#[test]
fn what_is_left_of_a_policy_about_requests_decides_about_the_own_waypoint_and_nobody_else() {
    let port = |port| {
        let matches = vec![Match {
            destination_ports: vec![port],
            ..Match::default()
        }];
        vec![Rule {
            clauses: vec![Clause { matches }],
        }]
    };
    let everything = || vec![Rule::default()];
    // Of a policy about requests others see: an ALLOW that never matches, a DENY that always does.
    let cases = [
        (Action::Allow, everything(), Ok(())),
        (Action::Allow, port(8080), Ok(())),
        (Action::Allow, port(9090), Err(Reason::NoMatchingAllow)),
        (Action::Allow, Vec::new(), Err(Reason::NoMatchingAllow)),
        (Action::Deny, Vec::new(), Ok(())),
        (Action::Deny, port(9090), Ok(())),
        (Action::Deny, port(8080), Err(Reason::PolicyDenied)),
        (Action::Deny, everything(), Err(Reason::PolicyDenied)),
    ];
    for (action, behind, wanted) in cases {
        let (rules, others) = match action {
            Action::Allow => (Vec::new(), Reason::NoMatchingAllow),
            Action::Deny => (everything(), Reason::PolicyDenied),
        };
        let policy = Policy {
            behind: Some(behind.clone()),
            ..policy("requests", action, rules)
        };
        let shop = Shop::under(&[policy]);
        let case = format!("{action:?} {behind:?}");
        assert_eq!(shop.ask_as_gate().map(drop), wanted, "{case}");
        let (web, around) = (addr("10.0.0.1:8080"), "10.0.0.9");
        for account in [Some("client"), None] {
            assert_eq!(shop.ask(web, around, account), Err(others), "{case}");
        }
    }
}
