//! What a client gets where a retry would have nowhere to go, and where a retry goes when more is known
//! than when the request came.

use std::sync::atomic::Ordering;

use std::time::Duration;

use ambit_model::{
    Change, ConnectionPolicy, HttpRule, Policy, RequestAction, RequestRule, Scope, ServiceTraffic,
    TrafficPolicy, Workload,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

mod untaken;

use super::*;
use crate::fixtures::{about_requests, closed, routed, ruled, service, traffic};
use crate::scene::{Peer, Scene, head, rest, soon};

const BAD: &str = "HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n";

/// Routes that have requests tried again so many times that are answered with [`BAD`].
fn tried_again_on_500(attempts: u32) -> Change {
    tried_again_after(attempts, None)
}

/// The same, so long after the try before.
fn tried_again_after(attempts: u32, backoff: Option<Duration>) -> Change {
    let retry = Retry {
        attempts,
        backoff,
        on: RetryOn {
            statuses: vec![500],
            ..RetryOn::default()
        },
    };
    let rule = HttpRule {
        retry: Some(retry),
        ..HttpRule::default()
    };
    routed(&["server"], rule)
}

#[tokio::test]
async fn an_answer_is_not_thrown_away_for_a_try_that_cannot_be() {
    let peer = Peer::start().await;
    let mut changes = vec![service("server"), peer.serves("server-0", "server")];
    // Another endpoint, to which the client may not go.
    changes.extend(closed(Peer::start().await.serves("server-1", "server")));
    changes.push(tried_again_on_500(1));
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

const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UNAVAILABLE: &str = "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn an_endpoint_that_speaks_no_http_is_told_apart_from_one_whose_connection_ends() {
    const CHUNKS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let garbled = format!("{CHUNKS}what?\r\n");
    let whole = format!("{CHUNKS}0\r\n\r\n");
    let two_lengths = whole.replace("Transfer", "Content-Length: 2\r\nTransfer");
    let in_two_forms = whole.replace("chunked", "gzip, chunked");
    for (said, is_reset, status, flag) in [
        ("what is this?\r\n\r\n", false, "502", "UPE"),
        (part, false, "200", "UPE"),
        (part, true, "200", "UC"),
        (CHUNKS, false, "200", "UPE"),
        (&two_lengths, false, "502", "UPE"),
        (&in_two_forms, false, "502", "UPE"),
        (&garbled, false, "200", "UPE"),
        ("", false, "503", "UC"),
    ] {
        let peer = Peer::start().await;
        // How often it may be tried is said: once.
        let once = tried_again_on_500(0);
        let scene = Scene::new([service("server"), peer.serves("server-0", "server"), once]);
        let mut client = scene.client();
        let get = b"GET / HTTP/1.1\r\nHost: s\r\n\r\n";
        client.write_all(get).await.unwrap();
        let (mut stream, _) = peer.asked().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        let answer = match is_reset {
            true => {
                let head = head(&mut client).await;
                let linger = Some(Duration::ZERO);
                socket2::SockRef::from(&stream).set_linger(linger).unwrap();
                drop(stream);
                head
            }
            false => {
                drop(stream);
                head(&mut client).await
            }
        };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{said}: {answer}"
        );
        let labels = [
            &*format!("response_flags=\"{flag}\""),
            &format!("response_code=\"{status}\""),
        ];
        scene.await_request(&labels).await;
    }
}

/// A service with one endpoint, where a try that takes too long is followed by another; a client that
/// has asked.
async fn asked_once(peer: &Peer, backoff: Option<Duration>) -> (Scene, DuplexStream) {
    let retry = Retry {
        attempts: 1,
        backoff,
        on: RetryOn {
            gateway_error: true,
            ..RetryOn::default()
        },
    };
    let rule = HttpRule {
        retry: Some(retry),
        try_timeout: Some(Duration::from_secs(1)),
        ..HttpRule::default()
    };
    let routes = routed(&["server"], rule);
    let scene = Scene::new([service("server"), peer.serves("server-0", "server"), routes]);
    let mut client = scene.client();
    let get = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    client.write_all(get).await.unwrap();
    (scene, client)
}

#[tokio::test]
async fn a_try_goes_to_an_endpoint_that_came_after_the_request() {
    let (old, new) = (Peer::start().await, Peer::start().await);
    let (mut scene, mut client) = asked_once(&old, None).await;
    let _hangs = old.asked().await;
    scene.apply(Change::RemoveWorkload(WorkloadUid::pod(
        "Kubernetes",
        "shop",
        "server-0",
    )));
    scene.apply(new.serves("server-1", "server"));
    let (mut endpoint, _) = new.asked().await;
    endpoint.write_all(WELL.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_try_does_not_go_where_a_policy_that_came_after_the_request_forbids_it() {
    let peer = Peer::start().await;
    // While a try is under way, and while the next one is waited for or about to be.
    for (backoff, expected) in [
        (None, ["504", "504"]),
        (Some(Duration::from_millis(500)), ["503", "403"]),
    ] {
        let (scene, mut client) = asked_once(&peer, backoff).await;
        let (mut endpoint, _) = peer.asked().await;
        if backoff.is_some() {
            endpoint.write_all(UNAVAILABLE.as_bytes()).await.unwrap();
        }
        // The connection, which would end, is not judged again yet.
        let mut view = View::clone(&scene.proxy.view());
        for change in closed(peer.serves("server-0", "server")) {
            view.apply(change, clock::now());
        }
        scene.proxy.view.store(Arc::new(view));
        let answer = rest(&mut client).await;
        let status = answer.get(9..12).unwrap_or_default();
        assert!(expected.contains(&status), "{answer}");
        scene.await_request(&["response_code"]).await;
        assert!(scene.sum("ambit_request_retries_total", &[]) < 1.0);
    }
}

/// The same pod, which an AUDIT policy of its own is told of.
fn audited(pod: &Change, policy: &str) -> [Change; 2] {
    let Change::PutWorkload(workload) = pod else {
        panic!("no workload")
    };
    let everything = vec![RequestRule::default()];
    let audit = about_requests(policy, RequestAction::Audit, everything, &[]);
    let audit = Policy {
        scope: Scope::Workload,
        ..Policy::clone(&audit)
    };
    let workload = Workload {
        policies: vec![audit.name.clone()],
        ..Workload::clone(workload)
    };
    [
        Change::PutPolicy(Arc::new(audit)),
        Change::PutWorkload(Arc::new(workload)),
    ]
}

#[tokio::test]
async fn what_audits_is_told_of_each_endpoint_and_once_for_a_request() {
    let peers = [Peer::start().await, Peer::start().await];
    let everything = vec![RequestRule::default()];
    let of_all = about_requests("of-all", RequestAction::Audit, everything, &[]);
    let mut changes = vec![service("server"), Change::PutPolicy(of_all)];
    changes.extend(audited(&peers[0].serves("server-0", "server"), "of-0"));
    changes.extend(audited(&peers[1].serves("server-1", "server"), "of-1"));
    changes.push(tried_again_on_500(2));
    let scene = Scene::new(changes);
    let heard = peers.map(|peer| peer.answer(BAD));
    assert!(ask(&scene).await.starts_with("HTTP/1.1 500 "));
    let tries: usize = heard
        .iter()
        .map(|heard| heard.load(Ordering::Relaxed))
        .sum();
    assert_eq!(tries, 3);
    for policy in ["of-0", "of-1", "of-all"] {
        let policy_label = format!("policy=\"shop/{policy}\"");
        let told = scene.sum("ambit_policy_audited_total", &[&policy_label]);
        assert!((told - 1.0).abs() < f64::EPSILON, "{policy}: {told}");
    }
}

#[tokio::test]
async fn an_explicit_retry_repeats_a_post_unless_that_is_switched_off() {
    for (idempotent_only, method, tries) in [
        (false, "POST", 3),
        (true, "POST", 1),
        (true, "PATCH", 1),
        (true, "PUT", 3),
        (true, "GET", 3),
    ] {
        let peer = Peer::start().await;
        let routes = tried_again_on_500(2);
        let pod = peer.serves("server-0", "server");
        let mut scene = Scene::new([service("server"), pod, routes]);
        let proxy = Arc::get_mut(&mut scene.proxy).unwrap();
        proxy.idempotent_only = idempotent_only;
        let asked = peer.answer(BAD);
        let mut client = scene.client();
        let request = format!("{method} / HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert_eq!(asked.load(Ordering::Relaxed), tries, "{method}");
    }
}

/// A client's request, whose answer is read to its end.
async fn ask(scene: &Scene) -> String {
    let mut client = scene.client();
    let get = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    client.write_all(get).await.unwrap();
    head(&mut client).await
}

#[tokio::test]
async fn a_request_that_was_tried_as_often_as_it_may_be_is_told_so() {
    for (attempts, answer, flags) in [
        (0, BAD, "-"),
        (2, BAD, "URX"),
        (2, UNAVAILABLE, "-"),
        (2, WELL, "-"),
    ] {
        let peer = Peer::start().await;
        let endpoint = peer.serves("server-0", "server");
        let scene = Scene::new([service("server"), endpoint, tried_again_on_500(attempts)]);
        let asked = peer.answer(answer);
        let status = answer.split(' ').nth(1).unwrap();
        let got = ask(&scene).await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        scene
            .await_request(&[&format!("response_flags=\"{flags}\"")])
            .await;
        let expected = if flags == "URX" { 3 } else { 1 };
        assert_eq!(asked.load(Ordering::Relaxed), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_try_for_which_there_is_no_room_is_told_as_overflow() {
    let peer = Peer::start().await;
    let endpoint = peer.serves("server-0", "server");
    let scene = Scene::new([
        ruled("server", retries_at_once(0)),
        endpoint,
        tried_again_on_500(2),
    ]);
    let asked = peer.answer(BAD);
    let got = ask(&scene).await;
    assert!(got.starts_with("HTTP/1.1 500 "), "{got}");
    scene.await_request(&["response_flags=\"UO\""]).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_request_whose_whole_time_is_over_was_not_tried_too_often() {
    let rule = HttpRule {
        retry: Some(Retry {
            attempts: 1,
            backoff: None,
            on: RetryOn {
                gateway_error: true,
                ..RetryOn::default()
            },
        }),
        timeout: Some(Duration::from_secs(1)),
        ..HttpRule::default()
    };
    let peer = Peer::start().await;
    let endpoint = peer.serves("server-0", "server");
    let scene = Scene::new([service("server"), endpoint, routed(&["server"], rule)]);
    let mut client = scene.client();
    let get = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    client.write_all(get).await.unwrap();
    let (mut first, _) = peer.asked().await;
    first.write_all(UNAVAILABLE.as_bytes()).await.unwrap();
    drop(first);
    let _hangs = peer.asked().await;
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    scene.await_request(&["response_flags=\"UT\""]).await;
}

#[tokio::test]
async fn a_try_that_could_not_begin_in_time_is_not_waited_for() {
    let rule = HttpRule {
        retry: Some(Retry {
            attempts: 3,
            backoff: Some(Duration::from_secs(100)),
            on: RetryOn {
                gateway_error: true,
                ..RetryOn::default()
            },
        }),
        timeout: Some(Duration::from_secs(50)),
        ..HttpRule::default()
    };
    let peer = Peer::start().await;
    let endpoint = peer.serves("server-0", "server");
    let scene = Scene::new([service("server"), endpoint, routed(&["server"], rule)]);
    let asked = peer.answer(UNAVAILABLE);
    // The answer that is there is better than none after a while.
    let got = ask(&scene).await;
    assert!(got.starts_with("HTTP/1.1 503 "), "{got}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert!(scene.sum("ambit_request_retries_total", &[]) < 1.0);
}

/// The connection of the first try goes on to ask for the body while the second one waits.
#[tokio::test]
async fn a_body_of_which_a_part_was_answered_is_sent_whole_again() {
    let peer = Peer::start().await;
    let endpoint = peer.serves("server-0", "server");
    let again = tried_again_after(1, Some(Duration::from_millis(300)));
    let scene = Scene::new([service("server"), endpoint, again]);
    let mut client = scene.client();
    let part = 10_000;
    let chunk = |length: usize| format!("{length:x}\r\n{}\r\n", "x".repeat(length));
    let post = "POST / HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(post.as_bytes()).await.unwrap();
    client.write_all(chunk(part).as_bytes()).await.unwrap();
    let (mut first, _) = peer.asked().await;
    first.write_all(BAD.as_bytes()).await.unwrap();
    let takes = tokio::spawn(async move {
        // It reads on whatever it has answered.
        let mut all = Vec::new();
        first.read_to_end(&mut all).await.ok();
    });
    let sends = tokio::spawn(async move {
        // While the next try waits.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..20 {
            client.write_all(chunk(part).as_bytes()).await.unwrap();
        }
        client.write_all(b"0\r\n\r\n").await.unwrap();
        client
    });
    let (mut second, _) = soon(peer.asked()).await;
    let mut read = 0;
    let mut bytes = vec![0; 1 << 16];
    while read < 21 * part {
        let came = soon(second.read(&mut bytes)).await.unwrap();
        assert!(came > 0, "after {read} bytes");
        read += bytes[..came].iter().filter(|byte| **byte == b'x').count();
    }
    second.write_all(WELL.as_bytes()).await.unwrap();
    let mut client = soon(sends).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    takes.abort();
}

#[tokio::test]
async fn a_body_that_is_not_kept_is_sent_once() {
    let peer = Peer::start().await;
    let endpoint = peer.serves("server-0", "server");
    let scene = Scene::new([service("server"), endpoint, tried_again_on_500(1)]);
    let mut client = scene.client();
    let length = 100_000;
    let post = format!("POST / HTTP/1.1\r\nHost: s\r\nContent-Length: {length}\r\n\r\n");
    let sends = async {
        client.write_all(post.as_bytes()).await.unwrap();
        client.write_all(&vec![b'x'; length]).await.unwrap();
    };
    let takes = async {
        let (mut endpoint, _) = peer.asked().await;
        let mut body = vec![0; length];
        endpoint.read_exact(&mut body).await.unwrap();
        endpoint.write_all(BAD.as_bytes()).await.unwrap();
        endpoint
    };
    let ((), _endpoint) = tokio::join!(sends, takes);
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    scene.await_request(&["response_flags=\"-\""]).await;
}

#[tokio::test]
async fn a_try_that_is_under_way_takes_the_place_of_another() {
    let peer = Peer::start().await;
    let endpoint = peer.serves("server-0", "server");
    let server = ruled("server", retries_at_once(1));
    let scene = Scene::new([server, endpoint, tried_again_on_500(1)]);
    let get = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    let mut one = scene.client();
    one.write_all(get).await.unwrap();
    let (mut first, _) = peer.asked().await;
    first.write_all(BAD.as_bytes()).await.unwrap();
    drop(first);
    let _again = peer.asked().await;
    let mut other = scene.client();
    other.write_all(get).await.unwrap();
    let (mut first, _) = peer.asked().await;
    first.write_all(BAD.as_bytes()).await.unwrap();
    let answer = head(&mut other).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    scene.await_request(&["response_flags=\"UO\""]).await;
}

/// So many tries after the first at once.
fn retries_at_once(most: u32) -> ServiceTraffic {
    let any = TrafficPolicy {
        connections: ConnectionPolicy {
            retries: Some(most),
            ..ConnectionPolicy::default()
        },
        ..TrafficPolicy::default()
    };
    traffic(any)
}
