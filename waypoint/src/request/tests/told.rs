//! What applications are told of clients, and which requests are copied.

use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_model::{
    HeaderChanges, HttpFilters, HttpRule, Mirror, SpiffeId, TelemetryRules, TelemetryScope,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::*;
use crate::fixtures::{by_http2, call, closed, name, routed, service};
use crate::scene::{CLIENT, Peer, Scene, head, rest, soon};

const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const CLAIM: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\
    X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/shop/sa/admin\r\n\r\n";

/// The only value of the header in a request to the endpoint, which the client claims to be.
async fn told(scene: &Scene, peer: &Peer, identity: Option<&str>) -> Option<String> {
    let mut call = call(CLIENT);
    call.client.identity = identity.map(|id| id.parse::<SpiffeId>().unwrap());
    let mut client = scene.client_of(call);
    client.write_all(CLAIM).await.unwrap();
    let (mut stream, head) = peer.asked().await;
    stream.write_all(WELL).await.unwrap();
    rest(&mut client).await;
    let lines: Vec<&str> = head
        .lines()
        .filter_map(|line| line.strip_prefix("x-forwarded-client-cert: "))
        .collect();
    assert!(lines.len() < 2, "{head}");
    lines.first().map(|&line| line.to_owned())
}

#[tokio::test]
async fn the_verified_client_is_told_where_that_is_asked_for_and_nobody_s_claim_is() {
    const ID: &str = "spiffe://cluster.local/ns/shop/sa/client";
    let peer = Peer::start().await;
    let rule = HttpRule {
        filters: HttpFilters {
            request_headers: HeaderChanges {
                set: vec![("x-forwarded-client-cert".into(), "of the route".into())],
                ..HeaderChanges::default()
            },
            ..HttpFilters::default()
        },
        ..HttpRule::default()
    };
    let mut scene = Scene::new([service("server"), peer.serves("server-0", "server")]);
    assert_eq!(told(&scene, &peer, Some(ID)).await, None);
    let rules = TelemetryRules {
        namespace: "shop".into(),
        name: "gateway/waypoint".into(),
        since: "".into(),
        scope: TelemetryScope::Namespace,
        access_log: Vec::new(),
        tracing: Vec::new(),
        metrics: Vec::new(),
        client_identity: Some(true),
    };
    let tellings = &scene.proxy.tellings;
    tellings.change(|told| drop(told.rules.insert("shop/x".into(), rules)));
    let uri = format!("URI={ID}");
    assert_eq!(told(&scene, &peer, Some(ID)).await.as_deref(), Some(&*uri));
    assert_eq!(told(&scene, &peer, None).await, None);
    // Nor is a route's.
    scene.apply(routed(&["server"], rule));
    assert_eq!(told(&scene, &peer, Some(ID)).await.as_deref(), Some(&*uri));
    assert_eq!(told(&scene, &peer, None).await, None);
}

/// A rule that has every request copied to the service `shadow`.
pub(super) fn copied() -> HttpRule {
    let mirror = Mirror {
        target: BackendTarget::Service {
            name: name("shadow"),
            port: 80,
            subset: None,
        },
        share: 1,
        of: 1,
        shadow: false,
    };
    HttpRule {
        filters: HttpFilters {
            mirrors: vec![mirror],
            ..HttpFilters::default()
        },
        ..HttpRule::default()
    }
}

/// Waits until no copy is under way.
pub(super) async fn no_copies(scene: &Scene) {
    soon(async {
        while scene.proxy.tasks.running().contains_key("copy") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn only_what_its_first_endpoint_may_have_is_copied() {
    let (server, shadow) = (Peer::start().await, Peer::start().await);
    let open = server.serves("server-0", "server");
    let mut changes = vec![service("server"), service("shadow")];
    changes.extend(closed(server.serves("server-0", "server")));
    changes.push(shadow.serves("shadow-0", "shadow"));
    changes.push(routed(&["server"], copied()));
    let mut scene = Scene::new(changes);
    let answer = |peer: Peer| peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (asked, copied) = (answer(server), answer(shadow));
    let ask = async |scene: &Scene| {
        let mut client = scene.client();
        client.write_all(CLAIM).await.unwrap();
        rest(&mut client).await
    };
    let answer = ask(&scene).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    scene.apply(open);
    let answer = ask(&scene).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    no_copies(&scene).await;
    assert_eq!((count(&asked), count(&copied)), (1, 1));
}

/// Routes that lead to each other would make more of them with each turn.
#[tokio::test]
async fn a_copy_that_another_waypoint_made_is_not_copied() {
    for (is_waypoint, hops, copies) in [
        (true, "1 copy", 0),
        (true, "1", 1),
        // Whoever is no waypoint cannot keep its requests from being copied.
        (false, "1 copy", 1),
    ] {
        let (server, shadow) = (Peer::start().await, Peer::start().await);
        let scene = Scene::new([
            service("server"),
            service("shadow"),
            server.serves("server-0", "server"),
            shadow.serves("shadow-0", "shadow"),
            routed(&["server"], copied()),
        ]);
        let answer = |peer: Peer| peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let (asked, copied) = (answer(server), answer(shadow));
        let mut call = call(CLIENT);
        call.client.is_waypoint = is_waypoint;
        let mut client = scene.client_of(call);
        let get = format!(
            "GET / HTTP/1.1\r\nHost: s\r\nX-Ambit-Hops: {hops}\r\nConnection: close\r\n\r\n"
        );
        client.write_all(get.as_bytes()).await.unwrap();
        let got = rest(&mut client).await;
        assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
        no_copies(&scene).await;
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        assert_eq!((count(&asked), count(&copied)), (1, copies), "{hops}");
    }
}

/// A client of HTTP/2 tells the length first and the end last. Who is asked by HTTP/1 is not kept waiting for that, nor
/// is a copy.
#[tokio::test]
async fn a_copy_is_whole_when_all_bytes_have_come() {
    let (server, shadow) = (Peer::start().await, Peer::start().await);
    let scene = Scene::new([
        service("server"),
        by_http2("shadow"),
        server.serves("server-0", "server"),
        shadow.serves("shadow-0", "shadow"),
        routed(&["server"], copied()),
    ]);
    let mut client = scene.client_of_http2().await;
    let post = Request::post("http://s/").header("content-length", 5);
    let (answer, mut body) = client.send_request(post.body(()).unwrap(), false).unwrap();
    body.send_data("hello".into(), false).unwrap();
    let (mut endpoint, _) = server.asked().await;
    let mut came = [0; 5];
    soon(endpoint.read_exact(&mut came)).await.unwrap();
    assert_eq!(&came, b"hello");
    let well = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    endpoint.write_all(well).await.unwrap();
    assert_eq!(soon(answer).await.unwrap().status(), 200);
    let mut shown = soon(h2::server::handshake(shadow.connected().await))
        .await
        .unwrap();
    let (request, _answer) = soon(shown.accept()).await.unwrap().unwrap();
    let mut copy = request.into_body();
    tokio::spawn(async move { while shown.accept().await.is_some() {} });
    let mut came = Vec::new();
    while let Some(piece) = soon(copy.data()).await {
        came.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(came, b"hello");
}

const CALL: &[u8] = b"POST /a/b HTTP/1.1\r\nHost: s\r\nContent-Type: application/grpc\r\n\
    Content-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_call_of_grpc_that_is_answered_without_a_status_has_that_of_http() {
    for (status, code) in [(503, 14), (200, 2)] {
        let peer = Peer::start().await;
        let scene = Scene::new([service("server"), peer.serves("server-0", "server")]);
        let mut client = scene.client();
        client.write_all(CALL).await.unwrap();
        // What says by HTTP/1 that it is one does not decide how an endpoint is spoken to.
        let (mut endpoint, asked) = peer.asked().await;
        assert!(asked.starts_with("POST /a/b HTTP/1.1\r\n"), "{asked}");
        let says = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
        endpoint.write_all(says.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let label = format!("grpc_response_status=\"{code}\"");
        scene.await_request(&[&label]).await;
    }
}
