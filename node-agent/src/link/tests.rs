use std::os::fd::AsFd;
use std::time::Duration;

use ambit_wire::node::host_to_proxy::Kind;
use ambit_wire::node::{Drain, Pod, PodAttached, SocketKind};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn linked() -> (HostEnd, ProxyEnd) {
    let (host, proxy) = pair().expect("pair");
    (host, ProxyEnd::new(proxy).expect("proxy end"))
}

fn message(kind: Kind) -> HostToProxy {
    HostToProxy { kind: Some(kind) }
}

fn attached(name: String) -> HostToProxy {
    let pod = Some(Pod {
        name,
        ..Pod::default()
    });
    message(Kind::Pod(PodAttached {
        pod,
        ..PodAttached::default()
    }))
}

#[tokio::test]
async fn messages_and_descriptors_reach_the_proxy_in_order() {
    let (host, proxy) = linked();
    let file = std::fs::File::open("/dev/null").expect("open");
    host.send(&attached("web".to_owned()), &[file.as_fd(), file.as_fd()])
        .await
        .expect("send");
    host.send(&message(Kind::Drain(Drain { seconds: 3 })), &[])
        .await
        .expect("send");
    let (first, fds) = proxy.recv().await.expect("recv").expect("open");
    assert_eq!((first, fds.len()), (attached("web".to_owned()), 2));
    let (second, fds) = proxy.recv().await.expect("recv").expect("open");
    assert_eq!(
        (second, fds.len()),
        (message(Kind::Drain(Drain { seconds: 3 })), 0)
    );
    drop(host);
    assert!(proxy.recv().await.expect("the end").is_none());
}

#[tokio::test]
async fn records_reach_the_host_and_then_the_end() {
    let (host, proxy) = linked();
    let pod_uid = PodUid::new("uid-1").expect("uid");
    let records = [
        ToHost::Ready,
        ToHost::NeedSockets {
            pod_uid,
            kind: SocketKind::App4,
            count: 8,
        },
        ToHost::PodReleased { pod_uid, open: 7 },
    ];
    for record in records {
        proxy.send(&record).await.expect("send");
    }
    for record in records {
        assert_eq!(host.recv().await.expect("recv"), Some(record));
    }
    drop(proxy);
    assert_eq!(host.recv().await.expect("the end"), None);
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_refused_before_it_is_sent() {
    let (host, proxy) = linked();
    let error = host
        .send(&attached("x".repeat(MAX_PACKET)), &[])
        .await
        .expect_err("too long");
    assert!(matches!(error, LinkError::TooLong(_)) && !error.is_gone());
    let error = host
        .send(&HostToProxy { kind: None }, &[])
        .await
        .expect_err("empty");
    assert!(matches!(error, LinkError::Malformed(_)));
    host.send(&attached("y".repeat(MAX_PACKET - 20)), &[])
        .await
        .expect("the largest");
    assert!(proxy.recv().await.expect("recv").is_some());
}

#[tokio::test]
async fn a_hostile_proxy_is_heard_as_malformed_and_does_no_harm() {
    let (host, raw) = pair().expect("pair");
    let file = std::fs::File::open("/dev/null").expect("open");
    let record = ToHost::Ready.encode();
    passing::send(&raw, b"x", &[]).expect("short");
    passing::send(&raw, &[1; 65], &[]).expect("long by one");
    passing::send(&raw, &[1; 10_000], &[]).expect("long");
    passing::send(&raw, &[0xff; 64], &[]).expect("garbage");
    passing::send(&raw, &record, &[file.as_fd()]).expect("with a descriptor");
    passing::send(&raw, &record, &[]).expect("good");
    for _ in 0..5 {
        let error = host.recv().await.expect_err("malformed");
        assert!(
            matches!(error, LinkError::Malformed(_)) && !error.is_gone(),
            "{error}"
        );
    }
    assert_eq!(host.recv().await.expect("recv"), Some(ToHost::Ready));
}

#[tokio::test]
async fn a_full_link_makes_the_sender_wait_until_it_is_read() {
    let (host, proxy) = linked();
    let drain = message(Kind::Drain(Drain { seconds: 1 }));
    let mut sent = 0;
    while timeout(Duration::from_millis(50), host.send(&drain, &[]))
        .await
        .is_ok()
    {
        sent += 1;
    }
    let reader = async {
        for _ in 0..=sent {
            proxy.recv().await.expect("recv").expect("open");
        }
    };
    let (result, ()) = timeout(PATIENCE, async {
        tokio::join!(host.send(&drain, &[]), reader)
    })
    .await
    .expect("the link moves again");
    result.expect("sent");
}

#[tokio::test]
async fn sending_to_a_proxy_that_is_gone_says_so() {
    let (host, proxy) = linked();
    drop(proxy);
    let drain = message(Kind::Drain(Drain { seconds: 1 }));
    assert!(host.send(&drain, &[]).await.expect_err("gone").is_gone());
}
