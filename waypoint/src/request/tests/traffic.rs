//! What holds for a service by its DestinationRule.

use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_balance::Ejection;
use ambit_model::{
    Balancing, Change, ConnectionPolicy, HashKey, HashPolicy, HashTable, HttpRule, OutlierPolicy,
    Retry, RetryOn, ServiceTraffic, Subset, TrafficPolicy, Workload,
};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::super::*;
use crate::fixtures::{name, routed, ruled, service, traffic};
use crate::scene::{Peer, Scene, head, rest, soon};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n";
const CLUSTER: &str = "cluster_name=\"outbound|80||server.shop.svc.cluster.local\"";

fn connections(connections: ConnectionPolicy) -> ServiceTraffic {
    traffic(TrafficPolicy {
        connections,
        ..TrafficPolicy::default()
    })
}

fn hashed(by: HashKey) -> ServiceTraffic {
    let table = HashTable::Maglev(1021);
    traffic(TrafficPolicy {
        balancing: Some(Balancing::Hash(HashPolicy { by, table })),
        ..TrafficPolicy::default()
    })
}

/// The whole answer to a request.
async fn ask(scene: &Scene, request: &[u8]) -> String {
    let mut client = scene.client();
    client.write_all(request).await.unwrap();
    rest(&mut client).await
}

/// A client that has asked and waits.
async fn asks(scene: &Scene) -> DuplexStream {
    let mut client = scene.client();
    client.write_all(GET).await.unwrap();
    client
}

/// Answers all requests on each connection, and counts connections and requests.
fn keeps(peer: Peer) -> Arc<(AtomicUsize, AtomicUsize)> {
    let counts: Arc<(AtomicUsize, AtomicUsize)> = Arc::default();
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = peer.asked().await;
            counted.0.fetch_add(1, Ordering::Relaxed);
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                loop {
                    counted.1.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(WELL.as_bytes()).await.unwrap();
                    if head(&mut stream).await.is_empty() {
                        return;
                    }
                }
            });
        }
    });
    counts
}

/// The same pod with a label.
fn labelled(pod: Change, version: &str) -> Change {
    let Change::PutWorkload(workload) = pod else {
        panic!("no workload")
    };
    Change::PutWorkload(Arc::new(Workload {
        labels: [("version".into(), version.into())].into(),
        ..Workload::clone(&workload)
    }))
}

async fn until(scene: &Scene, series: &str, value: f64) {
    let reached = async {
        while (scene.sum(series, &[CLUSTER]) - value).abs() > f64::EPSILON {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(reached).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_is_ejected_and_never_the_last_one() {
    let outliers = OutlierPolicy {
        consecutive_5xx: 2,
        max_ejection_percent: 50,
        ..OutlierPolicy::default()
    };
    let policy = TrafficPolicy {
        balancing: Some(Balancing::RoundRobin),
        outliers: Some(outliers),
        ..TrafficPolicy::default()
    };
    let (bad, also_bad) = (Peer::start().await, Peer::start().await);
    let mut scene = Scene::new([
        ruled("server", traffic(policy)),
        bad.serves("server-0", "server"),
        also_bad.serves("server-1", "server"),
    ]);
    let asked = [bad.answer(BAD), also_bad.answer(BAD)];
    let sums = || asked.each_ref().map(|count| count.load(Ordering::Relaxed));
    while asked.iter().all(|count| count.load(Ordering::Relaxed) < 2) {
        assert!(ask(&scene, GET).await.starts_with("HTTP/1.1 500 "));
    }
    assert_eq!(scene.eject(), Some(Ejection::Enforced));
    let active = "envoy_cluster_outlier_detection_ejections_active";
    assert!((scene.sum(active, &[CLUSTER]) - 1.0).abs() < f64::EPSILON);
    let before = sums();
    for _ in 0..6 {
        ask(&scene, GET).await;
    }
    let after = sums();
    let grown = [after[0] - before[0], after[1] - before[1]];
    assert!(grown == [0, 6] || grown == [6, 0], "{grown:?}");
    // The other one fails too: two of two would be more than half.
    let mut ejections = std::iter::from_fn(|| scene.eject());
    assert!(ejections.all(|ejection| ejection == Ejection::Overflow));
}

#[tokio::test]
async fn an_answer_that_its_endpoint_breaks_off_is_a_failure() {
    let outliers = OutlierPolicy {
        consecutive_5xx: 1,
        max_ejection_percent: 100,
        ..OutlierPolicy::default()
    };
    let policy = TrafficPolicy {
        outliers: Some(outliers),
        ..TrafficPolicy::default()
    };
    let peer = Peer::start().await;
    let mut scene = Scene::new([
        ruled("server", traffic(policy)),
        peer.serves("server-0", "server"),
    ]);
    const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    // A client that does not wait for the rest has nobody ejected.
    let mut client = asks(&scene).await;
    let (mut stream, _) = peer.asked().await;
    stream.write_all(LONG.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    drop(client);
    scene.await_request(&["response_flags=\"DC\""]).await;
    assert_eq!(scene.eject(), None);

    let mut client = asks(&scene).await;
    let (mut stream, _) = peer.asked().await;
    stream.write_all(LONG.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(scene.eject(), None);
    drop(stream);
    scene.await_request(&["response_flags=\"UPE\""]).await;
    assert_eq!(scene.eject(), Some(Ejection::Enforced));
}

#[tokio::test]
async fn a_client_that_is_slow_to_send_has_no_endpoint_ejected() {
    let outliers = OutlierPolicy {
        consecutive_5xx: 1,
        consecutive_gateway: 1,
        max_ejection_percent: 100,
        ..OutlierPolicy::default()
    };
    let policy = TrafficPolicy {
        outliers: Some(outliers),
        ..TrafficPolicy::default()
    };
    let rule = HttpRule {
        retry: Some(Retry {
            attempts: 3,
            backoff: None,
            on: RetryOn {
                gateway_error: true,
                ..RetryOn::default()
            },
        }),
        try_timeout: Some(Duration::from_millis(50)),
        ..HttpRule::default()
    };
    let peers = [Peer::start().await, Peer::start().await];
    let mut scene = Scene::new([
        service("server"),
        ruled("server", traffic(policy)),
        routed(&["server"], rule),
        peers[0].serves("server-0", "server"),
        peers[1].serves("server-1", "server"),
    ]);
    let half = b"POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc";
    let answer = ask(&scene, half).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert_eq!(scene.eject(), None);
    scene.await_request(&["response_flags=\"UT\""]).await;
    assert!(scene.sum("ambit_request_retries_total", &[]) < 1.0);
    // What has come whole says something of the endpoint.
    let answer = ask(&scene, GET).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert_eq!(scene.eject(), Some(Ejection::Enforced));
}

#[tokio::test]
async fn more_requests_than_may_be_in_flight_are_answered_with_uo() {
    let peer = Peer::start().await;
    let bounds = ConnectionPolicy {
        requests: Some(1),
        ..ConnectionPolicy::default()
    };
    let rule = ruled("server", connections(bounds));
    let scene = Scene::new([rule, peer.serves("server-0", "server")]);
    let mut first = asks(&scene).await;
    let (mut stream, _) = peer.asked().await;
    let answer = ask(&scene, GET).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("request_overflow\n"), "{answer}");
    scene.await_request(&["response_flags=\"UO\""]).await;
    until(&scene, "envoy_cluster_upstream_rq_pending_overflow", 1.0).await;
    stream.write_all(WELL.as_bytes()).await.unwrap();
    assert!(rest(&mut first).await.starts_with("HTTP/1.1 200 "));
    until(&scene, "envoy_cluster_upstream_rq_active", 0.0).await;
}

#[tokio::test]
async fn who_finds_no_connection_waits_for_one_as_far_as_there_is_room() {
    let peer = Peer::start().await;
    let bounds = ConnectionPolicy {
        connections: Some(1),
        pending: Some(1),
        ..ConnectionPolicy::default()
    };
    let rule = ruled("server", connections(bounds));
    let scene = Scene::new([rule, peer.serves("server-0", "server")]);
    let mut first = asks(&scene).await;
    let (mut stream, _) = peer.asked().await;
    let mut second = asks(&scene).await;
    until(&scene, "envoy_cluster_upstream_rq_pending_active", 1.0).await;
    until(&scene, "envoy_cluster_upstream_cx_overflow", 1.0).await;
    let answer = ask(&scene, GET).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("pending_overflow\n"), "{answer}");
    stream.write_all(WELL.as_bytes()).await.unwrap();
    assert!(rest(&mut first).await.starts_with("HTTP/1.1 200 "));
    // It comes on the connection that is free now.
    assert!(head(&mut stream).await.starts_with("GET / "));
    stream.write_all(WELL.as_bytes()).await.unwrap();
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 200 "));
    until(&scene, "envoy_cluster_upstream_cx_active", 1.0).await;
}

#[tokio::test]
async fn a_connection_that_nobody_uses_makes_room_for_one_to_another_endpoint() {
    let (one, other) = (Peer::start().await, Peer::start().await);
    let policy = TrafficPolicy {
        balancing: Some(Balancing::RoundRobin),
        connections: ConnectionPolicy {
            connections: Some(1),
            ..ConnectionPolicy::default()
        },
        ..TrafficPolicy::default()
    };
    let scene = Scene::new([
        ruled("server", traffic(policy)),
        one.serves("server-0", "server"),
        other.serves("server-1", "server"),
    ]);
    let counts = [keeps(one), keeps(other)];
    for _ in 0..4 {
        assert!(ask(&scene, GET).await.starts_with("HTTP/1.1 200 "));
    }
    for count in counts {
        assert_eq!(count.1.load(Ordering::Relaxed), 2);
    }
    until(&scene, "envoy_cluster_upstream_cx_active", 1.0).await;
}

#[tokio::test]
async fn a_connection_carries_as_many_requests_as_it_may() {
    let peer = Peer::start().await;
    let bounds = ConnectionPolicy {
        requests_each: Some(2),
        ..ConnectionPolicy::default()
    };
    let rule = ruled("server", connections(bounds));
    let scene = Scene::new([rule, peer.serves("server-0", "server")]);
    let counts = keeps(peer);
    for _ in 0..6 {
        assert!(ask(&scene, GET).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(counts.0.load(Ordering::Relaxed), 3);
    assert_eq!(counts.1.load(Ordering::Relaxed), 6);
}

/// A rule that sends all to a subset of the service.
fn to_subset(subset: &str) -> Change {
    let Change::PutRoutes(mut routes) = routed(&["server"], HttpRule::default()) else {
        panic!("no routes")
    };
    let all = Arc::make_mut(&mut routes);
    let Some(ambit_model::RouteList::Http(http)) = &mut all.ports.get_mut(&80).unwrap().producer
    else {
        panic!("no rules")
    };
    let rule = Arc::make_mut(&mut http.rules[0]);
    if let BackendTarget::Service { subset: given, .. } = &mut rule.backends[0].backend.target {
        *given = Some(subset.into());
    }
    Change::PutRoutes(routes)
}

#[tokio::test]
async fn a_subset_is_the_endpoints_that_have_its_labels() {
    let subset = |version: &str| Subset {
        labels: [("version".into(), version.into())].into(),
        ..Subset::default()
    };
    let traffic = ServiceTraffic {
        subsets: [("new".into(), subset("v2")), ("none".into(), subset("v3"))].into(),
        ..ServiceTraffic::default()
    };
    let (old, new) = (Peer::start().await, Peer::start().await);
    let of_old = old.serves("server-0", "server");
    let mut scene = Scene::new([
        ruled("server", traffic),
        labelled(of_old.clone(), "v1"),
        labelled(new.serves("server-1", "server"), "v2"),
        to_subset("new"),
    ]);
    let [of_v1, of_v2] = [old.answer(WELL), new.answer(WELL)];
    for _ in 0..4 {
        assert!(ask(&scene, GET).await.starts_with("HTTP/1.1 200 "));
    }
    let counts = || [&of_v1, &of_v2].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts(), [0, 4]);
    let series = "cluster_name=\"outbound|80|new|server.shop.svc.cluster.local\"";
    let healthy = scene.sum("envoy_cluster_membership_healthy", &[series]);
    assert!((healthy - 1.0).abs() < f64::EPSILON);
    // A pod that gets the label comes in.
    scene.apply(labelled(of_old, "v2"));
    for _ in 0..40 {
        ask(&scene, GET).await;
    }
    assert!(counts()[0] > 0);
    scene.apply(to_subset("none"));
    let answer = ask(&scene, GET).await;
    assert!(answer.ends_with("no_endpoint\n"), "{answer}");
    scene.apply(to_subset("nobody-s"));
    let answer = ask(&scene, GET).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("unknown_subset\n"), "{answer}");
    scene.await_request(&["response_flags=\"NC\""]).await;
    // With the rule its subsets go.
    scene.apply(to_subset("new"));
    scene.apply(service("server"));
    let answer = ask(&scene, GET).await;
    assert!(answer.ends_with("unknown_subset\n"), "{answer}");
}

/// Four endpoints that say who they are.
async fn four(traffic: ServiceTraffic) -> (Scene, Vec<Arc<AtomicUsize>>) {
    let mut changes = vec![ruled("server", traffic)];
    let mut peers = Vec::new();
    for index in 0..4 {
        let peer = Peer::start().await;
        changes.push(peer.serves(&format!("server-{index}"), "server"));
        peers.push(peer);
    }
    let scene = Scene::new(changes);
    (
        scene,
        peers.into_iter().map(|peer| peer.answer(WELL)).collect(),
    )
}

fn busy(counts: &[Arc<AtomicUsize>]) -> usize {
    let counts = counts.iter();
    counts
        .filter(|count| count.swap(0, Ordering::Relaxed) > 0)
        .count()
}

#[tokio::test]
async fn requests_with_one_header_go_to_one_endpoint() {
    let (scene, counts) = four(hashed(HashKey::Header("x-user".into()))).await;
    let get = |user: usize| {
        format!("GET / HTTP/1.1\r\nHost: s\r\nX-User: {user}\r\nConnection: close\r\n\r\n")
    };
    for _ in 0..8 {
        ask(&scene, get(1).as_bytes()).await;
    }
    assert_eq!(busy(&counts), 1);
    for user in 0..32 {
        ask(&scene, get(user).as_bytes()).await;
    }
    assert!(busy(&counts) > 2);
    for _ in 0..32 {
        ask(&scene, GET).await;
    }
    assert!(busy(&counts) > 2);
}

#[tokio::test]
async fn connections_of_one_client_have_one_hash_where_its_address_decides() {
    let target = Target::Service(name("server"), 80, None);
    let of = |scene: &Scene, client: &str| {
        Hashed::of_connection(&scene.proxy.view(), &target, client.parse().unwrap())
    };
    let (scene, _) = four(hashed(HashKey::SourceIp)).await;
    let first = of(&scene, "10.0.0.1");
    assert!(first.is_some());
    assert_eq!(first, of(&scene, "::ffff:10.0.0.1"));
    assert_ne!(first, of(&scene, "10.0.0.2"));
    let (scene, _) = four(hashed(HashKey::Header("x-user".into()))).await;
    assert_eq!(of(&scene, "10.0.0.1"), None);
}

#[tokio::test]
async fn a_client_without_the_cookie_is_given_one_that_leads_back() {
    let by = HashKey::Cookie {
        name: "user".into(),
        path: "/shop".into(),
        ttl: Some(Duration::from_secs(60)),
        attributes: vec![("SameSite".into(), "Lax".into())],
    };
    let (scene, counts) = four(hashed(by)).await;
    for _ in 0..4 {
        let answer = ask(&scene, GET).await;
        let mut lines = answer.lines();
        let line = lines.find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = line.unwrap();
        let (pair, rest) = cookie.split_once(';').unwrap();
        assert_eq!(rest, " Max-Age=60; Path=/shop; SameSite=Lax; HttpOnly");
        let get = format!(
            "GET / HTTP/1.1\r\nHost: s\r\nCookie: a=b; {pair}\r\nConnection: close\r\n\r\n"
        );
        for _ in 0..4 {
            let answer = ask(&scene, get.as_bytes()).await;
            assert!(!answer.contains("set-cookie"), "{answer}");
        }
        assert_eq!(busy(&counts), 1);
    }
}

#[tokio::test]
async fn a_limit_that_is_raised_holds_at_once() {
    let peer = Peer::start().await;
    let bounds = |requests| {
        let bounds = ConnectionPolicy {
            requests: Some(requests),
            ..ConnectionPolicy::default()
        };
        ruled("server", connections(bounds))
    };
    let mut scene = Scene::new([bounds(1), peer.serves("server-0", "server")]);
    let _first = asks(&scene).await;
    let _held = peer.asked().await;
    scene.apply(bounds(2));
    let mut second = asks(&scene).await;
    let (mut stream, _) = peer.asked().await;
    stream.write_all(WELL.as_bytes()).await.unwrap();
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 200 "));
    let cluster = scene.proxy.view();
    let cluster = cluster.cluster(&name("server"), 80, None).unwrap();
    assert_eq!(cluster.terms.policy.connections.requests, Some(2));
}

/// There are connections of either width, and of the other one none could be had.
#[tokio::test]
async fn a_client_with_much_under_way_shares_the_only_connection() {
    let peer = Peer::start().await;
    let bounded = connections(ConnectionPolicy {
        connections: Some(1),
        ..ConnectionPolicy::default()
    });
    let endpoint = peer.serves("server-0", "server");
    let scene = Scene::new([ruled("server", bounded), endpoint]);
    let counts = keeps(peer);
    let call = crate::fixtures::call(crate::scene::CLIENT);
    let holder = Arc::clone(&call.holder);
    let (client, _open) = scene.client_of_http2_of(call).await;
    let mut busy = Vec::new();
    for others in [0, 64] {
        busy.extend((0..others).map(|_| holder.begin()));
        let request = Request::get("http://s/").body(()).unwrap();
        let mut sender = soon(client.clone().ready()).await.unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        assert_eq!(soon(answer).await.unwrap().status(), 200);
    }
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    assert_eq!((count(&counts.0), count(&counts.1)), (1, 2));
}
