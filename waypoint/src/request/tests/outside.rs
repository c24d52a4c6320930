//! Requests to hosts outside of the mesh.

use ambit_identity::outside::OutsideRoots;
use ambit_identity::testing::{Authority, Leaf};
use ambit_model::{Change, OutsideTls, TrafficPolicy, Workload};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::rustls::version::TLS13;

use super::super::*;
use crate::fixtures::{entry, ruled, service, traffic};
use crate::scene::{Peer, Scene, rest, soon};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const SERVER: &str = "server.shop.svc.cluster.local";

/// The service, whose endpoints are spoken to by TLS.
fn by_tls(tls: OutsideTls) -> Change {
    let any = TrafficPolicy {
        tls: Some(Arc::new(tls)),
        ..TrafficPolicy::default()
    };
    ruled("server", traffic(any))
}

async fn ask(scene: &Scene) -> String {
    let mut client = scene.client();
    client.write_all(GET).await.unwrap();
    rest(&mut client).await
}

#[tokio::test]
async fn a_request_goes_out_in_tls_and_is_told_of_by_the_host_alone() {
    let authority = Authority::new("outside");
    let peer = Peer::start().await;
    let endpoint = peer.is(entry("e", "server", "api.example.com"), "server");
    let server = authority.outside(&Leaf::of_hosts(&[SERVER]), &[b"http/1.1"], &[&TLS13]);
    let mut asked = peer.answer_by_tls(server, WELL);
    let roots = OutsideRoots::only(&[authority.root()]);
    let changes = [by_tls(OutsideTls::default()), endpoint];
    let mut scene = Scene::outside(roots, changes);
    let before = ask(&scene).await;
    assert!(before.starts_with("HTTP/1.1 503"), "{before}");
    scene.resolve("api.example.com", &["127.0.0.1"]);
    let answer = ask(&scene).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (name, head) = soon(asked.recv()).await.unwrap();
    assert_eq!(name.as_deref(), Some(SERVER));
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    let labels = [
        "response_code=\"200\"",
        "destination_service=\"server.shop.svc.cluster.local\"",
        "destination_service_namespace=\"shop\"",
        "destination_workload=\"unknown\"",
        "destination_workload_namespace=\"unknown\"",
        "connection_security_policy=\"unknown\"",
    ];
    scene.await_request(&labels).await;
}

#[tokio::test]
async fn a_server_that_is_not_believed_gets_no_request() {
    let authority = Authority::new("outside");
    let peer = Peer::start().await;
    let endpoint = peer.is(entry("e", "server", "api.example.com"), "server");
    let server = authority.outside(&Leaf::of_hosts(&["www.example.com"]), &[], &[&TLS13]);
    let mut asked = peer.answer_by_tls(server, WELL);
    let roots = OutsideRoots::only(&[authority.root()]);
    let mut scene = Scene::outside(roots, [by_tls(OutsideTls::default()), endpoint]);
    scene.resolve("api.example.com", &["127.0.0.1"]);
    let answer = ask(&scene).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("outside_tls"), "{answer}");
    scene.await_request(&["response_flags=\"URX,UF\""]).await;
    assert!(asked.try_recv().is_err());
    // Nothing else has changed: it was the name.
    let named = OutsideTls {
        names: vec!["www.example.com".into()],
        ..OutsideTls::default()
    };
    scene.apply(by_tls(named));
    let answer = ask(&scene).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_is_kept_without_tls_carries_nothing_once_tls_is_asked_for() {
    let authority = Authority::new("outside");
    let plain = Peer::start().await;
    let endpoint = plain.is(entry("e", "server", "api.example.com"), "server");
    let roots = OutsideRoots::only(&[authority.root()]);
    let mut scene = Scene::outside(roots, [service("server"), endpoint]);
    scene.resolve("api.example.com", &["127.0.0.1"]);
    let mut client = scene.client();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: s\r\n\r\n")
        .await
        .unwrap();
    let (mut kept, _) = plain.asked().await;
    kept.write_all(WELL.as_bytes()).await.unwrap();
    crate::scene::head(&mut client).await;
    scene.apply(by_tls(OutsideTls::default()));
    let server = authority.outside(&Leaf::of_hosts(&[SERVER]), &[], &[&TLS13]);
    let mut asked = plain.answer_by_tls(server, WELL);
    client.write_all(GET).await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(soon(asked.recv()).await.is_some());
    drop(kept);
}

#[tokio::test]
async fn an_entry_at_an_address_of_the_waypoint_or_a_pod_is_refused() {
    for address in ["127.0.0.1", "10.1.0.5", "169.254.169.254", "10.244.0.7"] {
        let Change::PutWorkload(named) = entry("e", "server", "") else {
            panic!("no workload")
        };
        let at = Workload {
            addresses: vec![address.parse().unwrap()],
            ..Workload::clone(&named)
        };
        let pod =
            crate::fixtures::endpoint("p", "other", "10.244.0.7", ambit_model::Health::Healthy);
        let changes = [service("server"), pod, Change::PutWorkload(Arc::new(at))];
        let scene = Scene::new(changes);
        let answer = ask(&scene).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{address}: {answer}");
        assert!(answer.contains("outside_address"), "{address}: {answer}");
    }
}
