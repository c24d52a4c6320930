//! The webhook's port, as the API server sees it.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::*;
use agent::trusting;

/// A connection from an address of this host.
async fn connect(plane: &Plane, from: [u8; 4]) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let tcp = socket.connect(plane.webhook).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("ambit-control-plane").unwrap();
    let connector = trusting(plane.state.path(), "http/1.1");
    connector.connect(name, tcp).await.unwrap()
}

/// Posts a body; status line and body of the answer.
async fn post(plane: &Plane, path: &str, length: usize, body: &[u8]) -> (String, String) {
    let mut tls = connect(plane, [127, 0, 0, 1]).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    tls.write_all(head.as_bytes()).await.unwrap();
    tls.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, tls.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "no answer to {path}");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn policy(action: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "p", "namespace": "shop", "labels": labels},
        "spec": {"action": action, "rules": [{}]},
    })
}

async fn review(plane: &Plane, new: &Value, old: &Value) -> Value {
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "7", "operation": operation, "namespace": new["metadata"]["namespace"],
            "object": new, "oldObject": old,
        },
    });
    let body = review.to_string();
    let (status, answer) = post(plane, "/validate", body.len(), body.as_bytes()).await;
    assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["response"]["uid"], "7");
    answer["response"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_makes_things_worse_is_refused_and_no_other() {
    let plane = Plane::new(DAY).await;
    let (good, broken) = (policy("DENY", &json!({})), policy("PERHAPS", &json!({})));
    let allowed = |response: Value| response["allowed"].as_bool().unwrap();
    assert!(allowed(review(&plane, &good, &Value::Null).await));
    let refused = review(&plane, &broken, &Value::Null).await;
    let message = refused["status"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("spec.action: "), "{message}");
    assert!(!allowed(review(&plane, &broken, &good).await));
    let relabelled = policy("PERHAPS", &json!({"team": "a"}));
    let tolerated = review(&plane, &relabelled, &broken).await;
    assert_eq!(tolerated["warnings"][0], message.trim_end_matches('.'));
    assert!(allowed(tolerated));
    assert!(allowed(review(&plane, &good, &broken).await));
    let metrics = http(plane.admin, "GET", "/metrics").await;
    let count = r#"ambit_admission_reviews_total{outcome="refused"} 2"#;
    assert!(metrics.contains(count), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_effect_is_written_with_a_warning() {
    let plane = Plane::new(DAY).await;
    let object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
        "metadata": {"name": "s", "namespace": "shop"}, "spec": {},
    });
    let answer = review(&plane, &object, &Value::Null).await;
    assert_eq!(answer["allowed"], true);
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(warning.contains("has no effect"), "{warning}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_review_gets_an_error_that_the_api_server_does_not_take_for_a_refusal() {
    let plane = Plane::new(DAY).await;
    let (status, _) = post(&plane, "/validate", 2, b"{}").await;
    assert_eq!(status, "HTTP/1.1 400 Bad Request");
    let (status, _) = post(&plane, "/elsewhere", 2, b"{}").await;
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    let (status, _) = post(&plane, "/validate", 10_000_000, b"").await;
    assert_eq!(status, "HTTP/1.1 413 Payload Too Large");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_slowly_keeps_no_other_address_waiting() {
    let plane = Plane::new(DAY).await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut tls = connect(&plane, [127, 0, 0, 9]).await;
        let head = "POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n";
        tls.write_all(head.as_bytes()).await.unwrap();
        slow.push(tls);
    }
    let start = std::time::Instant::now();
    let good = policy("DENY", &json!({}));
    assert_eq!(review(&plane, &good, &Value::Null).await["allowed"], true);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}
