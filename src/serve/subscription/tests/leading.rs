//! What routes lead to is told of before them, and goes after them.

use ambit_model::{AppProtocol, ServicePort, ServiceTraffic, Subset, Workload};

use super::*;
use crate::serve::scope::tests::{routes as leading, service};

impl Told {
    fn publish_all(&mut self, changes: impl IntoIterator<Item = Change>) {
        let line = &mut self.line;
        for change in changes {
            line.publisher.apply(&change);
            self.mesh.apply(change);
        }
        line.now = line.publisher.publish(&self.mesh, Instant::now()).unwrap();
        line.subscription.published(&line.now, clock::now());
    }

    /// Publishes while the waypoint is away.
    fn publish_with_nobody(&mut self, change: Change) {
        let line = &mut self.line;
        line.publisher.apply(&change);
        self.mesh.apply(change);
        line.now = line.publisher.publish(&self.mesh, Instant::now()).unwrap();
    }

    /// A waypoint that fronts `web`, beside services `two` and `three` with an endpoint each, of which it has not heard.
    fn beside_others() -> Self {
        let mut told = Self::new();
        told.publish_all([
            service("web", Some("waypoint")),
            leading("web", "web"),
            service("two", None),
            endpoint("two-0", "two", "10.0.0.2"),
            service("three", None),
            endpoint("three-0", "three", "10.0.0.3"),
        ]);
        let web = "shop/web.shop.svc.cluster.local";
        let first = [format!("routes +{web}"), format!("wds +{web}")];
        assert_eq!(told.line.exchange(), first);
        told
    }
}

fn changed(change: Change, how: impl FnOnce(&mut Service)) -> Change {
    let Change::PutService(service) = change else {
        panic!("no service")
    };
    let mut other = Service::clone(&service);
    how(&mut other);
    Change::PutService(Arc::new(other))
}

/// The service, which says something else.
fn renamed(change: Change) -> Change {
    changed(change, |service| service.short_name = "other".into())
}

/// The service, with a port.
fn widened(change: Change) -> Change {
    let port = ServicePort {
        service_port: 81,
        target_port: 81,
        app_protocol: AppProtocol::Http11,
    };
    changed(change, |service| service.ports.push(port))
}

/// The service, with these subsets.
fn split(change: Change, subsets: &[&str]) -> Change {
    let subsets = subsets
        .iter()
        .map(|name| ((*name).into(), Subset::default()));
    let traffic = ServiceTraffic {
        subsets: subsets.collect(),
        ..ServiceTraffic::default()
    };
    changed(change, |service| service.traffic = Some(Arc::new(traffic)))
}

const WEB: &str = "shop/web.shop.svc.cluster.local";
const TWO: &str = "shop/two.shop.svc.cluster.local Kubernetes//Pod/shop/two-0";
const THREE: &str = "shop/three.shop.svc.cluster.local Kubernetes//Pod/shop/three-0";

/// `wds` or `routes`, with names that came and went in any order.
fn words(kind: &str, came: &[&str], went: &[&str]) -> Vec<String> {
    let came = came.iter().flat_map(|names| names.split(' '));
    let came = came.map(|name| format!("+{name}"));
    let went = went.iter().flat_map(|names| names.split(' '));
    let went = went.map(|name| format!("-{name}"));
    let mut all: Vec<String> = came.chain(went).chain([kind.to_owned()]).collect();
    all.sort();
    all
}

fn sorted(sent: &[String]) -> Vec<Vec<String>> {
    let sent = sent.iter().map(|one| {
        let mut words: Vec<String> = one.split(' ').map(str::to_owned).collect();
        words.sort();
        words
    });
    sent.collect()
}

#[test]
fn where_routes_lead_is_known_before_them_and_as_long_as_they_do() {
    let mut told = Told::beside_others();
    told.publish_all([leading("web", "two")]);
    let expected = [words("wds", &[TWO], &[]), words("routes", &[WEB], &[])];
    assert_eq!(sorted(&told.line.exchange()), expected);
    told.publish_all([leading("web", "three")]);
    let expected = [
        words("wds", &[THREE], &[]),
        words("routes", &[WEB], &[]),
        words("wds", &[], &[TWO]),
    ];
    assert_eq!(sorted(&told.line.exchange()), expected);
    // Also what is gone from the mesh goes after the routes.
    let three = ServiceName::new("shop", "three.shop.svc.cluster.local");
    told.publish_all([leading("web", "two"), Change::RemoveService(three)]);
    let expected = [
        words("wds", &[TWO], &[]),
        words("routes", &[WEB], &[]),
        words("wds", &[], &[THREE]),
    ];
    assert_eq!(sorted(&told.line.exchange()), expected);
}

#[test]
fn routes_wait_until_it_is_known_where_they_lead_and_for_nothing_later() {
    let mut told = Told::beside_others();
    told.publish_all([leading("web", "two")]);
    let (kind, nonce, _) = told.line.sent().unwrap();
    assert_eq!(kind, Kind::Address);
    assert_eq!(told.line.sent(), None, "until it is known");
    told.publish_all([endpoint("two-1", "two", "10.0.0.4")]);
    assert_eq!(told.line.sent(), None);
    told.line.acknowledge(kind, &nonce);
    let expected = [
        words("routes", &[WEB], &[]),
        words("wds", &["Kubernetes//Pod/shop/two-1"], &[]),
    ];
    assert_eq!(sorted(&told.line.exchange()), expected);
}

#[test]
fn routes_that_change_again_wait_for_where_they_lead_now_but_not_for_ever() {
    let mut told = Told::beside_others();
    told.publish_all([leading("web", "two")]);
    let (kind, nonce, _) = told.line.sent().unwrap();
    told.publish_all([leading("web", "three")]);
    told.line.acknowledge(kind, &nonce);
    let expected = [
        words("wds", &[THREE], &[]),
        words("routes", &[WEB], &[]),
        words("wds", &[], &[TWO]),
    ];
    assert_eq!(sorted(&told.line.exchange()), expected);
    // One that never rests is told all the same, once it has led to something new often enough.
    for round in 0.. {
        assert!(round <= MAX_ROUNDS, "routes wait for ever");
        let (to, pod) = (format!("to-{round}"), format!("to-{round}-0"));
        told.publish_all([
            service(&to, None),
            endpoint(&pod, &to, "10.0.1.1"),
            leading("web", &to),
        ]);
        let (kind, nonce, sent) = told.line.sent().unwrap();
        if kind == Kind::Routes {
            assert_eq!(round, MAX_ROUNDS);
            break;
        }
        assert!(sent.contains(&pod), "{sent}");
        told.publish_all([leading("web", "web")]);
        told.line.acknowledge(kind, &nonce);
    }
}

#[test]
fn one_that_returns_knows_where_routes_lead_before_them_too() {
    let mut told = Told::beside_others();
    told.publish_all([leading("web", "two")]);
    told.line.exchange();
    told.publish_with_nobody(leading("web", "three"));
    told.reconnect();
    let expected = [
        words("wds", &[THREE], &[]),
        words("routes", &[WEB], &[]),
        words("wds", &[], &[TWO]),
    ];
    assert_eq!(sorted(&told.line.exchange()), expected);
}

#[test]
fn a_pod_leaves_a_service_after_the_routes_that_lead_there_and_joins_one_before_them() {
    let pod = |services: &[&str]| {
        let Change::PutWorkload(pod) = endpoint("two-0", "two", "10.0.0.2") else {
            panic!("no pod")
        };
        let mut pod = Workload::clone(&pod);
        let services = services.iter().map(|service| (name(service), Vec::new()));
        pod.services = services.collect();
        Change::PutWorkload(Arc::new(pod))
    };
    let uid = "Kubernetes//Pod/shop/two-0";
    let mut told = Told::beside_others();
    told.publish_all([pod(&["two", "three"]), leading("web", "two")]);
    told.line.exchange();
    for is_back in [false, true] {
        if is_back {
            told.publish_all([pod(&["two", "three"]), leading("web", "two")]);
            told.line.exchange();
            told.reconnect();
            told.line.exchange();
        }
        told.publish_all([pod(&["three"]), leading("web", "three")]);
        let sent = sorted(&told.line.exchange());
        let turn = |word: &str| {
            let is_there = |words: &Vec<String>| words.iter().any(|one| one == word);
            sent.iter().position(is_there).unwrap()
        };
        assert!(turn("routes") < turn(&format!("+{uid}")), "{sent:?}");
    }
    told.publish_all([pod(&["two"]), leading("web", "two")]);
    let sent = sorted(&told.line.exchange());
    assert!(sent[0].contains(&format!("+{uid}")), "{sent:?}");
}

#[test]
fn what_a_waypoint_fronts_has_its_routes_before_it_is_known_and_what_it_knows_changes_before_them()
{
    let mut told = Told::beside_others();
    let web = || service("web", Some("waypoint"));
    // A subset comes before the route that names it, say.
    told.publish_all([renamed(web()), leading("web", "two")]);
    let expected = [words("wds", &[WEB, TWO], &[]), words("routes", &[WEB], &[])];
    assert_eq!(sorted(&told.line.exchange()), expected);
    // A port that it does not know would be served without its routes.
    told.publish_all([widened(web()), leading("web", "web")]);
    let expected = [words("routes", &[WEB], &[]), words("wds", &[WEB], &[TWO])];
    assert_eq!(sorted(&told.line.exchange()), expected);
    told.publish_all([renamed(widened(web())), leading("web", "two")]);
    let expected = [words("wds", &[WEB, TWO], &[]), words("routes", &[WEB], &[])];
    assert_eq!(sorted(&told.line.exchange()), expected);
    // Another service that it is to front, and knows as one that a route leads to.
    told.publish_all([service("two", Some("waypoint")), leading("two", "three")]);
    let two = "shop/two.shop.svc.cluster.local";
    let expected = [
        words("wds", &[THREE], &[]),
        words("routes", &[two], &[]),
        words("wds", &[two], &[]),
    ];
    assert_eq!(sorted(&told.line.exchange()), expected);
}

#[test]
fn a_waypoint_that_has_come_back_knows_what_it_knew() {
    let mut told = Told::beside_others();
    let web = || service("web", Some("waypoint"));
    told.reconnect();
    told.line.exchange();
    told.publish_all([split(web(), &["a"]), leading("web", "two")]);
    let expected = [words("wds", &[WEB, TWO], &[]), words("routes", &[WEB], &[])];
    assert_eq!(sorted(&told.line.exchange()), expected);
    told.reconnect();
    told.line.exchange();
    told.publish_all([web(), leading("web", "web")]);
    let expected = [words("routes", &[WEB], &[]), words("wds", &[WEB], &[TWO])];
    assert_eq!(sorted(&told.line.exchange()), expected);
}

#[test]
fn a_subset_comes_before_the_routes_that_name_it_and_goes_after_them() {
    let two = "shop/two.shop.svc.cluster.local";
    let mut told = Told::beside_others();
    told.publish_all([leading("web", "two")]);
    told.line.exchange();
    // Whatever it says, it is a route that has changed.
    let mut port = 1000;
    for (subsets, comes_first) in [
        (&["a"][..], true),
        (&["a", "b"], true),
        (&["c", "b"], true),
        (&["c"], false),
        (&[], false),
    ] {
        let Change::PutRoutes(routes) = leading("web", "two") else {
            panic!("no routes")
        };
        let mut routes = ServiceRoutes::clone(&routes);
        port += 1;
        let of_port = routes.ports[&80].clone();
        routes.ports.insert(port, of_port);
        let service = split(service("two", None), subsets);
        told.publish_all([service, Change::PutRoutes(Arc::new(routes))]);
        let mut expected = [words("wds", &[two], &[]), words("routes", &[WEB], &[])];
        if !comes_first {
            expected.reverse();
        }
        assert_eq!(sorted(&told.line.exchange()), expected, "{subsets:?}");
    }
}
