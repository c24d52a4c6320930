//! Two workloads on loopback, `web` that opens and `db` that accepts, with real TLS between them.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambit_identity::testing::Authority;
use ambit_identity::{Credential, HandshakeFailure, Trust};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::{
    Ask, DialError, Dialled, Incoming, Key, OpenError, Opened, Pool, Session, SessionError,
    Settings, Stream, accept,
};

/// Longest that anything in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub(crate) fn soon<T>(what: impl Future<Output = T>) -> impl Future<Output = T> {
    let bounded = timeout(PATIENCE, Box::pin(what));
    async { bounded.await.expect("took too long") }
}

/// Waits for a condition that must come true.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "condition did not come true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A connected pair of TCP sockets.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (a, b) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    (a.unwrap(), b.unwrap().0)
}

/// A certificate authority and the two workloads.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) authority: Arc<Authority>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) web: Arc<Credential>,
    pub(crate) db: Arc<Credential>,
}

impl World {
    pub(crate) fn new() -> Self {
        let authority = Authority::new("ca");
        Self {
            trust: Arc::new(authority.trust()),
            web: Arc::new(authority.workload("web")),
            db: Arc::new(authority.workload("db")),
            authority: Arc::new(authority),
        }
    }

    /// The key of `web` for `db` at this address.
    pub(crate) fn key(&self, to: SocketAddr) -> Key {
        Key {
            source_pod: "web-1".into(),
            destination_pod: "db-1".into(),
            to,
            expected: [self.db.id().clone()].into(),
        }
    }

    /// Connects as `web`.
    pub(crate) async fn dial(&self, to: SocketAddr) -> Result<Dialled, DialError> {
        let tcp = TcpStream::connect(to)
            .await
            .map_err(|error| DialError::from_io(to, error))?;
        Ok(Dialled {
            tcp,
            credential: self.web.clone(),
            trust: self.trust.clone(),
        })
    }

    /// Opens a stream from `web` to `db`.
    pub(crate) async fn open(&self, pool: &Pool, to: SocketAddr) -> Result<Opened, OpenError> {
        soon(pool.open(&self.key(to), || self.dial(to), &ask())).await
    }
}

pub(crate) fn ask() -> Ask {
    Ask {
        authority: "10.0.0.7:80".to_owned(),
        headers: vec![("baggage", "k8s=web".to_owned())],
    }
}

/// What a server does with each stream.
#[derive(Clone)]
pub(crate) enum Serve {
    /// Sends everything back.
    Echo,
    /// Answers with this status.
    Refuse(u16),
    /// Hands the stream to the test.
    Hand(mpsc::UnboundedSender<Stream>),
    /// Hands the request to the test.
    HandIncoming(mpsc::UnboundedSender<Incoming>),
}

/// What a server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) sessions: AtomicUsize,
    pub(crate) streams: AtomicUsize,
    pub(crate) failures: parking_lot::Mutex<Vec<HandshakeFailure>>,
    pub(crate) errors: parking_lot::Mutex<Vec<SessionError>>,
    /// Sessions that have ended.
    pub(crate) ended: AtomicUsize,
    /// Ask every session to drain.
    pub(crate) drain: tokio::sync::Notify,
    /// Drop every session.
    pub(crate) kill: tokio::sync::Notify,
}

/// A server of `db`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl Server {
    pub(crate) async fn start(world: &World, settings: Settings, serve: Serve) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (world, shared) = (world.clone(), seen.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (world, seen) = (world.clone(), shared.clone());
                let (settings, serve) = (settings.clone(), serve.clone());
                tokio::spawn(async move {
                    match accept(tcp, &world.db, &world.trust, &settings).await {
                        Ok(session) => run(session, &seen, &serve).await,
                        Err(failure) => seen.failures.lock().push(failure),
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) async fn echo(world: &World) -> Self {
        Self::start(world, Settings::default(), Serve::Echo).await
    }

    /// A server whose streams come out of the returned channel.
    pub(crate) async fn hand(
        world: &World,
        settings: Settings,
    ) -> (Self, mpsc::UnboundedReceiver<Stream>) {
        let (give, take) = mpsc::unbounded_channel();
        (Self::start(world, settings, Serve::Hand(give)).await, take)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.seen.sessions.load(Ordering::SeqCst)
    }
}

async fn run(mut session: Session, seen: &Seen, serve: &Serve) {
    seen.sessions.fetch_add(1, Ordering::SeqCst);
    loop {
        let next = tokio::select! {
            next = session.next() => next,
            () = seen.drain.notified() => { session.drain(); continue }
            () = seen.kill.notified() => None,
        };
        match next {
            Some(Ok(incoming)) => {
                seen.streams.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(answer(incoming, serve.clone()));
            }
            Some(Err(error)) => {
                seen.errors.lock().push(error);
                break;
            }
            None => break,
        }
    }
    seen.ended.fetch_add(1, Ordering::SeqCst);
}

async fn answer(incoming: Incoming, serve: Serve) {
    assert!(incoming.is_connect());
    match serve {
        Serve::Refuse(status) => incoming.refuse(status),
        Serve::HandIncoming(give) => drop(give.send(incoming)),
        Serve::Hand(give) => drop(give.send(incoming.accept(None).unwrap())),
        Serve::Echo => {
            let mut stream = incoming.accept(Some("k8s=db")).unwrap();
            while let Ok(Some(bytes)) = stream.read().await {
                if stream.write(bytes).await.is_err() {
                    return;
                }
            }
            let _gone = stream.finish();
        }
    }
}

/// Sends a text and reads it back.
pub(crate) async fn check_echo(stream: &mut Stream, text: &str) {
    soon(async {
        stream
            .write(Bytes::copy_from_slice(text.as_bytes()))
            .await
            .unwrap();
        let mut back = Vec::new();
        while back.len() < text.len() {
            back.extend(stream.read().await.unwrap().expect("ended early"));
        }
        assert_eq!(back, text.as_bytes());
    })
    .await;
}
