//! What no endpoint takes.

use std::sync::atomic::AtomicUsize;

use http::Request;

use super::*;
use crate::fixtures::by_http2;

/// Has a peer refuse all streams but those of `/well`, and counts what it refused.
fn refuses(peer: Peer) -> Arc<AtomicUsize> {
    let count: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let connected = peer.connected().await;
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut shown = h2::server::handshake(connected).await.unwrap();
                while let Some(Ok((request, mut answer))) = shown.accept().await {
                    if request.uri().path() == "/well" {
                        answer.send_response(Response::new(()), true).unwrap();
                    } else {
                        counted.fetch_add(1, Ordering::Relaxed);
                        answer.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                }
            });
        }
    });
    count
}

fn tried_again_when_refused(attempts: u32) -> Change {
    let on = RetryOn {
        refused_stream: true,
        ..RetryOn::default()
    };
    let retry = Retry {
        attempts,
        backoff: Some(Duration::from_millis(1)),
        on,
    };
    let rule = HttpRule {
        retry: Some(retry),
        ..HttpRule::default()
    };
    routed(&["server"], rule)
}

#[tokio::test]
async fn a_stream_that_is_refused_has_been_tried() {
    for (attempts, tries) in [(None, 3), (Some(0), 1), (Some(1), 2), (Some(4), 5)] {
        let peer = Peer::start().await;
        let mut changes = vec![by_http2("server"), peer.serves("server-0", "server")];
        changes.extend(attempts.map(tried_again_when_refused));
        let scene = Scene::new(changes);
        let refused = refuses(peer);
        let mut client = scene.client_of_http2().await;
        // On a new connection, and on one that is there.
        for times in 1..=2 {
            let post = Request::post("http://s/no").body(()).unwrap();
            let (answer, mut body) = client.send_request(post, false).unwrap();
            body.send_data("hello".into(), true).unwrap();
            let answer = soon(answer).await.unwrap();
            assert_eq!(answer.status(), 503, "{attempts:?}");
            assert_eq!(
                refused.load(Ordering::Relaxed),
                times * tries,
                "{attempts:?}"
            );
            let well = Request::get("http://s/well").body(()).unwrap();
            let (answer, _) = client.send_request(well, true).unwrap();
            assert_eq!(soon(answer).await.unwrap().status(), 200);
        }
    }
}
