use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::Duration;

use ambit_identity::testing::{Authority, Leaf};
use ambit_identity::{Credential, HandshakeFailure, PeerRefusal};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use super::*;
use crate::testing::{Serve, Server, World, ask, check_echo, soon, until};

fn fast() -> Settings {
    Settings {
        ping_every: Duration::from_millis(50),
        ping_dead: Duration::from_millis(300),
        idle_release: Duration::from_millis(100),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_stream_carries_bytes_and_names_its_far_end() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let mut opened = world.open(&pool, server.address).await.unwrap();
    assert_eq!(&opened.peer, world.db.id());
    assert_eq!(opened.baggage.as_deref(), Some("k8s=db"));
    assert!(!opened.reused);
    check_echo(&mut opened.stream, "hello").await;
    opened.stream.finish().unwrap();
    assert!(soon(opened.stream.read()).await.unwrap().is_none());
}

#[tokio::test]
async fn sixteen_opens_of_a_new_key_shake_hands_once() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let opens = (0..16).map(|_| world.open(&pool, server.address));
    let opened = futures_util::future::join_all(opens).await;
    assert!(opened.iter().all(Result::is_ok));
    let stats = pool.stats();
    assert_eq!((stats.keys, stats.connections, stats.streams), (1, 1, 16));
    assert_eq!((stats.handshakes, stats.reused), (1, 15));
    assert_eq!(server.sessions(), 1);
    drop(opened);
    assert_eq!(pool.stats().streams, 0);
    assert!(world.open(&pool, server.address).await.unwrap().reused);
}

#[tokio::test]
async fn streams_of_one_connection_may_ask_for_different_places() {
    let world = World::new();
    let (give, mut asked) = mpsc::unbounded_channel();
    let serve = Serve::HandIncoming(give);
    let server = Server::start(&world, Settings::default(), serve).await;
    let (pool, key) = (Pool::new(Settings::default()), world.key(server.address));
    let mut opened = Vec::new();
    for place in ["10.96.0.1:80", "10.96.0.2:443", "10.0.0.7:9000"] {
        let ask = Ask {
            authority: place.to_owned(),
            ..ask()
        };
        let dial = || world.dial(server.address);
        let (stream, ()) = soon(async {
            tokio::join!(pool.open(&key, dial, &ask), async {
                let incoming = asked.recv().await.unwrap();
                assert_eq!(incoming.authority(), Some(place));
                let _stream = incoming.accept(None).unwrap();
            })
        })
        .await;
        opened.push(stream.unwrap());
    }
    assert_eq!((pool.stats().handshakes, pool.stats().connections), (1, 1));
}

#[tokio::test]
async fn nothing_is_shared_across_keys() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let key = world.key(server.address);
    let others = [
        Key {
            source_pod: "web-2".into(),
            ..key.clone()
        },
        Key {
            destination_pod: "db-2".into(),
            ..key.clone()
        },
        Key {
            expected: [world.db.id().clone(), world.web.id().clone()].into(),
            ..key.clone()
        },
    ];
    for key in others.iter().chain([&key]) {
        let opened = soon(pool.open(key, || world.dial(server.address), &ask()))
            .await
            .unwrap();
        assert!(!opened.reused, "{key:?}");
    }
    assert_eq!(server.sessions(), 4);
}

#[tokio::test]
async fn those_who_wait_for_a_dial_share_its_failure() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let (dials, release) = (AtomicUsize::new(0), Notify::new());
    let key = world.key(server.address);
    let dial = || async {
        dials.fetch_add(1, Ordering::SeqCst);
        release.notified().await;
        Err(DialError::Refused(server.address))
    };
    let request = ask();
    let opens = (0..16).map(|_| pool.open(&key, dial, &request));
    let failing = futures_util::future::join_all(opens);
    let (results, ()) = soon(async { tokio::join!(failing, async { release.notify_one() }) }).await;
    for result in results {
        assert!(
            matches!(result, Err(OpenError::Dial(DialError::Refused(_)))),
            "{result:?}"
        );
    }
    assert_eq!(dials.load(Ordering::SeqCst), 1);
    assert_eq!(pool.stats().failures, 1);
    assert!(pool.inner.slots.lock().is_empty());
    // A later caller tries again.
    world.open(&pool, server.address).await.unwrap();
}

/// Polls a future once.
async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn when_a_dialler_gives_up_the_next_one_dials() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let key = world.key(server.address);
    let never = || std::future::pending::<Result<Dialled, DialError>>();
    let request = ask();
    let mut first = Box::pin(pool.open(&key, never, &request));
    assert!(is_pending(first.as_mut()).await);
    let mut second = Box::pin(world.open(&pool, server.address));
    assert!(is_pending(second.as_mut()).await);
    drop(first);
    second.await.unwrap();
}

#[tokio::test]
async fn the_far_end_may_refuse_with_a_status() {
    let world = World::new();
    let server = Server::start(&world, Settings::default(), Serve::Refuse(503)).await;
    let pool = Pool::new(Settings::default());
    let error = world.open(&pool, server.address).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Refused { status: 503 }),
        "{error}"
    );
    assert_eq!(error.word(), "peer_refused");
    assert_eq!(pool.stats().streams, 0);
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_refused() {
    let mut world = World::new();
    world.db = Arc::new(world.authority.workload("impostor"));
    let server = Server::echo(&world).await;
    world.db = Arc::new(world.authority.workload("db"));
    let pool = Pool::new(Settings::default());
    let error = world.open(&pool, server.address).await.unwrap_err();
    assert_eq!(error.word(), "wrong_identity", "{error}");
    until(|| !server.seen.failures.lock().is_empty()).await;
}

/// What a client with this credential is told, alone and as one of eight at a time.
async fn refused_as(world: World, credential: Credential) -> Vec<OpenError> {
    let server = Server::echo(&world).await;
    let world = World {
        web: Arc::new(credential),
        ..world
    };
    let pool = Pool::new(Settings::default());
    let alone = world.open(&pool, server.address).await.unwrap_err();
    let opens = (0..8).map(|_| world.open(&pool, server.address));
    let together = futures_util::future::join_all(opens).await;
    let mut errors: Vec<OpenError> = together.into_iter().map(Result::unwrap_err).collect();
    errors.push(alone);
    errors
}

#[tokio::test]
async fn a_client_learns_why_a_server_refuses_it() {
    let world = World::new();
    let stranger = Authority::new("other").workload("web");
    let expired = world
        .authority
        .issue(&Leaf::of(world.web.id().as_str()).expired());
    for (credential, refusal) in [
        (stranger, PeerRefusal::UnknownAuthority),
        (expired, PeerRefusal::Expired),
    ] {
        for error in refused_as(world.clone(), credential).await {
            match error {
                OpenError::Handshake(HandshakeFailure::ByPeer(said)) => assert_eq!(said, refusal),
                other => panic!("{refusal:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_goaway_ends_new_streams_but_not_old_ones() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let mut old = world.open(&pool, server.address).await.unwrap();
    server.seen.drain.notify_waiters();
    // The client learns of the drain at some point; no open fails before or after that.
    soon(async {
        while world.open(&pool, server.address).await.unwrap().reused {
            check_echo(&mut old.stream, "still there").await;
        }
    })
    .await;
    check_echo(&mut old.stream, "still there").await;
    assert_eq!(server.sessions(), 2);
    drop(old);
    until(|| server.seen.ended.load(Ordering::SeqCst) == 1).await;
    assert!(server.seen.errors.lock().is_empty());
}

#[tokio::test]
async fn a_connection_that_died_unnoticed_is_replaced() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    for round in 1..20 {
        let mut opened = world.open(&pool, server.address).await.unwrap();
        check_echo(&mut opened.stream, "hello").await;
        drop(opened);
        server.seen.kill.notify_waiters();
        until(|| server.seen.ended.load(Ordering::SeqCst) == round).await;
    }
}

#[tokio::test]
async fn an_idle_connection_is_released() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(fast());
    let opened = world.open(&pool, server.address).await.unwrap();
    // Several PINGs later it is still there, because it has a stream.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pool.stats().connections, 1);
    drop(opened);
    until(|| {
        pool.stats()
            == PoolStats {
                handshakes: 1,
                ..PoolStats::default()
            }
    })
    .await;
    until(|| server.seen.ended.load(Ordering::SeqCst) == 1).await;
    assert!(server.seen.errors.lock().is_empty());
    assert!(pool.inner.slots.lock().is_empty());
}

#[tokio::test]
async fn purged_keys_take_no_streams_and_end_with_their_last() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let mut opened = world.open(&pool, server.address).await.unwrap();
    pool.purge(|key| &*key.destination_pod == "somebody else");
    assert_eq!(pool.stats().connections, 1);
    pool.purge(|key| &*key.destination_pod == "db-1");
    assert_eq!(pool.stats().connections, 0);
    check_echo(&mut opened.stream, "not cut").await;
    assert!(!world.open(&pool, server.address).await.unwrap().reused);
    drop(opened);
    until(|| server.seen.ended.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_drained_pool_keeps_nothing_but_serves_what_comes_late() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let mut early = world.open(&pool, server.address).await.unwrap();
    pool.drain();
    for _ in 0..2 {
        let mut late = world.open(&pool, server.address).await.unwrap();
        assert!(!late.reused);
        check_echo(&mut late.stream, "late").await;
    }
    check_echo(&mut early.stream, "early").await;
    drop(early);
    until(|| server.seen.ended.load(Ordering::SeqCst) == 3).await;
    assert!(pool.inner.slots.lock().is_empty());
}

#[tokio::test]
async fn two_thousand_streams_spread_over_connections() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let opens = (0..2000).map(|_| world.open(&pool, server.address));
    let mut opened = futures_util::future::join_all(opens).await;
    let stats = pool.stats();
    assert_eq!(stats.streams, 2000);
    assert_eq!(stats.connections, 20);
    for opened in &mut opened {
        check_echo(&mut opened.as_mut().unwrap().stream, "one of many").await;
    }
}

#[tokio::test]
async fn a_busy_connection_gets_company_up_to_a_limit() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let busy = Settings {
        busy_rate: 0,
        busy_connections: 3,
        ..Settings::default()
    };
    let pool = Pool::new(busy);
    let mut opened = Vec::new();
    for _ in 0..10 {
        opened.push(world.open(&pool, server.address).await.unwrap());
    }
    assert_eq!(pool.stats().connections, 3);
    assert_eq!(pool.stats().streams, 10);
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_found_dead() {
    let world = World::new();
    let server = Server::start(&world, fast(), Serve::Echo).await;
    // Between the two stands somebody who stops passing anything on.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap();
    let silence = Arc::new(Notify::new());
    let (hush, address) = (silence.clone(), server.address);
    tokio::spawn(async move {
        let mut near = listener.accept().await.unwrap().0;
        let mut far = TcpStream::connect(address).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => {}
            () = hush.notified() => std::future::pending().await,
        }
    });
    let pool = Pool::new(fast());
    let mut opened = world.open(&pool, between).await.unwrap();
    check_echo(&mut opened.stream, "hello").await;
    silence.notify_one();
    assert!(soon(opened.stream.read()).await.is_err());
    until(|| pool.stats().connections == 0).await;
    until(|| !server.seen.errors.lock().is_empty()).await;
    assert_eq!(server.seen.errors.lock()[0].word(), "dead_peer");
}

#[tokio::test]
async fn a_request_that_cannot_be_written_is_refused_here() {
    let world = World::new();
    let server = Server::echo(&world).await;
    let pool = Pool::new(Settings::default());
    let asks = [
        Ask {
            authority: "not an authority".to_owned(),
            ..Ask::default()
        },
        Ask {
            headers: vec![("baggage", "line\nbreak".to_owned())],
            ..ask()
        },
    ];
    for ask in asks {
        let key = world.key(server.address);
        let opened = pool.open(&key, || world.dial(server.address), &ask);
        assert_eq!(soon(opened).await.unwrap_err().word(), "bad_request");
    }
}

#[tokio::test]
async fn streams_that_are_given_up_do_not_end_those_of_others() {
    let world = World::new();
    let (give, mut streams) = mpsc::unbounded_channel();
    let serve = Serve::Hand(give);
    let server = Server::start(&world, Settings::default(), serve).await;
    let pool = Pool::new(Settings::default());
    let mut others = world.open(&pool, server.address).await.unwrap();
    let mut far = soon(streams.recv()).await.unwrap();
    // What else is opened is kept open there.
    let kept = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Some(stream) = streams.recv().await {
            kept.push(stream);
        }
    });
    for _ in 0..100 {
        let opens = (0..50).map(|_| world.open(&pool, server.address));
        for opened in futures_util::future::join_all(opens).await {
            drop(opened.unwrap());
        }
    }
    assert!(server.seen.errors.lock().is_empty());
    far.write("still there".into()).await.unwrap();
    assert_eq!(
        soon(others.stream.read()).await.unwrap().unwrap(),
        "still there"
    );
    drop(others);
    until(|| pool.stats().streams == 0).await;
    kept.abort();
}

#[tokio::test]
async fn opening_costs_little_memory_while_it_waits() {
    let world = World::new();
    let pool = Pool::new(Settings::default());
    let key = world.key("127.0.0.1:1".parse().unwrap());
    let request = ask();
    let open = pool.open(&key, || world.dial(key.to), &request);
    assert!(size_of_val(&open) < 2048, "{}", size_of_val(&open));
}
