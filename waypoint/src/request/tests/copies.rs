//! A copy is a request to its service like any other, by the DestinationRule of that.

use ambit_balance::Ejection;
use ambit_model::{ConnectionPolicy, OutlierPolicy, ServiceTraffic, TrafficPolicy};
use tokio::io::AsyncWriteExt as _;

use super::super::*;
use super::told::{copied, no_copies};
use crate::fixtures::{routed, ruled, service, traffic};
use crate::scene::{Peer, Scene, head, rest, soon};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n";
const SHADOW: &str = "cluster_name=\"outbound|80||shadow.shop.svc.cluster.local\"";

/// A service whose requests are copied to another, for which this holds.
async fn copying_to(shadow: &Peer, holds: ServiceTraffic) -> Scene {
    let server = Peer::start().await;
    let scene = Scene::new([
        service("server"),
        ruled("shadow", holds),
        server.serves("server-0", "server"),
        shadow.serves("shadow-0", "shadow"),
        routed(&["server"], copied()),
    ]);
    server.answer(WELL);
    scene
}

/// Every failure has its endpoint ejected.
fn strict() -> ServiceTraffic {
    traffic(TrafficPolicy {
        outliers: Some(OutlierPolicy {
            consecutive_5xx: 1,
            max_ejection_percent: 100,
            ..OutlierPolicy::default()
        }),
        ..TrafficPolicy::default()
    })
}

async fn ask(scene: &Scene) {
    let mut client = scene.client();
    client.write_all(GET).await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

fn count(scene: &Scene, series: &str) -> f64 {
    scene.sum(series, &[SHADOW])
}

#[tokio::test]
async fn a_copy_is_in_flight_and_is_not_sent_where_there_is_no_room() {
    let bounds = ConnectionPolicy {
        requests: Some(1),
        ..ConnectionPolicy::default()
    };
    let policy = TrafficPolicy {
        connections: bounds,
        ..TrafficPolicy::default()
    };
    let shadow = Peer::start().await;
    let scene = copying_to(&shadow, traffic(policy)).await;
    let (active, overflow) = (
        "envoy_cluster_upstream_rq_active",
        "envoy_cluster_upstream_rq_pending_overflow",
    );
    ask(&scene).await;
    let (mut first, _) = shadow.asked().await;
    assert!((count(&scene, active) - 1.0).abs() < f64::EPSILON);
    ask(&scene).await;
    let refused = async {
        while count(&scene, overflow) < 1.0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(refused).await;
    first.write_all(WELL.as_bytes()).await.unwrap();
    no_copies(&scene).await;
    assert!(count(&scene, active) < f64::EPSILON);
    let asked = shadow.answer(WELL);
    // That one comes on the connection which is there.
    ask(&scene).await;
    assert!(head(&mut first).await.starts_with("GET / "));
    first.write_all(WELL.as_bytes()).await.unwrap();
    no_copies(&scene).await;
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert!((count(&scene, overflow) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn an_endpoint_that_fails_copies_is_ejected() {
    const PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    for (said, ejected) in [
        (WELL, None),
        (BAD, Some(Ejection::Enforced)),
        (PART, Some(Ejection::Enforced)),
        ("", Some(Ejection::Enforced)),
    ] {
        let shadow = Peer::start().await;
        let mut scene = copying_to(&shadow, strict()).await;
        ask(&scene).await;
        let (mut copy, _) = shadow.asked().await;
        copy.write_all(said.as_bytes()).await.unwrap();
        drop(copy);
        no_copies(&scene).await;
        assert_eq!(scene.eject(), ejected, "{said}");
    }
    let gone = Peer::start().await;
    let mut scene = copying_to(&gone, strict()).await;
    drop(gone);
    ask(&scene).await;
    no_copies(&scene).await;
    assert_eq!(scene.eject(), Some(Ejection::Enforced));
}

#[tokio::test]
async fn a_client_that_breaks_its_body_off_has_no_endpoint_of_copies_ejected() {
    let shadow = Peer::start().await;
    let mut scene = copying_to(&shadow, strict()).await;
    let mut client = scene.client();
    let half = b"POST / HTTP/1.1\r\nHost: s\r\nContent-Length: 6\r\n\r\nabc";
    client.write_all(half).await.unwrap();
    let (_copy, asked) = shadow.asked().await;
    assert!(asked.starts_with("POST / "), "{asked}");
    drop(client);
    no_copies(&scene).await;
    assert_eq!(scene.eject(), None);
}
