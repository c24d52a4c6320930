//! The stock asks before it runs dry, once per batch, and waits a bounded time.

use super::*;

fn socket() -> OwnedFd {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()
}

#[tokio::test]
async fn a_connection_waits_for_the_batch_it_caused() {
    let (requests, mut asked) = mpsc::channel(8);
    let stock = Arc::new(Stock::new("pod".into(), requests));
    let taker = tokio::spawn({
        let stock = Arc::clone(&stock);
        async move { stock.take(SocketKind::App4).await.is_some() }
    });
    let request = asked.recv().await.unwrap();
    assert_eq!(
        (request.kind, request.count),
        (SocketKind::App4, 8),
        "dry: twice the first batch"
    );
    stock.put(SocketKind::App4, (0..8).map(|_| socket()).collect());
    assert!(taker.await.unwrap());
    assert!(
        asked.try_recv().is_err(),
        "seven are left, nothing more is asked for"
    );
    for _ in 0..4 {
        stock.take(SocketKind::App4).await.unwrap();
    }
    assert_eq!(asked.try_recv().unwrap().count, 8, "asked ahead of need");
    stock.take(SocketKind::App4).await.unwrap();
    assert!(asked.try_recv().is_err(), "one batch is awaited at a time");
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_role_means_no_socket_after_the_wait() {
    let (requests, mut asked) = mpsc::channel(8);
    let stock = Stock::new("pod".into(), requests);
    assert!(stock.take(SocketKind::World6).await.is_none());
    assert!(stock.take(SocketKind::World6).await.is_none());
    let asked = [asked.try_recv(), asked.try_recv()];
    assert!(
        asked.iter().all(Result::is_ok),
        "an answer that was lost is not waited for again: {asked:?}"
    );
}

#[tokio::test]
async fn a_batch_that_came_short_is_no_reason_to_wait() {
    let (requests, mut asked) = mpsc::channel(8);
    let stock = Stock::new("pod".into(), requests);
    let first = tokio::time::timeout(Duration::from_millis(1), stock.take(SocketKind::App6));
    first.await.unwrap_err();
    asked.try_recv().unwrap();
    stock.put(SocketKind::App6, vec![socket()]);
    stock.take(SocketKind::App6).await.unwrap();
    assert!(asked.try_recv().is_ok());
}

#[tokio::test]
async fn an_empty_batch_lets_the_next_connection_ask_again() {
    let (requests, mut asked) = mpsc::channel(8);
    let stock = Stock::new("pod".into(), requests);
    let first = tokio::time::timeout(Duration::from_millis(1), stock.take(SocketKind::World4));
    first.await.unwrap_err();
    stock.put(SocketKind::World4, Vec::new());
    let second = tokio::time::timeout(Duration::from_millis(1), stock.take(SocketKind::World4));
    second.await.unwrap_err();
    assert!(asked.try_recv().is_ok() && asked.try_recv().is_ok());
}

#[tokio::test]
async fn sockets_go_to_those_who_came_first() {
    let (requests, _asked) = mpsc::channel(8);
    let stock = Stock::new("pod".into(), requests);
    let mut takers: Vec<_> = (0..5)
        .map(|_| Box::pin(stock.take(SocketKind::App4)))
        .collect();
    for taker in &mut takers {
        assert!(futures_util::poll!(taker).is_pending());
    }
    stock.put(SocketKind::App4, vec![socket(), socket()]);
    let mut late = Box::pin(stock.take(SocketKind::App4));
    let mut served = Vec::new();
    for taker in takers.iter_mut().chain([&mut late]) {
        served.push(futures_util::poll!(taker).is_ready());
    }
    assert_eq!(served, [true, true, false, false, false, false]);
}
