//! When an endpoint is connected to.

use ambit_balance::Ejection;
use ambit_model::{
    Backend, BackendTarget, Change, Condition, HttpRoutes, JwtRule, Metric, MetricsRule,
    OutlierPolicy, PolicyName, PortRoutes, RequestAction, RequestAuthentication, RequestRule,
    RouteList, Service, ServicePort, ServiceRoutes, TcpRoute, TelemetryRules, TelemetryScope,
    TrafficPolicy, Workload,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;

use super::*;
use crate::call::Asked;
use crate::connection::Plain;
use crate::fixtures::{about_requests, call, closed, name, ruled, service, traffic};
use crate::hello::tests::{hello, named};
use crate::proxy::Bounds;
use crate::scene::{CLIENT, PATIENCE, Peer, Scene, rest, soon};

const CLOSED: &[u8] = b"HTTP/1.1 204 Well\r\nConnection: close\r\n\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";

/// A call for a port that says nothing of its protocol.
fn unknown() -> Call {
    to_port(AppProtocol::Unknown)
}

/// A call for a port that says this.
fn to_port(app_protocol: AppProtocol) -> Call {
    let of_http = call(CLIENT);
    let Asked::Service(service, port) = &of_http.asked else {
        panic!("no service")
    };
    let port = ServicePort {
        app_protocol,
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
                None => sleep(Duration::from_millis(2)).await,
            }
        }
    };
    assert_eq!(soon(ejected).await, Ejection::Enforced);
}

/// Waits until connections have been counted so.
async fn counted(scene: &Scene, series: &str, labels: &[&str]) {
    let counted = async {
        while scene.sum(series, labels) < 1.0 {
            sleep(Duration::from_millis(2)).await;
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

/// A policy that denies connections that ask for `shop.example`.
fn names_denied() -> Change {
    let none: [&str; 0] = [];
    let condition =
        Condition::parse("connection.sni", &["shop.example"], &none, &"shop".into()).unwrap();
    let rule = RequestRule {
        when: vec![condition],
        ..RequestRule::default()
    };
    Change::PutPolicy(about_requests(
        "names",
        RequestAction::Deny,
        vec![rule],
        &["server"],
    ))
}

/// The scene of a service that clients may not ask for by that name.
async fn denied() -> (Scene, Peer) {
    let peer = Peer::start().await;
    let pod = peer.serves("server-0", "server");
    let mut bounds = Bounds::default();
    bounds.patience.head = Duration::from_secs(5);
    let scene = Scene::bounded(bounds, [service("server"), pod, names_denied()]);
    (scene, peer)
}

/// A client that says this is refused for that reason.
async fn refused(scene: &Scene, client: &mut TcpStream, reason: &str) {
    assert_eq!(rest(client).await, "");
    let label = format!("reason=\"{reason}\"");
    counted(scene, "ambit_refusals_total", &[&label]).await;
    let (of_it, all) = (&[&*label][..], &[][..]);
    let [of_it, all] = [of_it, all].map(|labels| scene.sum("ambit_refusals_total", labels));
    assert!((of_it - all).abs() < f64::EPSILON, "{}", scene.page());
}

const PORTS: [AppProtocol; 3] = [AppProtocol::Tcp, AppProtocol::Unknown, AppProtocol::Tls];

#[tokio::test]
async fn a_server_name_that_is_denied_is_denied_on_every_port() {
    let shop = || hello(&[named("shop.example")], 999);
    let warned = [&[21, 3, 1, 0, 2, 1, 90][..], &shop()].concat();
    let mut old = shop();
    old[1] = 2;
    for port in PORTS {
        for said in [shop(), warned.clone(), old.clone()] {
            let (scene, _peer) = denied().await;
            let mut client = client(&scene, to_port(port)).await;
            client.write_all(&said).await.unwrap();
            refused(&scene, &mut client, "policy_denied").await;
        }
        let (scene, peer) = denied().await;
        let said = hello(&[named("other.example")], 999);
        let mut client = client(&scene, to_port(port)).await;
        client.write_all(&said).await.unwrap();
        let mut heard = vec![0; said.len()];
        let mut endpoint = peer.connected().await;
        soon(endpoint.read_exact(&mut heard)).await.unwrap();
        assert_eq!(heard, said);
    }
}

#[tokio::test]
async fn a_name_is_not_too_late_to_be_denied() {
    for port in [AppProtocol::Tcp, AppProtocol::Unknown] {
        let (scene, peer) = denied().await;
        let mut client = client(&scene, to_port(port)).await;
        let mut ahead = peer.connected().await;
        let said = hello(&[named("shop.example")], 999);
        client.write_all(&said[..1]).await.unwrap();
        // It was let go of at the first byte.
        assert_eq!(soon(ahead.read(&mut [0])).await.unwrap(), 0);
        client.write_all(&said[1..]).await.unwrap();
        refused(&scene, &mut client, "policy_denied").await;
    }
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_where_names_are_asked_for() {
    // What a server of HTTP/2 begins with is for its client, on a port that says that it is of requests or nothing.
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    for (port, said) in [
        (AppProtocol::Tcp, b"220 hello"),
        (AppProtocol::Unknown, b"220 hello"),
        (AppProtocol::Tcp, settings),
    ] {
        let (scene, peer) = denied().await;
        let mut client = client(&scene, to_port(port)).await;
        let mut endpoint = peer.connected().await;
        endpoint.write_all(said).await.unwrap();
        soon(client.read_exact(&mut [0; 9])).await.unwrap();
        // What it says then is an answer.
        client
            .write_all(&hello(&[named("shop.example")], 999))
            .await
            .unwrap();
        soon(endpoint.read_exact(&mut [0; 9])).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_hello_and_one_that_is_too_long_are_refused() {
    let whole = hello(&[named("shop.example")], 999);
    let long = hello(&[(21, vec![0; 20_000]), named("shop.example")], 999);
    for port in PORTS {
        for said in [&whole[..1], &whole[..whole.len() - 1], &long] {
            let (scene, _peer) = denied().await;
            let mut client = client(&scene, to_port(port)).await;
            // It may be refused before all of it was sent.
            client.write_all(said).await.ok();
            refused(&scene, &mut client, "server_name_unknown").await;
        }
    }
    let (scene, _peer) = denied().await;
    let mut silent = client(&scene, to_port(AppProtocol::Tls)).await;
    refused(&scene, &mut silent, "server_name_unknown").await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_endpoint_that_it_may_not_have_is_told() {
    let (mut scene, peer) = denied().await;
    for change in closed(peer.serves("server-0", "server")) {
        scene.apply(change);
    }
    let mut silent = client(&scene, to_port(AppProtocol::Tcp)).await;
    refused(&scene, &mut silent, "policy_denied").await;
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

/// Else a client would say by itself who it is, to servers that believe it.
#[tokio::test]
async fn where_servers_are_told_of_clients_nothing_passes_unread_on_a_port_that_says_nothing() {
    for (told, begin) in [(true, "get"), (true, "\r\nGET"), (false, "get")] {
        let peer = Peer::start().await;
        let Change::PutService(made) = service("server") else {
            panic!("no service")
        };
        let mut made = Service::clone(&made);
        made.ports[0].app_protocol = AppProtocol::Unknown;
        let endpoint = peer.serves("server-0", "server");
        let scene = Scene::new([Change::PutService(Arc::new(made)), endpoint]);
        scene.proxy.tellings.change(|now| {
            let rules = TelemetryRules {
                namespace: "shop".into(),
                name: "waypoint".into(),
                since: "".into(),
                scope: TelemetryScope::Namespace,
                access_log: Vec::new(),
                tracing: Vec::new(),
                metrics: Vec::new(),
                client_identity: Some(told),
            };
            now.rules.insert("shop/waypoint".into(), rules);
        });
        let mut client = client(&scene, unknown()).await;
        let request =
            format!("{begin} / HTTP/1.1\r\nHost: s\r\nX-Forwarded-Client-Cert: URI=forged\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        // One connection may have been made ahead.
        let mut seen = String::new();
        for _ in 0..2 {
            let coming = timeout(Duration::from_millis(300), peer.connected()).await;
            let Ok(mut stream) = coming else { break };
            let mut bytes = vec![0; 4096];
            let read = timeout(Duration::from_millis(300), stream.read(&mut bytes)).await;
            let read = read.map_or(0, Result::unwrap_or_default);
            seen += &String::from_utf8_lossy(&bytes[..read]);
        }
        assert_eq!(seen.contains("forged"), !told, "{told} {begin:?}: {seen:?}");
    }
}
