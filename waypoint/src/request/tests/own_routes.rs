//! Routes that a client's own namespace has written: they do not get a request past what judges it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ambit_jwt::testing::{Signer, key_set};
use ambit_model::{
    BackendTarget, Change, ClaimHeader, Condition, FaultDelay, Faults, GatewayAddress,
    HeaderChanges, Health, HttpFilters, HttpRule, JwtRule, Mirror, NetworkAddress, Operation,
    PathChange, Policy, PolicyName, PortMapping, RequestAction, RequestAuthentication, RequestRule,
    Rewrite, RouteList, Service, ServicePort, ServiceRoutes, Share, Workload,
};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::virtual_services::of_backends;
use crate::fixtures::{
    about_requests, bound, call, empty, endpoint, name, routed, service, written_in,
};
use crate::scene::{Peer, Scene, rest, soon};

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A rule of the namespace `team` that sends `/made` in place of whatever was asked for.
fn of_team(faults: Option<Faults>) -> Change {
    let rewrite = Rewrite {
        host: None,
        path: Some(PathChange::Full("/made".into())),
    };
    let rule = HttpRule {
        filters: HttpFilters {
            rewrite: Some(rewrite),
            ..HttpFilters::default()
        },
        faults,
        ..HttpRule::default()
    };
    by_team(routed(&["server"], rule))
}

/// The same routes, of namespace `team`.
fn by_team(routes: Change) -> Change {
    let Change::PutRoutes(routes) = written_in("team", routes) else {
        panic!("no routes")
    };
    let mut routes = ServiceRoutes::clone(&routes);
    for of_port in routes.ports.values_mut() {
        let list = of_port.producer.take().unwrap();
        of_port.consumers.insert("team".into(), list);
    }
    Change::PutRoutes(Arc::new(routes))
}

/// With its requests led to this port of a service.
fn led_to(service: &str, to: u16) -> Change {
    let Change::PutRoutes(routes) = routed(&[service], HttpRule::default()) else {
        panic!("no routes")
    };
    let mut routes = ServiceRoutes::clone(&routes);
    for of_port in routes.ports.values_mut() {
        let Some(RouteList::Http(list)) = &mut of_port.producer else {
            panic!("no list")
        };
        let mut rule = HttpRule::clone(&list.rules[0]);
        for backend in &mut rule.backends {
            if let BackendTarget::Service { port, .. } = &mut backend.backend.target {
                *port = to;
            }
        }
        list.rules = vec![Arc::new(rule)];
    }
    Change::PutRoutes(Arc::new(routes))
}

/// A service on ports 80 and 81, with the endpoint `peer`, which lists no policy.
fn on_two_ports(short: &str, peer: &Peer) -> [Change; 2] {
    let Change::PutService(made) = service(short) else {
        panic!("no service")
    };
    let mut made = Service::clone(&made);
    let first = made.ports[0];
    made.ports.push(ServicePort {
        service_port: 81,
        ..first
    });
    let Change::PutWorkload(pod) = peer.serves(&format!("{short}-0"), short) else {
        panic!("no workload")
    };
    let mut pod = Workload::clone(&pod);
    for ports in pod.services.values_mut() {
        let first = ports[0];
        ports.push(PortMapping {
            service_port: 81,
            ..first
        });
    }
    [
        Change::PutService(Arc::new(made)),
        Change::PutWorkload(Arc::new(pod)),
    ]
}

/// That this port may not be asked for, bound to this.
fn denies(port: u16, target: &str) -> Change {
    let mut operation = Operation::default();
    operation.put("ports", &[&port.to_string()]).unwrap();
    let rule = RequestRule {
        to: vec![operation],
        ..RequestRule::default()
    };
    Change::PutPolicy(about_requests(
        "p",
        RequestAction::Deny,
        vec![rule],
        &[target],
    ))
}

/// What was asked for is judged before it is routed. What a route of the client's leads to is another thing.
#[tokio::test]
async fn they_do_not_lead_to_a_port_that_policy_refuses() {
    for target in ["server", "waypoint"] {
        for (port, status) in [(80, "403"), (81, "403"), (82, "200")] {
            let peer = Peer::start().await;
            let on_ports = on_two_ports("server", &peer);
            let to_other_port = by_team(led_to("server", 81));
            let changes = [to_other_port, denies(port, target)];
            let scene = Scene::new(on_ports.into_iter().chain(changes));
            assert_answer(peer, &scene, status, &format!("{target} {port}")).await;
        }
    }
}

/// Whoever writes it: servers outside of the mesh list no policies that would be looked at at an endpoint.
#[tokio::test]
async fn no_route_leads_past_what_is_bound_to_the_service_that_it_leads_to() {
    for by_client in [true, false] {
        for (allowed, status) in [("/came", "200"), ("/other", "403")] {
            let peer = Peer::start().await;
            let routes = led_to("other", 80);
            let routes = if by_client { by_team(routes) } else { routes };
            let scene = Scene::new([
                service("server"),
                service("other"),
                peer.serves("other-0", "other"),
                routes,
                Change::PutPolicy(allows(allowed, &["other"])),
            ]);
            assert_answer(peer, &scene, status, &format!("{by_client} {allowed}")).await;
        }
    }
}

/// The other waypoint would judge this one, and not the client. Whoever owns the service that is asked for may do so, and who
/// has been granted it; these are told here that nothing serves that waypoint.
#[tokio::test]
async fn they_do_not_lead_through_another_waypoint_that_would_not_know_the_client() {
    let of_kind = |kind: &str, routes: Change| {
        let Change::PutRoutes(routes) = routes else {
            panic!("no routes")
        };
        let mut routes = ServiceRoutes::clone(&routes);
        for list in routes.http_lists_mut() {
            for rule in &mut list.rules {
                let rule = Arc::make_mut(rule);
                rule.name = rule.name.replace("HTTPRoute", kind).into();
            }
        }
        Change::PutRoutes(Arc::new(routes))
    };
    for (kind, by_client, status) in [
        ("VirtualService", true, "403"),
        ("VirtualService", false, "503"),
        ("HTTPRoute", true, "503"),
    ] {
        let peer = Peer::start().await;
        let Change::PutService(other) = service("other") else {
            panic!("no service")
        };
        let other = Service {
            waypoint: Some(GatewayAddress::Service(name("second"), 15008)),
            ..Service::clone(&other)
        };
        let routes = led_to("other", 80);
        let routes = if by_client { by_team(routes) } else { routes };
        let scene = Scene::new([
            service("server"),
            service("second"),
            Change::PutService(Arc::new(other)),
            of_kind(kind, routes),
        ]);
        assert_answer(peer, &scene, status, &format!("{kind} {by_client}")).await;
        let reason = match status {
            "403" => "reason=\"route_not_granted\"",
            _ => "reason=\"no_waypoint\"",
        };
        let refused = scene.sum("ambit_refusals_total", &[reason]);
        assert!((refused - 1.0).abs() < f64::EPSILON, "{kind} {by_client}");
    }
}

/// A policy of the workload that allows does not stand in for one of its service that does not.
#[tokio::test]
async fn what_is_bound_to_a_service_has_to_allow_beside_what_holds_for_its_workload() {
    let peer = Peer::start().await;
    let Change::PutWorkload(pod) = peer.serves("other-0", "other") else {
        panic!("no workload")
    };
    let listing = Workload {
        policies: vec![PolicyName::new("shop", "bound")],
        ..Workload::clone(&pod)
    };
    let everybody = about_requests(
        "all",
        RequestAction::Allow,
        vec![RequestRule::default()],
        &[],
    );
    let mut bound = Policy::clone(&allows("/other", &["other"]));
    bound.name = PolicyName::new("shop", "bound");
    let scene = Scene::new([
        service("server"),
        service("other"),
        Change::PutWorkload(Arc::new(listing)),
        led_to("other", 80),
        Change::PutPolicy(everybody),
        Change::PutPolicy(Arc::new(bound)),
    ]);
    peer.answer(WELL);
    let answer = rest(&mut asking(&scene).await).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

/// A copy is written by the route as much as the request is.
#[tokio::test]
async fn they_do_not_copy_what_would_be_refused() {
    let to = |short: &str, port: u16| Mirror {
        target: BackendTarget::Service {
            name: name(short),
            port,
            subset: None,
        },
        share: 1,
        of: 1,
        shadow: false,
    };
    for (mirror, policy, copies) in [
        (
            to("copies", 80),
            Change::PutPolicy(allows("/came", &["server"])),
            0,
        ),
        (
            to("copies", 80),
            Change::PutPolicy(allows("/other", &["copies"])),
            0,
        ),
        (to("copies", 81), denies(81, "copies"), 0),
        (to("copies", 81), denies(81, "waypoint"), 0),
        (
            to("copies", 80),
            Change::PutPolicy(allows("/*", &["server", "copies"])),
            1,
        ),
    ] {
        let (server, copied) = (Peer::start().await, Peer::start().await);
        // The rule's own change is undone where the request itself goes.
        let rewrite = |path: &str| {
            Some(Rewrite {
                host: None,
                path: Some(PathChange::Full(path.into())),
            })
        };
        let rule = HttpRule {
            filters: HttpFilters {
                rewrite: rewrite("/made"),
                mirrors: vec![mirror],
                ..HttpFilters::default()
            },
            ..HttpRule::default()
        };
        let Change::PutRoutes(routes) = routed(&["server"], rule) else {
            panic!("no routes")
        };
        let mut routes = ServiceRoutes::clone(&routes);
        for of_port in routes.ports.values_mut() {
            if let Some(RouteList::Http(list)) = &mut of_port.producer {
                let mut rule = HttpRule::clone(&list.rules[0]);
                rule.backends[0].filters.rewrite = rewrite("/came");
                list.rules = vec![Arc::new(rule)];
            }
        }
        let serves = on_two_ports("copies", &copied);
        let scene = Scene::new(serves.into_iter().chain([
            service("server"),
            server.serves("server-0", "server"),
            by_team(Change::PutRoutes(Arc::new(routes))),
            policy,
        ]));
        server.answer(WELL);
        let count = copied.answer(WELL);
        let answer = rest(&mut asking(&scene).await).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let refused = async {
            let by_policy = || scene.sum("ambit_refusals_total", &[]);
            while by_policy() < 1.0 && count.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        soon(refused).await;
        assert_eq!(count.load(Ordering::Relaxed), copies);
    }
}

/// Tokens that are verified by what a route leads to.
#[tokio::test]
async fn no_route_leads_past_the_tokens_of_the_service_that_it_leads_to() {
    let authentication = tokens();
    let Change::PutService(plain) = service("other") else {
        panic!("no service")
    };
    let judging = Service {
        authentications: vec![authentication.name.clone()],
        ..Service::clone(&plain)
    };
    for (sent, status) in [("Authorization: Bearer a.b.c\r\n", "401"), ("", "200")] {
        let peer = Peer::start().await;
        let scene = Scene::new([
            service("server"),
            Change::PutService(Arc::new(judging.clone())),
            Change::PutAuthentication(Arc::new(authentication.clone())),
            peer.serves("other-0", "other"),
            by_team(led_to("other", 80)),
        ]);
        let mut call = call("10.0.0.9:4000");
        let id = "spiffe://cluster.local/ns/team/sa/client";
        call.client.identity = Some(id.parse().unwrap());
        let mut client = scene.client_of(call);
        let request = format!(
            "GET /came HTTP/1.1\r\nHost: s\r\nx-sub: admin\r\n{sent}Connection: close\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        if status == "200" {
            // What clients say in headers that are made of claims is taken away.
            let (mut endpoint, head) = peer.asked().await;
            assert!(!head.contains("x-sub"), "{head}");
            endpoint.write_all(WELL.as_bytes()).await.unwrap();
        }
        let answer = rest(&mut client).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

fn tokens() -> RequestAuthentication {
    RequestAuthentication {
        name: PolicyName::new("shop", "tokens"),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            jwks: Some(key_set(&[Signer::edwards().public("one")]).into()),
            output_claim_to_headers: vec![ClaimHeader {
                header: "x-sub".into(),
                claim: "sub".into(),
            }],
            ..JwtRule::default()
        }],
    }
}

/// That only this path may be asked for, bound to these.
fn allows(path: &str, targets: &[&str]) -> Arc<Policy> {
    let mut operation = Operation::default();
    operation.put("paths", &[path]).unwrap();
    let rule = RequestRule {
        to: vec![operation],
        ..RequestRule::default()
    };
    about_requests("p", RequestAction::Allow, vec![rule], targets)
}

/// Asks for `/came`, which the endpoint answers well.
async fn assert_answer(peer: Peer, scene: &Scene, status: &str, case: &str) {
    peer.answer(WELL);
    let answer = rest(&mut asking(scene).await).await;
    let expected = format!("HTTP/1.1 {status}");
    assert!(answer.starts_with(&expected), "{case}: {answer}");
}

/// A client of that namespace that has asked for `/came`.
async fn asking(scene: &Scene) -> DuplexStream {
    let mut call = call("10.0.0.9:4000");
    let id = "spiffe://cluster.local/ns/team/sa/client";
    call.client.identity = Some(id.parse().unwrap());
    let mut client = scene.client_of(call);
    let request = "GET /came HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test]
async fn they_put_nothing_else_in_place_of_what_was_judged() {
    let peer = Peer::start().await;
    let mut scene = Scene::new([
        service("server"),
        peer.serves("server-0", "server"),
        of_team(None),
    ]);
    peer.answer(WELL);
    for targets in [&[][..], &["server"], &["waypoint"]] {
        for (allowed, status) in [("/came", "403"), ("/*", "200")] {
            scene.apply(Change::PutPolicy(allows(allowed, targets)));
            let answer = rest(&mut asking(&scene).await).await;
            let expected = format!("HTTP/1.1 {status}");
            assert!(
                answer.starts_with(&expected),
                "{targets:?} {allowed}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn what_they_change_for_a_backend_is_judged_too() {
    let set = |value: &str| HttpFilters {
        request_headers: HeaderChanges {
            set: vec![("x-team".into(), value.into())],
            ..HeaderChanges::default()
        },
        ..HttpFilters::default()
    };
    // The rule has the last word, in what is judged as in what is sent.
    for (of_rule, of_backend, status) in [
        (None, "forged", "403"),
        (None, "own", "200"),
        (Some("forged"), "own", "403"),
        (Some("own"), "forged", "200"),
    ] {
        let rule = HttpRule {
            filters: of_rule.map(set).unwrap_or_default(),
            ..HttpRule::default()
        };
        let changing = of_backends(routed(&["server"], rule), |backend| {
            backend.filters = set(of_backend);
        });
        let (key, none): (_, [&str; 0]) = ("request.headers[x-team]", []);
        let condition = Condition::parse(key, &["forged"], &none, &"shop".into());
        let rule = RequestRule {
            when: vec![condition.unwrap()],
            ..RequestRule::default()
        };
        let peer = Peer::start().await;
        let scene = Scene::new([
            service("server"),
            peer.serves("server-0", "server"),
            by_team(changing),
            Change::PutPolicy(about_requests(
                "p",
                RequestAction::Deny,
                vec![rule],
                &["server"],
            )),
        ]);
        let case = format!("{of_rule:?} {of_backend}");
        assert_answer(peer, &scene, status, &case).await;
    }
}

/// What another waypoint is sent is judged there. Here nothing is bound to it, and what holds for its own pods is about
/// those who call these.
#[tokio::test]
async fn what_they_change_for_a_service_of_another_waypoint_is_judged_there() {
    let set = HttpFilters {
        request_headers: HeaderChanges {
            set: vec![("x-team".into(), "forged".into())],
            ..HeaderChanges::default()
        },
        ..HttpFilters::default()
    };
    let changing = HttpRule {
        filters: set,
        ..HttpRule::default()
    };
    let (key, none): (_, [&str; 0]) = ("request.headers[x-team]", []);
    let condition = Condition::parse(key, &["forged"], &none, &"shop".into());
    let rule = RequestRule {
        when: vec![condition.unwrap()],
        ..RequestRule::default()
    };
    let forged = about_requests("p", RequestAction::Deny, vec![rule], &[]);
    for (waypoint, reason) in [("second", "no_certificate"), ("waypoint", "policy_denied")] {
        let Change::PutService(cart) = bound("cart", Some(waypoint)) else {
            panic!("no service")
        };
        let vip = NetworkAddress {
            network: "".into(),
            address: "10.96.0.2".parse().unwrap(),
        };
        let cart = Service {
            vips: vec![(vip, 32)],
            ..Service::clone(&cart)
        };
        let pod = |of: &str, at: &str| endpoint(&format!("{of}-0"), of, at, Health::Healthy);
        let scene = Scene::new([
            service("server"),
            Change::PutService(Arc::new(cart)),
            service("second"),
            pod("second", "10.1.0.6"),
            pod("waypoint", "10.1.0.5"),
            pod("cart", "10.1.0.7"),
            by_team(routed(&["cart"], changing.clone())),
            Change::PutPolicy(Arc::clone(&forged)),
        ]);
        // There is no tunnel without a certificate, which this waypoint has not got.
        let answer = rest(&mut asking(&scene).await).await;
        let label = format!("reason=\"{reason}\"");
        assert!(
            scene.sum("ambit_refusals_total", &[&label]) >= 1.0,
            "{waypoint}: {answer}"
        );
    }
}

#[tokio::test]
async fn they_are_not_trusted_either_when_they_are_gone_while_their_request_waits() {
    let delay = FaultDelay {
        of: Share { share: 1, of: 1 },
        fixed: Duration::from_secs(1),
    };
    let faults = Faults {
        delay: Some(delay),
        abort: None,
    };
    for targets in [&[][..], &["server"]] {
        let peer = Peer::start().await;
        let mut scene = Scene::new([
            service("server"),
            peer.serves("server-0", "server"),
            of_team(Some(faults.clone())),
            Change::PutPolicy(allows("/came", targets)),
        ]);
        peer.answer(WELL);
        let mut client = asking(&scene).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        scene.apply(empty("server"));
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{targets:?}: {answer}");
    }
}

#[tokio::test]
async fn they_do_not_write_tokens_in_place_of_those_that_endpoints_verify() {
    let peer = Peer::start().await;
    let authentication = tokens();
    let Change::PutWorkload(plain) = peer.serves("server-0", "server") else {
        panic!("no workload")
    };
    let judging = Workload {
        authentications: vec![authentication.name.clone()],
        ..Workload::clone(&plain)
    };
    let mut scene = Scene::new([
        service("server"),
        Change::PutAuthentication(Arc::new(authentication)),
        Change::PutWorkload(Arc::new(judging)),
        of_team(None),
    ]);
    peer.answer(WELL);
    let answer = rest(&mut asking(&scene).await).await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    scene.apply(empty("server"));
    let answer = rest(&mut asking(&scene).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The owner of a service has its routes, but no say in what is bound to those of other namespaces.
#[tokio::test]
async fn what_another_namespace_changes_is_judged_as_it_is_sent_where_it_is_led() {
    let rewrite = Rewrite {
        host: None,
        path: Some(PathChange::Full("/made".into())),
    };
    let filters = HttpFilters {
        rewrite: Some(rewrite),
        ..HttpFilters::default()
    };
    for (writer, allowed, status) in [
        ("evil", "/came", "403"),
        ("evil", "/made", "403"),
        ("evil", "/*", "200"),
        ("shop", "/came", "200"),
        ("shop", "/made", "403"),
    ] {
        let peer = Peer::start().await;
        let rule = HttpRule {
            filters: filters.clone(),
            ..HttpRule::default()
        };
        let scene = Scene::new([
            service("server"),
            service("other"),
            peer.serves("other-0", "other"),
            written_in(writer, routed(&["other"], rule)),
            Change::PutPolicy(allows(allowed, &["other"])),
        ]);
        let case = format!("{writer} {allowed}");
        assert_answer(peer, &scene, status, &case).await;
    }
}

/// What was asked for is judged before it is routed, with the port of that.
#[tokio::test]
async fn where_another_namespace_leads_what_is_bound_to_the_waypoint_is_judged_once_more() {
    for (writer, status) in [("evil", "403"), ("shop", "200")] {
        let peer = Peer::start().await;
        let on_ports = on_two_ports("other", &peer);
        let routes = written_in(writer, led_to("other", 81));
        let changes = [service("server"), routes, denies(81, "waypoint")];
        let scene = Scene::new(on_ports.into_iter().chain(changes));
        let case = writer.to_string();
        assert_answer(peer, &scene, status, &case).await;
    }
}
