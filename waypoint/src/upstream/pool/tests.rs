//! The pool against endpoints on loopback, in plaintext.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_model::{Change, Health, TunnelProtocol, Workload};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

mod any_order;
mod bounds;

use super::super::link::LinkError;
use super::super::shared::UNTOLD;
use super::*;
use crate::fixtures;
use crate::gauges::UPSTREAM;
use crate::http::copied::Copier;
use crate::identity::Identity;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
/// Longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("took too long")
}

async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn pool() -> HttpPool {
    let linker = Linker::new(Identity::new(), "own");
    HttpPool::new(linker, Width::Wide, Tasks::new())
}

/// A pod at this address, which takes tunnels or does not.
fn pod(address: SocketAddr, protocol: TunnelProtocol) -> Arc<Destination> {
    let Change::PutWorkload(workload) = fixtures::endpoint("p", "s", "127.0.0.1", Health::Healthy)
    else {
        panic!("not a workload");
    };
    let workload = Arc::new(Workload {
        protocol,
        ..(*workload).clone()
    });
    Arc::new(Destination::new(&workload, address))
}

fn request(address: SocketAddr, path: &str, body: Body) -> Request<Body> {
    let request = Request::post(format!("http://{address}{path}"));
    request.body(body).unwrap()
}

type Answer = Result<(Response<Incoming>, Lease), SendError>;

async fn ask(pool: &HttpPool, to: &Arc<Destination>, version: Version, path: &str) -> Answer {
    let request = request(to.address, path, Body::empty());
    soon(pool.send(to, version, CLIENT, request, On::default())).await
}

/// A whole exchange.
async fn exchange(pool: &HttpPool, to: &Arc<Destination>, version: Version) -> String {
    let (answer, lease) = ask(pool, to, version, "/").await.unwrap();
    let body = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    lease.give_back();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A body that never comes to its end; it breaks off when the other part is dropped.
fn endless() -> (Body, Copier) {
    let mut copier = Copier::default();
    let body = Body::copied(copier.copy(SizeHint::default()));
    (body, copier)
}

/// Takes connections and counts them.
async fn listen<F, Fut>(serve: F) -> (Arc<Destination>, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(tcp));
        }
    });
    (pod(address, TunnelProtocol::None), seen)
}

/// An endpoint of HTTP/2 that takes so many requests at once on a connection. The answer to `/watch`
/// does not end, that to `/silent` does not begin, that to `/large` has a large head, that to `/early` does not wait for the request.
async fn http2_endpoint(limit: u32) -> (Arc<Destination>, Arc<AtomicUsize>) {
    listen(move |tcp| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            let path = request.uri().path().to_owned();
            if path == "/silent" {
                std::future::pending::<()>().await;
            }
            let body = match path.as_str() {
                "/watch" => BoxBody::new(StreamBody::new(futures_util::stream::pending())),
                _ => Full::from("whole").boxed(),
            };
            if path == "/early" {
                // Kept, so that the request is not reset.
                tokio::spawn(async move {
                    let _request = request;
                    std::future::pending::<()>().await;
                });
            }
            let mut response = Response::<BoxBody<Bytes, Infallible>>::new(body);
            if path == "/large" {
                for n in 0..5 {
                    let name = http::HeaderName::try_from(format!("x-large-{n}")).unwrap();
                    let value = "v".repeat(10_000).try_into().unwrap();
                    response.headers_mut().insert(name, value);
                }
            }
            Ok::<_, Infallible>(response)
        });
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(limit);
        builder
            .serve_connection(TokioIo::new(tcp), service)
            .await
            .ok();
    })
    .await
}

/// An endpoint of HTTP/1 that answers each head at once, whatever of a body is to come, so often.
async fn http1_endpoint(answers: usize) -> (Arc<Destination>, Arc<AtomicUsize>) {
    listen(move |mut tcp| async move {
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        for _ in 0..answers {
            while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
                match tcp.read(&mut buffer).await {
                    Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
                    _ => return,
                }
            }
            seen.clear();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole";
            tcp.write_all(answer).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn requests_that_do_not_end_do_not_hold_up_others() {
    let (to, connections) = http2_endpoint(10).await;
    let pool = pool();
    let mut open = Vec::new();
    for _ in 0..35 {
        open.push(ask(&pool, &to, Version::Http2, "/watch").await.unwrap());
    }
    assert_eq!(exchange(&pool, &to, Version::Http2).await, "whole");
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn requests_that_come_at_once_share_dials() {
    let (to, connections) = http2_endpoint(200).await;
    let pool = pool();
    let asked = (0..64).map(|_| exchange(&pool, &to, Version::Http2));
    futures_util::future::join_all(asked).await;
    // Until the endpoint has said what it takes there are ten on each.
    let made = connections.load(Ordering::SeqCst);
    assert!(made <= 64 / UNTOLD + 1, "{made} connections");
}

#[tokio::test]
async fn an_endpoint_gets_no_more_than_it_may_have() {
    let (to, connections) = http2_endpoint(1).await;
    let pool = pool();
    let mut open = Vec::new();
    let refused = loop {
        match ask(&pool, &to, Version::Http2, "/watch").await {
            Ok(answer) => open.push(answer),
            // Before a connection knows that it may carry one, it may carry more.
            Err(SendError::NotTaken { .. }) => {}
            Err(SendError::Connect(error)) => break error,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(refused.word(), "upstream_limit");
    assert_eq!(connections.load(Ordering::SeqCst), 64);
    assert_eq!(open.len(), 64);
    open.pop();
    assert_eq!(exchange(&pool, &to, Version::Http2).await, "whole");
}

#[tokio::test]
async fn one_client_leaves_room_for_others() {
    let (to, _) = http2_endpoint(200).await;
    let pool = pool();
    let mut open = Vec::new();
    let refused = loop {
        match ask(&pool, &to, Version::Http2, "/watch").await {
            Ok(answer) => open.push(answer),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SendError::Connect(ConnectError::Full(_))));
    assert_eq!(open.len(), 3200);
    let request = request(to.address, "/", Body::empty());
    let other = IpAddr::from([10, 0, 0, 2]);
    let sent = pool.send(&to, Version::Http2, other, request, On::default());
    assert!(soon(sent).await.is_ok());
}

#[tokio::test]
async fn those_who_wait_for_a_dial_share_its_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = pod(listener.local_addr().unwrap(), TunnelProtocol::None);
    drop(listener);
    let pool = pool();
    let asked = (0..64).map(|_| ask(&pool, &to, Version::Http2, "/"));
    for answer in futures_util::future::join_all(asked).await {
        let Err(SendError::Connect(error)) = answer else {
            panic!("connected");
        };
        assert_eq!(error.word(), "connect_refused");
    }
    assert_eq!(pool.inner.shared.len(), 0);
}

#[tokio::test]
async fn an_upload_that_was_answered_early_keeps_its_place() {
    let (to, connections) = http2_endpoint(1).await;
    let pool = pool();
    assert_eq!(exchange(&pool, &to, Version::Http2).await, "whole");
    let mut unfinished = Vec::new();
    for _ in 0..3 {
        let (body, rest) = endless();
        let request = request(to.address, "/early", body);
        let sent = pool.send(&to, Version::Http2, CLIENT, request, On::default());
        let (answer, lease) = soon(sent).await.unwrap();
        soon(answer.into_body().collect()).await.unwrap();
        lease.give_back();
        unfinished.push(rest);
    }
    assert_eq!(exchange(&pool, &to, Version::Http2).await, "whole");
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_large_head_of_an_answer_comes_through() {
    let (to, _) = http2_endpoint(200).await;
    let (answer, _) = ask(&pool(), &to, Version::Http2, "/large").await.unwrap();
    assert_eq!(answer.headers().len(), 5 + 2, "{:?}", answer.headers());
}

#[tokio::test]
async fn a_connection_of_http1_is_used_again() {
    let (to, connections) = http1_endpoint(usize::MAX).await;
    let pool = pool();
    for _ in 0..5 {
        assert_eq!(exchange(&pool, &to, Version::Http1).await, "whole");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_upload_that_was_answered_early_holds_up_nobody() {
    let (to, connections) = http1_endpoint(usize::MAX).await;
    let pool = pool();
    let (body, rest) = endless();
    let request = request(to.address, "/", body);
    let sent = pool.send(&to, Version::Http1, CLIENT, request, On::default());
    let (answer, lease) = soon(sent).await.unwrap();
    soon(answer.into_body().collect()).await.unwrap();
    lease.give_back();
    assert_eq!(exchange(&pool, &to, Version::Http1).await, "whole");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    drop(rest);
}

#[tokio::test]
async fn idle_connections_go_after_a_while() {
    let (pool, now) = (pool(), clock::now());
    let (one, _) = http1_endpoint(usize::MAX).await;
    let (other, _) = http2_endpoint(200).await;
    exchange(&pool, &one, Version::Http1).await;
    exchange(&pool, &other, Version::Http2).await;
    let lens = || (pool.inner.idle.len(), pool.inner.shared.len());
    pool.sweep(now + Duration::from_secs(30));
    assert_eq!(lens(), (1, 1));
    pool.sweep(now + Duration::from_secs(120));
    assert_eq!(lens(), (0, 0));
    until(|| !pool.inner.tasks.running().contains_key(UPSTREAM)).await;
}

#[tokio::test]
async fn a_connection_with_a_request_stays() {
    let (pool, now) = (pool(), clock::now());
    let (to, connections) = http2_endpoint(200).await;
    let watch = ask(&pool, &to, Version::Http2, "/watch").await.unwrap();
    for minutes in 1..5 {
        pool.sweep(now + Duration::from_secs(60 * minutes));
    }
    assert_eq!(pool.inner.shared.len(), 1);
    exchange(&pool, &to, Version::Http2).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    drop(watch);
}

#[tokio::test]
async fn connections_that_the_endpoint_has_closed_go_at_once() {
    let (to, connections) = http1_endpoint(1).await;
    let pool = pool();
    exchange(&pool, &to, Version::Http1).await;
    until(|| {
        pool.sweep(clock::now());
        pool.inner.idle.len() == 0
    })
    .await;
    assert_eq!(exchange(&pool, &to, Version::Http1).await, "whole");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_pod_that_takes_tunnels_now_gets_nothing_in_plaintext() {
    let pool = pool();
    for version in [Version::Http1, Version::Http2] {
        let (to, _) = match version {
            Version::Http1 => http1_endpoint(usize::MAX).await,
            Version::Http2 => http2_endpoint(200).await,
        };
        exchange(&pool, &to, version).await;
        let now = pod(to.address, TunnelProtocol::Hbone);
        let Err(SendError::Connect(error)) = ask(&pool, &now, version, "/").await else {
            panic!("it was sent in plaintext");
        };
        assert!(matches!(
            error,
            ConnectError::Link(LinkError::Tunnel { .. })
        ));
    }
    let (identity, before) = (SpiffeId::from_parts("d", "n", "a"), clock::now());
    pool.purge(|_, of| of != Some(&identity));
    pool.sweep(before);
    assert_eq!((pool.inner.idle.len(), pool.inner.shared.len()), (0, 0));
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_has_been_met_all_the_same() {
    let silent = |tcp| async move {
        let _tcp: TcpStream = tcp;
        std::future::pending::<()>().await;
    };
    let (http1, _) = listen(silent).await;
    let (http2, _) = http2_endpoint(1).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = pod(nobody.local_addr().unwrap(), TunnelProtocol::None);
    drop(nobody);
    for (to, version, expected) in [
        (&http1, Version::Http1, true),
        (&http2, Version::Http2, true),
        (&absent, Version::Http1, false),
        (&absent, Version::Http2, false),
    ] {
        let (pool, met) = (pool(), AtomicBool::new(false));
        let on = On {
            met: Some(&met),
            ..On::default()
        };
        let request = request(to.address, "/silent", Body::empty());
        let sending = pool.send(to, version, CLIENT, request, on);
        let ended = timeout(Duration::from_millis(500), sending).await;
        assert_eq!((ended.is_err(), met.into_inner()), (expected, expected));
    }
}
