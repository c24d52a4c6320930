//! What a client gets where a retry would have nowhere to go.

use std::sync::atomic::Ordering;

use ambit_model::HttpRule;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::fixtures::{closed, routed, service};
use crate::scene::{Peer, Scene, head};

const BAD: &str = "HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn an_answer_is_not_thrown_away_for_a_try_that_cannot_be() {
    let peer = Peer::start().await;
    let mut changes = vec![service("server"), peer.serves("server-0", "server")];
    // Another endpoint, to which the client may not go.
    changes.extend(closed(Peer::start().await.serves("server-1", "server")));
    let retry = Retry {
        attempts: 1,
        backoff: None,
        on: RetryOn {
            statuses: vec![500],
            ..RetryOn::default()
        },
    };
    let rule = HttpRule {
        retry: Some(retry),
        ..HttpRule::default()
    };
    changes.push(routed(&["server"], rule));
    let scene = Scene::new(changes);
    let asked = peer.answer(BAD);
    let mut answers = 0;
    for _ in 0..40 {
        let mut client = scene.client();
        let get = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
        client.write_all(get).await.unwrap();
        let answer = head(&mut client).await;
        let is_peers = answer.starts_with("HTTP/1.1 500 ");
        assert!(is_peers || answer.starts_with("HTTP/1.1 403 "), "{answer}");
        answers += usize::from(is_peers);
    }
    assert!(answers > 0);
    assert_eq!(asked.load(Ordering::Relaxed), answers);
}
