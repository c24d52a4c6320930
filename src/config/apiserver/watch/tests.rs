use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;

/// An API server that does not know a kind until it was asked for so often, and then has one object.
fn learns_after(times: usize) -> Client {
    let asked = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let is_watch = request.uri().query().unwrap_or_default().contains("watch");
        let number = asked.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            if is_watch {
                // Nothing happens any more.
                std::future::pending::<()>().await;
            }
            let (code, body) = if number <= times {
                let unknown = json!({
                    "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
                    "message": "the server could not find the requested resource",
                });
                (404, unknown)
            } else {
                let gateway = json!({
                    "metadata": {"name": "w", "namespace": "shop", "resourceVersion": "7"},
                    "spec": {"gatewayClassName": "ambit-waypoint"},
                });
                let list = json!({
                    "kind": "GatewayList", "apiVersion": "gateway.networking.k8s.io/v1",
                    "metadata": {"resourceVersion": "7"}, "items": [gateway],
                });
                (200, list)
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            let answer = http::Response::builder().status(code).body(body);
            Ok::<_, Infallible>(answer.unwrap())
        }
    });
    Client::new(service, "default")
}

#[tokio::test]
async fn a_kind_that_is_not_known_yet_is_empty_until_it_is() {
    let (sender, mut seen) = mpsc::channel(1);
    // Each round asks for both versions.
    let client = learns_after(4);
    let following = tokio::spawn(follow(
        client,
        Kind::Gateway,
        sender,
        Duration::from_millis(1),
    ));
    let mut told = Vec::new();
    let until_there = async {
        while !matches!(told.last(), Some(Seen::Listed(_))) {
            let (kind, next) = seen.recv().await.unwrap();
            assert_eq!(kind, Kind::Gateway);
            told.push(next);
        }
    };
    let there = tokio::time::timeout(Duration::from_secs(30), until_there).await;
    there.unwrap();
    let empty = told.iter().filter(|seen| matches!(seen, Seen::Complete));
    assert_eq!(empty.count(), 2, "an empty kind holds nothing up: {told:?}");
    let there = format!("{:?}", told.last());
    assert!(there.contains("ambit-waypoint"), "{there}");
    drop(seen);
    following.abort();
}
