//! What a DestinationRule says of connections.

use ambit_model::ConnectionPolicy;

use super::*;
use crate::fixtures::terms;

async fn ask_on(
    pool: &HttpPool,
    to: &Arc<Destination>,
    (version, terms): (Version, &Arc<Terms>),
    path: &str,
) -> Answer {
    let request = request(to.address, path, Body::empty());
    soon(pool.send(
        to,
        version,
        CLIENT,
        request,
        On {
            terms: Some(terms),
            ..On::default()
        },
    ))
    .await
}

async fn exchange_on(pool: &HttpPool, to: &Arc<Destination>, on: (Version, &Arc<Terms>)) {
    let (answer, lease) = ask_on(pool, to, on, "/").await.unwrap();
    soon(answer.into_body().collect()).await.unwrap();
    lease.give_back();
}

#[tokio::test]
async fn a_request_waits_for_a_place_on_the_only_connection() {
    let (to, connections) = http2_endpoint(200).await;
    let pool = pool();
    let terms = terms(ConnectionPolicy {
        connections: Some(1),
        streams_each: Some(2),
        pending: Some(1),
        ..ConnectionPolicy::default()
    });
    let on = (Version::Http2, &terms);
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(ask_on(&pool, &to, on, "/watch").await.unwrap());
    }
    let (waiting, home, own) = (pool.clone(), Arc::clone(&to), Arc::clone(&terms));
    let third = tokio::spawn(async move {
        exchange_on(&waiting, &home, (Version::Http2, &own)).await;
    });
    until(|| terms.flow.pool.counts().pending == 1).await;
    let refused = ask_on(&pool, &to, on, "/").await.unwrap_err();
    assert!(
        matches!(refused, SendError::Connect(ConnectError::Pending(_))),
        "{refused}"
    );
    open.pop();
    soon(third).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let counts = terms.flow.pool.counts();
    assert_eq!((counts.pending, counts.request_overflow), (0, 1));
    assert_eq!((counts.connections, counts.connection_overflow), (1, 1));
}

#[tokio::test]
async fn a_connection_takes_no_more_requests_than_it_may() {
    for version in [Version::Http1, Version::Http2] {
        let (to, connections) = match version {
            Version::Http1 => http1_endpoint(usize::MAX).await,
            Version::Http2 => http2_endpoint(200).await,
        };
        let pool = pool();
        let terms = terms(ConnectionPolicy {
            requests_each: Some(2),
            ..ConnectionPolicy::default()
        });
        for _ in 0..6 {
            exchange_on(&pool, &to, (version, &terms)).await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), 3, "{version:?}");
        // All but one have ended, and the last one carries nothing.
        until(|| terms.flow.pool.counts().connections <= 1).await;
    }
}

#[tokio::test]
async fn who_may_have_one_connection_has_it_to_the_endpoint_that_is_asked() {
    let (one, _) = http2_endpoint(200).await;
    let (other, _) = http1_endpoint(usize::MAX).await;
    let pool = pool();
    let terms = terms(ConnectionPolicy {
        connections: Some(1),
        ..ConnectionPolicy::default()
    });
    for _ in 0..3 {
        exchange_on(&pool, &one, (Version::Http2, &terms)).await;
        exchange_on(&pool, &other, (Version::Http1, &terms)).await;
    }
    assert_eq!(terms.flow.pool.counts().connections, 1);
}

#[tokio::test]
async fn connections_without_a_request_go_as_soon_as_the_rule_says() {
    let (pool, now) = (pool(), clock::now());
    let (one, _) = http1_endpoint(usize::MAX).await;
    let (other, _) = http2_endpoint(200).await;
    let terms = terms(ConnectionPolicy {
        idle_timeout: Some(Duration::from_secs(5)),
        ..ConnectionPolicy::default()
    });
    exchange_on(&pool, &one, (Version::Http1, &terms)).await;
    exchange_on(&pool, &other, (Version::Http2, &terms)).await;
    let lens = || (pool.inner.idle.len(), pool.inner.shared.len());
    pool.sweep(now + Duration::from_secs(3));
    assert_eq!(lens(), (1, 1));
    pool.sweep(now + Duration::from_secs(9));
    assert_eq!(lens(), (0, 0));
    until(|| terms.flow.pool.counts().connections == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_take_as_long_as_the_rule_says() {
    let to = pod("127.0.0.1:1".parse().unwrap(), TunnelProtocol::None);
    let terms = terms(ConnectionPolicy {
        connect_timeout: Some(Duration::from_secs(5)),
        ..ConnectionPolicy::default()
    });
    let began = tokio::time::Instant::now();
    let late = in_time(&to, Some(&terms), std::future::pending::<()>()).await;
    let error = late.unwrap_err();
    assert_eq!(error.word(), "connect_timeout");
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn connections_are_shared_where_nobody_says_how_many_there_may_be() {
    let (to, connections) = http1_endpoint(usize::MAX).await;
    let pool = pool();
    let (one, other) = (
        terms(ConnectionPolicy::default()),
        terms(ConnectionPolicy::default()),
    );
    exchange_on(&pool, &to, (Version::Http1, &one)).await;
    exchange_on(&pool, &to, (Version::Http1, &other)).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_connection_takes_no_request_once_it_is_as_old_as_it_may_become() {
    for version in [Version::Http1, Version::Http2] {
        let (to, connections) = match version {
            Version::Http1 => http1_endpoint(usize::MAX).await,
            Version::Http2 => http2_endpoint(200).await,
        };
        let pool = pool();
        let lives = |lifetime| {
            terms(ConnectionPolicy {
                lifetime: Some(lifetime),
                ..ConnectionPolicy::default()
            })
        };
        let long = lives(Duration::from_secs(3600));
        for _ in 0..5 {
            exchange_on(&pool, &to, (version, &long)).await;
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{version:?}");
        let short = lives(Duration::from_millis(20));
        // One of them is not used again, and no request fails for it.
        let asked = async {
            while connections.load(Ordering::SeqCst) < 4 {
                exchange_on(&pool, &to, (version, &short)).await;
                tokio::task::yield_now().await;
            }
        };
        Box::pin(soon(asked)).await;
        until(|| short.flow.pool.counts().connections <= 1).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_too_old_goes_and_what_is_under_way_on_it_does_not() {
    let (pool, now) = (pool(), clock::now());
    let (one, _) = http1_endpoint(usize::MAX).await;
    let (other, connections) = http2_endpoint(200).await;
    let terms = terms(ConnectionPolicy {
        lifetime: Some(Duration::from_secs(5)),
        idle_timeout: Some(Duration::from_secs(3600)),
        ..ConnectionPolicy::default()
    });
    exchange_on(&pool, &one, (Version::Http1, &terms)).await;
    let on = (Version::Http2, &terms);
    let (answer, _lease) = ask_on(&pool, &other, on, "/watch").await.unwrap();
    let lens = || (pool.inner.idle.len(), pool.inner.shared.len());
    pool.sweep(now + Duration::from_secs(3));
    assert_eq!(lens(), (1, 1));
    pool.sweep(now + Duration::from_secs(9));
    assert_eq!(lens(), (0, 0));
    // Another request goes on another connection, and the answer of the first is not cut.
    exchange_on(&pool, &other, on).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    let mut body = answer.into_body();
    let more = timeout(Duration::from_millis(50), body.frame()).await;
    assert!(more.is_err(), "{more:?}");
}

/// Requests to an endpoint, each of which is over when this is aborted.
fn going_on(
    pool: &HttpPool,
    to: &Arc<Destination>,
    terms: &Arc<Terms>,
    path: &'static str,
) -> tokio::task::JoinHandle<()> {
    let (pool, to, terms) = (pool.clone(), Arc::clone(to), Arc::clone(terms));
    tokio::spawn(async move {
        let request = request(to.address, path, Body::empty());
        let on = On {
            terms: Some(&terms),
            ..On::default()
        };
        let sent = pool.send(&to, Version::Http2, CLIENT, request, on);
        let _answer = sent.await.unwrap();
        std::future::pending::<()>().await;
    })
}

#[tokio::test]
async fn one_that_is_too_old_gives_up_its_place_while_something_on_it_goes_on() {
    let lifetime = Duration::from_secs(5);
    let terms = terms(ConnectionPolicy {
        connections: Some(1),
        streams_each: Some(1),
        lifetime: Some(lifetime),
        ..ConnectionPolicy::default()
    });
    let count = || terms.flow.pool.counts().connections;
    for (path, version) in [
        ("/silent", Version::Http2),
        ("/silent", Version::Http1),
        ("/watch", Version::Http2),
    ] {
        let (pool, now) = (pool(), clock::now());
        let (to, connections) = http2_endpoint(200).await;
        let (other, _) = http1_endpoint(usize::MAX).await;
        let goes_on = going_on(&pool, &to, &terms, path);
        until(|| connections.load(Ordering::SeqCst) == 1 && count() == 1).await;
        until(|| terms.flow.pool.counts().pending == 0).await;
        let (waiting, own) = (pool.clone(), Arc::clone(&terms));
        let home = match version {
            Version::Http2 => Arc::clone(&to),
            Version::Http1 => other,
        };
        let waits =
            tokio::spawn(async move { exchange_on(&waiting, &home, (version, &own)).await });
        until(|| terms.flow.pool.counts().pending == 1).await;
        pool.sweep(now + lifetime * 2);
        soon(waits).await.unwrap();
        assert_eq!(count(), 1);
        assert!(!goes_on.is_finished());
        goes_on.abort();
        drop(goes_on.await);
        // What was given up is not given up twice.
        assert_eq!(count(), 1);
        drop(pool);
        until(|| count() == 0).await;
    }
}

#[tokio::test]
async fn who_finds_one_that_is_too_old_does_not_wait_for_it() {
    let (to, connections) = http2_endpoint(200).await;
    let (pool, other) = (pool(), http1_endpoint(usize::MAX).await.0);
    let terms = terms(ConnectionPolicy {
        connections: Some(1),
        lifetime: Some(Duration::from_millis(20)),
        ..ConnectionPolicy::default()
    });
    let on = (Version::Http2, &terms);
    let mut open = Vec::new();
    // One after the other becomes too old under a request that is not answered.
    Box::pin(soon(async {
        for made in 1..=3 {
            open.push(going_on(&pool, &to, &terms, "/silent"));
            while connections.load(Ordering::SeqCst) <= made {
                exchange_on(&pool, &to, on).await;
                tokio::task::yield_now().await;
            }
        }
        // Also for another endpoint.
        open.push(going_on(&pool, &to, &terms, "/silent"));
        let begun = Instant::now();
        until(|| begun.elapsed() > Duration::from_millis(40)).await;
        exchange_on(&pool, &other, (Version::Http1, &terms)).await;
    }))
    .await;
    assert!(open.iter().all(|one| !one.is_finished()));
    assert!(terms.flow.pool.counts().connections <= 1);
}

#[tokio::test]
async fn who_is_gone_keeps_nobody_waiting() {
    let (one, _) = http2_endpoint(200).await;
    let (other, _) = http2_endpoint(200).await;
    let pool = pool();
    let terms = terms(ConnectionPolicy {
        connections: Some(1),
        ..ConnectionPolicy::default()
    });
    let goes_on = going_on(&pool, &one, &terms, "/silent");
    until(|| terms.flow.pool.counts().connections == 1).await;
    until(|| terms.flow.pool.counts().pending == 0).await;
    let (waiting, own) = (pool.clone(), Arc::clone(&terms));
    let waits = tokio::spawn(async move {
        exchange_on(&waiting, &other, (Version::Http2, &own)).await;
    });
    until(|| terms.flow.pool.counts().pending == 1).await;
    pool.purge(|_, _| true);
    soon(waits).await.unwrap();
    assert!(!goes_on.is_finished());
}

#[tokio::test]
async fn one_that_has_carried_as_many_as_it_may_keeps_its_place() {
    let (to, connections) = http2_endpoint(200).await;
    let pool = pool();
    let terms = terms(ConnectionPolicy {
        connections: Some(1),
        requests_each: Some(1),
        ..ConnectionPolicy::default()
    });
    let on = (Version::Http2, &terms);
    let watch = ask_on(&pool, &to, on, "/watch").await.unwrap();
    let (waiting, home, own) = (pool.clone(), Arc::clone(&to), Arc::clone(&terms));
    let mut waits = tokio::spawn(async move {
        exchange_on(&waiting, &home, (Version::Http2, &own)).await;
    });
    until(|| terms.flow.pool.counts().pending == 1).await;
    pool.sweep(clock::now());
    // Were there a place, it would have been made by then.
    let early = timeout(Duration::from_millis(100), &mut waits).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    drop(watch);
    soon(waits).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

/// Many wait for a few connections: none waits for ever, and for one endpoint none is made that is not needed.
#[tokio::test]
async fn a_crowd_is_served_by_the_connections_there_may_be() {
    const MOST: u64 = 4;
    for (version, endpoints) in [
        (Version::Http1, 1),
        (Version::Http1, 2),
        (Version::Http2, 1),
        (Version::Http2, 2),
    ] {
        let endpoint = async || match version {
            Version::Http1 => http1_endpoint(usize::MAX).await,
            Version::Http2 => http2_endpoint(4).await,
        };
        let served = [endpoint().await, endpoint().await];
        let pool = pool();
        let terms = terms(ConnectionPolicy {
            connections: u32::try_from(MOST).ok(),
            ..ConnectionPolicy::default()
        });
        let asked = (0..300).map(|n| {
            let to = Arc::clone(&served[n % endpoints].0);
            let (pool, terms) = (pool.clone(), Arc::clone(&terms));
            tokio::spawn(async move { exchange_on(&pool, &to, (version, &terms)).await })
        });
        for ended in futures_util::future::join_all(asked).await {
            ended.unwrap();
        }
        let made = served[0].1.load(Ordering::SeqCst) as u64;
        assert!(endpoints == 2 || made <= MOST, "{version:?}: {made}");
        let counts = terms.flow.pool.counts();
        assert!(counts.connections <= MOST, "{version:?}");
        assert_eq!(counts.pending, 0, "{version:?}");
    }
}
