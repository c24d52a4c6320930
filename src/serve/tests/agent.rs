//! An agent as the control plane sees one: TLS, token, discovery, reports, certificates.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::{TunnelProtocol, Workload};
use ambit_wire::ca::IstioCertificateRequest;
use ambit_wire::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use ambit_wire::decode::{Decoded, address_from_bytes};
use ambit_wire::delta::{ADDRESS_TYPE, AUTHORIZATION_TYPE, Client, Update};
use ambit_wire::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use ambit_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use ambit_wire::node::capture_client::CaptureClient;
use ambit_wire::node::{CaptureAnswer, CaptureReport, TrustAck, TrustRequest, TrustUpdate};
use hyper_util::rt::TokioIo;
use prost_types::value::Kind as ValueKind;
use prost_types::{Struct, Value};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition, not for ever.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
        "{what}"
    );
}

async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: too late"))
}

/// One HTTP request; head and body of the answer.
pub(super) async fn http(at: SocketAddr, method: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = TcpStream::connect(at).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an admin page", tcp.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

/// Connects to whoever `root.pem` says now.
pub(super) fn trusting(state: &Path, protocol: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(state.join("root.pem")).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    TlsConnector::from(Arc::new(config))
}

pub(super) struct Agent {
    channel: Channel,
    token: MetadataValue<Ascii>,
}

impl Agent {
    /// Connects lazily, trusting what `root.pem` says now.
    pub(super) fn connect(at: SocketAddr, state: &Path, token: &str) -> Self {
        let connector = trusting(state, "h2");
        let dial = tower::service_fn(move |_uri| {
            let connector = connector.clone();
            async move {
                let tcp = TcpStream::connect(at).await?;
                let name = ServerName::try_from("ambit-control-plane").unwrap();
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, tcp).await?))
            }
        });
        let endpoint = Endpoint::from_static("http://ambit-control-plane");
        let channel = endpoint.connect_with_connector_lazy(dial);
        Self {
            channel,
            token: format!("Bearer {token}").parse().unwrap(),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", self.token.clone());
        request
    }

    pub(super) async fn discovery(&self) -> Discovery {
        self.discovery_from(Held::new()).await
    }

    pub(super) async fn discovery_from(&self, held: Held) -> Discovery {
        let (requests, receiver) = mpsc::channel(8);
        let call = self.request(ReceiverStream::new(receiver));
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel.clone());
        let opening = client.delta_aggregated_resources(call);
        for client in [&held.addresses, &held.policies] {
            requests
                .send(client.connect(Node::default()))
                .await
                .unwrap();
        }
        let responses = within("a discovery stream", opening)
            .await
            .unwrap()
            .into_inner();
        Discovery {
            requests,
            responses,
            held,
            received: 0,
        }
    }

    pub(super) async fn try_discovery(&self) -> Result<(), Status> {
        let call = self.request(tokio_stream::empty::<DeltaDiscoveryRequest>());
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel.clone());
        client.delta_aggregated_resources(call).await.map(drop)
    }

    pub(super) async fn reports(&self) -> Reports {
        let (reports, receiver) = mpsc::channel(8);
        let call = self.request(ReceiverStream::new(receiver));
        let answers = CaptureClient::new(self.channel.clone())
            .report(call)
            .await
            .unwrap();
        let (sender, answers_of) = mpsc::unbounded_channel();
        let mut answers = answers.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(answer)) = answers.message().await {
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        Reports {
            reports,
            answers: answers_of,
        }
    }

    pub(super) async fn try_reports(&self) -> Result<(), Status> {
        let call = self.request(tokio_stream::empty::<CaptureReport>());
        CaptureClient::new(self.channel.clone())
            .report(call)
            .await
            .map(drop)
    }

    pub(super) async fn try_trust(&self, held: u64) -> Result<Streaming<TrustUpdate>, Status> {
        let call = self.request(TrustRequest {
            have_generation: held,
        });
        let stream = CaptureClient::new(self.channel.clone()).trust(call).await?;
        Ok(stream.into_inner())
    }

    pub(super) async fn trust_held(&self, generation: u64) {
        let call = self.request(TrustAck { generation });
        CaptureClient::new(self.channel.clone())
            .trust_held(call)
            .await
            .unwrap();
    }

    pub(super) async fn certificate(&self, identity: &str) -> Result<Vec<String>, Status> {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        self.certificate_for(identity, &request.pem().unwrap())
            .await
    }

    pub(super) async fn certificate_for(
        &self,
        identity: &str,
        request: &str,
    ) -> Result<Vec<String>, Status> {
        let value = Value {
            kind: Some(ValueKind::StringValue(identity.to_owned())),
        };
        let fields = BTreeMap::from([("ImpersonatedIdentity".to_owned(), value)]);
        let call = self.request(IstioCertificateRequest {
            csr: request.to_owned(),
            validity_duration: 0,
            metadata: Some(Struct { fields }),
        });
        let mut client = IstioCertificateServiceClient::new(self.channel.clone());
        Ok(client
            .create_certificate(call)
            .await?
            .into_inner()
            .cert_chain)
    }
}

/// Who signed a certificate.
pub(super) fn issuer_of(pem: &str) -> String {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    parsed.issuer().to_string()
}

pub(super) async fn next_trust(stream: &mut Streaming<TrustUpdate>) -> TrustUpdate {
    within("a trust bundle", stream.message())
        .await
        .unwrap()
        .unwrap()
}

/// What an agent holds, with the machines that say so to the next stream.
pub(super) struct Held {
    addresses: Client,
    policies: Client,
    workloads: BTreeMap<String, Workload>,
    names: BTreeMap<Arc<str>, String>,
}

impl Held {
    fn new() -> Self {
        Self {
            addresses: Client::new(ADDRESS_TYPE),
            policies: Client::new(AUTHORIZATION_TYPE),
            workloads: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    pub(super) fn workloads(&self) -> usize {
        self.workloads.len()
    }

    pub(super) fn policies(&self) -> usize {
        self.policies.len()
    }

    pub(super) fn address_of(&self, pod: &str) -> String {
        let workload = self.workloads.get(pod);
        workload
            .map(|w| w.addresses.iter().map(IpAddr::to_string).collect())
            .unwrap_or_default()
    }

    pub(super) fn protocol_of(&self, pod: &str) -> TunnelProtocol {
        self.workloads
            .get(pod)
            .map_or(TunnelProtocol::Unsupported(-1), |w| w.protocol)
    }

    fn take(&mut self, response: DeltaDiscoveryResponse) -> Update {
        if response.type_url == AUTHORIZATION_TYPE {
            return self.policies.receive(response, |_| Ok(()));
        }
        let update = self.addresses.receive(response, |_| Ok(()));
        for resource in &update.changed {
            let decoded = address_from_bytes(&resource.body, "cluster.local").unwrap();
            if let Decoded::Workload(workload) = decoded {
                self.names
                    .insert(Arc::clone(&resource.name), workload.name.to_string());
                self.workloads.insert(workload.name.to_string(), workload);
            }
        }
        for name in &update.removed {
            if let Some(pod) = self.names.remove(name) {
                self.workloads.remove(&pod);
            }
        }
        update
    }
}

pub(super) struct Discovery {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    pub(super) held: Held,
    received: usize,
}

impl Discovery {
    /// Resources received so far.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// Takes one response in without answering it.
    pub(super) async fn receive(&mut self) -> (String, Update) {
        let response = within("a response", self.responses.message())
            .await
            .unwrap()
            .unwrap();
        self.received += response.resources.len();
        let type_url = response.type_url.clone();
        (type_url, self.held.take(response))
    }

    pub(super) async fn acknowledge(&self, (type_url, update): (String, Update)) {
        let clients = [&self.held.addresses, &self.held.policies];
        let client = clients
            .into_iter()
            .find(|client| client.type_url() == type_url)
            .unwrap();
        self.requests
            .send(client.answer(&update.nonce, &[]))
            .await
            .unwrap();
    }

    /// Receives and acknowledges until the condition holds.
    pub(super) async fn until(&mut self, what: &str, condition: impl Fn(&Held) -> bool) {
        let receiving = async {
            while !condition(&self.held) {
                let update = self.receive().await;
                self.acknowledge(update).await;
            }
        };
        within(what, receiving).await;
    }

    /// Receives until the other end has closed the stream.
    pub(super) async fn until_ended(&mut self) {
        let ending = async { while let Ok(Some(_)) = self.responses.message().await {} };
        within("the end of a stream", ending).await;
    }

    /// Ends the stream; what is held stays.
    pub(super) fn leave(self) -> Held {
        self.held
    }
}

pub(super) struct Reports {
    reports: mpsc::Sender<CaptureReport>,
    answers: mpsc::UnboundedReceiver<CaptureAnswer>,
}

impl Reports {
    pub(super) async fn send(&self, report: CaptureReport) {
        self.reports.send(report).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> CaptureAnswer {
        within("an answer", self.answers.recv()).await.unwrap()
    }

    /// Receives until the other end has closed the stream.
    pub(super) async fn until_ended(&mut self) {
        let ending = async { while self.answers.recv().await.is_some() {} };
        within("the end of the reports", ending).await;
    }

    pub(super) fn is_answered(&mut self) -> bool {
        self.answers.try_recv().is_ok()
    }
}
