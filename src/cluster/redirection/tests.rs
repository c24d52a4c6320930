use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn a_mark_is_for_the_pod_of_its_uid_only() {
    let mark = |redirection| Mark {
        uid: "u-1".into(),
        namespace: "shop".into(),
        name: "web".into(),
        redirection,
    };
    for (redirection, value) in [
        (Redirection::Enabled, json!("enabled")),
        (Redirection::Pending("why".to_owned()), json!("pending")),
        (Redirection::Absent, Value::Null),
    ] {
        let expected = json!({"metadata": {
            "uid": "u-1",
            "annotations": {"ambit.mesh/redirection": value},
        }});
        assert_eq!(patch_of(&mark(redirection)), expected);
    }
}

/// An API server that fails so often, and then takes everything; the methods it was asked.
fn failing(times: usize, asked: mpsc::Sender<usize>) -> Client {
    let count = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |_request: http::Request<kube::client::Body>| {
        let (asked, number) = (asked.clone(), count.fetch_add(1, Ordering::Relaxed) + 1);
        async move {
            asked.send(number).await.unwrap();
            let (code, body) = if number <= times {
                (
                    503,
                    json!({"kind": "Status", "status": "Failure", "message": "busy", "code": 503}),
                )
            } else {
                (
                    200,
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}),
                )
            };
            let body = kube::client::Body::from(body.to_string().into_bytes());
            Ok::<_, std::convert::Infallible>(
                http::Response::builder().status(code).body(body).unwrap(),
            )
        }
    });
    Client::new(service, "default")
}

#[test]
fn what_an_agent_repeats_is_not_kept() {
    let mark = |redirection| Mark {
        uid: "u-1".into(),
        namespace: "shop".into(),
        name: "web".into(),
        redirection,
    };
    assert!(!is_kept(&mark(Redirection::Enabled)));
    assert!(is_kept(&mark(Redirection::Absent)));
}

#[tokio::test]
async fn a_mark_that_could_not_be_written_is_tried_on() {
    let pace = Pace {
        pauses: &[Duration::ZERO, Duration::ZERO],
        seldom: Duration::from_millis(1),
    };
    let (asked, mut numbers) = mpsc::channel(64);
    let (marker, marks) = mpsc::channel(1);
    let writing = tokio::spawn(write_at(pace, failing(7, asked), marks));
    let mark = Mark {
        uid: "u-1".into(),
        namespace: "shop".into(),
        name: "web".into(),
        redirection: Redirection::Absent,
    };
    marker.send(mark).await.unwrap();
    let until_written = async { while numbers.recv().await != Some(8) {} };
    let written = tokio::time::timeout(Duration::from_secs(30), until_written).await;
    written.unwrap();
    drop(marker);
    writing.await.unwrap();
    assert_eq!(numbers.recv().await, None, "once it is written, no more");
}
