//! What is asked for, by headers.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::*;
use crate::fixtures::{call, closed, service};
use crate::proxy::Bounds;
use crate::room::Room;
use crate::scene::{CLIENT, Peer, Scene, head, soon};

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    pairs.collect()
}

#[test]
fn an_upgrade_is_one_that_both_headers_ask_for_and_that_is_not_http2() {
    for (pairs, expected) in [
        (&[("connection", "Upgrade"), ("upgrade", "websocket")], true),
        (
            &[("connection", "keep-alive, upgrade"), ("upgrade", "tcp/1")],
            true,
        ),
        (&[("connection", "close"), ("upgrade", "websocket")], false),
        (&[("connection", "upgrade"), ("te", "trailers")], false),
        (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
        (&[("connection", "upgrade"), ("upgrade", "a, H2C")], false),
        (&[("connection", "upgrade"), ("upgrade", "h2c/2")], false),
        (
            &[("connection", "upgrade"), ("upgrade", "a, HTTP/2.0")],
            false,
        ),
    ] {
        assert_eq!(upgrade(&headers(pairs)).is_some(), expected, "{pairs:?}");
    }
}

/// What follows would be requests that nobody looks at.
#[tokio::test]
async fn http_is_no_protocol_to_go_on_with_by_connect() {
    let peer = Peer::start().await;
    let scene = Scene::new([service("server"), peer.serves("server-0", "server")]);
    let mut sender = scene.client_of_http2().await;
    for protocol in [
        "h2c",
        "H2C",
        "h2",
        "HTTP/2.0",
        "websocket, h2c",
        "x y",
        "\u{1}",
        "",
    ] {
        let mut request = Request::connect("http://s/").body(()).unwrap();
        *request.uri_mut() = "http://s/".parse().unwrap();
        let protocol = h2::ext::Protocol::from(protocol);
        request.extensions_mut().insert(protocol.clone());
        let (answer, _) = sender.send_request(request, false).unwrap();
        let status = soon(answer).await.unwrap().status();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{protocol:?}");
    }
}

#[test]
fn a_key_is_sixteen_bytes_in_base64() {
    let (one, other) = (key(), key());
    assert_ne!(one, other);
    assert_eq!(one.len(), 24);
    assert!(one.ends_with("=="));
    assert!(matches!(one.as_bytes()[21], b'A' | b'Q' | b'g' | b'w'));
}

const UPGRADE_ASKED: &[u8] =
    b"GET / HTTP/1.1\r\nHost: s\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";

/// A connection that went on with another protocol: its client, its endpoint.
async fn switched(scene: &Scene, peer: &Peer, room: &Room) -> (tokio::io::DuplexStream, TcpStream) {
    let place = room.take("10.244.1.10".parse().unwrap());
    assert!(place.is_some());
    let mut client = scene.client_of(crate::call::Call {
        _place: place,
        ..call(CLIENT)
    });
    client.write_all(UPGRADE_ASKED).await.unwrap();
    let (mut endpoint, _) = peer.asked().await;
    endpoint.write_all(UPGRADED).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client.write_all(b"hello").await.unwrap();
    soon(endpoint.read_exact(&mut [0; 5])).await.unwrap();
    endpoint.write_all(b"welcome!").await.unwrap();
    soon(client.read_exact(&mut [0; 8])).await.unwrap();
    (client, endpoint)
}

/// Waits until it is told of with these labels, and with what [`switched`] has sent both ways, and so much more back.
async fn told(scene: &Scene, flags: &str, reason: &str, more_back: f64) {
    let flags = format!("response_flags=\"{flags}\"");
    let labels = ["response_code=\"101\"", &*flags];
    scene.await_request(&labels).await;
    let sums =
        ["request", "response"].map(|way| scene.sum(&format!("istio_{way}_bytes_sum"), &labels));
    for (found, expected) in sums.into_iter().zip([5.0, 8.0 + more_back]) {
        assert!((found - expected).abs() < 1e-9, "{flags}: {sums:?}");
    }
    let reason = format!("reason=\"{reason}\"");
    let refused = scene.sum("ambit_refusals_total", &[&*reason]);
    let all = scene.sum("ambit_refusals_total", &[]);
    assert!((refused - all).abs() < 1e-9, "{reason}: {refused} of {all}");
}

async fn plain() -> (Scene, Peer) {
    let peer = Peer::start().await;
    let scene = Scene::new([service("server"), peer.serves("server-0", "server")]);
    (scene, peer)
}

#[tokio::test]
async fn a_switched_connection_that_both_end_is_whole() {
    let (scene, peer) = plain().await;
    let (mut client, mut endpoint) = switched(&scene, &peer, &Room::new(1, 1)).await;
    client.shutdown().await.unwrap();
    assert_eq!(soon(endpoint.read(&mut [0])).await.unwrap(), 0);
    endpoint.write_all(b"bye").await.unwrap();
    drop(endpoint);
    soon(client.read_exact(&mut [0; 3])).await.unwrap();
    ends(&mut client).await;
    told(&scene, "-", "none", 3.0).await;
}

#[tokio::test]
async fn who_breaks_a_switched_connection_off_is_told() {
    let (scene, peer) = plain().await;
    let (mut client, endpoint) = switched(&scene, &peer, &Room::new(1, 1)).await;
    endpoint.set_zero_linger().unwrap();
    drop(endpoint);
    ends(&mut client).await;
    told(&scene, "UC", "upstream_reset", 0.0).await;

    let (scene, peer) = plain().await;
    let (client, mut endpoint) = switched(&scene, &peer, &Room::new(1, 1)).await;
    drop(client);
    assert_eq!(soon(endpoint.read(&mut [0])).await.unwrap(), 0);
    // Nobody is there to be told.
    endpoint.write_all(b"bye").await.unwrap();
    told(&scene, "DC", "none", 3.0).await;
}

#[test]
fn a_switched_connection_that_is_cut_at_the_end_of_the_drain_is_told_of() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (scene, _open) = runtime.block_on(async {
        let (scene, peer) = plain().await;
        let open = switched(&scene, &peer, &Room::new(1, 1)).await;
        (scene, open)
    });
    scene.proxy.over.cancel();
    drop(runtime);
    let waiting = tokio::runtime::Runtime::new().unwrap();
    waiting.block_on(told(&scene, "-", "draining", 0.0));
}

async fn ends(client: &mut tokio::io::DuplexStream) {
    assert!(matches!(soon(client.read(&mut [0])).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_switched_connection_keeps_its_place_until_policy_ends_it() {
    let peer = Peer::start().await;
    let pod = peer.serves("server-0", "server");
    let mut scene = Scene::new([service("server"), pod.clone()]);
    let room = Room::new(1, 1);
    let (mut client, _endpoint) = switched(&scene, &peer, &room).await;
    assert!(room.take("10.244.1.10".parse().unwrap()).is_none());
    for change in closed(pod) {
        scene.apply(change);
    }
    ends(&mut client).await;
    let labels = ["response_code=\"101\"", "destination_workload=\"server-0\""];
    scene.await_request(&labels).await;
    let counted = scene.sum("ambit_refusals_total", &["policy_changed"]);
    assert!((counted - 1.0).abs() < 1e-9, "{counted}");
    told(&scene, "-", "policy_changed", 0.0).await;
    let freed = async {
        while room.take("10.244.1.10".parse().unwrap()).is_none() {
            tokio::task::yield_now().await;
        }
    };
    soon(freed).await;
}

#[tokio::test]
async fn a_switched_connection_without_a_byte_for_long_is_ended() {
    let peer = Peer::start().await;
    let bounds = Bounds {
        idle: Duration::from_millis(50),
        ..Bounds::default()
    };
    let scene = Scene::bounded(
        bounds,
        [service("server"), peer.serves("server-0", "server")],
    );
    let (mut client, _endpoint) = switched(&scene, &peer, &Room::new(1, 1)).await;
    ends(&mut client).await;
    told(&scene, "SI", "idle_timeout", 0.0).await;
}

#[tokio::test]
async fn a_refusal_agrees_to_nothing() {
    // Nobody serves it.
    let scene = Scene::new([service("server")]);
    let kind = ("content-type", "application/grpc");
    let mut connect = Request::connect("db.example:5432").body(()).unwrap();
    let mut extended = Request::connect("http://s/chat").body(()).unwrap();
    let protocol = h2::ext::Protocol::from_static("websocket");
    extended.extensions_mut().insert(protocol);
    for (request, status) in [(&mut connect, 404), (&mut extended, 503)] {
        request
            .headers_mut()
            .insert(kind.0, HeaderValue::from_static(kind.1));
        let mut client = scene.client_of_http2().await;
        let (answer, _body) = client.send_request(request.clone(), false).unwrap();
        let mut answer = soon(answer).await.unwrap();
        assert_eq!(answer.status(), status);
        while let Some(piece) = soon(answer.body_mut().data()).await {
            piece.unwrap();
        }
    }
    let mut client = scene.client();
    let connect = b"CONNECT db:1 HTTP/1.1\r\nHost: db:1\r\nContent-Type: application/grpc\r\n\r\n";
    client.write_all(connect).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 404 "));
}
