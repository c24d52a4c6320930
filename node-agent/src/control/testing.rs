//! A control plane for tests: real gRPC over real TLS on loopback, with the serving half of the
//! delta machines inside. And the other ends: a host role, proxies.

mod proxy;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::SpiffeId;
use ambit_wire::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use ambit_wire::ca::{IstioCertificateRequest, IstioCertificateResponse};
use ambit_wire::delta::{ADDRESS_TYPE, AUTHORIZATION_TYPE, Catalog, Entry, Outcome, Server};
use ambit_wire::discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use ambit_wire::node::capture_server::{Capture, CaptureServer};
use ambit_wire::node::{
    CaptureAnswer, CaptureReport, Certificate, RosterRequest, RosterUpdate, TrustAck,
    TrustAckAnswer, TrustBundle, TrustRequest, TrustUpdate,
};
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, SanType};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use proxy::Proxy;
pub(crate) use tls::Ca;
use tls::{Wire, server_tls};

/// Long enough for anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The token that is accepted.
pub(crate) const TOKEN: &str = "a-token";
/// Name in the server's certificate.
pub(crate) const NAME: &str = "ambit-control-plane";

type Shelf = BTreeMap<Arc<str>, Entry>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Waits until something holds; panics with `what` if it does not in time.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "never: {what}"
    );
}

struct Catalogue<'a>(&'a Shelf);

impl Catalog for Catalogue<'_> {
    fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.0.iter()
    }

    fn named_by(&self, _alias: &str) -> Option<Arc<str>> {
        None
    }
}

/// What the control plane serves and has seen.
#[derive(Default)]
pub(crate) struct Seen {
    shelves: HashMap<&'static str, Shelf>,
    changes: Vec<(&'static str, Arc<str>)>,
    /// Resources sent, removals included.
    pub(crate) sent: usize,
    /// Streams opened for discovery.
    pub(crate) streams: usize,
    /// Everything up to this change is acknowledged by the last stream.
    pub(crate) acknowledged: u64,
    /// Texts of NACKs.
    pub(crate) nacks: Vec<String>,
    /// Identities signed.
    pub(crate) signed: Vec<String>,
    /// Reports of capture.
    pub(crate) reports: Vec<CaptureReport>,
    /// Generations of trust that were confirmed.
    pub(crate) trust_held: Vec<u64>,
    /// Life of certificates.
    pub(crate) life: Option<Duration>,
    /// Refuse to sign.
    pub(crate) refuse: bool,
    /// Withdrawals are not answered.
    pub(crate) mute: bool,
    /// What is told of the node.
    pub(crate) roster: Option<RosterUpdate>,
}

/// The control plane.
#[derive(Clone)]
pub(crate) struct Plane {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) authority: Arc<Ca>,
    pub(crate) address: SocketAddr,
    pub(crate) root_pem: String,
    changed: watch::Sender<u64>,
    trust: watch::Sender<TrustUpdate>,
    tls: Arc<rustls::ServerConfig>,
    stop: Arc<Mutex<CancellationToken>>,
    foreign: bool,
}

impl Plane {
    /// One of our make; not serving yet.
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Arc::new(Ca::new());
        let (root_pem, tls) = server_tls();
        let bundle = bundle(&[authority.root()]);
        let plane = Self {
            seen: Arc::default(),
            address,
            root_pem,
            changed: watch::Sender::new(0),
            trust: watch::Sender::new(TrustUpdate {
                bundle: Some(bundle),
                generation: 1,
            }),
            tls,
            stop: Arc::default(),
            foreign: false,
            authority,
        };
        plane.serve(listener);
        plane
    }

    /// One of another make: without the capture service.
    pub(crate) async fn foreign() -> Self {
        let mut plane = Self::new().await;
        plane.stop();
        plane.foreign = true;
        plane.start().await;
        plane
    }

    /// Ends every connection and serves no more.
    pub(crate) fn stop(&self) {
        self.stop.lock().cancel();
    }

    /// Serves again, on the same port.
    pub(crate) async fn start(&self) {
        *self.stop.lock() = CancellationToken::new();
        // Sockets of the stopped one may still stand in the way for a moment.
        let bound = Mutex::new(None);
        eventually("the port is free", || async {
            let listener = TcpListener::bind(self.address).await.ok();
            *bound.lock() = listener;
            bound.lock().is_some()
        })
        .await;
        self.serve(bound.into_inner().unwrap());
    }

    /// Puts a resource, or takes it away (no body).
    pub(crate) fn change(&self, type_url: &'static str, name: &str, body: Option<Vec<u8>>) {
        let mut seen = self.seen.lock();
        let shelf = seen.shelves.entry(type_url).or_default();
        match body {
            Some(body) => {
                let version = ambit_wire::encode::content_version(&body).into();
                let entry = Entry {
                    version,
                    body: body.into(),
                    aliases: Arc::from([]),
                };
                shelf.insert(name.into(), entry);
            }
            None => drop(shelf.remove(name)),
        }
        seen.changes.push((type_url, name.into()));
        let count = seen.changes.len() as u64;
        drop(seen);
        self.changed.send_replace(count);
    }

    /// Hands out a trust bundle with these roots.
    pub(crate) fn set_trust(&self, generation: u64, roots: &[Vec<u8>]) {
        self.trust.send_replace(TrustUpdate {
            bundle: Some(bundle(roots)),
            generation,
        });
    }

    fn serve(&self, listener: TcpListener) {
        let stop = self.stop.lock().clone();
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let (accepted, connections) = mpsc::channel(16);
        let accepting = stop.clone();
        tokio::spawn(async move {
            loop {
                let tcp = tokio::select! {
                    tcp = listener.accept() => tcp.unwrap().0,
                    () = accepting.cancelled() => return,
                };
                let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
                let cut = Box::pin(accepting.clone().cancelled_owned());
                tokio::spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        drop(accepted.send(Ok::<_, std::io::Error>(Wire(tls, cut))).await);
                    }
                });
            }
        });
        let router: Router = tonic::transport::Server::builder()
            .add_service(AggregatedDiscoveryServiceServer::new(self.clone()))
            .add_service(IstioCertificateServiceServer::new(self.clone()));
        let router = if self.foreign {
            router
        } else {
            router.add_service(CaptureServer::new(self.clone()))
        };
        tokio::spawn(async move {
            tokio::select! {
                served = router.serve_with_incoming(ReceiverStream::new(connections)) => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
    }

    fn check<T>(request: &Request<T>) -> Result<(), Status> {
        let token = request
            .metadata()
            .get("authorization")
            .and_then(|t| t.to_str().ok());
        let cluster = request
            .metadata()
            .get("clusterid")
            .and_then(|t| t.to_str().ok());
        if token == Some(&format!("Bearer {TOKEN}")) && cluster == Some("Kubernetes") {
            return Ok(());
        }
        Err(Status::unauthenticated("no"))
    }

    async fn discovery(
        self,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    ) {
        let mut changed = self.changed.subscribe();
        let stop = self.stop.lock().clone();
        let mut told = self.seen.lock().changes.len();
        let mut servers: Vec<(&'static str, Server)> = [AUTHORIZATION_TYPE, ADDRESS_TYPE]
            .map(|type_url| (type_url, Server::new(type_url, told as u64)))
            .into();
        loop {
            let request = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => Some(request),
                    _ => return,
                },
                _ = changed.changed() => None,
                () = stop.cancelled() => return,
            };
            let mut due = Vec::new();
            {
                let mut seen = self.seen.lock();
                let news: Vec<_> = seen.changes.iter().skip(told).cloned().collect();
                for (type_url, server) in &mut servers {
                    let shelf = seen.shelves.entry(type_url).or_default();
                    let catalogue = Catalogue(shelf);
                    let mine: Vec<_> = news
                        .iter()
                        .filter(|(of, _)| of == type_url)
                        .map(|(_, name)| name)
                        .collect();
                    server.changed((told + news.len()) as u64, mine, &catalogue);
                    let mut nack = None;
                    if let Some(request) = request.as_ref().filter(|r| r.type_url == *type_url)
                        && let Outcome::Nacked(text) = server.request(request.clone(), &catalogue)
                    {
                        nack = Some(text);
                    }
                    due.extend(server.poll(&catalogue));
                    seen.nacks.extend(nack);
                }
                told += news.len();
                seen.acknowledged = servers
                    .iter()
                    .map(|(_, server)| server.acked_through())
                    .min()
                    .unwrap_or(0);
                for response in &due {
                    seen.sent += response.resources.len() + response.removed_resources.len();
                }
            }
            for response in due {
                if responses.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Plane {
    type DeltaAggregatedResourcesStream = Answers<DeltaDiscoveryResponse>;

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Self::check(&request)?;
        self.seen.lock().streams += 1;
        let (responses, outgoing) = mpsc::channel(2);
        tokio::spawn(self.clone().discovery(request.into_inner(), responses));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

#[tonic::async_trait]
impl IstioCertificateService for Plane {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        Self::check(&request)?;
        let request = request.into_inner();
        let metadata = request.metadata.unwrap();
        let named = metadata.fields["ImpersonatedIdentity"]
            .kind
            .clone()
            .unwrap();
        let prost_types::value::Kind::StringValue(identity) = named else {
            panic!("no text")
        };
        let life = {
            let mut seen = self.seen.lock();
            if seen.refuse {
                return Err(Status::permission_denied("not on this node"));
            }
            seen.signed.push(identity.clone());
            seen.life
        };
        let leaf = self
            .authority
            .sign(&request.csr, life.unwrap_or(Duration::from_secs(3600)));
        let cert_chain = vec![leaf.pem(), self.authority.root.pem()];
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

#[tonic::async_trait]
impl Capture for Plane {
    type ReportStream = Answers<CaptureAnswer>;
    type TrustStream = Answers<TrustUpdate>;
    type RosterStream = Answers<RosterUpdate>;

    async fn roster(
        &self,
        request: Request<RosterRequest>,
    ) -> Result<Response<Self::RosterStream>, Status> {
        Self::check(&request)?;
        let (updates, outgoing) = mpsc::channel(1);
        if let Some(roster) = self.seen.lock().roster.clone() {
            updates.try_send(Ok(roster)).unwrap();
        }
        let stop = self.stop.lock().clone();
        tokio::spawn(async move {
            stop.cancelled().await;
            drop(updates);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn report(
        &self,
        request: Request<Streaming<CaptureReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        Self::check(&request)?;
        let (answers, outgoing) = mpsc::channel(16);
        let (plane, mut reports) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(report)) = reports.message().await {
                let withdrawn = report.withdraw.clone();
                let mute = {
                    let mut seen = plane.seen.lock();
                    seen.reports.push(report);
                    seen.mute
                };
                if !withdrawn.is_empty() && !mute {
                    let answer = CaptureAnswer {
                        withdrawn,
                        ..CaptureAnswer::default()
                    };
                    drop(answers.send(Ok(answer)).await);
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn trust(
        &self,
        request: Request<TrustRequest>,
    ) -> Result<Response<Self::TrustStream>, Status> {
        Self::check(&request)?;
        let (updates, outgoing) = mpsc::channel(1);
        let mut trust = self.trust.subscribe();
        trust.mark_changed();
        let stop = self.stop.lock().clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = trust.changed() => changed.unwrap(),
                    () = stop.cancelled() => return,
                }
                let update = trust.borrow_and_update().clone();
                if updates.send(Ok(update)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn trust_held(
        &self,
        request: Request<TrustAck>,
    ) -> Result<Response<TrustAckAnswer>, Status> {
        Self::check(&request)?;
        self.seen
            .lock()
            .trust_held
            .push(request.into_inner().generation);
        Ok(Response::new(TrustAckAnswer::default()))
    }
}

fn bundle(roots: &[Vec<u8>]) -> TrustBundle {
    TrustBundle {
        trust_domain: "cluster.local".to_owned(),
        roots: roots.iter().map(|root| root.clone().into()).collect(),
    }
}

/// Token and root file for a control plane.
pub(crate) fn write_papers(directory: &Path, plane: &Plane, token: &str) {
    std::fs::write(directory.join("token"), token).unwrap();
    std::fs::write(directory.join("root.pem"), &plane.root_pem).unwrap();
}

/// A certificate of an authority that nobody knows.
pub(crate) fn issue(identity: &SpiffeId, life: Duration) -> Certificate {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(identity.as_str().try_into().unwrap())];
    params.not_before = ambit_kit::clock::wall().into();
    params.not_after = (ambit_kit::clock::wall() + life).into();
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &Ca::new().issuer).unwrap();
    Certificate {
        identity: identity.to_string(),
        chain: vec![leaf.der().to_vec().into()],
        key: key.serialize_der().into(),
    }
}
