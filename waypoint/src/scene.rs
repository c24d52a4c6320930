//! A waypoint for tests: its clients are in memory, its endpoints on loopback.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ambit_identity::outside::OutsideRoots;
use ambit_kit::metrics::Registry;
use ambit_kit::tasks::Tasks;
use ambit_model::{Change, Health, PortMapping, TunnelProtocol, Workload};
use ambit_telemetry::Telemetry;
use ambit_uplink::Want;
use arc_swap::ArcSwap;
use clap::Parser as _;
use parking_lot::Mutex;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufStream, DuplexStream, duplex,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::call::Call;
use crate::callers::Callers;
use crate::clusters::Clusters;
use crate::drain::Drain;
use crate::fixtures::{call, empty, endpoint, name};
use crate::follow::Kind;
use crate::gauges::Away;
use crate::http::serve;
use crate::identity::Identity;
use crate::outside::asked::Hosts;
use crate::outside::names::{Counts, Resolver};
use crate::outside::tls::Originator;
use crate::pages::{Own, Pages, Shown};
use crate::pressure::Pressure;
use crate::proxy::{Bounds, Proxy};
use crate::review::Review;
use crate::room::Room;
use crate::telling::Tellings;
use crate::traces::Traces;
use crate::upstream::link::Linker;
use crate::upstream::pool::HttpPools;
use crate::verdicts::{Guilty, Verdicts};
use crate::view::View;

/// Longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where the client of a scene is.
pub(crate) const CLIENT: &str = "10.244.1.10:4000";

/// Says what it was told to say, and counts.
#[derive(Debug, Default)]
pub(crate) struct Scripted {
    says: Mutex<HashMap<String, Vec<IpAddr>>>,
    asked: AtomicU64,
    /// What is put in force while it is asked.
    meanwhile: Mutex<Option<(Arc<Proxy>, View)>>,
}

impl Resolver for Scripted {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some((proxy, view)) = self.meanwhile.lock().take() {
            proxy.view.store(Arc::new(view));
        }
        let said = self.says.lock().get(name).cloned();
        said.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Scripted {
    /// A name leads to these addresses; to none, it cannot be resolved.
    pub(crate) fn say(&self, name: &str, addresses: &[&str]) {
        let found: Vec<_> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        let mut says = self.says.lock();
        match found.is_empty() {
            true => says.remove(name),
            false => says.insert(name.to_owned(), found),
        };
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Stands in for a control plane: it says at once that nobody else is at an address that it is asked for,
/// or nothing.
fn answer(callers: Callers, mut wanted: mpsc::Receiver<Want<Kind>>, silent: Arc<AtomicBool>) {
    let answering = async move {
        while let Some(want) = wanted.recv().await {
            if silent.load(Ordering::Relaxed) {
                continue;
            }
            let asked = want.ask.iter();
            let asked = asked.filter_map(|alias| alias.strip_prefix('/')?.parse().ok());
            callers.heard(asked);
        }
    };
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(answering);
    }
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, Box::pin(what)).await;
    waited.expect("took too long")
}

/// A waypoint.
pub(crate) struct Scene {
    pub(crate) proxy: Arc<Proxy>,
    view: View,
    registry: Registry,
    found: mpsc::Receiver<Guilty>,
    pub(crate) resolver: Arc<Scripted>,
    /// Whether the control plane says nothing of addresses that it is asked for.
    pub(crate) silent: Arc<AtomicBool>,
}

impl Scene {
    /// One that knows this, and that the service `server` has no routes if nothing else is said.
    pub(crate) fn new(changes: impl IntoIterator<Item = Change>) -> Self {
        Self::bounded(Bounds::default(), changes)
    }

    /// The same with other bounds.
    pub(crate) fn bounded(bounds: Bounds, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut scene = Self::made(bounds, Originator::default());
        for change in [empty("server")].into_iter().chain(changes) {
            scene.apply(change);
        }
        scene
    }

    /// One for which hosts outside of the mesh may be on loopback, and which believes these about them.
    pub(crate) fn outside(roots: OutsideRoots, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut scene = Self::made(Bounds::default(), Originator::believing(roots));
        scene.view.may_be_outside = |_anywhere| true;
        for change in [empty("server")].into_iter().chain(changes) {
            scene.apply(change);
        }
        scene
    }

    /// A name of a host outside of the mesh leads to these addresses.
    pub(crate) fn resolve(&mut self, name: &str, addresses: &[&str]) {
        let addresses: Vec<_> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        self.view.resolved(&name.into(), &addresses, Instant::now());
        self.proxy.view.store(Arc::new(self.view.clone()));
    }

    fn made(bounds: Bounds, originator: Originator) -> Self {
        let telemetry = Telemetry::start(ambit_telemetry::Settings::default()).unwrap();
        let (telemetry, identity) = (Arc::new(telemetry), Identity::new());
        let linker = Linker::new(identity.clone(), "waypoint").beginning(originator);
        let (_, complete) = watch::channel(true);
        let shown = Shown {
            registry: Registry::new(),
            telemetry,
            linker: linker.clone(),
            identity: identity.clone(),
            complete,
            drain: Arc::new(Drain::new()),
        };
        let args = crate::Args::parse_from([
            "ambit-waypoint",
            "--control-plane=control-plane:15012",
            "--token-file=/token",
            "--root-cert=/root.pem",
            "--namespace=shop",
            "--gateway=waypoint",
            "--pod-ip=10.1.0.5",
        ]);
        let own = Own::new(&args, &Pages::new(&shown));
        let view = View::new(name("waypoint"), args.pod_ip);
        let (_, views) = watch::channel(Arc::new(view.clone()));
        let (wants, wanted) = mpsc::channel(16);
        let (verdicts, found) = Verdicts::new();
        let resolver = Arc::<Scripted>::default();
        let proxy = Arc::new(Proxy {
            view: ArcSwap::from_pointee(view.clone()),
            views: views.clone(),
            identity,
            http: HttpPools::new(linker.clone(), Tasks::new()),
            linker,
            callers: Callers::new(wants, views),
            room: Room::new(bounds.connections, bounds.connections.div_ceil(4)),
            bounds,
            idempotent_only: args.retry_idempotent_only,
            normalization: args.path_normalization,
            pressure: Pressure::new(u64::MAX),
            verdicts,
            review: Review::new(),
            tasks: Tasks::new(),
            own,
            lookups: Counts::default(),
            hosts: Hosts::new(Arc::clone(&resolver) as _, args.pod_ip),
            drain: shown.drain,
            over: CancellationToken::new(),
            telemetry: shown.telemetry,
            tellings: Tellings::new(("shop", "waypoint"), "waypoint-0"),
            traces: Traces::new(("shop", "waypoint"), "waypoint-0", Tasks::new()),
            gone: Notify::new(),
            away: Away::default(),
        });
        let silent = Arc::<AtomicBool>::default();
        answer(proxy.callers.clone(), wanted, Arc::clone(&silent));
        Self {
            proxy,
            view,
            registry: shown.registry,
            found,
            resolver,
            silent,
        }
    }

    /// Puts a change in force while the next name is resolved.
    pub(crate) fn apply_late(&mut self, change: Change) {
        self.view.apply(change, Instant::now());
        let late = (Arc::clone(&self.proxy), self.view.clone());
        *self.resolver.meanwhile.lock() = Some(late);
    }

    /// Puts a change in force, and has open connections judged by it.
    pub(crate) fn apply(&mut self, change: Change) {
        self.view.apply(change, Instant::now());
        self.proxy.view.store(Arc::new(self.view.clone()));
        self.proxy.review.begin();
        self.proxy.review.begin_outside();
    }

    /// Ejects an endpoint that was found guilty, as the owner of the view does; says whether it is.
    pub(crate) fn eject(&mut self) -> Option<ambit_balance::Ejection> {
        let guilty = self.found.try_recv().ok()?;
        let now = Instant::now();
        let ejection = self.view.eject(&guilty.cluster, &guilty.verdict, now);
        self.proxy.view.store(Arc::new(self.view.clone()));
        Some(ejection)
    }

    /// A connection of a client that speaks HTTP/1 to the service `server`.
    pub(crate) fn client(&self) -> DuplexStream {
        self.client_of(call(CLIENT))
    }

    /// The same of this call.
    pub(crate) fn client_of(&self, mut call: Call) -> DuplexStream {
        let (client, server) = duplex(64 << 10);
        call.holder = self
            .proxy
            .pressure
            .holders()
            .open(call.client.address.ip(), None);
        let proxy = Arc::clone(&self.proxy);
        let serving = async move {
            serve::http1(&proxy, &Arc::new(call), BufStream::new(server)).await;
        };
        self.proxy.tasks.spawn("stream", serving);
        client
    }

    /// A connection of a client that speaks HTTP/2.
    pub(crate) async fn client_of_http2(&self) -> h2::client::SendRequest<bytes::Bytes> {
        self.client_of_http2_of(call(CLIENT)).await.0
    }

    /// The same of this call, and what ends with the connection.
    pub(crate) async fn client_of_http2_of(
        &self,
        call: Call,
    ) -> (h2::client::SendRequest<bytes::Bytes>, JoinHandle<()>) {
        let (client, server) = duplex(64 << 10);
        let proxy = Arc::clone(&self.proxy);
        let serving = async move { serve::http2(&proxy, &Arc::new(call), server).await };
        self.proxy.tasks.spawn("stream", serving);
        let (sender, connection) = soon(h2::client::handshake(client)).await.unwrap();
        let open = tokio::spawn(async move { drop(connection.await) });
        (soon(sender.ready()).await.unwrap(), open)
    }

    /// The page of metrics.
    pub(crate) fn page(&self) -> String {
        // One of its own: tests change a proxy that nobody else has.
        let clusters = Registry::new();
        clusters.register_collector(Box::new(Clusters(Arc::clone(&self.proxy))));
        self.registry.render(None).1 + &clusters.render(None).1
    }

    /// The sum of the series with this name that have all of these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.page();
        let series = page.lines().filter(|line| line.starts_with(name));
        let with = series.filter(|line| labels.iter().all(|label| line.contains(label)));
        with.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until one request has been told of that has these labels.
    pub(crate) async fn await_request(&self, labels: &[&str]) {
        let told = async {
            while self.sum("istio_requests_total", labels) < 1.0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, told).await.is_err() {
            panic!("{labels:?} not in {}", self.registry.render(None).1);
        }
    }
}

/// An endpoint that does what the test does.
pub(crate) struct Peer(TcpListener);

impl Peer {
    /// One that listens.
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The pod of that name, which serves the service in plaintext here.
    pub(crate) fn serves(&self, pod: &str, service: &str) -> Change {
        self.is(
            endpoint(pod, service, "127.0.0.1", Health::Healthy),
            service,
        )
    }

    /// The same as this endpoint.
    pub(crate) fn is(&self, endpoint: Change, service: &str) -> Change {
        let Change::PutWorkload(workload) = endpoint else {
            panic!("no workload")
        };
        let mapping = PortMapping {
            service_port: 80,
            target_port: self.0.local_addr().unwrap().port(),
        };
        Change::PutWorkload(Arc::new(Workload {
            protocol: TunnelProtocol::None,
            services: [(name(service), vec![mapping])].into(),
            ..Workload::clone(&workload)
        }))
    }

    /// Answers requests by TLS with this, and tells of each the server name and its head.
    pub(crate) fn answer_by_tls(
        self,
        server: Arc<ServerConfig>,
        answer: &'static str,
    ) -> mpsc::Receiver<(Option<String>, String)> {
        let (tell, told) = mpsc::channel(16);
        let acceptor = TlsAcceptor::from(server);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = self.0.accept().await.unwrap();
                let Ok(mut tls) = acceptor.accept(tcp).await else {
                    continue;
                };
                let name = tls.get_ref().1.server_name().map(str::to_owned);
                let head = head(&mut tls).await;
                // The client may have left.
                tls.write_all(answer.as_bytes()).await.ok();
                tls.flush().await.ok();
                tell.send((name, head)).await.ok();
            }
        });
        told
    }

    /// The next connection, on which nothing may have been said.
    pub(crate) async fn connected(&self) -> TcpStream {
        soon(self.0.accept()).await.unwrap().0
    }

    /// The next connection, and the head of its first request.
    pub(crate) async fn asked(&self) -> (TcpStream, String) {
        let mut stream = self.connected().await;
        let head = head(&mut stream).await;
        (stream, head)
    }

    /// Answers all requests with this, and counts them.
    pub(crate) fn answer(self, answer: &'static str) -> Arc<std::sync::atomic::AtomicUsize> {
        let count: Arc<std::sync::atomic::AtomicUsize> = Arc::default();
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = self.asked().await;
                counted.fetch_add(1, Ordering::Relaxed);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        count
    }
}

/// Reads a head, up to the empty line.
pub(crate) async fn head(from: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = soon(from.read_u8()).await else {
            break;
        };
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Reads to the end.
pub(crate) async fn rest(from: &mut (impl AsyncRead + Unpin)) -> String {
    let mut rest = Vec::new();
    // However it ends.
    soon(from.read_to_end(&mut rest)).await.ok();
    String::from_utf8(rest).unwrap()
}
