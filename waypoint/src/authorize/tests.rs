//! Where a policy is judged, and by what of a request.

use std::time::Instant;

use ambit_decide::Reason;
use ambit_model::{
    Change, Clause, Health, HttpFilters, HttpRule, Match, NetworkAddress, Operation, PathChange,
    PortMapping, RequestAction, RequestRule, Rewrite, Rule, Service, StringMatch,
};
use http::Request as HttpRequest;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::fixtures::{about_requests, bound, call, empty, endpoint, name, routed, service};
use crate::scene::{Peer, Scene, rest};
use crate::view::Destination;

/// A rule of one field of an operation.
fn to(field: &str, value: &str) -> RequestRule {
    let mut operation = Operation::default();
    operation.put(field, &[value]).unwrap();
    RequestRule {
        to: vec![operation],
        ..RequestRule::default()
    }
}

/// The services `server` (bound to this waypoint) and `cart`, each with a pod, under these policies.
fn view(policies: impl IntoIterator<Item = Arc<Policy>>) -> View {
    let mut view = View::new(name("waypoint"), "10.0.0.1".parse().unwrap());
    let known = [
        bound("server", Some("waypoint")),
        empty("server"),
        service("cart"),
        pod("server", "10.0.0.2", &[]),
        pod("cart", "10.0.0.3", &[]),
    ];
    let policies = policies.into_iter().map(Change::PutPolicy);
    for change in known.into_iter().chain(policies) {
        view.apply(change, Instant::now());
    }
    view
}

fn pod(service: &str, address: &str, policies: &[&str]) -> Change {
    let pod = endpoint(&format!("{service}-0"), service, address, Health::Healthy);
    let Change::PutWorkload(workload) = pod else {
        panic!("no workload")
    };
    let listed = policies.iter();
    Change::PutWorkload(Arc::new(Workload {
        policies: listed
            .map(|policy| PolicyName::new("shop", *policy))
            .collect(),
        ..Workload::clone(&workload)
    }))
}

fn head(request: http::request::Builder) -> Parts {
    request.body(()).unwrap().into_parts().0
}

/// What is said of a request for `server` before it is routed, and at a pod of this service.
fn judged(
    view: &View,
    asking: &Asking<'_>,
    service: &str,
) -> (Result<(), Reason>, Result<(), Reason>) {
    let reason = |refusal: Refusal| refusal.reason;
    let first = asking.before_routing(view).map(drop).map_err(reason);
    let workload = view.mesh.endpoints(&name(service)).next().unwrap();
    let address = SocketAddr::new(workload.addresses[0], 8080);
    let then = asking.at_endpoint(view, workload, address, 80);
    (first, then.map(drop).map_err(reason))
}

#[test]
fn what_is_bound_is_judged_before_routing_and_the_rest_at_the_endpoint() {
    let denied = Err(Reason::PolicyDenied);
    let deny = |targets: &[&str]| {
        let rules = vec![to("paths", "/admin*")];
        about_requests("p", RequestAction::Deny, rules, targets)
    };
    let (call, head) = (
        call("10.0.0.9:4000"),
        head(HttpRequest::get("/admin/x").header("host", "server")),
    );
    let asking = Asking::request(&call, &head, None);
    for (targets, wanted) in [
        (&["server"][..], (denied, Ok(()))),
        (&["waypoint"], (denied, Ok(()))),
        (&["waypoint", "server"], (denied, Ok(()))),
        (&[], (Ok(()), denied)),
    ] {
        let view = view([deny(targets)]);
        assert_eq!(judged(&view, &asking, "server"), wanted, "{targets:?}");
    }
    // One that was bound to what a route leads to, and not to what was asked for.
    let mut view = view([deny(&["cart"])]);
    assert_eq!(judged(&view, &asking, "cart"), (Ok(()), Ok(())));
    view.apply(pod("cart", "10.0.0.3", &["p"]), Instant::now());
    assert_eq!(judged(&view, &asking, "cart"), (Ok(()), denied));
}

#[test]
fn each_place_has_an_allow_of_its_own() {
    let allow = |short: &str, path: &str, targets: &[&str]| {
        about_requests(
            short,
            RequestAction::Allow,
            vec![to("paths", path)],
            targets,
        )
    };
    let view = view([
        allow("bound", "/a*", &["server"]),
        allow("own", "/ab*", &[]),
    ]);
    let missed = Err(Reason::NoMatchingAllow);
    let call = call("10.0.0.9:4000");
    for (path, wanted) in [
        ("/abc", (Ok(()), Ok(()))),
        ("/a", (Ok(()), missed)),
        ("/c", (missed, missed)),
    ] {
        let head = head(HttpRequest::get(path));
        let asking = Asking::request(&call, &head, None);
        assert_eq!(judged(&view, &asking, "server"), wanted, "{path}");
    }
    // A connection has no path; on one of HTTP there may be a request that is allowed.
    let connection = Asking::connection(&call, None);
    assert_eq!(judged(&view, &connection, "server"), (missed, missed));
    let any = Asking::any_request(&call);
    assert_eq!(judged(&view, &any, "server"), (Ok(()), Ok(())));
}

#[test]
fn the_port_of_what_is_bound_is_the_services_and_of_the_rest_the_pods() {
    let deny = |port: &str, targets: &[&str]| {
        let rules = vec![to("ports", port)];
        about_requests("p", RequestAction::Deny, rules, targets)
    };
    let (call, head) = (call("10.0.0.9:4000"), head(HttpRequest::get("/")));
    let asking = Asking::request(&call, &head, None);
    let denied = Err(Reason::PolicyDenied);
    for (port, targets, wanted) in [
        ("80", &["server"][..], (denied, Ok(()))),
        ("8080", &["server"], (Ok(()), Ok(()))),
        ("80", &[], (Ok(()), Ok(()))),
        ("8080", &[], (Ok(()), denied)),
    ] {
        let view = view([deny(port, targets)]);
        assert_eq!(
            judged(&view, &asking, "server"),
            wanted,
            "{port} {targets:?}"
        );
    }
    // Reached by a route, the port of the service that it leads to.
    let mut view = view([deny("80", &["cart"])]);
    view.apply(pod("cart", "10.0.0.3", &["p"]), Instant::now());
    assert_eq!(judged(&view, &asking, "cart"), (Ok(()), denied));
}

#[test]
fn requests_are_judged_by_their_authority_every_line_of_headers_and_the_case_of_their_method() {
    let condition = |value: &str| {
        let (key, none): (_, [&str; 0]) = ("request.headers[x-role]", []);
        let header = ambit_model::Condition::parse(key, &[value], &none, &"shop".into());
        RequestRule {
            when: vec![header.unwrap()],
            ..RequestRule::default()
        }
    };
    let twice = || {
        let request = HttpRequest::get("/").header("x-role", "user");
        request.header("x-role", "admin")
    };
    let absolute = || HttpRequest::get("http://Bank:8080/").header("host", "shop");
    let cases = [
        (to("hosts", "bank"), absolute(), true),
        (to("hosts", "shop"), absolute(), false),
        (
            to("hosts", "shop"),
            HttpRequest::get("/").header("host", "SHOP:80"),
            true,
        ),
        (condition("admin"), twice(), true),
        (condition("user"), twice(), true),
        (condition("other"), twice(), false),
        (condition("user,admin"), twice(), true),
        (condition("*admin"), twice(), true),
        (to("methods", "GET"), HttpRequest::get("/"), true),
        (
            to("methods", "GET"),
            HttpRequest::builder().method("get"),
            false,
        ),
        (to("paths", "/a"), HttpRequest::get("/a?b"), true),
    ];
    let call = call("10.0.0.9:4000");
    for (rule, request, matched) in cases {
        let case = format!("{rule:?} {request:?}");
        let deny = about_requests("p", RequestAction::Deny, vec![rule], &["server"]);
        let (view, head) = (view([deny]), head(request));
        let refused = Asking::request(&call, &head, None).before_routing(&view);
        assert_eq!(refused.is_err(), matched, "{case}");
    }
}

#[test]
fn what_audits_and_what_is_tried_decides_nothing_and_is_told() {
    let everything = || vec![RequestRule::default()];
    let audit = about_requests("audit", RequestAction::Audit, everything(), &["server"]);
    let tried = Policy {
        dry_run: true,
        ..Policy::clone(&about_requests(
            "tried",
            RequestAction::Deny,
            everything(),
            &["server"],
        ))
    };
    let silent = about_requests(
        "silent",
        RequestAction::Audit,
        vec![to("paths", "/x")],
        &["server"],
    );
    let view = view([audit, Arc::new(tried), silent]);
    let (call, head) = (call("10.0.0.9:4000"), head(HttpRequest::get("/")));
    let asking = Asking::request(&call, &head, None);
    let admission = asking.before_routing(&view).unwrap();
    let told: Vec<_> = admission
        .dry_run
        .iter()
        .map(|aside| {
            (
                aside.policy.to_string(),
                aside.is_audit,
                aside.would_refuse(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("shop/audit".to_owned(), true, false),
            ("shop/tried".to_owned(), false, true)
        ]
    );
    let scene = Scene::new([]);
    asking.tell(&scene.proxy, &admission.dry_run);
    for (series, labels) in [
        ("ambit_policy_audited_total", &["policy=\"shop/audit\""][..]),
        (
            "ambit_policy_dry_run_total",
            &["policy=\"shop/tried\"", "verdict=\"refuse\""],
        ),
    ] {
        for of in [&[][..], labels] {
            let found = scene.sum(series, of);
            assert!(
                (found - 1.0).abs() < f64::EPSILON,
                "{series} {of:?}: {found}"
            );
        }
    }
}

#[tokio::test]
async fn a_request_is_judged_as_it_came_whatever_its_rule_makes_of_it() {
    let rewrite = Rewrite {
        host: None,
        path: Some(PathChange::Full("/made".into())),
    };
    let rule = HttpRule {
        filters: HttpFilters {
            rewrite: Some(rewrite),
            ..HttpFilters::default()
        },
        ..HttpRule::default()
    };
    let peer = Peer::start().await;
    let mut scene = Scene::new([
        service("server"),
        peer.serves("server-0", "server"),
        routed(&["server"], rule),
    ]);
    peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let denied = "RBAC: access denied";
    for (targets, path) in [
        (&[][..], "/came"),
        (&[], "/%63ame"),
        (&["server"], "/x/../came"),
        (&["waypoint"], "/came?x=y"),
    ] {
        for (allowed, is_allowed) in [("/came", true), ("/made", false)] {
            let rules = vec![to("paths", allowed)];
            let allow = about_requests("p", RequestAction::Allow, rules, targets);
            scene.apply(Change::PutPolicy(allow));
            let mut client = scene.client();
            let request = format!("GET {path} HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let answer = rest(&mut client).await;
            let status = if is_allowed {
                "HTTP/1.1 200"
            } else {
                "HTTP/1.1 403"
            };
            assert!(
                answer.starts_with(status),
                "{targets:?} {allowed}: {answer}"
            );
            assert_eq!(answer.ends_with(denied), !is_allowed, "{answer}");
        }
    }
    let told = ["response_code=\"403\""];
    scene.await_request(&told).await;
    let refusals = ["reason=\"no_matching_allow\""];
    assert!(scene.sum("ambit_refusals_total", &refusals) >= 1.0);
}

/// Several ports of a service may lead to one of the pod, and none of them is known to be meant.
#[test]
fn by_a_pod_s_address_a_policy_speaks_of_all_ports_that_lead_there_and_of_no_other_one() {
    let denied = Err(Reason::PolicyDenied);
    let missed = Err(Reason::NoMatchingAllow);
    let (call, head) = (call("10.0.0.9:4000"), head(HttpRequest::get("/")));
    let asking = Asking::request(&call, &head, None);
    for (action, ports, wanted) in [
        (RequestAction::Deny, &["80"][..], denied),
        (RequestAction::Deny, &["81"], denied),
        (RequestAction::Deny, &["82"], Ok(())),
        (RequestAction::Allow, &["80"], missed),
        (RequestAction::Allow, &["81"], missed),
        (RequestAction::Allow, &["80", "81"], Ok(())),
    ] {
        let rules = ports.iter().map(|port| to("ports", port)).collect();
        let mut view = view([about_requests("p", action, rules, &["cart"])]);
        let Change::PutWorkload(plain) = pod("cart", "10.0.0.3", &["p"]) else {
            panic!("no workload")
        };
        let mapping = |(service_port, target_port)| PortMapping {
            service_port,
            target_port,
        };
        let mappings = [(80, 8080), (81, 8080), (82, 8181)].map(mapping);
        let serving = Workload {
            services: [(name("cart"), mappings.into())].into(),
            ..Workload::clone(&plain)
        };
        let address = SocketAddr::new(serving.addresses[0], 8080);
        view.apply(
            Change::PutWorkload(Arc::new(serving.clone())),
            Instant::now(),
        );
        let judged = asking.at_endpoint(&view, &serving, address, 8080);
        let judged = judged.map(drop).map_err(|refusal| refusal.reason);
        assert_eq!(judged, wanted, "{action:?} {ports:?}");
    }
}

/// A hand that is trusted, or the client's own.
fn by(client: bool) -> Hand {
    match client {
        true => Hand::of("VirtualService/team/r/0", false, Some("team"), Some("shop")),
        false => Hand::Trusted,
    }
}

/// How often it was judged is how often it is told of.
#[test]
fn a_policy_that_is_bound_to_several_is_judged_once_at_each_place() {
    let head = head(HttpRequest::get("/"));
    let call = call("10.0.0.9:4000");
    let cart = Target::Service(name("cart"), 80, None);
    for (targets, by_client, wanted) in [
        (&["server"][..], false, [1, 0]),
        (&["waypoint"], false, [1, 0]),
        (&["waypoint"], true, [1, 1]),
        (&["waypoint", "server"], false, [1, 0]),
        (&["cart"], false, [0, 1]),
        (&["cart"], true, [0, 1]),
        (&["waypoint", "cart"], false, [1, 1]),
        (&["waypoint", "cart"], true, [1, 1]),
        (&[], true, [0, 1]),
    ] {
        let everything = vec![RequestRule::default()];
        let audit = about_requests("p", RequestAction::Audit, everything, targets);
        let mut view = view([audit]);
        view.apply(pod("cart", "10.0.0.3", &["p"]), Instant::now());
        let asking = Asking::request(&call, &head, None);
        let first = asking.before_routing(&view).unwrap().dry_run.len();
        let workload = view.mesh.endpoints(&name("cart")).next().unwrap();
        let address = SocketAddr::new(workload.addresses[0], 8080);
        let asking = asking.led_to(&cart, by(by_client));
        let then = asking.at_endpoint(&view, workload, address, 80);
        let then = then.unwrap().dry_run.len();
        assert_eq!([first, then], wanted, "{targets:?} {by_client}");
    }
}

#[test]
fn what_the_waypoint_and_what_a_route_leads_to_have_in_common_is_judged_where_it_leads_too() {
    let (call, head) = (call("10.0.0.9:4000"), head(HttpRequest::get("/")));
    let to_port = |port| Target::Service(name("cart"), port, None);
    let rules = vec![to("ports", "81")];
    let deny = about_requests("p", RequestAction::Deny, rules, &["waypoint", "cart"]);
    let view = view([deny]);
    for (port, wanted) in [(80, Ok(())), (81, Err(Reason::PolicyDenied))] {
        for by_client in [true, false] {
            let target = to_port(port);
            let asking = Asking::request(&call, &head, None).led_to(&target, by(by_client));
            assert_eq!(judged(&view, &asking, "cart"), (Ok(()), wanted), "{port}");
        }
    }
}

/// A rule of one condition.
fn when(key: &str, value: &str) -> RequestRule {
    let none: [&str; 0] = [];
    let condition = ambit_model::Condition::parse(key, &[value], &none, &"shop".into());
    RequestRule {
        when: vec![condition.unwrap()],
        ..RequestRule::default()
    }
}

#[test]
fn each_place_knows_who_calls_from_where_and_its_own_address() {
    let id = "spiffe://cluster.local/ns/team/sa/client";
    let call = {
        let mut call = call("10.0.0.9:4000");
        call.client.identity = Some(id.parse().unwrap());
        call
    };
    let head = head(HttpRequest::get("/"));
    let cart = Target::Service(name("cart"), 80, None);
    for (key, value, wanted) in [
        (
            "source.principal",
            "cluster.local/ns/team/sa/client",
            [1, 1, 1],
        ),
        (
            "source.principal",
            "cluster.local/ns/team/sa/other",
            [0, 0, 0],
        ),
        ("source.ip", "10.0.0.9", [1, 1, 1]),
        ("remote.ip", "10.0.0.9", [1, 1, 1]),
        // What was asked for, where it was led, and the pod.
        ("destination.ip", "10.96.0.1", [1, 0, 0]),
        ("destination.ip", "10.96.0.7", [0, 1, 0]),
        ("destination.ip", "10.0.0.3", [0, 0, 1]),
    ] {
        let deny = |targets: &[&str]| {
            about_requests("p", RequestAction::Deny, vec![when(key, value)], targets)
        };
        let refused = [&["server"][..], &["cart"], &[]].map(|targets| {
            let mut view = view([deny(targets)]);
            let Change::PutService(plain) = service("cart") else {
                panic!("no service")
            };
            let vip = NetworkAddress {
                network: "".into(),
                address: "10.96.0.7".parse().unwrap(),
            };
            let with_vip = Service {
                vips: vec![(vip, 32)],
                ..Service::clone(&plain)
            };
            view.apply(Change::PutService(Arc::new(with_vip)), Instant::now());
            let asking = Asking::request(&call, &head, None).led_to(&cart, Hand::Trusted);
            let (first, then) = judged(&view, &asking, "cart");
            usize::from(first.and(then).is_err())
        });
        assert_eq!(refused, wanted, "{key} {value}");
    }
}

/// One that says nothing of requests.
#[test]
fn who_calls_is_known_to_policies_about_connections_too() {
    let principal = StringMatch::Exact("cluster.local/ns/team/sa/client".into());
    let only = Match {
        principals: vec![principal],
        ..Match::default()
    };
    let clauses = vec![Clause {
        matches: vec![only],
    }];
    let allow = Policy {
        rules: vec![Rule { clauses }],
        requests: None,
        ..Policy::clone(&about_requests("p", RequestAction::Allow, Vec::new(), &[]))
    };
    let view = view([Arc::new(allow)]);
    let head = head(HttpRequest::get("/"));
    for (account, wanted) in [
        (Some("client"), Ok(())),
        (Some("other"), Err(Reason::NoMatchingAllow)),
        (None, Err(Reason::NoMatchingAllow)),
    ] {
        let id = account.map(|account| format!("spiffe://cluster.local/ns/team/sa/{account}"));
        let mut call = call("10.0.0.9:4000");
        call.client.identity = id.map(|id| id.parse().unwrap());
        let asking = Asking::request(&call, &head, None);
        assert_eq!(
            judged(&view, &asking, "server"),
            (Ok(()), wanted),
            "{account:?}"
        );
    }
}

#[test]
fn by_a_pod_s_address_what_is_bound_to_its_service_holds_with_the_service_s_port() {
    let of = |action: RequestAction, port: &str| {
        about_requests("p", action, vec![to("ports", port)], &["cart"])
    };
    let (call, head) = (call("10.0.0.9:4000"), head(HttpRequest::get("/")));
    let asking = Asking::request(&call, &head, None);
    for (action, port, wanted) in [
        (RequestAction::Deny, "80", Err(Reason::PolicyDenied)),
        (RequestAction::Deny, "8080", Ok(())),
        (RequestAction::Allow, "80", Ok(())),
        (RequestAction::Allow, "8080", Err(Reason::NoMatchingAllow)),
    ] {
        let mut view = view([of(action, port)]);
        view.apply(pod("cart", "10.0.0.3", &["p"]), Instant::now());
        let workload = view.mesh.endpoints(&name("cart")).next().unwrap();
        let address = SocketAddr::new(workload.addresses[0], 8080);
        let judged = asking.at_endpoint(&view, workload, address, 8080);
        let judged = judged.map(drop).map_err(|refusal| refusal.reason);
        assert_eq!(judged, wanted, "{action:?} {port}");
    }
}

/// What stands in which namespace says what a policy may be about that cannot be read.
#[test]
fn what_a_policy_may_be_about_that_cannot_be_read_is_refused_where_it_is_asked_for_and_where_a_route_leads()
 {
    let unknown = Err(Reason::PoliciesUnknown);
    let (call, head) = (call("10.0.0.9:4000"), head(HttpRequest::get("/")));
    let to = |namespace: &str| {
        let hostname = format!("other.{namespace}.svc.cluster.local");
        Target::Service(ServiceName::new(namespace, hostname), 80, None)
    };
    let (near, far) = (to("shop"), to("team"));
    for (unread, wanted) in [
        ("", [Ok(()), Ok(()), Ok(())]),
        ("shop/p", [unknown, unknown, Ok(())]),
        ("team/p", [Ok(()), Ok(()), unknown]),
        ("elsewhere/p", [Ok(()), Ok(()), Ok(())]),
        ("gates/p", [unknown, unknown, unknown]),
        ("root/p", [unknown, unknown, unknown]),
    ] {
        let own = ServiceName::new("gates", "waypoint.gates.svc.cluster.local");
        let mut view = View::new(own, "10.0.0.1".parse().unwrap());
        view.unread.hold_everywhere(&["root".to_owned()]);
        view.apply(pod("server", "10.0.0.2", &[]), Instant::now());
        if !unread.is_empty() {
            view.reject_policy(unread);
        }
        for asking in [
            Asking::request(&call, &head, None),
            Asking::connection(&call, None),
            Asking::any_request(&call),
        ] {
            let (asked, there) = judged(&view, &asking, "server");
            let led = [&near, &far]
                .map(|to| judged(&view, &asking.led_to(to, Hand::Trusted), "server").1);
            assert_eq!([asked, led[0], led[1]], wanted, "{unread} {asking:?}");
            assert_eq!(there, Ok(()), "{unread}: its pod names none");
        }
    }
}

/// A pod says which policies hold for it.
#[test]
fn by_its_own_address_a_pod_is_served_unless_it_names_a_policy_that_is_not_known() {
    let head = head(HttpRequest::get("/"));
    for (listed, wanted) in [(&[][..], Ok(())), (&["p"], Err(Reason::PoliciesUnknown))] {
        let mut view = view([]);
        view.apply(pod("server", "10.0.0.2", listed), Instant::now());
        view.reject_policy("shop/p");
        let workload = view.mesh.endpoints(&name("server")).next().unwrap();
        let asked = Destination::new(workload, "10.0.0.2:8080".parse().unwrap());
        let call = Call {
            asked: Asked::Workload(Arc::new(asked)),
            ..call("10.0.0.9:4000")
        };
        let asking = Asking::request(&call, &head, None);
        assert_eq!(judged(&view, &asking, "server"), (Ok(()), wanted));
    }
}
