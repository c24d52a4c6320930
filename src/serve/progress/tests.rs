use super::*;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_withdrawal_waits_for_the_slowest_stream() {
    let progress = Progress::default();
    let (fast, slow) = (
        progress.enter(&"n1".into()).unwrap(),
        progress.enter(&"n2".into()).unwrap(),
    );
    fast.acknowledged(7);
    slow.acknowledged(6);
    let waiting = tokio::spawn({
        let progress = progress.clone();
        async move { progress.reached(7, LONG).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    slow.acknowledged(7);
    assert!(waiting.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_that_ends_is_waited_for_no_more() {
    let progress = Progress::default();
    let gone = progress.enter(&"n1".into()).unwrap();
    let waiting = tokio::spawn({
        let progress = progress.clone();
        async move { progress.reached(1, LONG).await }
    });
    tokio::task::yield_now().await;
    drop(gone);
    assert!(waiting.await.unwrap().is_empty());
    assert!(progress.streams().is_empty());
}

#[tokio::test]
async fn the_wait_is_bounded_and_says_who_is_behind() {
    let progress = Progress::default();
    let _silent = progress.enter(&"n1".into()).unwrap();
    let behind = progress.reached(1, Duration::from_millis(5)).await;
    assert_eq!(behind, ["n1".into()]);
}

#[test]
fn one_node_has_so_many_streams_and_no_more() {
    let progress = Progress::default();
    let enter = |node: &str| progress.enter(&node.into());
    let mut streams: Vec<_> = (0..STREAMS_OF_ONE).map(|_| enter("n1").unwrap()).collect();
    assert!(enter("n1").is_none());
    assert!(enter("n2").is_some());
    streams.pop();
    assert!(enter("n1").is_some());
}
