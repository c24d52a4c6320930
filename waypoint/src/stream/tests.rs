//! When an endpoint is connected to.

use ambit_balance::Ejection;
use ambit_model::{
    Backend, BackendTarget, Change, HttpRoutes, JwtRule, Metric, MetricsRule, OutlierPolicy,
    PolicyName, PortRoutes, RequestAuthentication, RouteList, Service, ServicePort, ServiceRoutes,
    TcpRoute, TelemetryRules, TelemetryScope, TrafficPolicy, Workload,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;

use super::*;
use crate::call::Asked;
use crate::connection::Plain;
use crate::fixtures::{call, closed, name, ruled, service, traffic};
use crate::hello::tests::{hello, named};
use crate::scene::{CLIENT, PATIENCE, Peer, Scene, rest, soon};

const CLOSED: &[u8] = b"HTTP/1.1 204 Well\r\nConnection: close\r\n\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";

/// A call for a port that says nothing of its protocol.
fn unknown() -> Call {
    let of_http = call(CLIENT);
    let Asked::Service(service, port) = &of_http.asked else {
        panic!("no service")
    };
    let port = ServicePort {
        app_protocol: AppProtocol::Unknown,
        ..*port
    };
    Call {
        asked: Asked::Service(Arc::clone(service), port),
        ..call(CLIENT)
    }
}

#[tokio::test]
async fn a_client_that_speaks_a_moment_later_costs_one_connection() {
    const TIMES: usize = 20;
    let peer = Peer::start().await;
    let scene = Scene::new([service("server"), peer.serves("server-0", "server")]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let mut at_once = 0;
    for _ in 0..TIMES {
        let mut client = TcpStream::connect(to).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let proxy = Arc::clone(&scene.proxy);
        tokio::spawn(async move {
            let connection = Either::Right(Plain::new(tcp));
            Box::pin(serve(&proxy, Arc::new(unknown()), connection)).await;
        });
        // It is looked at before it has said anything.
        tokio::task::yield_now().await;
        client.write_all(GET).await.unwrap();
        let (mut endpoint, mut head) = peer.asked().await;
        at_once += usize::from(!head.is_empty());
        while head.is_empty() {
            (endpoint, head) = peer.asked().await;
        }
        endpoint.write_all(CLOSED).await.unwrap();
        assert!(rest(&mut client).await.starts_with("HTTP/1.1 204 "));
    }
    // The machine may stop us for longer than such a moment, but not always.
    assert!(at_once > TIMES / 2, "{at_once} of {TIMES}");
}

/// A client of that call.
async fn client(scene: &Scene, call: Call) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let client = TcpStream::connect(to).await.unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    let proxy = Arc::clone(&scene.proxy);
    tokio::spawn(async move {
        let connection = Either::Right(Plain::new(tcp));
        Box::pin(serve(&proxy, Arc::new(call), connection)).await;
    });
    client
}

/// A service of which two failures in a row make an outlier.
fn watched() -> Change {
    let outliers = OutlierPolicy {
        consecutive_5xx: 2,
        max_ejection_percent: 100,
        ..OutlierPolicy::default()
    };
    let policy = TrafficPolicy {
        outliers: Some(outliers),
        ..TrafficPolicy::default()
    };
    ruled("server", traffic(policy))
}

/// A client far away asks for something, and is told that it failed.
async fn fails(scene: &Scene, peer: &Peer) {
    const FAILED: &[u8] = b"HTTP/1.1 500 Bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let mut client = client(scene, unknown()).await;
    // Made while it said nothing.
    let _ahead = peer.connected().await;
    client.write_all(GET).await.unwrap();
    let (mut endpoint, head) = peer.asked().await;
    assert!(head.starts_with("GET / "), "{head}");
    endpoint.write_all(FAILED).await.unwrap();
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 500 "));
}

#[tokio::test]
async fn a_connection_that_was_not_used_says_nothing_well_of_its_endpoint() {
    let peer = Peer::start().await;
    let mut scene = Scene::new([watched(), peer.serves("server-0", "server")]);
    fails(&scene, &peer).await;
    assert_eq!(scene.eject(), None);
    fails(&scene, &peer).await;
    assert_eq!(scene.eject(), Some(Ejection::Enforced));
}

#[tokio::test]
async fn a_connection_that_is_passed_on_ends_a_row_of_failures() {
    let peer = Peer::start().await;
    let mut scene = Scene::new([watched(), peer.serves("server-0", "server")]);
    fails(&scene, &peer).await;
    let mut greeted = client(&scene, unknown()).await;
    let mut endpoint = peer.connected().await;
    endpoint.write_all(b"220 hello").await.unwrap();
    soon(greeted.read_exact(&mut [0; 9])).await.unwrap();
    fails(&scene, &peer).await;
    assert_eq!(scene.eject(), None);
    fails(&scene, &peer).await;
    assert_eq!(scene.eject(), Some(Ejection::Enforced));
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_connected_to_is_an_outlier_before_anybody_speaks() {
    let gone = Peer::start().await.serves("server-0", "server");
    let mut scene = Scene::new([watched(), gone]);
    let _silent = [
        client(&scene, unknown()).await,
        client(&scene, unknown()).await,
    ];
    let ejected = async {
        loop {
            match scene.eject() {
                Some(ejection) => return ejection,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    assert_eq!(soon(ejected).await, Ejection::Enforced);
}

/// Waits until connections have been counted so.
async fn counted(scene: &Scene, series: &str, labels: &[&str]) {
    let counted = async {
        while scene.sum(series, labels) < 1.0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = timeout(PATIENCE, counted).await;
    assert!(waited.is_ok(), "{labels:?} not in {}", scene.page());
}

#[tokio::test]
async fn the_server_name_is_known_where_series_ask_for_it() {
    let name = (
        "server_name".into(),
        Some("connection.requested_server_name".into()),
    );
    let rules = TelemetryRules {
        namespace: "shop".into(),
        name: "names".into(),
        since: "".into(),
        scope: TelemetryScope::Namespace,
        access_log: Vec::new(),
        tracing: Vec::new(),
        metrics: vec![MetricsRule {
            metrics: vec![Metric::TcpOpenedConnections],
            disabled: None,
            tags: [name].into(),
        }],
        client_identity: None,
    };
    let peer = Peer::start().await;
    let pod = peer.serves("server-0", "server");
    let mut scene = Scene::new([service("server"), pod.clone()]);
    let tellings = &scene.proxy.tellings;
    tellings.change(|told| drop(told.rules.insert("shop/names".into(), rules)));
    let said = hello(&[named("shop.example")], 999);
    let labels = ["server_name=\"shop.example\""];
    let mut first = client(&scene, unknown()).await;
    first.write_all(&said).await.unwrap();
    let mut heard = vec![0; said.len()];
    let mut endpoint = peer.connected().await;
    soon(endpoint.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, said);
    counted(&scene, "istio_tcp_connections_opened_total", &labels).await;
    // Of one that is refused too.
    for change in closed(pod) {
        scene.apply(change);
    }
    let mut second = client(&scene, unknown()).await;
    second.write_all(&said).await.unwrap();
    assert_eq!(rest(&mut second).await, "");
    counted(&scene, "istio_tcp_connections_failed_total", &labels).await;
}

/// An authentication of tokens, which these objects do not name yet.
fn tokens() -> Change {
    Change::PutAuthentication(Arc::new(RequestAuthentication {
        name: PolicyName::new("shop", "tokens"),
        rules: vec![JwtRule {
            issuer: Some("issuer".into()),
            ..JwtRule::default()
        }],
    }))
}

fn naming(change: Change) -> Change {
    let authentications = vec![PolicyName::new("shop", "tokens")];
    match change {
        Change::PutService(made) => Change::PutService(Arc::new(Service {
            authentications,
            ..Service::clone(&made)
        })),
        Change::PutWorkload(made) => Change::PutWorkload(Arc::new(Workload {
            authentications,
            ..Workload::clone(&made)
        })),
        other => other,
    }
}

#[tokio::test]
async fn what_is_no_request_is_no_way_around_the_judgement_of_tokens() {
    let peer = Peer::start().await;
    let (plain, pod) = (|| service("server"), || peer.serves("server-0", "server"));
    for (changes, passes) in [
        (vec![plain(), pod()], true),
        (vec![tokens(), naming(plain()), pod()], false),
        (vec![tokens(), plain(), naming(pod())], false),
    ] {
        let scene = Scene::new(changes);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(to).await.unwrap();
        client
            .write_all(b"get / HTTP/1.1\r\nX-User: root\r\n\r\n")
            .await
            .unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let proxy = Arc::clone(&scene.proxy);
        let served = tokio::spawn(async move {
            let connection = Either::Right(Plain::new(tcp));
            Box::pin(serve(&proxy, Arc::new(unknown()), connection)).await;
        });
        if passes {
            let (_endpoint, seen) = peer.asked().await;
            assert!(seen.starts_with("get / HTTP/1.1"), "{seen}");
            served.abort();
        } else {
            assert!(rest(&mut client).await.starts_with("HTTP/1.1 400 "));
            served.await.unwrap();
        }
    }
}

/// Routes of this kind for clients of namespace `team`, beside those of the service's own.
fn of_team(own: Option<RouteList>) -> Change {
    let backend = Backend {
        target: BackendTarget::Service {
            name: name("server"),
            port: 80,
            subset: None,
        },
        weight: 1,
    };
    let raw = RouteList::Tcp(TcpRoute {
        name: "raw".into(),
        backends: vec![backend],
    });
    let ports = PortRoutes {
        producer: own,
        consumers: [("team".into(), raw)].into(),
    };
    Change::PutRoutes(Arc::new(ServiceRoutes {
        service: name("server"),
        ports: [(80, ports)].into(),
    }))
}

/// A client's own routes do not say that its requests are none: nobody would read them.
#[tokio::test]
async fn what_is_a_request_is_one_whatever_routes_the_client_has_written() {
    const NONE: &[u8] = b"no request\r\n\r\n";
    let requests = || RouteList::Http(HttpRoutes::default());
    for (port, own, sent, seen) in [
        (AppProtocol::Unknown, None, GET, Some("x-forwarded-for")),
        (AppProtocol::Http11, None, GET, Some("x-forwarded-for")),
        (AppProtocol::Http11, None, NONE, None),
        (AppProtocol::Unknown, Some(requests()), NONE, None),
        // What is none goes where they say.
        (AppProtocol::Unknown, None, NONE, Some("no request")),
    ] {
        let peer = Peer::start().await;
        let pod = peer.serves("server-0", "server");
        let scene = Scene::new([service("server"), pod, of_team(own)]);
        let mut call = unknown();
        let id = "spiffe://cluster.local/ns/team/sa/client";
        call.client.identity = Some(id.parse().unwrap());
        if let Asked::Service(_, of_port) = &mut call.asked {
            of_port.app_protocol = port;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(to).await.unwrap();
        client.write_all(sent).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let proxy = Arc::clone(&scene.proxy);
        let served = tokio::spawn(async move {
            let connection = Either::Right(Plain::new(tcp));
            Box::pin(serve(&proxy, Arc::new(call), connection)).await;
        });
        if let Some(seen) = seen {
            let (_endpoint, head) = peer.asked().await;
            assert!(head.contains(seen), "{port:?}: {head}");
            served.abort();
        } else {
            let answer = rest(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{port:?}: {answer}");
            served.await.unwrap();
        }
    }
}

/// It was taken for something else than requests, as it says nothing, before tokens were judged.
#[tokio::test]
async fn an_open_connection_that_shows_no_token_ends_when_tokens_are_judged() {
    let peer = Peer::start().await;
    let (plain, pod) = (|| service("server"), || peer.serves("server-0", "server"));
    let authenticated = [naming(plain()), naming(pod())];
    for named in authenticated {
        let mut scene = Scene::new([plain(), pod()]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        client
            .write_all(b"no request at all\r\n\r\n")
            .await
            .unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let proxy = Arc::clone(&scene.proxy);
        let served = tokio::spawn(async move {
            let connection = Either::Right(Plain::new(tcp));
            Box::pin(serve(&proxy, Arc::new(unknown()), connection)).await;
        });
        let (_endpoint, seen) = peer.asked().await;
        assert!(seen.starts_with("no request"), "{seen}");
        // A change that is about something else leaves it.
        scene.apply(service("other"));
        assert!(!served.is_finished());
        scene.apply(tokens());
        scene.apply(named);
        soon(served).await.unwrap();
        assert_eq!(rest(&mut client).await, "");
        let cut = ["reason=\"policy_changed\""];
        assert!(scene.sum("ambit_refusals_total", &cut) >= 1.0);
    }
}
