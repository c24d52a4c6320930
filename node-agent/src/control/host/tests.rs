//! Messages in pieces, descriptors in order, garbage.

use std::os::fd::AsFd;

use ambit_wire::node::ProxyAttached;

use super::*;

fn frame(kind: Kind) -> Vec<u8> {
    HostToControl { kind: Some(kind) }.encode_length_delimited_to_vec()
}

#[test]
fn messages_are_found_however_they_are_cut() {
    let pod = Pod {
        uid: "u".into(),
        ips: vec!["10.0.0.1".into()],
        ..Pod::default()
    };
    let bytes = [
        frame(Kind::Prepare(pod.clone())),
        frame(Kind::Withdraw("w".into())),
    ]
    .concat();
    for cut in 0..=bytes.len() {
        let mut incoming = Incoming::default();
        let mut seen = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            incoming.bytes.extend_from_slice(part);
            while let Some(message) = incoming.next().unwrap() {
                seen.push(message);
            }
        }
        assert!(
            matches!(&seen[0], FromHost::Prepare(p) if *p == pod),
            "cut at {cut}"
        );
        assert!(
            matches!(&seen[1], FromHost::Withdraw(uid) if uid == "w"),
            "cut at {cut}"
        );
    }
}

#[test]
fn garbage_is_an_error_and_a_kind_of_the_future_is_skipped() {
    for bytes in [
        vec![0xff; 12],
        vec![0xff, 0xff, 0x7f, 1],
        vec![3, 0xff, 0xff, 0xff],
    ] {
        let mut incoming = Incoming {
            bytes,
            ..Incoming::default()
        };
        assert!(incoming.next().is_err());
    }
    let future = [2, 0x7a, 0];
    let bytes = [future.as_slice(), &frame(Kind::Withdraw("w".into()))].concat();
    let mut incoming = Incoming {
        bytes,
        ..Incoming::default()
    };
    assert!(matches!(
        incoming.next().unwrap(),
        Some(FromHost::Withdraw(_))
    ));
    let bytes = frame(Kind::Proxy(ProxyAttached { generation: 1 }));
    assert!(
        Incoming {
            bytes,
            ..Incoming::default()
        }
        .next()
        .is_err(),
        "no descriptor came"
    );
}

#[tokio::test]
async fn a_feed_arrives_with_its_message() {
    let (ours, theirs) = passing::stream_pair().unwrap();
    let (feed, other) = passing::stream_pair().unwrap();
    let (events, mut arrived) = mpsc::channel(8);
    let bytes = [
        frame(Kind::Withdraw("first".into())),
        frame(Kind::Proxy(ProxyAttached { generation: 7 })),
    ];
    passing::send(&ours, &bytes[0], &[]).unwrap();
    passing::send(&ours, &bytes[1], &[feed.as_fd()]).unwrap();
    drop((ours, feed));
    let stream = UnixStream::from_std(theirs.into()).unwrap();
    read(&stream, &events).await.unwrap();
    assert!(matches!(arrived.recv().await, Some(FromHost::Withdraw(_))));
    let Some(FromHost::Proxy(7, socket)) = arrived.recv().await else {
        panic!("no proxy")
    };
    passing::send(&socket, b"x", &[]).unwrap();
    assert_eq!(
        passing::recv(&other, &mut [0; 8]).unwrap().0,
        1,
        "it is that very socket"
    );
}
