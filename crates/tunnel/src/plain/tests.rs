use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::testing::{soon, tcp_pair};

/// Two applications with a copy between them.
async fn joined() -> (
    TcpStream,
    tokio::task::JoinHandle<(CopyEnd, u64, u64)>,
    TcpStream,
) {
    let ((near, a), (b, far)) = (tcp_pair().await, tcp_pair().await);
    let copy = tokio::spawn(async move {
        let meter = Meter::default();
        let end = copy_plain(a, b, &meter).await;
        (end, meter.sent.into_inner(), meter.received.into_inner())
    });
    (near, copy, far)
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_way_ends_on_its_own() {
    let (mut near, copy, mut far) = joined().await;
    let payload = vec![42; 3_000_000];
    let (sent, mut got) = (payload.clone(), Vec::new());
    soon(async {
        let send = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(send, far.read_to_end(&mut got));
        read.unwrap();
    })
    .await;
    assert_eq!(got, payload);
    // The other way is still open.
    far.write_all(b"answer").await.unwrap();
    drop(far);
    let mut answer = String::new();
    soon(near.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "answer");
    let (end, sent, received) = soon(copy).await.unwrap();
    assert!(matches!(end, CopyEnd::Finished), "{end:?}");
    assert_eq!((sent, received), (3_000_000, 6));
}

#[tokio::test]
async fn a_reset_on_one_side_is_a_reset_on_the_other() {
    let (near, copy, mut far) = joined().await;
    near.set_zero_linger().unwrap();
    drop(near);
    let error = soon(far.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(
        soon(copy).await.unwrap().0,
        CopyEnd::NearFailed(_)
    ));

    let (mut near, copy, far) = joined().await;
    far.set_zero_linger().unwrap();
    drop(far);
    let error = soon(near.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(matches!(soon(copy).await.unwrap().0, CopyEnd::FarReset(_)));
}

#[tokio::test]
async fn a_cancelled_copy_resets_both_sides() {
    let (mut near, copy, mut far) = joined().await;
    near.write_all(b"x").await.unwrap();
    soon(far.read_u8()).await.unwrap();
    copy.abort();
    for side in [&mut near, &mut far] {
        let error = soon(side.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn an_idle_copy_is_small() {
    let ((_near, a), (b, _far)) = (tcp_pair().await, tcp_pair().await);
    let meter = Meter::default();
    let copy = copy_plain(a, b, &meter);
    assert!(size_of_val(&copy) < 512, "{}", size_of_val(&copy));
}
